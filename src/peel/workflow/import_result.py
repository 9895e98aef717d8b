"""What an import did, and what it could not have."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from peel.errors import ArtifactError
from peel.model.history.remembered import Remembered
from peel.model.lockset import MissingArtifact
from peel.model.secrets import redact
from peel.model.values import ImageRef


@dataclass(frozen=True, slots=True)
class Missing:
    """An artifact that cannot be had, or is not at hand, with the line of the list that names it."""

    platform: str
    environment: str
    artifact: MissingArtifact
    line: int = 0

    @property
    def title(self) -> str:
        """Which package it is, as people call it."""
        found = self.artifact
        return " ".join(part for part in (found.name, found.version, found.build) if part)


@dataclass(frozen=True, slots=True)
class ImportedEnvironment:
    """What came of one environment: its packages by their manager, and how many of them are missing."""

    name: str
    conda: int
    pip: int
    missing: int = 0


@dataclass(frozen=True, slots=True)
class Imported:
    """What an import did, or would do; ``format`` is what it read."""

    ref: ImageRef
    format: str
    environments: tuple[ImportedEnvironment, ...]
    lock_set: Path
    missing: tuple[Missing, ...] = ()
    written: bool = False


Reasons = Mapping[str, Mapping[Remembered, str]]
"""By platform, the packages that are missing, each with the reason."""


def tell_missing(environment: str, reasons: Reasons) -> tuple[Missing, ...]:
    """What is known of packages that are missing, in the order of the list."""
    return tuple(
        Missing(platform, environment, _artifact(package, why), package.line)
        for platform, found in sorted(reasons.items())
        for package, why in found.items()
    )


def _artifact(package: Remembered, why: str) -> MissingArtifact:
    asked = redact(package.spec).removeprefix(package.name).strip()
    return MissingArtifact(
        name=package.name or redact(package.spec), version=package.version or asked, build=package.build,
        manager=package.manager, channel=redact(package.channel), url=redact(package.url), md5=package.md5,
        sha256=package.sha256, why=redact(why),
    )  # fmt: skip


def count_remembered(name: str, packages: Mapping[str, Sequence[Remembered]], missing: int = 0) -> ImportedEnvironment:
    """How many packages a list names of each manager, of all platforms together."""
    named = [package.manager for found in packages.values() for package in found]
    return ImportedEnvironment(name, named.count("conda"), named.count("pip"), missing)


def refuse_missing(missing: Sequence[Missing], origin: str) -> None:
    """Raise ArtifactError for all that cannot be had, with what is known of each, by reason."""
    if not missing:
        return
    by_reason: dict[str, list[Missing]] = {}
    for each in missing:
        by_reason.setdefault(each.artifact.why, []).append(each)
    lines = [
        line
        for why, found in sorted(by_reason.items())
        for line in (f"  {why}:", *(f"    {_described(each)}" for each in found))
    ]
    count = "1 artifact" if len(missing) == 1 else f"{len(missing)} artifacts"
    raise ArtifactError(
        f"{origin}: {count} cannot be had, so nothing was written:\n" + "\n".join(lines),
        hint="name an archive or a mirror that has them with --archive or --channel; --partial writes an incomplete "
        "lock set, which nothing can be built from",
    )


def _described(missing: Missing) -> str:
    found = missing.artifact
    known: Iterable[str] = (
        found.manager,
        f"line {missing.line}" if missing.line else "",
        found.url or (f"from {found.channel}" if found.channel else ""),
        f"md5 {found.md5}" if found.md5 else "",
        f"sha256 {found.sha256}" if found.sha256 else "",
    )
    return f"{missing.title} ({', '.join(part for part in known if part)})"
