"""``peel list`` and ``peel show``."""

from __future__ import annotations

import typer

from peel.cli.app import app, exit_unless
from peel.cli.options import Json, Ref, ref_of
from peel.console import Console
from peel.errors import DocumentError


@app.command("list")
def list_(context: typer.Context, json: Json = False) -> None:
    """List what is declared, locked and built."""
    from peel.report.show import show_list
    from peel.workflow.show import list_images

    whole = show_list(list_images(context.obj.open_catalogue()), Console(), json=json)
    exit_unless(whole, DocumentError.exit_code)


@app.command()
def show(context: typer.Context, ref: Ref, json: Json = False) -> None:
    """Show packages, sizes and layers of a locked image."""
    from peel.report import show as report
    from peel.workflow.show import find_incomplete, show_image

    address, catalogue = ref_of(ref), context.obj.open_catalogue()
    if (found := find_incomplete(address, catalogue)) is not None:
        return report.show_incomplete(found, Console(), json=json)
    return report.show_image(address, show_image(address, catalogue), Console(), json=json)
