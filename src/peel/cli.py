"""The command line. Every verb parses, calls one workflow, and shows what came of it.

Workflows are imported by the verb that needs them: ``peel --help`` loads nothing else.
"""

from __future__ import annotations

import os
import signal
import sys
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer
from typer.core import TyperGroup

from peel import __version__
from peel.console import Console
from peel.errors import PeelError, UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from peel.model.plan import Plan
    from peel.model.progress import Progress
    from peel.model.values import ImageRef, Platform
    from peel.store.catalogue import Catalogue
    from peel.store.store import Store
    from peel.workflow.build import Built

INTERRUPTED = 6


class _Verbs(TyperGroup):
    """Ends every verb the same way: an error and its hint on stderr, and the exit code of its kind."""

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except PeelError as error:
            Console().error(error)
            raise typer.Exit(error.exit_code) from None
        except KeyboardInterrupt:
            Console().warn("interrupted; what was finished is kept, nothing half-done is left")
            raise typer.Exit(INTERRUPTED) from None
        except BrokenPipeError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # else Python complains at exit
            raise typer.Exit(1) from None
        except OSError as error:
            where = f"{error.filename}: " if error.filename else ""
            Console().error(
                PeelError(
                    f"{where}{error.strerror or error}", hint="see that the disk has room and lets this user write"
                )
            )
            raise typer.Exit(PeelError.exit_code) from None


app = typer.Typer(
    cls=_Verbs, no_args_is_help=True, rich_markup_mode=None, pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Lock a JupyterLab and its payload environments apart, and build bit-identical images from the locks.",
    epilog="Exit codes: 0 done, 1 something differs or a check failed, 2 usage, 3 bad document, 4 a tool failed, "
    "5 an artifact cannot be had, 6 interrupted. New here? Try: peel demo /tmp/peel-demo",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class _Places:
    """Where this run works."""

    catalogue: Path
    store: Path

    def open_catalogue(self) -> Catalogue:
        from peel.store.catalogue import Catalogue

        return Catalogue.open(self.catalogue)

    def open_store(self) -> Store:
        from peel.store.store import Store

        store = Store(self.store)
        store.sweep()
        return store


def _default_store() -> Path:
    data = os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share"
    return Path(data) / "peel"


def _show_version(wanted: bool) -> None:  # noqa: FBT001  (typer's callbacks are called so)
    if wanted:
        sys.stdout.write(f"peel {__version__}\n")
        raise typer.Exit


@app.callback()
def _root(
    context: typer.Context,
    catalogue: Annotated[
        Path, typer.Option("-C", "--catalogue", metavar="DIR", help="Work on this catalogue.")
    ] = Path(),
    store: Annotated[
        Path | None, typer.Option(metavar="DIR", envvar="PEEL_STORE", help="Keep artifacts, layers and images here.")
    ] = None,
    _version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    context.obj = _Places(catalogue.absolute(), (store or _default_store()).absolute())


def _complete_ref(context: typer.Context, incomplete: str) -> list[str]:
    """The images and tags of the catalogue, for the shell."""
    from peel.store.catalogue import Catalogue

    root = context.find_root().params.get("catalogue") or Path()
    catalogue = Catalogue(Path(root))
    names = [f"{image}:{tag}" for image in catalogue.images() for tag in catalogue.tags(image) or ("",)]
    return [name for name in names if name.startswith(incomplete)]


Ref = Annotated[
    str,
    typer.Argument(metavar="IMAGE:TAG", autocompletion=_complete_ref, help="The image and the tag of its lock set."),
]
Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]
Quiet = Annotated[bool, typer.Option("-q", "--quiet", help="Say nothing of progress.")]
PlatformName = Annotated[
    str | None,
    typer.Option("--platform", metavar="PLATFORM", help="Another platform than this machine's, e.g. linux-64."),
]


def _platform(named: str | None) -> Platform:
    from peel.model.values import Platform

    return Platform(named) if named else Platform.from_machine(os.uname().machine)


def _ref(text: str) -> ImageRef:
    from peel.model.values import ImageRef

    return ImageRef.parse(text)


@app.command()
def lock(
    context: typer.Context,
    ref: Ref,
    check: Annotated[
        bool, typer.Option("--check", help="Only see whether declarations and lock agree; exit 1 if not.")
    ] = False,
    update: Annotated[
        list[str] | None, typer.Option(metavar="PACKAGE", help="Let only this package move. Repeatable.")
    ] = None,
    micromamba: Annotated[
        Path | None, typer.Option(metavar="PATH", envvar="PEEL_MICROMAMBA", help="Solve with this micromamba.")
    ] = None,
    epoch: Annotated[
        int | None,
        typer.Option(
            envvar="SOURCE_DATE_EPOCH",
            min=0,
            metavar="SECONDS",
            help="The image's build instant; by default that of its newest package.",
        ),
    ] = None,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Resolve base, lab and payloads, and write the lock set lockfiles/IMAGE/TAG/."""
    from peel.workflow.agreement import check_lock, refuse_recorded

    console = Console(quiet=quiet)
    where: _Places = context.obj
    address, catalogue = _ref(ref), where.open_catalogue()
    if check:
        check_lock(address, catalogue)
        return _say(
            console,
            json,
            {"schema": 1, "image": address.image, "tag": address.tag, "agrees": True},
            f"{ref}: declarations and lock agree",
        )
    from peel.tools.conda_lock import CondaLock
    from peel.tools.micromamba import find_solver
    from peel.workflow.lock import LockOptions, lock_image
    from peel.workflow.solve import channel_secrets

    refuse_recorded(address, catalogue)
    secrets = channel_secrets(catalogue.declared(address.image), os.environ)
    locked = lock_image(
        address, catalogue=catalogue, store=where.open_store(), conda_lock=CondaLock(find_solver(micromamba), secrets),
        options=LockOptions(epoch, tuple(update or ())), progress=console,
    )  # fmt: skip
    place = catalogue.lock_directory(address)
    result = {
        "schema": 1,
        "image": address.image,
        "tag": address.tag,
        "changed": locked.changed,
        "lock_set": str(place),
    }
    return _say(console, json, result, str(place))


@app.command()
def build(
    context: typer.Context,
    ref: Ref,
    platform: PlatformName = None,
    to: Annotated[
        str | None, typer.Option(metavar="oci:DIR[:TAG]", help="Write the image out as an OCI layout.")
    ] = None,
    load: Annotated[bool, typer.Option("--load", help="Import the image for buildah and podman.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the plan and build nothing.")] = False,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Build the image of a lock set, and print its manifest digest."""
    from peel import report
    from peel.model.plan import make_plan
    from peel.workflow.output import parse_destination, write_out
    from peel.workflow.record import keep_record
    from peel.workflow.solve import set_channel_secrets

    console, where = Console(quiet=quiet), context.obj
    address, catalogue = _ref(ref), where.open_catalogue()
    locks = catalogue.lock_set(address)
    plan = make_plan(locks, _platform(platform))
    destination = parse_destination(to, address.tag) if to else None
    store = where.open_store()
    if dry_run:
        return report.show_plan(plan, store, console, json=json)
    built = _build(plan, store, console, set_channel_secrets(locks.lock.declared, os.environ))
    keep_record(built, catalogue)
    write_out(built, store, destination=destination, load=load, progress=console)
    return report.show_built(built, console, json=json)


def _build(plan: Plan, store: Store, console: Progress, secrets: Mapping[str, str] = MappingProxyType({})) -> Built:
    from peel.workflow.build import build_image
    from peel.workflow.containers import chosen_buildah
    from peel.workflow.layers import Workshop
    from peel.workflow.lock import FORMATS

    workshop = Workshop(store, lambda: chosen_buildah(store), secrets, console)
    return build_image(plan, store=store, make_layers=workshop.make, formats=FORMATS, progress=console)


@app.command()
def launch(
    context: typer.Context,
    ref: Ref,
    platform: PlatformName = None,
    check: Annotated[
        bool, typer.Option("--check", help="Start every payload's kernel, run a cell in it, and exit 0 or 1.")
    ] = False,
    port: Annotated[int | None, typer.Option(min=1, max=65535, help="Listen here; a free port by default.")] = None,
    home: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="The user's home; an empty one that goes with the lab by default."),
    ] = None,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Run the lab of a built image on loopback until Ctrl-C, or check its kernels."""
    from peel import report
    from peel.workflow.trial import check_image, run_image

    console, where = Console(quiet=quiet), context.obj
    plan, store = _locked_plan(where, _ref(ref), _platform(platform)), where.open_store()
    if not check:
        return run_image(plan, store, port=port, home=home, progress=console, announce=console.line)
    checks = check_image(plan, store, port=port, home=home, progress=console)
    return _exit_unless(report.show_checks(plan.ref, checks, console, json=json))


def _locked_plan(where: _Places, ref: ImageRef, platform: Platform) -> Plan:
    from peel.model.plan import make_plan

    return make_plan(where.open_catalogue().lock_set(ref), platform)


@app.command("list")
def list_(context: typer.Context, json: Json = False) -> None:
    """List the images of the catalogue: what is declared, locked and built."""
    from peel import report
    from peel.workflow.show import list_images

    report.show_list(list_images(context.obj.open_catalogue()), Console(), json=json)


@app.command()
def show(context: typer.Context, ref: Ref, json: Json = False) -> None:
    """Show what a tag locks and built: base, environments, packages, sizes, layers."""
    from peel import report
    from peel.workflow.show import show_image

    address = _ref(ref)
    report.show_image(address, show_image(address, context.obj.open_catalogue()), Console(), json=json)


@app.command()
def doctor(
    context: typer.Context,
    install: Annotated[
        bool, typer.Option("--install", help="Install what is missing with the system's package manager.")
    ] = False,
    purposes: Annotated[
        list[str] | None,
        typer.Option("--for", metavar="PURPOSE", help="build, demo or tests. Repeatable; build by default."),
    ] = None,
    json: Json = False,
    quiet: Annotated[bool, typer.Option("-q", "--quiet", help="Print nothing when all is well.")] = False,
) -> None:
    """Say which tools are there, which isolation works, what is missing and how to install it."""
    from peel import report
    from peel.workflow.doctor import Purpose, examine, missing
    from peel.workflow.doctor import install as install_missing

    wanted = [_purpose(name, list(Purpose)) for name in purposes or ["build"]]
    console, store = Console(quiet=quiet), context.obj.store
    found = examine(store, store / "containers", solver_variable=os.environ.get("PEEL_MICROMAMBA"))
    if install:
        install_missing(found, wanted, progress=console.step)
        found = examine(store, store / "containers", solver_variable=os.environ.get("PEEL_MICROMAMBA"))
    if not quiet or missing(found, wanted) or found.isolation_problem:
        _exit_unless(report.show_doctor(found, wanted, console, json=json))


def _purpose(name: str, known: Sequence[Any]) -> Any:
    for purpose in known:
        if purpose.value == name:
            return purpose
    raise UsageError(f"no such purpose: {name!r}", hint=f"known: {', '.join(p.value for p in known)}")


@app.command()
def demo(
    directory: Annotated[
        Path, typer.Argument(metavar="[DIR]", help="Where the demo's catalogue goes; new or empty.")
    ] = Path("peel-demo"),
    serve: Annotated[bool, typer.Option("--serve", help="Leave the lab running at the end, until Ctrl-C.")] = False,
    online: Annotated[
        bool, typer.Option("--online", help="Use conda-forge and almalinux:9 instead of stand-ins; needs the network.")
    ] = False,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Make a catalogue, lock it, build it twice, compare, launch it and run a cell: all of peel in two minutes."""
    from peel import report
    from peel.workflow.demo import run_demo

    console = Console(quiet=quiet)
    done = run_demo(directory.absolute(), online=online, build=_build, progress=console)
    report.show_demo(done, console, json=json)
    if serve:
        from peel.workflow.trial import run_image

        run_image(done.plan, done.store, port=None, home=None, progress=console, announce=console.line)


def _say(console: Console, json: bool, result: dict[str, Any], line: str) -> None:  # noqa: FBT001
    if json:
        console.json(result)
    else:
        console.line(line)


def _exit_unless(passed: bool) -> None:  # noqa: FBT001
    """End with 1 when a check did not pass."""
    if not passed:
        raise typer.Exit(1)


def _interrupt(_number: int, _frame: object) -> NoReturn:
    raise KeyboardInterrupt


def main() -> None:
    """The ``peel`` command."""
    signal.signal(signal.SIGTERM, _interrupt)  # a job that is told to end cleans up as on Ctrl-C
    app()
