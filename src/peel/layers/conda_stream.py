"""The members of a conda archive, streamed: nothing is unpacked by a library, and nothing hostile gets through.

A ``.conda`` is a zip of two tars, ``info-NAME.tar.zst`` and ``pkg-NAME.tar.zst`` (conda's package format 2);
a ``.tar.bz2`` is one tar of both. Whatever is wrong with an archive becomes one ArtifactError that names it.
"""

from __future__ import annotations

import bz2
import io
import re
import tarfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import BinaryIO, Protocol

import zstandard

from peel.errors import ArtifactError
from peel.layers.forward import CHUNK, FREE_SIZE, LARGEST_WINDOW, Forward
from peel.model.entry import Kind

_HEADER_LIMIT = 1 << 20
_MOST_RATIO = 1000  # real packages stay far below; a zstd frame of zeros is about 30000 times smaller than they are
_SUFFIXES = (".conda", ".tar.bz2")
_UNFIT = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]")  # control characters, what is not UTF-8
_BROKEN = (OSError, EOFError, ValueError, zipfile.BadZipFile, tarfile.TarError, zstandard.ZstdError, RuntimeError)
_HOSTILE = "no conda build makes such an archive: do not use it, and find out who put it into the channel"
_ROOT = ("", ".")
_KINDS = {
    tarfile.REGTYPE: Kind.FILE, tarfile.AREGTYPE: Kind.FILE, tarfile.CONTTYPE: Kind.FILE,
    tarfile.DIRTYPE: Kind.DIRECTORY, tarfile.SYMTYPE: Kind.SYMLINK, tarfile.LNKTYPE: Kind.HARDLINK,
}  # fmt: skip


class Part(StrEnum):
    """The two halves of a package: its metadata, and its files."""

    INFO = "info"
    PAYLOAD = "pkg"


@dataclass(frozen=True, slots=True)
class Member:
    """One member of an archive; ``size`` is in bytes, ``target`` a link's text."""

    path: str
    kind: Kind
    mode: int
    size: int
    target: str


class Content(Protocol):
    """The bytes of the current member."""

    def chunks(self) -> Iterator[bytes]:
        """Yield them, at most ``CHUNK`` at a time; what is not read is skipped."""


def split_file_name(file_name: str) -> tuple[str, str]:
    """``numpy-2.1-py311_0.conda`` as stem and suffix. Raises ArtifactError when it is neither format."""
    for suffix in _SUFFIXES:
        if file_name.endswith(suffix):
            return file_name.removesuffix(suffix), suffix
    raise ArtifactError(f"{file_name}: not a conda package", hint="its name must end in .conda or .tar.bz2")


def members(archive: Path, file_name: str, part: Part) -> Iterator[tuple[Member, Content]]:
    """The members of one half of a package, in the archive's order, directories left out.

    Raises ArtifactError naming the archive, and the member where there is one: for a truncated or corrupt archive, a
    name no file may have, a device, a setuid file, a name twice, or content that inflates out of all proportion.
    """
    with _opened(archive, file_name, part) as source:
        seen: set[str] = set()
        for info in source.headers():
            member = _member(info, file_name)
            elsewhere = source.half is None and member.path.startswith("info/") != (part is Part.INFO)
            if elsewhere or member.kind is Kind.DIRECTORY:
                continue
            if member.path in seen:
                raise ArtifactError(f"{file_name}: {member.path!r} is there twice", hint=_HOSTILE)
            seen.add(member.path)
            yield member, source.content(member.size)


def largest_content(archive: Path) -> int:
    """How many bytes may come out of an archive before it counts as a decompression bomb."""
    return max(FREE_SIZE, archive.stat().st_size * _MOST_RATIO)


def check_path(path: str, file_name: str) -> str:
    """The path, if it is one that stays where it is put. Raises ArtifactError."""
    parts = path.split("/")
    if path.startswith("/") or ".." in parts:
        raise ArtifactError(f"{file_name}: {path!r} points out of the package", hint=_HOSTILE)
    if _UNFIT.search(path):
        raise ArtifactError(f"{file_name}: {path!r} is no name for a file", hint=_HOSTILE)
    if "" in parts or "." in parts:
        raise ArtifactError(f"{file_name}: {path!r} is not written plainly", hint=_HOSTILE)
    return path


def _member(info: tarfile.TarInfo, file_name: str) -> Member:
    path = info.name.removeprefix("./").rstrip("/")
    if path not in _ROOT or info.type != tarfile.DIRTYPE:
        check_path(path, file_name)
    kind = _KINDS.get(info.type)
    if kind is None or info.issparse():
        raise ArtifactError(
            f"{file_name}: {path!r} is a device or something else that no package may hold", hint=_HOSTILE
        )
    if kind is Kind.FILE and info.mode & 0o6000:
        raise ArtifactError(f"{file_name}: {path!r} is setuid or setgid", hint=_HOSTILE)
    size = info.size if kind is Kind.FILE else 0
    return Member(path, kind, info.mode & 0o7777, size, info.linkname)


class _Source:
    """An open tar of a package; ``half`` says which half it is, None when it is both."""

    def __init__(self, stream: BinaryIO, *, file_name: str, limit: int, half: Part | None) -> None:
        self.half = half
        self._file_name = file_name
        self._forward = Forward(
            stream,
            file_name,
            limit=limit,
            header_limit=_HEADER_LIMIT,
            kinds=_BROKEN,
            broken=partial(_broken, file_name),
        )
        self._end = 0

    def headers(self) -> Iterator[tarfile.TarInfo]:
        try:
            with self._forward.header():
                tar = tarfile.TarFile(fileobj=self._forward, encoding="utf-8", errors="strict")  # type: ignore[arg-type]
            while True:
                self._forward.seek(self._end)
                with self._forward.header():
                    info = tar.next()
                if info is None:
                    return self._forward.drain()
                tar.members.clear()  # type: ignore[attr-defined]  # or tarfile would keep them all
                self._end = self._forward.tell() + (-(-info.size // 512) * 512 if info.isreg() else 0)
                yield info
        except _BROKEN as error:
            raise _broken(self._file_name, error) from None

    def content(self, size: int) -> Content:
        return _Content(self._forward, size)


@dataclass(frozen=True, slots=True)
class _Content:
    """The rest of the member that the stream stands at."""

    forward: Forward
    size: int

    def chunks(self) -> Iterator[bytes]:
        return self.forward.exactly(self.size)


@contextmanager
def _opened(archive: Path, file_name: str, part: Part) -> Iterator[_Source]:
    stem, suffix = split_file_name(file_name)
    try:
        limit = largest_content(archive)
        if suffix == ".tar.bz2":
            with bz2.open(archive) as stream:
                yield _Source(stream, file_name=file_name, limit=limit, half=None)  # type: ignore[arg-type]
            return
        with zipfile.ZipFile(archive) as outer, _component(outer, stem, part, file_name) as stream:
            yield _Source(stream, file_name=file_name, limit=limit, half=part)
    except _BROKEN as error:
        raise _broken(file_name, error) from None


@contextmanager
def _component(outer: zipfile.ZipFile, stem: str, part: Part, file_name: str) -> Iterator[BinaryIO]:
    name = f"{part}-{stem}.tar.zst"
    if outer.namelist().count(name) != 1:
        raise ArtifactError(f"{file_name}: must hold {name!r} exactly once", hint="is the file name the right one?")
    decompressor = zstandard.ZstdDecompressor(max_window_size=LARGEST_WINDOW)
    with outer.open(name) as packed, decompressor.stream_reader(packed, read_across_frames=True) as stream:
        yield io.BufferedReader(stream, CHUNK)


def _broken(file_name: str, error: BaseException) -> ArtifactError:
    return ArtifactError(
        f"{file_name}: cannot be read as a conda package: {error or type(error).__name__}",
        hint="the archive is damaged or made by something else than a conda build; fetch it again",
    )
