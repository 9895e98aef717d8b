"""``peel demo``."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from peel.cli.app import app
from peel.cli.build import build_plan
from peel.cli.options import Json, Quiet
from peel.console import Console
from peel.errors import UsageError

if TYPE_CHECKING:
    from peel.workflow.demo import Demo


@app.command()
def demo(
    directory: Annotated[
        Path, typer.Argument(metavar="DIR", help="Where the demo's catalogue goes; new or empty.")
    ] = Path("peel-demo"),
    serve: Annotated[bool, typer.Option("--serve", help="Leave the lab running at the end, until Ctrl-C.")] = False,
    hub: Annotated[
        bool,
        typer.Option(
            "--hub", help="Then publish two images and offer them by a JupyterHub, until Ctrl-C. DIR may be a demo."
        ),
    ] = False,
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
    from peel.workflow.demo_hub import is_finished

    if serve and hub:
        raise UsageError("--serve and --hub both stay until Ctrl-C", hint="choose one")
    console, directory = Console(quiet=quiet), directory.absolute()
    if not (hub and is_finished(directory)):
        done = run_demo(directory, online=online, build=build_plan, progress=console)
        show_demo(done, console, json=json)
        if serve:
            _serve(done, console)
    if hub:
        _serve_hub(directory, console)


def _serve(done: Demo, console: Console) -> None:
    from peel.store.catalogue import Catalogue
    from peel.workflow.launch import run_image

    run_image(
        done.plan, Catalogue(done.catalogue), done.store, port=None, home=None, progress=console, announce=console.line
    )


def _serve_hub(directory: Path, console: Console) -> None:
    from peel.store.catalogue import Catalogue
    from peel.store.store import Store
    from peel.workflow.demo_hub import open_hub

    store = Store(directory / "store")
    with store.using(), open_hub(Catalogue.open(directory), store, build=build_plan, progress=console) as hub:
        console.line(f"{hub.url}  (any name, password {hub.password})")
        console.step(f"log in, choose an image, start it; {hub.config} shows how little a hub needs. Ctrl-C ends it")
        with suppress(KeyboardInterrupt):  # how it is meant to end
            hub.wait()
