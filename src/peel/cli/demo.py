"""``peel demo``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from peel.cli.app import app
from peel.cli.build import build_plan
from peel.cli.options import Json, Quiet
from peel.console import Console


@app.command()
def demo(
    directory: Annotated[
        Path, typer.Argument(metavar="DIR", help="Where the demo's catalogue goes; new or empty.")
    ] = Path("peel-demo"),
    serve: Annotated[bool, typer.Option("--serve", help="Leave the lab running at the end, until Ctrl-C.")] = False,
    online: Annotated[
        bool, typer.Option("--online", help="Use conda-forge and almalinux:9 instead of stand-ins; needs the network.")
    ] = False,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """See all of peel in two minutes, on real packages.

    Makes a catalogue in DIR, locks it, builds it twice from separate stores, compares the digests, launches the lab and
    runs a cell in the payload's kernel.
    """
    from peel.report.demo import show_demo
    from peel.workflow.demo import run_demo

    console = Console(quiet=quiet)
    done = run_demo(directory.absolute(), online=online, build=build_plan, progress=console)
    show_demo(done, console, json=json)
    if serve:
        from peel.store.catalogue import Catalogue
        from peel.workflow.launch import run_image

        run_image(
            done.plan,
            Catalogue(done.catalogue),
            done.store,
            port=None,
            home=None,
            progress=console,
            announce=console.line,
        )
