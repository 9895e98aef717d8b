"""Handing a built image out: as an OCI layout, or to buildah and podman."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from peel.errors import UsageError
from peel.model.progress import Progress
from peel.store.layout import export_layout, refuse_foreign
from peel.store.store import Store
from peel.workflow.build import Built
from peel.workflow.containers import load_image

_DESTINATION: Final = re.compile(r"oci:(?P<directory>[^:]+)(?::(?P<tag>[A-Za-z0-9_][A-Za-z0-9._-]{0,127}))?")


@dataclass(frozen=True, slots=True)
class Destination:
    """An OCI layout's directory, and the tag the image gets there."""

    directory: Path
    tag: str


def parse_destination(text: str, tag: str) -> Destination:
    """Read ``oci:DIR[:TAG]``; ``tag`` is what it gets when none is named.

    Raises UsageError, also for a directory that holds other things.
    """
    found = _DESTINATION.fullmatch(text)
    if found is None:
        raise UsageError(f"not a place to write an image to: {text!r}", hint="write oci:DIR or oci:DIR:TAG")
    directory = Path(found["directory"]).absolute()
    refuse_foreign(directory)
    return Destination(directory, found["tag"] or tag)


def write_out(built: Built, store: Store, *, destination: Destination | None, load: bool, progress: Progress) -> None:
    """Put the image where it was asked for. Raises UsageError for a directory that is no layout, ToolError."""
    if destination is not None:
        progress.step(f"writing {destination.directory}")
        export_layout(store.blobs, built.manifest, destination.directory, destination.tag)
    if load:
        name = f"localhost/{built.plan.ref}"
        progress.step(f"importing {name}")
        load_image(built.manifest, store, name)
