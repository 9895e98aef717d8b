"""``peel check``."""

from __future__ import annotations

from typing import Annotated

import typer

from peel.cli.app import app, exit_unless
from peel.cli.options import Json, PlatformName, Quiet, Ref, platform_of, ref_of
from peel.console import Console


@app.command()
def check(
    context: typer.Context,
    ref: Ref,
    only: Annotated[list[str] | None, typer.Option(metavar="CHECK", help="Make this check alone. Repeatable.")] = None,
    skip: Annotated[list[str] | None, typer.Option(metavar="CHECK", help="Leave this check out. Repeatable.")] = None,
    max_size: Annotated[float, typer.Option(metavar="GB", min=0.0, help="What a node may have to pull.")] = 10.0,
    platform: PlatformName = None,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Prove on a built image that it starts as its spawners start it.

    Looks at entry point, start paths, labels, size, modes and widgets; then runs the image with a read-only root, as an
    unknown user, without capabilities: by hand, in a hostile home, by Nublado's files, under JupyterHub's variables. A
    check that this machine cannot make is skipped, and says why. Exits with 0 or 1.

    Example: peel check demo-lab:r1_0_0 --skip hub
    """
    from peel.model.plan import make_plan
    from peel.report.check import show_checks
    from peel.workflow.checking.checking import check_contract, chosen_names

    console, where = Console(quiet=quiet), context.obj
    address, catalogue = ref_of(ref), where.open_catalogue()
    names = chosen_names(only or (), skip or ())
    plan = make_plan(catalogue.lock_set(address), platform_of(platform))
    done = check_contract(
        plan, catalogue, where.open_store(), names=names, most=round(max_size * 1e9), progress=console
    )  # fmt: skip
    return exit_unless(show_checks(address, done, console, json=json))
