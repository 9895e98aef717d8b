"""Markdown as GitHub shows it, for pull requests.

Whatever comes from a document is a code span: there, nothing is a link, a mention or markup. Of what could end the span
or the cell of a table, only an escape is written (GitHub Flavored Markdown, "Code spans" and "Tables").
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from peel.report import NOTHING


def code(text: str) -> str:
    """A text from outside as a code span that nothing in it can end."""
    safe = "".join(c if c.isprintable() and c not in "`|" else f"\\x{ord(c):02x}" for c in text)
    return f"`{safe}`" if safe.strip() else NOTHING


def table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    """The lines of a table, whose cells are Markdown already."""
    yield f"| {' | '.join(columns)} |"
    yield f"|{'---|' * len(columns)}"
    yield from (f"| {' | '.join(row)} |" for row in rows)
    yield ""


def folded(title: str, lines: Sequence[str]) -> Sequence[str]:
    """Lines that are shown when the title is clicked; nothing where there are none."""
    return [f"<details><summary>{title}</summary>", "", *lines, "</details>", ""] if lines else []
