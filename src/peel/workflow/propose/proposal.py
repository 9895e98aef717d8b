"""The report of a proposal: what it would install, what that shares with what is there, and whether it works."""

from __future__ import annotations

from dataclasses import dataclass

from peel.model.proposal.findings import Finding
from peel.model.proposal.packages import ProposedPackage, Shared
from peel.workflow.lab import KernelCheck


@dataclass(frozen=True, slots=True)
class ProposedLayers:
    """What it adds to an image: compressed layers, in number and bytes; of them ``new`` ones nobody had made before."""

    count: int
    size: int
    new: int
    new_size: int


@dataclass(frozen=True, slots=True)
class Proposal:
    """The report. ``form`` is what was given, ``kind`` what was made of it; ``written`` are files of the catalogue.

    ``layers`` and ``kernel`` are None where it was not built. ``seconds`` is how long all of it took.
    """

    name: str
    source: str
    form: str
    kind: str
    image: str
    platform: str
    dry_run: bool
    packages: tuple[ProposedPackage, ...] = ()
    shared: tuple[Shared, ...] = ()
    findings: tuple[Finding, ...] = ()
    layers: ProposedLayers | None = None
    kernel: KernelCheck | None = None
    written: tuple[str, ...] = ()
    seconds: float = 0.0

    @property
    def passed(self) -> bool:
        """Whether nothing speaks against it, as far as it was looked at."""
        found = any(finding.level == "error" for finding in self.findings)
        return not found and (self.dry_run or (self.kernel is not None and self.kernel.passed))

    @property
    def python(self) -> str:
        """The version of its Python, "" when it has none."""
        return next((package.version for package in self.packages if package.name == "python"), "")
