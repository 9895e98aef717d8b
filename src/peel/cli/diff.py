"""``peel diff``."""

from __future__ import annotations

import gc
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from peel.cli.app import Places, app, exit_unless
from peel.cli.options import Json, PlatformName, Quiet, complete_ref, platform_of
from peel.console import Console
from peel.errors import DocumentError, UsageError

if TYPE_CHECKING:
    from peel.store.store import Store
    from peel.workflow.diff import Place

_SIDE = "a lock set IMAGE:TAG, oci:DIR[:TAG] or docker://NAME:TAG"
_OTHER = f"To: {_SIDE}; or another TAG of A's image."


def _complete_other(context: typer.Context, incomplete: str) -> list[str]:
    """What A may be, and the bare tags of its image, for the shell."""
    from peel.store.catalogue import Catalogue

    image, colon, _ = str(context.params.get("a") or "").partition(":")
    root = context.find_root().params.get("catalogue") or Path()
    tags = Catalogue(Path(root)).tags(image) if colon and "/" not in image else ()
    return [*(tag for tag in tags if tag.startswith(incomplete)), *complete_ref(context, incomplete)]


@app.command()
def diff(
    context: typer.Context,
    a: Annotated[str, typer.Argument(metavar="A", autocompletion=complete_ref, help=f"From: {_SIDE}.")],
    b: Annotated[
        str,
        typer.Argument(metavar="B", autocompletion=_complete_other, help=_OTHER),
    ],
    platform: PlatformName = None,
    whole: Annotated[bool, typer.Option("--all", help="List everything, also what is only rebuilt.")] = False,
    markdown: Annotated[bool, typer.Option("--markdown", help="Print Markdown for a pull request.")] = False,
    exit_code: Annotated[bool, typer.Option("--exit-code", help="Exit with 1 if anything differs.")] = False,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Compare packages, base, settings and layers of two lock sets or images."""
    gc.disable()  # nearly all that is loaded and read here is needed to the end: to look for garbage takes a tenth
    from peel.report.diff import show_difference
    from peel.workflow.diff import diff as compare
    from peel.workflow.diff import parse_places

    console, where = Console(quiet=quiet), context.obj
    if json and markdown:
        raise UsageError("--json and --markdown exclude each other", hint="choose one")
    try:
        places = parse_places(a, b)
    except DocumentError as error:
        raise UsageError(error.message, hint=error.hint) from None
    found = compare(
        *places, platform_of(platform),
        catalogue=where.open_catalogue() if any(_is_locked(place) for place in places) else None,
        store=_store(where, places), progress=console,
    )  # fmt: skip
    show_difference(found, console, form="json" if json else "markdown" if markdown else "text", whole=whole)
    exit_unless(not (exit_code and found))


def _is_locked(place: Place) -> bool:
    from peel.model.values import ImageRef

    return isinstance(place, ImageRef)


def _store(where: Places, places: tuple[Place, Place]) -> Store | None:
    """The store; of two lock sets, only if it is there already: they can do without."""
    if all(_is_locked(place) for place in places) and not where.store.joinpath("format").is_file():
        return None
    return where.open_store()
