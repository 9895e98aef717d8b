"""``peel list`` and ``peel show``."""

from __future__ import annotations

import typer

from peel.cli.app import app
from peel.cli.options import Json, Ref, ref_of
from peel.console import Console


@app.command("list")
def list_(context: typer.Context, json: Json = False) -> None:
    """List what is declared, locked and built."""
    from peel import report
    from peel.workflow.show import list_images

    report.show_list(list_images(context.obj.open_catalogue()), Console(), json=json)


@app.command()
def show(context: typer.Context, ref: Ref, json: Json = False) -> None:
    """Show packages, sizes and layers of a locked image."""
    from peel import report
    from peel.workflow.show import show_image

    address = ref_of(ref)
    report.show_image(address, show_image(address, context.obj.open_catalogue()), Console(), json=json)
