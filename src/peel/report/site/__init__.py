"""``peel site``: the pages of a catalogue, and what people and programs are told of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from peel.console import Console, human_size
from peel.report import SCHEMA

if TYPE_CHECKING:
    from pathlib import Path

    from peel.workflow.site import Site


def show_site(site: Site, directory: Path, console: Console, *, json: bool) -> None:
    """``peel site``."""
    survey, written = site.survey, site.written
    largest, size = max(written.sizes, key=lambda page: page[1])
    if json:
        return console.json({
            "schema": SCHEMA,
            "directory": str(directory),
            "index": str(directory / "index.html"),
            "images": len(survey.tags),
            "tags": len(survey.by_name),
            "unreadable": [{"name": found.name, "error": found.message} for found in survey.unreadable],
            "pages": len(written.sizes),
            "changed": written.changed,
            "removed": written.removed,
            "bytes": sum(size for _, size in written.sizes),
            "largest": {"page": largest, "bytes": size},
        })  # fmt: skip
    left_out = f", {len(survey.unreadable)} left out" if survey.unreadable else ""
    console.line(
        f"{directory / 'index.html'}: {counted(len(survey.by_name), 'lock set')} of "
        f"{counted(len(survey.tags), 'image')}{left_out}; {counted(len(written.sizes), 'file')}, "
        f"{human_size(sum(size for _, size in written.sizes))}; {written.changed} written, {written.removed} removed"
    )
    return None


def counted(number: int, word: str) -> str:
    """``1 image``, ``2 images``."""
    return f"{number:,} {word}" if number == 1 else f"{number:,} {word}s"
