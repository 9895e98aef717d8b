"""``peel build``."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Annotated

import typer

from peel.cli.app import app
from peel.cli.options import Archives, Json, Load, PlatformName, Quiet, Ref, To, platform_of, ref_of
from peel.console import Console

if TYPE_CHECKING:
    from peel.model.plan import Plan
    from peel.model.progress import Progress
    from peel.store.store import Store
    from peel.workflow.build import Built, Remake
    from peel.workflow.fetching import Sources


@app.command()
def build(
    context: typer.Context,
    ref: Ref,
    platform: PlatformName = None,
    to: To = None,
    load: Load = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the plan and build nothing.")] = False,
    archive: Archives = None,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Build a locked image and print its manifest digest."""
    from peel.model.plan import make_plan
    from peel.report.build import show_built, show_plan
    from peel.workflow.archives import open_archives
    from peel.workflow.fetching import Sources
    from peel.workflow.output import parse_destination, write_out
    from peel.workflow.record import accept
    from peel.workflow.solve import known_channel_secrets

    console, where = Console(quiet=quiet), context.obj
    address, catalogue = ref_of(ref), where.open_catalogue()
    locks = catalogue.lock_set(address)
    plan = make_plan(locks, platform_of(platform))
    destination = parse_destination(to, address.tag) if to else None
    store = where.open_store(remember=not dry_run)
    if dry_run:
        return show_plan(plan, store, console, json=json)
    secrets = known_channel_secrets(locks.lock.declared, os.environ)
    with open_archives(archive or (), ref=address, catalogue=catalogue, store=store, progress=console) as archives:
        built = build_plan(plan, store, console, Sources(secrets, archives))
    accept(built, catalogue, store)
    write_out(built, store, destination=destination, load=load, progress=console)
    return show_built(built, console, json=json)


def build_plan(
    plan: Plan,
    store: Store,
    console: Progress,
    sources: Sources | None = None,
    remake: Remake | None = None,
    *,
    verifying: bool = False,
) -> Built:
    """Perform a plan with the buildah of this machine; by default the network is asked for what the store lacks.

    ``verifying`` lets layers be others than the lock's: they are compared afterwards.
    """
    from peel.workflow.build import as_needed, build_image
    from peel.workflow.containers import chosen_buildah
    from peel.workflow.fetching import Sources
    from peel.workflow.layers import Workshop
    from peel.workflow.lock import FORMATS

    known = sources or Sources()
    workshop = Workshop(store, lambda: chosen_buildah(store), known, console, any_capture=verifying)
    return build_image(
        plan, store=store, sources=known, make_layers=workshop.make, formats=FORMATS, progress=console,
        any_compressor=verifying, remake=remake or as_needed,
    )  # fmt: skip
