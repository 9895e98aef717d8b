"""What lies in a wheel (PEP 427), and where a conda package has it."""

from __future__ import annotations

import configparser
import csv
import io
import re
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from email.message import Message
from email.parser import BytesParser
from pathlib import Path, PurePosixPath
from typing import Final

from packaging.utils import canonicalize_name

from peel.demo.conda_archive import PLACEHOLDER, Member
from peel.errors import ArtifactError
from peel.model.values import Digest, PythonVersion

_METADATA: Final = re.compile(r"[^/]+\.dist-info/METADATA")
_LICENCE: Final = re.compile(
    r"[^/]+\.dist-info/(?:licenses/)?(?:.*/)?(LICEN[CS]E|COPYING|NOTICE|AUTHORS)[^/]*", re.IGNORECASE
)
_SHEBANG: Final = re.compile(rb"#!python[^\n]*")
_GLIBC: Final = re.compile(r"manylinux_2_(\d+)_x86_64")
_OLD_GLIBC: Final = {"manylinux1_x86_64": 5, "manylinux2010_x86_64": 12, "manylinux2014_x86_64": 17}


@dataclass(frozen=True, slots=True)
class Wheel:
    """A wheel's metadata; ``glibc`` is the oldest minor version of glibc 2 it runs on, 0 for any.

    ``timestamp`` is that of its newest file, in seconds.
    """

    path: Path
    digest: Digest
    name: str
    version: str
    requires: tuple[str, ...]
    requires_python: str
    licence: str
    summary: str
    home: str
    pure: bool
    glibc: int
    timestamp: int
    entry_points: tuple[str, ...]
    licences: tuple[tuple[str, bytes], ...]


def load_wheel(path: Path, digest: Digest) -> Wheel:
    """Read a wheel's metadata; ``digest`` is that of the file. Raises ArtifactError when it is damaged or no wheel."""
    try:
        with zipfile.ZipFile(path) as archive:
            return _read(path, digest, archive)
    except (zipfile.BadZipFile, KeyError, StopIteration, configparser.Error, ValueError) as error:
        raise ArtifactError(f"{path.name} is not a wheel: {error}", hint="remove it and run again") from error


def _read(path: Path, digest: Digest, archive: zipfile.ZipFile) -> Wheel:
    metadata_name = next(name for name in archive.namelist() if _METADATA.fullmatch(name))
    metadata = BytesParser().parsebytes(archive.read(metadata_name))
    dist_info = metadata_name.partition("/")[0]
    tags = path.stem.rsplit("-", 1)[1].split(".")
    return Wheel(
        path=path,
        digest=digest,
        name=canonicalize_name(str(metadata["Name"])),
        version=str(metadata["Version"]),
        requires=tuple(metadata.get_all("Requires-Dist") or ()),
        requires_python=str(metadata["Requires-Python"] or ""),
        licence=_licence(metadata),
        summary=str(metadata["Summary"] or ""),
        home=str(metadata["Home-page"] or ""),
        pure=tags == ["any"],
        glibc=_oldest_glibc(tags),
        timestamp=_newest(archive),
        entry_points=_entry_points(archive, dist_info),
        licences=tuple(
            (name.partition("/")[2].removeprefix("licenses/"), archive.read(name))
            for name in sorted(archive.namelist())
            if _LICENCE.fullmatch(name)
        ),
    )


def _licence(metadata: Message) -> str:
    """The SPDX expression where there is one, else what the author wrote, if it is short."""
    said = str(metadata["License-Expression"] or metadata["License"] or "").strip()
    classified = [
        text.rpartition(" :: ")[2] for text in metadata.get_all("Classifier") or () if text.startswith("License")
    ]
    if said and "\n" not in said:
        return said
    return classified[0] if classified else "unknown"


def _oldest_glibc(tags: list[str]) -> int:
    minors = [int(found[1]) for tag in tags if (found := _GLIBC.fullmatch(tag))]
    return min([*minors, *(_OLD_GLIBC[tag] for tag in tags if tag in _OLD_GLIBC)], default=0)


def _newest(archive: zipfile.ZipFile) -> int:
    return int(max(datetime(*info.date_time, tzinfo=UTC) for info in archive.infolist()).timestamp())


def _entry_points(archive: zipfile.ZipFile, dist_info: str) -> tuple[str, ...]:
    name = f"{dist_info}/entry_points.txt"
    if name not in archive.namelist():
        return ()
    parser = configparser.ConfigParser(delimiters=("=",), interpolation=None)
    parser.optionxform = str  # type: ignore[assignment,method-assign]  # names of commands keep their case
    parser.read_string(archive.read(name).decode())
    sections = [parser[name] for name in ("console_scripts", "gui_scripts") if parser.has_section(name)]
    # An extra in brackets only says when a command makes sense; conda-build leaves it out too.
    return tuple(
        sorted(f"{key} = {value.partition('[')[0].strip()}" for each in sections for key, value in each.items())
    )


@dataclass(frozen=True, slots=True)
class Placement:
    """Where a package keeps what a wheel calls by scheme; ``python`` is None in a noarch package."""

    python: PythonVersion | None

    @property
    def site_packages(self) -> str:
        """Where modules go, relative to the prefix as the archive has it."""
        return self.python.site_packages if self.python else "site-packages"

    def of(self, name: str) -> str:
        """Where a file of the wheel goes (PEP 427, "Spreading")."""
        top, _, rest = name.partition("/")
        if not top.endswith(".data"):
            return f"{self.site_packages}/{name}"
        scheme, _, inner = rest.partition("/")
        match scheme:
            case "purelib" | "platlib":
                return f"{self.site_packages}/{inner}"
            case "scripts":
                return f"{'bin' if self.python else 'python-scripts'}/{inner}"
            case "data":
                return inner
            case _:
                raise ArtifactError(f"a wheel holds {name!r}", hint="headers have no place in the stand-in channel")

    def in_record(self, name: str) -> str:
        """How RECORD names it once it is installed: relative to site-packages."""
        placed = self.of(name)
        if placed.startswith(f"{self.site_packages}/"):
            return placed.removeprefix(f"{self.site_packages}/")
        return f"../../../{placed.replace('python-scripts/', 'bin/', 1)}"


def read_members(wheel: Wheel, python: PythonVersion | None) -> Iterator[Member]:
    """The files of the conda package, in a fixed order: for one Python, or with None for any.

    Raises ArtifactError for members that would land elsewhere.
    """
    placement = Placement(python)
    with zipfile.ZipFile(wheel.path) as archive:
        for info in sorted(archive.infolist(), key=lambda info: info.filename):
            if not info.is_dir():
                yield _member(archive, info, placement)
    dist_info = next(name for name in archive.namelist() if _METADATA.fullmatch(name)).partition("/")[0]
    yield Member(f"{placement.site_packages}/{dist_info}/INSTALLER", b"conda\n")
    if python is not None:  # in a noarch package the linker makes them
        yield from (entry_point_script(text, python) for text in wheel.entry_points)


def _member(archive: zipfile.ZipFile, info: zipfile.ZipInfo, placement: Placement) -> Member:
    name = info.filename
    if PurePosixPath(name).is_absolute() or ".." in PurePosixPath(name).parts:
        raise ArtifactError(f"{archive.filename} would write outside of its prefix: {name!r}", hint="do not use it")
    data, path = archive.read(info), placement.of(name)
    if name.endswith(".dist-info/RECORD"):
        return Member(path, _moved_record(data, placement))
    if path.startswith(("bin/", "python-scripts/")):
        script = _SHEBANG.sub(f"#!{PLACEHOLDER}/bin/python".encode(), data, count=1)
        return Member(path, script, mode=0o755, prefix="text" if script != data else "")
    executable = (info.external_attr >> 16) & 0o111 or ".so" in PurePosixPath(name).suffixes
    return Member(path, data, mode=0o755 if executable else 0o644)


def _moved_record(record: bytes, placement: Placement) -> bytes:
    rows = csv.reader(io.StringIO(record.decode(), newline=""))
    moved = io.StringIO(newline="")
    csv.writer(moved, lineterminator="\n").writerows([placement.in_record(row[0]), *row[1:]] for row in rows if row)
    return moved.getvalue().encode()


def entry_point_script(entry_point: str, python: PythonVersion) -> Member:
    """The script that a package for one Python carries for ``command = module:function``."""
    command, _, target = (part.strip() for part in entry_point.partition("="))
    module, _, function = target.partition(":")
    script = (
        f"#!{PLACEHOLDER}/bin/python{python}\n"
        "import sys\n\n"
        f"from {module} import {function.partition('.')[0]}\n\n"
        'if __name__ == "__main__":\n'
        f"    sys.exit({function}())\n"
    )
    return Member(f"bin/{command}", script.encode(), mode=0o755, prefix="text")
