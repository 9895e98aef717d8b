"""What a solver is told of a conda package, and what it tells: a record, as ``repodata.json`` has it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from peel.errors import DocumentError
from peel.model.conda_spec import parse_conda_spec, spec_name
from peel.model.conda_version import CondaVersion


@dataclass(frozen=True, slots=True)
class Record:
    """One build of a package; what is not known is empty.

    ``size`` is in bytes, ``timestamp`` in whatever unit the package has it, the hashes are in hexadecimal.
    """

    name: str
    version: str
    build: str
    build_number: int
    subdir: str
    file_name: str
    url: str = ""
    depends: tuple[str, ...] = ()
    constrains: tuple[str, ...] = ()
    md5: str = ""
    sha256: str = ""
    size: int = 0
    timestamp: int = 0
    noarch: str = ""
    track_features: str = ""

    @property
    def identity(self) -> tuple[str, str, str]:
        """Equal for two records of the same build."""
        return self.name, self.version, self.build

    @property
    def shown(self) -> str:
        """Version and build, as people read them."""
        return f"{self.version} {self.build}".rstrip()

    @property
    def pin(self) -> str:
        """The match spec of this very build."""
        return f"{self.name} =={self.version} {self.build}".rstrip()

    @property
    def needs(self) -> frozenset[str]:
        """The names of what it depends on."""
        return frozenset(map(spec_name, self.depends))

    @property
    def touches(self) -> frozenset[str]:
        """The names of what it depends on or goes only with some versions of."""
        return frozenset(map(spec_name, (*self.depends, *self.constrains)))

    def is_newer_than(self, other: Record) -> bool:
        """Whether it is of a newer version, or a later build of the same."""
        order = CondaVersion(self.version).compare(CondaVersion(other.version))
        return order > 0 or (order == 0 and self.build_number > other.build_number)

    def as_repodata(self) -> dict[str, Any]:
        """Its entry in ``repodata.json``."""
        shown = {
            "name": self.name, "version": self.version, "build": self.build, "build_number": self.build_number,
            "subdir": self.subdir, "depends": list(self.depends), "constrains": list(self.constrains),
        }  # fmt: skip
        known = {
            "md5": self.md5, "sha256": self.sha256, "size": self.size, "timestamp": self.timestamp,
            "noarch": self.noarch, "track_features": self.track_features,
        }  # fmt: skip
        return {**shown, **{key: value for key, value in known.items() if value}}


def touching(records: Mapping[str, Record]) -> dict[str, frozenset[str]]:
    """By name, what each package has to do with."""
    return {name: record.touches for name, record in records.items()}


def lock_dependencies(depends: Iterable[str]) -> dict[str, str]:
    """Dependencies as conda-lock writes them: the version asked for by name, several for one name joined."""
    found: dict[str, list[str]] = {}
    for text in depends:
        try:
            spec = parse_conda_spec(text)
            name, version = spec.name, spec.version
        except DocumentError:
            name, _, version = text.strip().partition(" ")
        series = version.startswith("=") and not version.startswith("==")
        found.setdefault(name, []).append(f"{version[1:]}.*" if series and "*" not in version else version)
    return {name: ",".join(filter(None, dict.fromkeys(versions))) for name, versions in sorted(found.items())}
