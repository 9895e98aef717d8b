"""``peel doctor``."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Annotated, Any

import typer

from peel.cli.app import app, exit_unless
from peel.cli.options import Json
from peel.console import Console
from peel.errors import UsageError


@app.command()
def doctor(
    context: typer.Context,
    install: Annotated[
        bool, typer.Option("--install", help="Install what is missing with the system's package manager.")
    ] = False,
    purposes: Annotated[
        list[str] | None,
        typer.Option("--for", metavar="PURPOSE", help="build, demo or tests. Repeatable; build by default."),
    ] = None,
    json: Json = False,
    quiet: Annotated[bool, typer.Option("-q", "--quiet", help="Print nothing when all is well.")] = False,
) -> None:
    """Say what this machine has, and what is missing.

    Tools and their versions, which isolation works, and the command that installs what is missing.
    """
    from peel.report.doctor import show_doctor
    from peel.workflow.doctor import Purpose, examine, missing
    from peel.workflow.doctor import install as install_missing

    wanted = [_purpose(name, list(Purpose)) for name in purposes or ["build"]]
    console, store = Console(quiet=quiet), context.obj.store
    found = examine(store, store / "containers", solver_variable=os.environ.get("PEEL_MICROMAMBA"))
    if install:
        install_missing(found, wanted, progress=console.step)
        found = examine(store, store / "containers", solver_variable=os.environ.get("PEEL_MICROMAMBA"))
    if not quiet or missing(found, wanted) or found.isolation_problem:
        exit_unless(show_doctor(found, wanted, console, json=json))


def _purpose(name: str, known: Sequence[Any]) -> Any:
    for purpose in known:
        if purpose.value == name:
            return purpose
    raise UsageError(f"no such purpose: {name!r}", hint=f"known: {', '.join(p.value for p in known)}")
