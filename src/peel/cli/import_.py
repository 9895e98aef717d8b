"""``peel import``."""

from __future__ import annotations

import os
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from peel.cli.app import Places, app
from peel.cli.options import Archives, Json, Micromamba, PlatformName, Quiet, Ref, epoch_option, platform_of, ref_of
from peel.console import Console
from peel.errors import UsageError

if TYPE_CHECKING:
    from peel.model.values import ImageRef
    from peel.workflow.import_result import Imported
    from peel.workflow.import_target import Wish


@app.command("import")
def import_(
    context: typer.Context,
    source: Annotated[
        str, typer.Argument(metavar="SOURCE", help="A list of packages, oci:DIR[:TAG] or docker://REFERENCE.")
    ],
    ref: Ref,
    environment: Annotated[
        str | None,
        typer.Option(
            metavar="NAME[=THEIRS]",
            help="The environment that the list is of; THEIRS is the one of a lock that holds several.",
        ),
    ] = None,
    prefix: Annotated[
        str | None,
        typer.Option(
            metavar="PATH", help="Where it goes in an image that is not declared.  [default: /opt/peel/envs/NAME]"
        ),
    ] = None,
    base: Annotated[
        str | None,
        typer.Option(
            metavar="REF",
            help="What an image that is not declared is built on.  [default: docker.io/library/almalinux:9]",
        ),
    ] = None,
    channel: Annotated[
        list[str] | None,
        typer.Option(metavar="CHANNEL", help="Look packages up here instead of where the list says. Repeatable."),
    ] = None,
    archive: Archives = None,
    platform: PlatformName = None,
    partial_: Annotated[
        bool, typer.Option("--partial", help="Write an incomplete lock set when something cannot be had.")
    ] = False,
    skip_link_scripts: Annotated[
        bool, typer.Option("--skip-link-scripts", help="Leave out what packages want to run when linked.")
    ] = False,
    epoch: Annotated[int | None, epoch_option("that of its newest package, or the imported image's own")] = None,
    micromamba: Micromamba = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Ask nobody and write nothing: say what is read, and what is at hand.")
    ] = False,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Make a lock set from history: a list of packages, or an image.

    Reads @EXPLICIT lists, lists of conda list --export, environment.yml, conda-lock.yml and pixi.lock, whatever they
    are called, and images as layouts or from a registry. Hashes are completed from the artifacts.
    """
    from peel.report.import_ import show_imported
    from peel.workflow.agreement import refuse_recorded
    from peel.workflow.import_target import Wish

    console, where, address = Console(quiet=quiet), context.obj, ref_of(ref)
    refuse_recorded(address, where.open_catalogue())
    name, _, theirs = (environment or "").partition("=")
    wish = Wish(
        environment=name or None, theirs=theirs or None, prefix=prefix, base=base, channels=tuple(channel or ()),
        platform=platform_of(platform) if platform else None, epoch=epoch, partial=partial_,
        skip_link_scripts=skip_link_scripts,
    )  # fmt: skip
    if source.startswith(("oci:", "docker://")):
        imported = _import_image(source, address, wish, where, console, dry_run=dry_run)
    else:
        imported = _import_list(
            Path(source), address, wish, where, console, archive or [], micromamba, dry_run=dry_run
        )  # fmt: skip
    show_imported(imported, console, json=json)


def _import_image(
    source: str, ref: ImageRef, wish: Wish, where: Places, console: Console, *, dry_run: bool
) -> Imported:
    from peel.workflow.import_image import ImageImport

    senseless = {
        "--environment": wish.environment, "--prefix": wish.prefix, "--base": wish.base, "--partial": wish.partial,
        "--skip-link-scripts": wish.skip_link_scripts,
    }  # fmt: skip
    for option, given in senseless.items():
        if given:
            raise UsageError(f"{option} is for lists of packages, and an image is what it is", hint="leave it out")
    what = ImageImport(
        source, ref, wish.platform or platform_of(None), wish.epoch, wish.channels, where.open_catalogue(),
        where.open_store(), console,
    )  # fmt: skip
    return what.run(dry_run=dry_run)


def _import_list(
    path: Path,
    ref: ImageRef,
    wish: Wish,
    where: Places,
    console: Console,
    archives: list[str],
    micromamba: Path | None,
    *,
    dry_run: bool,
) -> Imported:
    from peel.model.secrets import allowed_secrets
    from peel.workflow.import_read import read_history
    from peel.workflow.import_target import make_target

    catalogue = where.open_catalogue()
    history = read_history(path, allowed_secrets(os.environ))
    for note in history.notes:
        console.warn(f"{path}: {note}")
    target = make_target(history, ref, wish, catalogue, platform_of(None))
    if dry_run:
        from peel.workflow.import_preview import archives_here, preview_list

        here = archives_here(archives, catalogue)
        return preview_list(history, target, archives=here, catalogue=catalogue, store=where.store)
    from peel.tools.micromamba import find_solver
    from peel.workflow.archives import open_archives
    from peel.workflow.import_list import ListImport

    store = where.open_store()
    with open_archives(archives, ref=ref, catalogue=catalogue, store=store, progress=console) as opened:
        return ListImport(
            history, target, wish, catalogue, store, opened, os.environ, partial(find_solver, micromamba), console
        ).run()
