"""``peel menu``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from peel.cli.app import app
from peel.cli.options import Quiet
from peel.console import Console
from peel.errors import UsageError

if TYPE_CHECKING:
    from peel.model.menu.offer import Offer
    from peel.report.menu.written import Form


@app.command(epilog="Example: peel menu --full -o menu.json, which use_menu() of peel.spawner offers in a JupyterHub")
def menu(
    context: typer.Context,
    payload: Annotated[str | None, typer.Option(metavar="NAME", help="Make one payload's part alone.")] = None,
    cached: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="What nodes have: `kubectl get nodes -o json`, or digests; - is stdin."),
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print the lists menu and dropdown, as Nublado does.")] = False,
    full: Annotated[bool, typer.Option("--full", help="Print everything as JSON: what peel.spawner reads.")] = False,
    profiles: Annotated[bool, typer.Option("--profiles", help="Print KubeSpawner's profile_list as JSON.")] = False,
    prepull: Annotated[bool, typer.Option("--prepull", help="Print a DaemonSet that fetches the images.")] = False,
    form: Annotated[bool, typer.Option("--form", help="Print the options form as HTML.")] = False,
    preview: Annotated[bool, typer.Option("--preview", help="Serve the form on loopback, until Ctrl-C.")] = False,
    port: Annotated[int, typer.Option(min=0, max=65535, help="Where --preview listens; 0 is any free port.")] = 0,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", metavar="FILE", help="Write there, whole or not at all.")
    ] = None,
    quiet: Quiet = False,
) -> None:
    """Make the spawner's menu that envs/menu.yaml declares, from what registries hold.

    By default a table. What cannot be had is warned of; of a payload whose source fails, --full -o keeps what FILE
    offered before.
    """
    from peel.model.menu.cached import parse_cached
    from peel.model.menu.offer import warnings_of
    from peel.workflow.menu.files import previous_menu, read_json
    from peel.workflow.menu.make import make_menu, now

    asked = _asked(
        {"json": json, "full": full, "profiles": profiles, "prepull": prepull, "form": form}, preview, output
    )
    console, catalogue = Console(quiet=quiet), context.obj.open_catalogue()
    declaration = catalogue.menu()
    offer = make_menu(
        declaration, catalogue, now=now(), only=payload, progress=console,
        cached=parse_cached(read_json(cached), str(cached)) if cached else None,
        previous=previous_menu(output) if full and output else None,
    )  # fmt: skip
    for warning in warnings_of(offer):
        console.warn(warning)
    if preview:
        _preview(offer, port, console)
    elif asked is None:
        from peel.report.menu import show_menu

        show_menu(offer, console)
    else:
        from peel.report.menu.written import written
        from peel.workflow.menu.files import write_text

        write_text(written(offer, declaration.prepull, asked), output)


def _asked(forms: dict[Form, bool], preview: bool, output: Path | None) -> Form | None:  # noqa: FBT001
    """The one form that was asked for. Raises UsageError for several, and for a file without one."""
    asked = [form for form, wanted in forms.items() if wanted]
    if len(asked) + preview > 1 or (output and not asked):
        raise UsageError(
            "the menu has one form at a time, and a file needs one",
            hint="choose one of --json, --full, --profiles, --prepull, --form and --preview",
        )
    return asked[0] if asked else None


def _preview(offer: Offer, port: int, console: Console) -> None:
    from contextlib import suppress
    from functools import partial

    from peel.report.menu.form import draw_page, told
    from peel.workflow.menu.preview import serve_preview

    with suppress(KeyboardInterrupt):  # how it is meant to end
        serve_preview(partial(draw_page, offer), partial(told, offer), port=port, announce=console.line)
