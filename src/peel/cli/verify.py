"""``peel verify``."""

from __future__ import annotations

import os
from functools import partial
from typing import Annotated

import typer

from peel.cli.app import app, exit_unless
from peel.cli.build import build_plan
from peel.cli.options import Archives, Json, PlatformName, Quiet, Ref, platform_of, ref_of
from peel.console import Console


@app.command()
def verify(
    context: typer.Context,
    ref: Ref,
    against: Annotated[
        str | None,
        typer.Option(
            metavar="IMAGE", help="Compare with this image instead of the record: oci:DIR[:TAG] or docker://NAME:TAG."
        ),
    ] = None,
    archive: Archives = None,
    platform: PlatformName = None,
    fetch: Annotated[
        bool, typer.Option("--fetch", help="Ask the network for what neither archives nor the store have.")
    ] = False,
    remake: Annotated[
        bool,
        typer.Option("--remake", help="Make captured layers again, too, that came from the network or another image."),
    ] = False,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Rebuild an image from its lock set alone, and explain any difference.

    Builds in an empty store, without the network, and compares file tree, diffIDs, config, blobs and manifest with the
    record, or with a published image. Exits with 0 or 1.
    """
    from peel.report.verify import show_verified
    from peel.workflow.archives import open_archives
    from peel.workflow.fetching import Sources
    from peel.workflow.solve import known_channel_secrets
    from peel.workflow.verify import everything, verify_image, what_is_the_same_again

    console, where = Console(quiet=quiet), context.obj
    address, chosen, catalogue = ref_of(ref), platform_of(platform), where.open_catalogue()
    declared = catalogue.image_lock(address).declared
    store = where.open_store()
    with open_archives(archive or (), ref=address, catalogue=catalogue, store=store, progress=console) as archives:
        asked = fetch or remake
        sources = Sources(known_channel_secrets(declared, os.environ) if asked else {}, archives, network=asked)
        done = verify_image(
            address, chosen, against=against, catalogue=catalogue, store=store, sources=sources,
            build=partial(build_plan, verifying=True), progress=console,
            remake=everything if remake else what_is_the_same_again,
        )  # fmt: skip
    return exit_unless(show_verified(done, console, json=json))
