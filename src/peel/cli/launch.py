"""``peel launch``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from peel.cli.app import app, exit_unless, say
from peel.cli.options import Json, PlatformName, Quiet, Ref, locked_plan, platform_of, ref_of
from peel.console import Console


@app.command()
def launch(
    context: typer.Context,
    ref: Ref,
    platform: PlatformName = None,
    check: Annotated[
        bool, typer.Option("--check", help="Start every payload's kernel, run a cell in it, and exit 0 or 1.")
    ] = False,
    port: Annotated[int | None, typer.Option(min=1, max=65535, help="Listen here; a free port by default.")] = None,
    home: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="The user's home; an empty one that goes with the lab by default."),
    ] = None,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Run a built lab on loopback, or check its kernels.

    Prints the URL once the lab answers, and runs it until Ctrl-C.
    """
    from peel.report import SCHEMA
    from peel.report.launch import show_checks
    from peel.workflow.launch import check_image, run_image

    console, where = Console(quiet=quiet), context.obj
    plan, catalogue = locked_plan(where, ref_of(ref), platform_of(platform)), where.open_catalogue()
    store = where.open_store()
    if not check:

        def announce(url: str) -> None:
            say(console, json, {"schema": SCHEMA, "image": str(plan.ref), "url": url}, url)

        return run_image(plan, catalogue, store, port=port, home=home, progress=console, announce=announce)
    checks = check_image(plan, catalogue, store, port=port, home=home, progress=console)
    return exit_unless(show_checks(plan.ref, checks, console, json=json))
