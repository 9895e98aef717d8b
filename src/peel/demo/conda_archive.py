"""Conda packages written from what they hold: ``.conda`` archives, the same bytes for the same content.

The format is conda's version 2: a zip of two tars, stored, each compressed with zstd.
"""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
import tempfile
import zipfile
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, Final, Literal

import zstandard

PLACEHOLDER: Final = ("/opt/stand-in" + "_placehold" * 25)[:255]
"""What files say in place of the prefix; as long as conda-build's, for binaries cannot grow."""

PrefixMode = Literal["", "text", "binary"]

_LEVEL = 3
_ZIP_DATE = (1980, 1, 1, 0, 0, 0)


@dataclass(frozen=True, slots=True)
class Member:
    """A file of a package, or with ``target`` a symbolic link; ``path`` is relative to the prefix.

    ``prefix`` says how PLACEHOLDER occurs in it, if it does.
    """

    path: str
    data: bytes = b""
    mode: int = 0o644
    target: str = ""
    prefix: PrefixMode = ""

    def __post_init__(self) -> None:
        if self.prefix and PLACEHOLDER.encode() not in self.data:
            raise ValueError(f"no placeholder in {self.path}")


@dataclass(frozen=True, slots=True)
class Package:
    """Who a package is and what it needs: the fields of ``info/index.json`` that this channel has.

    ``noarch`` is for pure Python; ``timestamp`` is in seconds. ``licences`` are the texts, by file name.
    """

    name: str
    version: str
    build: str
    depends: tuple[str, ...]
    timestamp: int
    licence: str = "unknown"
    summary: str = ""
    home: str = ""
    noarch: bool = False
    entry_points: tuple[str, ...] = ()
    site_packages: str = ""
    licences: tuple[tuple[str, bytes], ...] = field(default=(), repr=False)

    @property
    def subdir(self) -> str:
        """The channel's folder that the package belongs in."""
        return "noarch" if self.noarch else "linux-64"

    @property
    def file_name(self) -> str:
        """The archive's name."""
        return f"{self.name}-{self.version}-{self.build}.conda"

    def index(self) -> dict[str, Any]:
        """``info/index.json``; its timestamp is in milliseconds, as conda has it."""
        found: dict[str, Any] = {
            "build": self.build,
            "build_number": 0,
            "depends": list(self.depends),
            "license": self.licence,
            "name": self.name,
            "subdir": self.subdir,
            "timestamp": self.timestamp * 1000,
            "version": self.version,
        }
        if self.site_packages:
            found["python_site_packages_path"] = self.site_packages
        if self.noarch:
            return {**found, "arch": None, "noarch": "python", "platform": None}
        return {**found, "arch": "x86_64", "platform": "linux"}

    def about(self) -> dict[str, Any]:
        """``info/about.json``: what people should know, first of all that this is a stand-in."""
        said = {"home": self.home, "license": self.licence, "summary": self.summary}
        return {**said, "description": "A stand-in made by peel's demo; not a package of any public conda channel."}


def write_package(package: Package, members: Iterable[Member], directory: Path) -> dict[str, Any]:
    """Write ``directory/FILE_NAME`` and return its entry in repodata.json.

    Members are taken one by one, so that memory is the largest of them.
    """
    with tempfile.TemporaryFile(dir=directory) as payload:
        paths = _write_payload(payload, package, members)
        info = _info_tar(package, paths)
        archive = directory / package.file_name
        with zipfile.ZipFile(archive, "w") as bundle:
            _store(bundle, "metadata.json", io.BytesIO(b'{"conda_pkg_format_version":2}'))
            _store(bundle, f"pkg-{archive.stem}.tar.zst", payload)
            _store(bundle, f"info-{archive.stem}.tar.zst", io.BytesIO(info))
    return {**package.index(), **_identity(archive)}


def _write_payload(payload: IO[bytes], package: Package, members: Iterable[Member]) -> list[dict[str, Any]]:
    compressor = zstandard.ZstdCompressor(level=_LEVEL)
    with compressor.stream_writer(payload, closefd=False) as packed, tarfile.open(fileobj=packed, mode="w|") as tar:
        described = [_add(tar, member, package.timestamp) for member in members]
    return sorted(described, key=lambda path: str(path["_path"]))


def _add(tar: tarfile.TarFile, member: Member, mtime: int) -> dict[str, Any]:
    """Put a member into the tar; its entry in paths.json."""
    info = tarfile.TarInfo(member.path)
    info.mtime = mtime
    if member.target:
        info.type, info.linkname, info.mode = tarfile.SYMTYPE, member.target, 0o777
        tar.addfile(info)
    else:
        info.size, info.mode = len(member.data), member.mode
        tar.addfile(info, io.BytesIO(member.data))
    return describe(member)


def describe(member: Member) -> dict[str, Any]:
    """The entry of a member in ``info/paths.json``."""
    described: dict[str, Any] = {
        "_path": member.path,
        "path_type": "softlink" if member.target else "hardlink",
        "sha256": hashlib.sha256(member.data).hexdigest(),
        "size_in_bytes": len(member.data),
    }
    if member.prefix:
        described |= {"file_mode": member.prefix, "prefix_placeholder": PLACEHOLDER}
    return described


def _info_tar(package: Package, paths: list[dict[str, Any]]) -> bytes:
    documents = {
        "about.json": package.about(),
        "index.json": package.index(),
        "paths.json": {"paths": paths, "paths_version": 1},
    }
    if package.noarch:
        noarch = {"entry_points": list(package.entry_points), "type": "python"}
        documents["link.json"] = {"noarch": noarch, "package_metadata_version": 1}
    files = {f"info/{name}": json.dumps(value, indent=1, sort_keys=True).encode() for name, value in documents.items()}
    files |= {f"info/licenses/{name}": text for name, text in package.licences}
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode="w") as tar:
        for name in sorted(files):
            _add(tar, Member(name, files[name]), package.timestamp)
    return zstandard.ZstdCompressor(level=_LEVEL).compress(raw.getvalue())


def _store(bundle: zipfile.ZipFile, name: str, content: IO[bytes]) -> None:
    info = zipfile.ZipInfo(name, _ZIP_DATE)
    info.external_attr = 0o644 << 16
    info.file_size = content.seek(0, io.SEEK_END)
    content.seek(0)
    with bundle.open(info, "w") as stored:
        while block := content.read(1 << 20):
            stored.write(block)


def _identity(archive: Path) -> dict[str, Any]:
    # md5 because conda-lock and older clients still ask for it; sha256 is what counts.
    md5, sha256 = hashlib.md5(usedforsecurity=False), hashlib.sha256()
    with archive.open("rb") as file:
        while block := file.read(1 << 20):
            md5.update(block)
            sha256.update(block)
    return {"md5": md5.hexdigest(), "sha256": sha256.hexdigest(), "size": archive.stat().st_size}
