"""What is worth an author's while: found, with what to do about it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

Level = Literal["error", "warning", "note"]
LEVELS: tuple[Level, ...] = ("error", "warning", "note")


@dataclass(frozen=True, slots=True)
class Finding:
    """An error fails a proposal, a warning is for whoever reviews it, a note says what was understood or changed.

    ``code`` is a word for programs; it never changes its meaning.
    """

    level: Level
    code: str
    message: str
    hint: str = ""


def error(code: str, message: str, hint: str = "") -> Finding:
    """A finding that fails a proposal."""
    return Finding("error", code, message, hint)


def warning(code: str, message: str, hint: str = "") -> Finding:
    """A finding that a reviewer should see."""
    return Finding("warning", code, message, hint)


def note(code: str, message: str, hint: str = "") -> Finding:
    """A finding that explains."""
    return Finding("note", code, message, hint)


def in_order(findings: Iterable[Finding]) -> Sequence[Finding]:
    """The gravest first, each once; else as they came."""
    return sorted(dict.fromkeys(findings), key=lambda finding: LEVELS.index(finding.level))


def named(names: Sequence[str], most: int = 8) -> str:
    """Names in a sentence, the first of many."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return f"{', '.join(names[:most])}{more}"
