"""The system packages of an image, from the databases of dpkg and rpm in it.

dpkg has ``var/lib/dpkg/status``, and a file per package in ``status.d`` where an image was made without dpkg; rpm has a
sqlite database. Older forms of rpm's are not read.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from peel.errors import ArtifactError
from peel.layers.image_files import ImageFiles

_STATUS: Final = "var/lib/dpkg/status"
_STATUS_D: Final = re.compile(r"var/lib/dpkg/status\.d/[^/]+")
_RPM: Final = ("usr/lib/sysimage/rpm/rpmdb.sqlite", "var/lib/rpm/rpmdb.sqlite")  # newer first
_LOG: Final = "-wal"
_MOST_STATUS: Final = 64 << 20
_MOST_RPM: Final = 512 << 20
_FIELDS: Final = ("Package", "Version", "Architecture", "Status")
_THERE: Final = frozenset({"installed", "unpacked", "half-configured", "triggers-awaited", "triggers-pending"})
_WORD: Final = re.compile(r"[A-Za-z0-9.+:~-]{1,200}")
_HINT: Final = "the base is damaged, or was made to do harm: use another"


@dataclass(frozen=True, slots=True)
class SystemPackage:
    """A deb or rpm; ``version`` with its epoch and revision or release."""

    manager: Literal["dpkg", "rpm"]
    name: str
    version: str
    arch: str


def is_system_record(path: str) -> int:
    """How many bytes the file at this path may have, if it is one that system packages are known by; else 0."""
    if path == _STATUS or _STATUS_D.fullmatch(path):
        return _MOST_STATUS
    return _MOST_RPM if path.removesuffix(_LOG) in _RPM else 0


def system_packages_of(taken: ImageFiles) -> tuple[SystemPackage, ...] | None:
    """The system packages whose records were taken, by name; None where there is no database that is read here.

    Raises ArtifactError naming the image and the file that is damaged.
    """
    lists = [path for path in sorted(taken.files) if path == _STATUS or _STATUS_D.fullmatch(path)]
    databases = [path for path in _RPM if path in taken.files][:1]
    if not lists and not databases:
        return None
    found = {package for path in lists for package in _debs(taken.files[path], f"{taken.origin}: /{path}")}
    found.update(package for path in databases for package in _rpms(path, taken))
    return tuple(sorted(found, key=lambda package: (package.name, package.version, package.arch)))


def _rpms(path: str, taken: ImageFiles) -> Iterator[SystemPackage]:
    from peel.layers.rpm_database import read_rpm_database  # noqa: PLC0415 - sqlite is for images alone

    for rpm in read_rpm_database(taken.files[path], taken.files.get(f"{path}{_LOG}"), f"{taken.origin}: /{path}"):
        yield SystemPackage("rpm", rpm.name, rpm.version, rpm.arch)


def _debs(path: Path, where: str) -> Iterator[SystemPackage]:
    """The installed ones: paragraphs of fields, parted by empty lines (deb-control(5))."""
    for paragraph in path.read_bytes().decode("utf-8", "replace").replace("\r", "").split("\n\n"):
        fields = dict(_fields(paragraph))
        state = fields.get("Status", "installed").rpartition(" ")[2]
        if "Package" not in fields or state not in _THERE:
            continue  # md5sums lie beside the lists in status.d; a removed package may have left its settings
        name, version, arch = (fields.get(field, "") for field in _FIELDS[:3])
        if not all(_WORD.fullmatch(word) for word in (name, version, arch)):
            raise ArtifactError(f"{where} holds what is no package: {name[:40]!r} {version[:40]!r}", hint=_HINT)
        yield SystemPackage("dpkg", name, version, arch)


def _fields(paragraph: str) -> Iterator[tuple[str, str]]:
    for line in paragraph.split("\n"):
        name, colon, value = line.partition(":")
        if colon and name in _FIELDS:
            yield name, value.strip()
