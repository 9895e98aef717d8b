"""``peel try``."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Annotated

import typer

from peel.cli.app import Places, app
from peel.cli.options import Micromamba, Quiet, complete_payload, ref_of
from peel.console import Console

if TYPE_CHECKING:
    from peel.model.values import ImageRef
    from peel.store.catalogue import Catalogue


@app.command("try")
def try_(
    context: typer.Context,
    payload: Annotated[
        str, typer.Argument(metavar="PAYLOAD", autocompletion=complete_payload, help="A locked environment.")
    ],
    command: Annotated[
        list[str] | None, typer.Argument(metavar="-- COMMAND...", help="Run this instead of a shell.")
    ] = None,
    image: Annotated[
        str | None,
        typer.Option(metavar="IMAGE[:TAG]", help="As locked there; the newest lock set that has it by default."),
    ] = None,
    in_base: Annotated[
        bool, typer.Option("--in-base", help="Run in the image's base, with buildah, at the payload's own prefix.")
    ] = False,
    micromamba: Micromamba = None,
    json: Annotated[bool, typer.Option("--json", help="Run nothing; print where the environment is.")] = False,
    quiet: Quiet = False,
) -> None:
    """Enter a payload's locked environment, here or in its base.

    Makes it once, from the artifacts in the store; opens a shell in it, or runs a command and ends with its status. The
    payload's variables are set and nothing of the caller's Python shows. For example:
    peel try science -- python -c 'import numpy'
    """
    from peel.report.try_ import trial_json
    from peel.tools.micromamba import find_solver
    from peel.workflow.containers import chosen_buildah
    from peel.workflow.fetching import Sources
    from peel.workflow.solve import known_channel_secrets
    from peel.workflow.trial import prepare_here, prepare_in_base

    console = Console(quiet=quiet)
    where: Places = context.obj
    catalogue = where.open_catalogue()
    ref = _ref(image, payload, catalogue, console)
    store = where.open_store()
    sources = Sources(known_channel_secrets(catalogue.image_lock(ref).declared, os.environ))
    if in_base:
        trial = prepare_in_base(
            ref, payload, catalogue=catalogue, store=store, find_buildah=lambda: chosen_buildah(store),
            sources=sources, progress=console,
        )  # fmt: skip
    else:
        trial = prepare_here(
            ref, payload, catalogue=catalogue, store=store, find_solver=lambda: find_solver(micromamba),
            sources=sources, progress=console,
        )  # fmt: skip
    if json:
        return console.json(trial_json(trial, in_base=in_base))
    program = command or ([] if sys.stdin.isatty() else ["/bin/bash"])  # which then reads what to do
    raise SystemExit(trial.enter(program))  # whatever it is: it says nothing of peel


def _ref(image: str | None, payload: str, catalogue: Catalogue, console: Console) -> ImageRef:
    """The lock set that was asked for, or the newest that has the payload."""
    from peel.workflow.trial import newest_lock_with

    if image is not None and ":" in image:
        return ref_of(image)
    ref = newest_lock_with(payload, catalogue, image=image)
    console.step(f"{payload} as locked in {ref}")
    return ref
