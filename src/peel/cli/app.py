"""The ``peel`` command itself. Every verb parses, calls one workflow, and shows what came of it.

Workflows are imported by the verb that needs them: ``peel --help`` loads nothing else.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer
from typer.core import TyperGroup

from peel import __version__
from peel.console import Console
from peel.errors import DifferenceError, PeelError, UsageError

if TYPE_CHECKING:
    from peel.store.catalogue import Catalogue
    from peel.store.store import Store

INTERRUPTED = 6
_CLICK_INTERRUPTED = 130
_INTERRUPTED = "interrupted; what was finished is kept, nothing half-done is left"

_ORDER = (
    "lock", "build", "launch", "check", "push", "pull", "menu", "propose", "try", "verify", "diff", "patch", "import",
    "archive", "gc", "list", "show", "site", "tag", "doctor", "demo",
)  # fmt: skip


_UsageMistake: Any = typer.BadParameter.__mro__[1]  # click's UsageError, which typer has in a private module
_OURS = {"-C", "--catalogue", "--store", "--version"}


class _Verbs(TyperGroup):
    """Ends every verb the same way: an error and its hint on stderr, and the exit code of its kind."""

    def list_commands(self, ctx: Any) -> list[str]:  # noqa: ARG002
        return [name for name in _ORDER if name in self.commands]

    def main(self, args: Sequence[str] | None = None, *_args: Any, **extra: Any) -> NoReturn:
        extra["standalone_mode"] = False  # else click words its own errors in its own way
        given = list(sys.argv[1:] if args is None else args)
        try:
            ended = super().main(given or ["--help"], **extra)
        except _UsageMistake as error:
            Console().error(_as_usage(error))
            ended = UsageError.exit_code
        if ended == _CLICK_INTERRUPTED:  # before or after the verb
            Console().warn(_INTERRUPTED)
            ended = INTERRUPTED
        sys.exit(ended if isinstance(ended, int) else 0)

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except PeelError as error:
            Console().error(error)
            raise typer.Exit(error.exit_code) from None
        except KeyboardInterrupt:
            Console().warn(_INTERRUPTED)
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


def _as_usage(mistake: Any) -> UsageError:
    """What click found wrong, as every other error is told."""
    option = getattr(mistake, "option_name", None)
    path = mistake.ctx.command_path if mistake.ctx else "peel"
    hint = f"{option} comes before the verb: peel {option} … VERB" if option in _OURS else f"{path} --help"
    return UsageError(mistake.format_message(), hint=hint)


app = typer.Typer(
    cls=_Verbs, rich_markup_mode=None, pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Lock a JupyterLab and its payload environments apart, and build bit-identical images from the locks.",
    epilog="Exit codes: 0 done, 1 something differs or a check failed, 2 usage, 3 bad document, 4 a tool failed, "
    "5 an artifact cannot be had, 6 interrupted. New here? Try: peel demo /tmp/peel-demo",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Places:
    """Where this run works."""

    catalogue: Path
    store: Path
    held: ExitStack = field(default_factory=ExitStack, compare=False)
    """What is held until the verb has ended."""

    def open_catalogue(self) -> Catalogue:
        """The catalogue. Raises UsageError when there is none."""
        from peel.store.catalogue import Catalogue

        return Catalogue.open(self.catalogue)

    def open_store(self, *, remember: bool = True) -> Store:
        """The store, kept from being freed until the verb has ended, and without what killed runs left in it.

        It is to ``remember`` the catalogue, so that its lock sets keep what they need from then on.
        """
        from peel.store.catalogue import is_catalogue
        from peel.store.store import Store

        store = Store(self.store)
        self.held.enter_context(store.using(lambda: Console().step("waiting for a run that frees the store")))
        store.sweep()
        if remember and is_catalogue(self.catalogue):
            store.remember_catalogue(self.catalogue)
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
    held = context.with_resource(ExitStack())
    context.obj = Places(catalogue.absolute(), (store or _default_store()).absolute(), held)


def say(console: Console, json: bool, result: dict[str, Any], line: str) -> None:  # noqa: FBT001
    """A result of one line for people, of one object for programs."""
    if json:
        console.json(result)
    else:
        console.line(line)


def exit_unless(passed: bool, status: int = DifferenceError.exit_code) -> None:  # noqa: FBT001
    """End with this status when something did not pass."""
    if not passed:
        raise typer.Exit(status)


def _interrupt(_number: int, _frame: object) -> NoReturn:
    raise KeyboardInterrupt


def run() -> None:
    """Run the command line of this process."""
    for number in (signal.SIGTERM, signal.SIGHUP):  # a job that is told to end cleans up as on Ctrl-C
        if signal.getsignal(number) != signal.SIG_IGN:  # nohup means it
            signal.signal(number, _interrupt)
    app()
