"""What the solver is asked, and how it says no."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from peel.errors import ToolError
from peel.solver.package import Package
from peel.solver.settings import Priority, VirtualPackage


class UnsolvableError(ToolError):
    """No set of packages satisfies the request; ``explanation`` is the solver's own, a line each."""

    def __init__(self, explanation: str) -> None:
        super().__init__(f"Could not solve for environment specs\n{explanation}")
        self.explanation = explanation


@dataclass(frozen=True, slots=True)
class Request:
    """What is to be solved.

    ``specs`` are match specs that must be satisfied; ``constraints`` limit packages without asking for them;
    ``kept`` are packages that stay as they are wherever that is possible. ``cache`` holds repodata.
    """

    specs: tuple[str, ...]
    channels: tuple[str, ...]
    subdir: str
    cache: Path
    priority: Priority = Priority.FLEXIBLE
    virtual: tuple[VirtualPackage, ...] = ()
    constraints: tuple[str, ...] = ()
    kept: tuple[Package, ...] = ()
