"""Progress that passes on what begins, and keeps warnings for the report."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Final

from peel.model.progress import Advance, Progress, Unit
from peel.model.proposal.findings import Finding, warning

_SHOWN: Final = 5


@dataclass(frozen=True, slots=True)
class Heard:
    """A ``Progress`` that remembers what it was warned of."""

    told: Progress
    warnings: list[str] = field(default_factory=list)

    def step(self, text: str) -> None:
        """Passed on."""
        self.told.step(text)

    def warn(self, text: str) -> None:
        """Kept."""
        self.warnings.append(text)

    def bar(self, text: str, total: int | None, unit: Unit) -> AbstractContextManager[Advance]:
        """Passed on."""
        return self.told.bar(text, total, unit)

    def findings(self) -> Sequence[Finding]:
        """The warnings, the first of many: they are mostly of one kind."""
        kept = dict.fromkeys(self.warnings)
        found = [warning("told", text) for text in list(kept)[:_SHOWN]]
        more = len(kept) - _SHOWN
        return [*found, *([warning("told", f"and {more} more of this kind; peel lock tells all")] if more > 0 else [])]
