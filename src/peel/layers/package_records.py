"""Which package a file of an image belongs to, by the records that installers leave. Read leniently: for people.

A record that makes no sense names no owner. ``peel.layers.installed`` reads them strictly, for what is locked.
"""

from __future__ import annotations

import csv
import json
import posixpath
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

_META: Final = re.compile(r"(?:(?P<prefix>.+)/)?conda-meta/[^/]+\.json")
_RECORD: Final = re.compile(
    r"(?P<site>(?:(?P<prefix>.+?)/)?lib(?:64)?/python\d+\.\d+t?/site-packages)"
    r"/(?P<name>[^/-]+)-(?P<version>[^/-]+)\.dist-info/RECORD"
)
_BYTECODE: Final = re.compile(r"(?P<folder>(?:.+/)?)__pycache__/(?P<name>[^/]+?)\.[a-z]+-\d+(?:\.opt-\d)?\.pyc")
_LONGEST: Final = 16 << 20
_WORD: Final = re.compile(r"[A-Za-z0-9_.!+*~^-]{1,200}")


@dataclass(frozen=True, slots=True)
class PackageRecord:
    """A package in an image; ``files`` are its paths there. ``archive`` is the sha256 it came from, if that is said."""

    prefix: str
    name: str
    version: str
    build: str
    archive: str
    files: tuple[str, ...]

    @property
    def label(self) -> str:
        """What people call it: ``numpy 2.1.0 py311_0``."""
        return " ".join(part for part in (self.name, self.version, self.build) if part)

    @property
    def key(self) -> tuple[str, str]:
        """By what it is found in another image."""
        return self.prefix, self.name

    @property
    def identity(self) -> tuple[str, str, str]:
        """What tells one build of it from another."""
        return self.version, self.build, self.archive


def record_limit(path: str) -> int:
    """How long, in bytes, the file at this path may be to be read as a record; -1: it is none."""
    if path.endswith(".json"):
        return _LONGEST if _META.fullmatch(path) else -1
    return _LONGEST if path.endswith(".dist-info/RECORD") and _RECORD.fullmatch(path) else -1


def parse_record(path: str, data: bytes) -> PackageRecord | None:
    """The package that a record in an image is of; None where it makes no sense."""
    try:
        return _conda(path, data) if path.endswith(".json") else _wheel(path, data)
    except (ValueError, RecursionError, csv.Error):
        return None


def owners_of(packages: Iterable[PackageRecord]) -> Mapping[str, PackageRecord]:
    """By path, the package that brought it; what a conda package brought is no wheel's."""
    owners: dict[str, PackageRecord] = {}
    for package in sorted(packages, key=lambda package: (bool(package.build), package.label)):
        owners.update(dict.fromkeys(package.files, package))
    return owners


def find_owner(path: str, owners: Mapping[str, PackageRecord]) -> PackageRecord | None:
    """The package of a path; of compiled bytecode, its source's."""
    found = owners.get(path)
    source = source_of(path) if found is None else None
    return owners.get(source) if source else found


def source_of(path: str) -> str | None:
    """The source that CPython compiled to this path (PEP 3147), or None for what is no bytecode."""
    found = _BYTECODE.fullmatch(path)
    return f"{found['folder']}{found['name']}.py" if found else None


def _conda(path: str, data: bytes) -> PackageRecord | None:
    place, document = _META.fullmatch(path), json.loads(data)
    if place is None or not isinstance(document, dict):
        return None
    name, version, build, archive = (_word(document.get(key)) for key in ("name", "version", "build", "sha256"))
    listed = document.get("files")
    prefix = place["prefix"] or ""
    files = (
        {posixpath.join(prefix, file) for file in listed if isinstance(file, str)}
        if isinstance(listed, list)
        else set()
    )
    return PackageRecord(prefix, name, version, build, archive, (path, *sorted(files))) if name and version else None


def _wheel(path: str, data: bytes) -> PackageRecord | None:
    place = _RECORD.fullmatch(path)
    if place is None:
        return None
    rows = csv.reader(data.decode("utf-8", "replace").splitlines())
    files = {posixpath.normpath(posixpath.join(place["site"], row[0])) for row in rows if row and row[0]}
    return PackageRecord(place["prefix"] or "", place["name"], place["version"], "", "", tuple(sorted({path, *files})))


def _word(value: Any) -> str:
    return value if isinstance(value, str) and _WORD.fullmatch(value) else ""
