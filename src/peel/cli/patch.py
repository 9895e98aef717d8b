"""``peel patch``."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from peel.cli.app import app
from peel.cli.build import build_plan
from peel.cli.options import (
    Archives,
    Json,
    Load,
    Micromamba,
    PlatformName,
    Quiet,
    Ref,
    To,
    epoch_option,
    platform_of,
    ref_of,
)
from peel.console import Console

if TYPE_CHECKING:
    from peel.model.values import Platform
    from peel.store.catalogue import Catalogue
    from peel.store.store import Store
    from peel.workflow.build import Built
    from peel.workflow.fetching import Sources
    from peel.workflow.patch import Patched
    from peel.workflow.patch_proof import Proof


def _complete_patch(context: typer.Context, incomplete: str) -> list[str]:
    """The patches of the catalogue, for the shell."""
    from peel.store.catalogue import Catalogue

    root = context.find_root().params.get("catalogue") or Path()
    return [name for name in Catalogue(Path(root)).patches() if name.startswith(incomplete)]


@app.command()
def patch(
    context: typer.Context,
    ref: Ref,
    patches: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="PATCH", autocompletion=_complete_patch, help="Patches of envs/patches, the first one first."
        ),
    ] = None,
    tag: Annotated[
        str | None,
        typer.Option("--as", metavar="NEWTAG", help="The new tag; by the rsp tag policy the next _rspN by default."),
    ] = None,
    mode: Annotated[
        Literal["overlay", "replace"],
        typer.Option(help="Put patches on top as layers, or make the layers anew whose packages change."),
    ] = "overlay",
    lab: Annotated[
        str | None,
        typer.Option(metavar="LAB", help="Take another lab: that of IMAGE:TAG, or one locked from an environment.yml."),
    ] = None,
    archive: Archives = None,
    epoch: Annotated[int | None, epoch_option("the newest of the origin's and of the new packages'")] = None,
    micromamba: Micromamba = None,
    build: Annotated[bool, typer.Option("--build/--no-build", help="Build it, or only make the lock set.")] = True,
    platform: PlatformName = None,
    to: To = None,
    load: Load = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only tell which packages would move.")] = False,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Make a patched image from a historical one, every other layer byte for byte the old one.

    Moves what the patches name and as little else as possible, writes a new lock set that says what it was made from,
    builds it, and proves by digest which layers stayed.
    """
    from peel.report import patch as report
    from peel.tools.micromamba import find_solver
    from peel.workflow.archives import open_archives
    from peel.workflow.fetching import Sources
    from peel.workflow.output import parse_destination, write_out
    from peel.workflow.patch import Order, Patcher
    from peel.workflow.solve import known_channel_secrets

    console, where = Console(quiet=quiet), context.obj
    address, chosen, catalogue = ref_of(ref), platform_of(platform), where.open_catalogue()
    order = Order(address, tuple(patches or ()), tag, mode, lab, epoch, chosen if build and not dry_run else None)
    if tag is not None:
        ref_of(f"{address.image}:{tag}")
    if to:
        parse_destination(to, address.tag)  # before the work, not after it
    store = where.open_store()
    with open_archives(archive or (), ref=address, catalogue=catalogue, store=store, progress=console) as archives:
        patcher = Patcher(catalogue, store, find_solver(micromamba), os.environ, archives, console)
        if dry_run:
            return report.show_preview(patcher.preview(order), console, json=json)
        done = patcher.patch(order)
        if not build:
            return report.show_locked(done, str(catalogue.lock_directory(done.ref)), console, json=json)
        sources = Sources(known_channel_secrets(done.lock.declared, os.environ), archives)
        built, proof = _build(done, catalogue, chosen, store, console, sources)
    write_out(
        built, store, destination=parse_destination(to, done.ref.tag) if to else None, load=load, progress=console
    )
    return report.show_patched(done, built.manifest.digest, proof, console, json=json)


def _build(
    done: Patched, catalogue: Catalogue, platform: Platform, store: Store, console: Console, sources: Sources
) -> tuple[Built, Proof]:
    """Build the patched image; it stands for its tag once its layers are known to be the origin's."""
    from peel.model.plan import make_plan
    from peel.workflow.patch_proof import prove_kept
    from peel.workflow.record import accept

    built = build_plan(make_plan(catalogue.lock_set(done.ref), platform), store, console, sources)
    proof = prove_kept(built, done.made_from, catalogue)
    accept(built, catalogue, store)
    return built, proof
