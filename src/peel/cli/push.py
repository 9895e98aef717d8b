"""``peel push`` and ``peel pull``."""

from __future__ import annotations

from typing import Annotated

import typer

from peel.cli.app import app, exit_unless
from peel.cli.options import Json, PlatformName, Quiet, Ref, platform_of, ref_of
from peel.console import Console
from peel.errors import UsageError


@app.command(epilog="Example: peel push demo-lab:r1_0_0 registry.example.org/science/demo-lab --alias latest_release")
def push(
    context: typer.Context,
    ref: Ref,
    repositories: Annotated[
        list[str] | None,
        typer.Argument(metavar="REGISTRY/REPO", help="Where to; by default where the image's declaration says."),
    ] = None,
    also: Annotated[list[str] | None, typer.Option(metavar="docker://…", help="One more. Repeatable.")] = None,
    platform: PlatformName = None,
    alias: Annotated[
        list[str] | None, typer.Option(metavar="TAG", help="Let this tag follow, e.g. latest_release. Repeatable.")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace what the tag stands for.")] = False,
    backwards: Annotated[bool, typer.Option("--backwards", help="Let aliases move to an older image, too.")] = False,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Publish a built image: blobs first, the tag last, every digest kept.

    What a registry has is not sent again. A published tag is never replaced without --force. Aliases, asked for here
    or declared, move forward only, in the order of the image's tag policy. With several registries the tag appears in
    all or in none. Credentials are those of `skopeo login`.
    """
    from peel.model.repository import Repository
    from peel.report.push import show_pushed
    from peel.workflow.push import Publishing, push_image
    from peel.workflow.push_aliases import AliasRules
    from peel.workflow.pushable import pushable_image

    console, where, address = Console(quiet=quiet), context.obj, ref_of(ref)
    catalogue = where.open_catalogue()
    declared = catalogue.publish(address.image)
    named = [*(repositories or declared.to), *(also or ())]
    if not named:
        raise UsageError(
            f"where is {address} to go?",
            hint=f"name a repository, or declare it in envs/{address.image}.yaml: publish: {{to: [REGISTRY/REPO]}}",
        )
    how = Publishing(
        [Repository.parse(text) for text in named], AliasRules(alias or (), declared.aliases, backwards), force
    )
    store = where.open_store()
    image = pushable_image(address, [platform_of(platform)] if platform else (), catalogue, store)
    pushed = push_image(image, how, store, console)
    show_pushed(pushed, console, json=json)
    asked = [outcome for place in pushed.places for outcome in place.aliases if outcome.failed]
    exit_unless(not asked)


@app.command(epilog="Example: peel pull registry.example.org/science/demo-lab:r1_0_0")
def pull(
    context: typer.Context,
    image: Annotated[str, typer.Argument(metavar="REGISTRY/REPO:TAG", help="The image, by tag or @digest.")],
    ref: Annotated[
        str | None, typer.Argument(metavar="IMAGE:TAG", help="What to call it; by default what it calls itself.")
    ] = None,
    platform: PlatformName = None,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Bring a published image into the store, every digest checked.

    If the catalogue has a record of it, it must be the recorded one; builds then find its layers, and launch runs it.
    """
    from peel.report.push import show_pulled
    from peel.store.catalogue import is_catalogue
    from peel.workflow.pull import Published, pull_image

    console, where = Console(quiet=quiet), context.obj
    published, address = Published.parse(image), ref_of(ref) if ref else None
    catalogue = where.open_catalogue() if is_catalogue(where.catalogue) else None
    pulled = pull_image(
        published, platform_of(platform), address, catalogue=catalogue, store=where.open_store(), progress=console
    )
    show_pulled(pulled, console, json=json)
