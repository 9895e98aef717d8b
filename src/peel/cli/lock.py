"""``peel lock``."""

from __future__ import annotations

import os
from typing import Annotated

import typer

from peel.cli.app import Places, app, exit_unless, say
from peel.cli.options import Archives, Json, Micromamba, Quiet, Ref, epoch_option, ref_of
from peel.console import Console


@app.command()
def lock(
    context: typer.Context,
    ref: Ref,
    check: Annotated[
        bool, typer.Option("--check", help="Only see whether declarations and lock agree; exit 1 if not.")
    ] = False,
    update: Annotated[
        list[str] | None,
        typer.Option(
            metavar="PACKAGE", help="Let only this package move; a new tag starts from the newest lock. Repeatable."
        ),
    ] = None,
    micromamba: Micromamba = None,
    epoch: Annotated[int | None, epoch_option("that of its newest package")] = None,
    archive: Archives = None,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Pin base, lab and payloads into a lock set.

    Resolves the base to a digest, locks each environment with conda-lock, reads every package, decides on layers, and
    writes lockfiles/IMAGE/TAG/. A lock set that has been built is never changed.
    """
    from peel.workflow.agreement import check_lock, lock_differences, refuse_recorded

    console = Console(quiet=quiet)
    where: Places = context.obj
    address, catalogue = ref_of(ref), where.open_catalogue()
    if check and json:
        found = list(lock_differences(address, catalogue))
        head = {"schema": 1, "image": address.image, "tag": address.tag}
        console.json({**head, "agrees": not found, "differences": found})
        return exit_unless(not found)
    if check:
        check_lock(address, catalogue)
        return console.line(f"{ref}: declarations and lock agree")
    from peel.tools.conda_lock import CondaLock
    from peel.tools.micromamba import find_solver
    from peel.workflow.archives import open_archives
    from peel.workflow.lock import LockOptions, lock_image
    from peel.workflow.solve import channel_secrets

    refuse_recorded(address, catalogue)
    secrets = channel_secrets(catalogue.declared(address.image), os.environ)
    tool, store = CondaLock(find_solver(micromamba), secrets), where.open_store()
    with open_archives(archive or (), ref=address, catalogue=catalogue, store=store, progress=console) as archives:
        locked = lock_image(
            address, catalogue=catalogue, store=store, conda_lock=tool,
            options=LockOptions(epoch, tuple(update or ())), progress=console, archives=archives,
        )  # fmt: skip
    place = catalogue.lock_directory(address)
    result = {
        "schema": 1,
        "image": address.image,
        "tag": address.tag,
        "changed": locked.changed,
        "lock_set": str(place),
    }
    return say(console, json, result, str(place))
