"""``peel tag``: tags as a policy reads them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from peel.console import Console
from peel.report import NOTHING, SCHEMA

if TYPE_CHECKING:
    from peel.model.tags.tag import Tag

_FIELDS = (
    "tag", "category", "display_name", "version", "semantic", "cycle", "cycle_build", "build", "architecture", "extra",
)  # fmt: skip


def tag_json(tag: Tag) -> dict[str, Any]:
    """A tag for programs: null where there is nothing, the date as ``2026-04-02 00:00:00``, UTC."""
    date = tag.date.replace(tzinfo=None).isoformat(" ") if tag.date else None
    return {**{name: getattr(tag, name) for name in _FIELDS}, "date": date}


def show_parsed(
    tags: Sequence[Tag], warnings: Mapping[str, Sequence[str]] | None, console: Console, *, json: bool
) -> None:
    """``peel tag parse``: a line per tag, or everything; ``warnings`` where tags are read strictly."""
    for text, said in (warnings or {}).items():
        for line in said:
            console.warn(f"{text}: {line}")
    if json:
        told = [tag_json(t) | ({} if warnings is None else {"warnings": list(warnings[t.tag])}) for t in tags]
        console.json({"schema": SCHEMA, "tags": told})
        return
    rows = [(t.tag, str(t.category), t.version or NOTHING, f"{t.date:%Y-%m-%d}" if t.date else NOTHING, t.display_name)
            for t in tags]  # fmt: skip
    console.table(("TAG", "CATEGORY", "VERSION", "DATE", "SHOWN AS"), rows)


def show_sorted(tags: Sequence[Tag], console: Console, *, json: bool) -> None:
    """``peel tag sort``: a tag a line."""
    if json:
        console.json({"schema": SCHEMA, "tags": [tag_json(tag) for tag in tags]})
    else:
        for tag in tags:
            console.line(tag.tag)
