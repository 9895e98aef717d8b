"""``peel site``."""

from __future__ import annotations

import gc
from pathlib import Path
from typing import Annotated

import typer

from peel.cli.app import app
from peel.cli.options import Json, Quiet
from peel.console import Console


@app.command(epilog="Example: peel -C my-images site public, then open public/index.html")
def site(
    context: typer.Context,
    directory: Annotated[
        Path, typer.Argument(metavar="DIR", file_okay=False, help="A new or empty directory, or an earlier site.")
    ],
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Write static pages about all that is locked and built, with lineage, packages and what changed."""
    gc.disable()  # as for a diff: nearly all that is read here is needed to the end
    from peel.report.site import show_site
    from peel.report.site.draw import draw_site
    from peel.workflow.site import make_site

    console = Console(quiet=quiet)
    made = make_site(context.obj.open_catalogue(), directory.absolute(), draw=draw_site, progress=console)
    show_site(made, directory, console, json=json)
