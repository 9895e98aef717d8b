"""``peel archive``: what was kept, and where."""

from __future__ import annotations

from typing import TYPE_CHECKING

from peel.console import Console, human_size
from peel.report import SCHEMA

if TYPE_CHECKING:
    from peel.workflow.archive import Archived


def show_archived(archived: Archived, console: Console, *, json: bool) -> None:
    """The digest of the archive's manifest, alone, on stdout."""
    if json:
        return console.json(
            {
                "schema": SCHEMA,
                "image": archived.ref.image,
                "tag": archived.ref.tag,
                "archive": str(archived.manifest),
                "place": str(archived.place),
                "artifacts": archived.artifacts,
                "size": archived.size,
            }
        )
    console.step(f"{archived.artifacts} artifacts, {human_size(archived.size)}, in {archived.place}")
    return console.line(str(archived.manifest))
