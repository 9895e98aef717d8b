"""The packages of a proposal: what they share with those that are there, and what a reviewer should know of them."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal
from urllib.parse import urlsplit

from peel.model.condalock import CondaLockPackage
from peel.model.proposal.findings import Finding, named, warning
from peel.model.secrets import redact

_NO_LICENSE: Final = frozenset({"", "unknown", "none", "other", "see license"})
"""What packages write that say nothing."""


@dataclass(frozen=True, slots=True)
class ProposedPackage:
    """A package that would be installed. Sizes are in bytes, None where the archive was not looked at.

    ``license`` is as the package words it; ``channel`` is where it comes from, for people.
    """

    name: str
    version: str
    manager: Literal["conda", "pip"]
    channel: str
    sha256: str
    size: int | None = None
    installed: int | None = None
    license: str | None = None


@dataclass(frozen=True, slots=True)
class Shared:
    """What a proposal has in common with an environment that the image has: archives, in number and bytes."""

    environment: str
    packages: int
    size: int


def share(packages: Sequence[ProposedPackage], others: Mapping[str, Mapping[str, int]]) -> Iterator[Shared]:
    """What these have in common with each environment; of those, the size of every archive by sha256."""
    wanted = {package.sha256 for package in packages}
    for environment, sizes in others.items():
        common = wanted & sizes.keys()
        if common:
            yield Shared(environment, len(common), sum(sizes[sha256] for sha256 in common))


def judge_packages(packages: Sequence[ProposedPackage], unhashed: Collection[str]) -> Iterator[Finding]:
    """What a reviewer should know of the packages; ``unhashed`` are those whose channel gives no sha256."""
    if unhashed:
        yield warning(
            "no-sha256", f"the channel gives no sha256 for {named(sorted(unhashed))}",
            "what was downloaded was hashed and is pinned; whether it is what was meant, nobody can tell",
        )  # fmt: skip
    unlicensed = [p.name for p in packages if p.license is not None and p.license.strip().lower() in _NO_LICENSE]
    if unlicensed:
        yield warning(
            "no-license", f"packages that do not say under which licence they are: {named(unlicensed)}",
            "ask upstream, before it is handed on",
        )  # fmt: skip


def channel_of(package: CondaLockPackage) -> str:
    """Where a package comes from, for people: a URL without the part that names the file, and no credentials."""
    if package.manager == "pip":
        return urlsplit(package.url).hostname or "file"
    return redact(package.url.rsplit("/", 2)[0])
