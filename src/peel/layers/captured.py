"""Layers that buildah hands back: an uncompressed tar, as whatever version of it wrote that, becomes entries again."""

from __future__ import annotations

import io
import math
import shutil
import tarfile
from collections.abc import Collection, Iterable
from dataclasses import replace
from pathlib import Path
from typing import Final

from peel.errors import ArtifactError
from peel.layers.tar import check_path, is_kept_xattr
from peel.layers.ustar import RECORD, WHITEOUT
from peel.model.entry import Entry, Kind, directory, symlink

_OPAQUE: Final = ".wh..opq"
_AGAIN: Final = "capture the layer again"
_XATTR: Final = "SCHILY.xattr."
_CHUNK: Final = 1 << 20
_READ_LIMIT: Final = 4 << 20

# What tarfile raises when a header is nonsense.
_MALFORMED: Final = (tarfile.TarError, ValueError, ArithmeticError, LookupError, EOFError, RecursionError)


def read_tar(path: Path, stage: Path) -> tuple[Entry, ...]:
    """Read a layer tar; the bytes of its files are kept beneath ``stage``, an empty directory, under numbers.

    Entries come in the tar's order with its mtimes; owners, and extended attributes that no layer keeps, are dropped.
    A hard link to a symbolic link becomes a second symbolic link. An opaque whiteout is an entry that ``is_opaque``
    knows and ``canonical`` refuses: see ``expand_opaque``. Raises ArtifactError for a truncated or malformed tar, a
    path that no layer may hold, a device, fifo or sparse file.
    """
    try:
        with _Bounded(path) as file, tarfile.open(fileobj=file, mode="r:") as tar:
            entries = _read_members(tar, stage)
            _check_end(file, tar.offset)
    except _MALFORMED as error:
        raise ArtifactError(f"{path} is not a well-formed tar: {error}", hint=_AGAIN) from None
    except OSError as error:
        raise ArtifactError(f"cannot unpack the layer {path}: {error.strerror}") from None
    except ArtifactError as error:
        raise ArtifactError(f"{path}: {error.message}", hint=error.hint) from None
    return entries


def is_opaque(entry: Entry) -> bool:
    """Whether this hides all that lower layers have in its directory (OCI image-spec, layer, "Opaque Whiteout")."""
    return entry.kind is Kind.WHITEOUT and entry.path.rpartition("/")[2] == _OPAQUE


def expand_opaque(entries: Iterable[Entry], lower: Collection[str]) -> tuple[Entry, ...]:
    """Replace opaque whiteouts by an explicit one for each lower path that they hide and the layer does not hold.

    ``lower`` are all paths of the layers below, written as an entry's.
    """
    given = tuple(entries)
    plain = [entry for entry in given if not is_opaque(entry)]
    opaque = {_parent(entry.path) for entry in given if is_opaque(entry)}
    kept = {entry.path for entry in plain}
    # Beneath a directory that stays, each path needs a whiteout of its own; beneath one that goes, none does.
    staying = opaque | {entry.path for entry in plain if entry.kind is Kind.DIRECTORY}
    for path in tuple(kept):
        staying.update(_ancestors(path))
    hidden = [
        path
        for path in sorted(set(lower) - kept - staying)
        if _parent(path) in staying and not opaque.isdisjoint(_ancestors(path))
    ]
    return (*plain, *(Entry(path, Kind.WHITEOUT) for path in hidden))


def _parent(path: str) -> str:
    return path.rpartition("/")[0]


def _ancestors(path: str) -> list[str]:
    """Every directory above a path, the root (``""``) last."""
    found = []
    while path:
        path = _parent(path)
        found.append(path)
    return found


def _read_members(tar: tarfile.TarFile, stage: Path) -> tuple[Entry, ...]:
    entries: list[Entry] = []
    symlinks: dict[str, str] = {}
    for number, member in enumerate(tar):
        if member.size < 0:  # tarfile would go back, for ever
            raise ArtifactError(f"{member.name!r} has a negative size", hint=_AGAIN)
        path = member.name.removeprefix("./")
        if member.isdir() and path in {"", "."}:
            continue
        entry = _entry(tar, member, path, stage / str(number))
        if entry.kind is Kind.HARDLINK and entry.target in symlinks:
            entry = symlink(path, symlinks[entry.target], mtime=entry.mtime)
        if entry.kind is Kind.SYMLINK:
            symlinks[path] = entry.target
        entries.append(entry)
    return tuple(entries)


def _entry(tar: tarfile.TarFile, member: tarfile.TarInfo, path: str, staged: Path) -> Entry:
    parent, slash, name = path.rpartition("/")
    if member.isreg() and name.startswith(WHITEOUT):
        return _whiteout(f"{parent}{slash}{name.removeprefix(WHITEOUT)}")
    check_path(path)
    mode, mtime = member.mode & 0o7777, math.floor(member.mtime)
    if member.issym():
        return symlink(path, member.linkname, mtime=mtime)
    if member.islnk():
        return Entry(path, Kind.HARDLINK, mode=mode, mtime=mtime, target=member.linkname.removeprefix("./"))
    if member.isdir():
        return replace(directory(path, mode=mode, mtime=mtime), xattrs=_xattrs(member))
    if not member.isreg() or member.sparse is not None:
        raise ArtifactError(
            f"{path!r} is a device, a fifo or a sparse file",
            hint="a layer holds files, directories and links: have what ran in the container remove it",
        )
    _stage(tar, member, staged)
    return Entry(path, Kind.FILE, mode=mode, mtime=mtime, size=member.size, source=staged, xattrs=_xattrs(member))


def _whiteout(removed: str) -> Entry:
    entry = Entry(removed, Kind.WHITEOUT)
    check_path(_parent(removed) or "root" if is_opaque(entry) else removed)
    return entry


def _xattrs(member: tarfile.TarInfo) -> tuple[tuple[str, bytes], ...]:
    """The extended attributes that a layer keeps; tarfile has put their bytes into text."""
    named = ((key.removeprefix(_XATTR), value) for key, value in member.pax_headers.items() if key.startswith(_XATTR))
    return tuple(
        sorted((name, value.encode("utf-8", "surrogateescape")) for name, value in named if is_kept_xattr(name))
    )


def _stage(tar: tarfile.TarFile, member: tarfile.TarInfo, staged: Path) -> None:
    content = tar.extractfile(member)
    if content is None:
        raise ArtifactError(f"{member.name!r} has no content")
    with content, staged.open("xb") as file:
        shutil.copyfileobj(content, file, _CHUNK)


def _check_end(file: io.FileIO, end: int) -> None:
    """Make sure that the tar ends as it should; tarfile takes a damaged header, or none, for the end."""
    file.seek(end)
    zeros = 0
    while chunk := file.read(_CHUNK):
        if chunk.count(0) != len(chunk):
            raise ArtifactError(f"not a well-formed tar: no header at byte {end}", hint=_AGAIN)
        zeros += len(chunk)
    if zeros < 2 * RECORD:
        raise ArtifactError("the tar is truncated: it has no end", hint=_AGAIN)


class _Bounded(io.FileIO):
    """A file that is never read in large pieces: what a header claims as its length cannot fill the memory."""

    def read(self, size: int | None = -1, /) -> bytes:
        if size is None or not 0 <= size <= _READ_LIMIT:
            raise ArtifactError(f"a header claims {size} bytes", hint=_AGAIN)
        return super().read(size) or b""
