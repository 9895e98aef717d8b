"""What several verbs take: addresses, platforms, ways of telling."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from peel.cli.app import Places
from peel.errors import DocumentError, UsageError

if TYPE_CHECKING:
    from peel.model.plan import Plan
    from peel.model.values import ImageRef, Platform


def complete_ref(context: typer.Context, incomplete: str) -> list[str]:
    """The images and tags of the catalogue, for the shell."""
    from peel.store.catalogue import Catalogue

    root = context.find_root().params.get("catalogue") or Path()
    catalogue = Catalogue(Path(root))
    names = [f"{image}:{tag}" for image in catalogue.images() for tag in catalogue.tags(image) or ("",)]
    return [name for name in names if name.startswith(incomplete)]


def complete_payload(context: typer.Context, incomplete: str) -> list[str]:
    """The payloads that are declared, for the shell."""
    root = Path(context.find_root().params.get("catalogue") or Path())
    names = sorted(path.parent.name for path in root.glob("envs/*/payload.yaml"))
    return [name for name in names if name.startswith(incomplete)]


Ref = Annotated[
    str,
    typer.Argument(metavar="IMAGE:TAG", autocompletion=complete_ref, help="The image and the tag of its lock set."),
]
Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]
Quiet = Annotated[bool, typer.Option("-q", "--quiet", help="Say nothing of progress.")]
PlatformName = Annotated[
    str | None,
    typer.Option("--platform", metavar="PLATFORM", help="Another platform than this machine's, e.g. linux-64."),
]
Archives = Annotated[
    list[str] | None,
    typer.Option(
        "--archive",
        metavar="PLACE",
        help="Ask this archive before the network: DIR, oci:DIR[:TAG] or docker://REPO[:TAG]. Repeatable.",
    ),
]

Micromamba = Annotated[
    Path | None, typer.Option(metavar="PATH", envvar="PEEL_MICROMAMBA", help="Solve with this micromamba.")
]
To = Annotated[
    str | None,
    typer.Option(metavar="oci:DIR[:TAG]", help="Write an OCI layout; TAG is the image's by default."),
]
Load = Annotated[bool, typer.Option("--load", help="Import the image for buildah and podman.")]


def epoch_option(otherwise: str) -> Any:
    """``--epoch``, the build instant; ``otherwise`` says which one it is by default."""
    text = f"The image's build instant; by default {otherwise}."
    return typer.Option(envvar="SOURCE_DATE_EPOCH", min=0, metavar="SECONDS", help=text)


@contextmanager
def as_usage() -> Iterator[None]:
    """What would be a bad document in a file is bad usage on the command line."""
    try:
        yield
    except DocumentError as error:
        raise UsageError(error.message, hint=error.hint) from None


def platform_of(named: str | None) -> Platform:
    """The platform that was named, else this machine's. Raises UsageError for an unknown one."""
    from peel.model.values import Platform

    with as_usage():
        return Platform(named) if named else Platform.from_machine(os.uname().machine)


def ref_of(text: str) -> ImageRef:
    """Read IMAGE:TAG. Raises UsageError when it is not one."""
    from peel.model.values import ImageRef

    with as_usage():
        return ImageRef.parse(text)


def locked_plan(where: Places, ref: ImageRef, platform: Platform) -> Plan:
    """The plan of a lock set. Raises DocumentError when it is not locked, or not for this platform."""
    from peel.model.plan import make_plan

    return make_plan(where.open_catalogue().lock_set(ref), platform)
