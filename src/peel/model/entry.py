"""What one layer consists of, before it is bytes."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from peel.model.values import MTIME_CONSTANT


class Kind(StrEnum):
    """The kinds of entries that a canonical layer can hold."""

    FILE = "file"
    DIRECTORY = "directory"
    SYMLINK = "symlink"
    HARDLINK = "hardlink"
    WHITEOUT = "whiteout"


@dataclass(frozen=True, slots=True)
class Entry:
    """One path of a layer.

    ``path`` is relative to the image's root, without a leading or trailing slash. ``mode`` is in ``0..0o7777``,
    ``mtime`` in whole seconds. A file's bytes are ``source``: a path on the host, or the bytes themselves;
    ``size`` is their length in bytes. ``target`` is a symbolic link's text, or the path (as ``path`` is written)
    of the file that a hard link repeats. ``xattrs`` are sorted pairs.
    """

    path: str
    kind: Kind
    mode: int = 0o644
    mtime: int = MTIME_CONSTANT
    size: int = 0
    source: Path | bytes = b""
    target: str = ""
    xattrs: tuple[tuple[str, bytes], ...] = ()


def file_of_bytes(path: str, data: bytes, *, mode: int = 0o644, mtime: int = MTIME_CONSTANT) -> Entry:
    """A regular file whose bytes are at hand."""
    return Entry(path, Kind.FILE, mode=mode, mtime=mtime, size=len(data), source=data)


def directory(path: str, *, mode: int = 0o755, mtime: int = MTIME_CONSTANT) -> Entry:
    """A directory."""
    return Entry(path, Kind.DIRECTORY, mode=mode, mtime=mtime)


def symlink(path: str, target: str, *, mtime: int = MTIME_CONSTANT) -> Entry:
    """A symbolic link; its mode is always 0777, as Linux has it."""
    return Entry(path, Kind.SYMLINK, mode=0o777, mtime=mtime, target=target)
