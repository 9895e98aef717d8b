"""``peel archive``."""

from __future__ import annotations

import os
from typing import Annotated

import typer

from peel.cli.app import Places, app
from peel.cli.options import Archives, Json, Quiet, Ref, ref_of
from peel.console import Console


@app.command()
def archive(
    context: typer.Context,
    ref: Ref,
    to: Annotated[
        str,
        typer.Option(
            metavar="PLACE",
            help="Keep it here: DIR, oci:DIR[:TAG] or docker://REPO[:TAG]; TAG is IMAGE-TAG by default.",
        ),
    ],
    archives: Archives = None,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Keep all that a lock set needs, and print the archive's digest.

    Conda archives, wheels and base images of every platform, patched-away ones too, and the lock set itself, by sha256,
    as an OCI artifact beside others in PLACE. An image can be rebuilt from it when channels and registries are gone.
    """
    from peel.report.archive import show_archived
    from peel.workflow.archive import archive_image, parse_destination
    from peel.workflow.archives import open_archives
    from peel.workflow.fetching import Sources
    from peel.workflow.solve import known_channel_secrets

    console = Console(quiet=quiet)
    where: Places = context.obj
    address, catalogue = ref_of(ref), where.open_catalogue()
    secrets = known_channel_secrets(catalogue.image_lock(address).declared, os.environ)
    store = where.open_store()
    place = parse_destination(to, address, store)
    with open_archives(
        archives or (), ref=address, catalogue=catalogue, store=store, progress=console, growing=place
    ) as opened:
        archived = archive_image(
            address, destination=place, catalogue=catalogue, store=store, sources=Sources(secrets, opened),
            progress=console,
        )  # fmt: skip
    show_archived(archived, console, json=json)
