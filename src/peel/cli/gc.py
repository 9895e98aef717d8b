"""``peel gc``."""

from __future__ import annotations

from typing import Annotated

import typer

from peel.cli.app import Places, app
from peel.cli.options import Json, Quiet
from peel.console import Console
from peel.errors import UsageError


@app.command()
def gc(
    context: typer.Context,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="List what would go, and free nothing.")] = False,
    images: Annotated[
        bool, typer.Option("--images", help="Let images go, too, that no catalogue has a lock set of.")
    ] = False,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Free the store of what no lock set, record or image needs, and print how many bytes that gave.

    Considers every catalogue that the store was used with. Nothing goes while another run uses the store, or when a
    lock set cannot be read.
    """
    from peel.report.gc import show_garbage
    from peel.store.store import Store
    from peel.workflow.gc import find_garbage, free

    console = Console(quiet=quiet)
    where: Places = context.obj
    if not (where.store / "format").exists():
        raise UsageError(f"{where.store} is no store", hint="name one with --store DIR or PEEL_STORE")
    store = Store(where.store)
    with store.using() if dry_run else store.alone():
        garbage = find_garbage(where.catalogue, store, images=images, progress=console)
        if not dry_run:
            store.sweep()
            free(garbage, store, console)
    show_garbage(garbage, console, dry_run=dry_run, json=json)
