"""``peel propose``."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from peel.cli.app import Places, app, exit_unless
from peel.cli.build import build_plan
from peel.cli.options import Json, Micromamba, Quiet
from peel.console import Console
from peel.errors import UsageError

if TYPE_CHECKING:
    from peel.model.declared import Declared
    from peel.model.plan import Plan
    from peel.tools.conda_lock import CondaLock
    from peel.workflow.build import Built
    from peel.workflow.fetching import Sources


@app.command()
def propose(
    context: typer.Context,
    path: Annotated[str, typer.Argument(metavar="PATH", help="A file, a directory, or an image: docker://REFERENCE.")],
    name: Annotated[
        str | None, typer.Option(metavar="NAME", help="What the payload is called; as its file by default.")
    ] = None,
    image: Annotated[
        str | None,
        typer.Option("--for", metavar="IMAGE[:TAG]", help="The image to try it with; its newest lock by default."),
    ] = None,
    channel: Annotated[
        list[str] | None,
        typer.Option(metavar="CHANNEL", help="Take conda packages from here instead. Repeatable."),
    ] = None,
    python: Annotated[
        str, typer.Option(metavar="VERSION", help="The Python of a requirements.txt; the image's by default.")
    ] = "",
    directory: Annotated[str, typer.Option(metavar="DIR", help="What to take from a docker:// image.")] = "",
    add_ipykernel: Annotated[bool, typer.Option("--add-ipykernel", help="Add ipykernel where it is missing.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Overwrite a declaration that says something else.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Stop after the resolution, and write nothing.")] = False,
    markdown: Annotated[bool, typer.Option("--markdown", help="Print Markdown for a pull request.")] = False,
    micromamba: Micromamba = None,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Try an environment as a payload, and declare it if it works.

    Recognises what PATH is, locks it with the lab of an image as that is locked, builds both, starts the kernel, and
    reports: what it installs and shares, and what is wrong. Writes envs/NAME/ if all is well; exits with 0 or 1.
    For example: peel propose environment.yml --name mine
    """
    from peel.report.propose import show_proposal
    from peel.workflow.propose.declare import Wish
    from peel.workflow.propose.given import read_given
    from peel.workflow.propose.proposing import Proposing, choose_name, run_kernels
    from peel.workflow.propose.target import open_target

    if json and markdown:
        raise UsageError("--json and --markdown exclude each other", hint="choose one")
    console = Console(quiet=quiet)
    where: Places = context.obj
    given, catalogue = read_given(path), where.open_catalogue()
    target, called = open_target(image, catalogue), choose_name(name, given, catalogue)
    store = where.open_store()

    def build(plan: Plan, sources: Sources) -> Built:
        return build_plan(plan, store, console, sources)

    proposing = Proposing(
        catalogue, store, lambda declared: _conda_lock(declared, micromamba), build,
        lambda built: run_kernels(built, store), _ask, console,
        dry_run=dry_run, force=force,
    )  # fmt: skip
    wish = Wish(tuple(channel or ()), python, add_ipykernel, directory)
    proposal = proposing.propose(given, called, wish, target)
    show_proposal(proposal, console, form="json" if json else "markdown" if markdown else "text")
    exit_unless(proposal.passed)


def _conda_lock(declared: Declared, micromamba: Path | None) -> CondaLock:
    from peel.tools.conda_lock import CondaLock
    from peel.tools.micromamba import find_solver
    from peel.workflow.solve import channel_secrets

    return CondaLock(find_solver(micromamba), channel_secrets(declared, os.environ))


def _ask(question: str) -> bool:
    """Whether whoever sits at the terminal says yes; nobody does where there is none."""
    return sys.stdin.isatty() and sys.stderr.isatty() and typer.confirm(question, default=True, err=True)
