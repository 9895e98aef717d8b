"""What ``peel check`` proves of an image, and what came of each check."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

NAMES: Final = (
    "entrypoint", "start-paths", "labels", "size", "modes", "widgets",
    "true", "uid", "read-only", "kernels", "terminal", "user-site", "nublado", "hub",
)  # fmt: skip
"""The checks in their order: those of what the image holds, then those of how it runs."""


@dataclass(frozen=True, slots=True)
class Check:
    """One check. ``detail`` is what was seen, ``hint`` what to do where it failed.

    ``skipped`` says that it could not be made on this machine, and ``detail`` why; such a check has not passed.
    """

    name: str
    passed: bool
    detail: str = ""
    hint: str = ""
    skipped: bool = False

    @property
    def failed(self) -> bool:
        """Whether it was made and did not pass."""
        return not self.passed and not self.skipped

    def as_json(self) -> dict[str, Any]:
        """An entry of ``checks`` in ``peel check --json``."""
        found = {"name": self.name, "passed": self.passed, "detail": self.detail, "hint": self.hint}
        return {**found, "skipped": True} if self.skipped else found


def judged(name: str, faults: list[str], seen: str, hint: str) -> Check:
    """A check that passed where there are no faults: what was seen, or the faults and what to do."""
    return Check(name, not faults, "; ".join(faults) if faults else seen, hint if faults else "")
