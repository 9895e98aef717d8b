"""Canonical layer 1: the one tar that a set of entries has, byte for byte.

The format is a promise across releases. Its rules, beside those of POSIX.1-2001 ``pax`` and the OCI image-spec:

- entries stand in byte order of their path's components (``a``, ``a/b``, ``a-b``), each path once, every parent
  directory present, no entry for the root; directories end in a slash; two zero blocks end the stream;
- owner and group are 0 and nameless, device numbers 0, modes ``& 07777``, a symbolic link's mode 0777;
- numbers are octal with leading zeros and one NUL; the checksum is six digits, NUL, space;
- a name over 100 bytes is split at the leftmost slash that leaves at most 100, if the prefix then has at most 155;
- what ustar cannot say is a PAX record, sorted by keyword, in a header ``@PaxHeader`` before the entry: ``path`` (too
  long to split, or not ASCII), ``linkpath`` (over 100 bytes, or not ASCII), ``size`` (from 8 GiB), ``mtime`` (negative,
  or from 8**11), ``SCHILY.xattr.NAME``; the ustar field it replaces holds 0, or the first 100 bytes with ``?`` for each
  byte that is not ASCII;
- a hard link points to the first path of its file, which holds the bytes;
- a removed path is an empty file ``.wh.NAME``, mode 0644, mtime 1980; opaque whiteouts do not occur.

A change to any of these is canonical layer 2.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Final, Protocol, assert_never

from peel.errors import ArtifactError
from peel.layers.ustar import RECORD, WHITEOUT, header, written_name
from peel.model.entry import Entry, Kind, directory

LAYER: Final = 1
"""The number of the format; it is part of every layer key."""

BLOCK_SIZE: Final = 256 * 1024
"""In how many bytes at once a tar is handed on; all blocks but the last have exactly this size."""

_NAME_MAX: Final = 255
_XATTRS: Final = ("security.capability", "user.")


class BlockSink(Protocol):
    """What takes a tar, block by block; a block's bytes last until ``write`` returns."""

    def write(self, block: memoryview, /) -> object:
        """Take all of ``block``."""


def canonical(entries: Iterable[Entry]) -> tuple[Entry, ...]:
    """The entries as a layer holds them: checked, with their parents, in order.

    Missing parent directories come in with mode 0755 and the constant mtime: where a lower layer has others, pass the
    directory. Of the paths of a hard-linked file the first becomes the file. Canonical entries stay as they are.
    Raises ArtifactError for a path or name that no layer may hold, a path twice, an entry beneath what is not a
    directory, a hard link to no file of the layer, a mode out of range, or a foreign extended attribute.
    """
    found: dict[str, Entry] = {}
    for entry in entries:
        if entry.path in found:
            raise ArtifactError(f"a layer would hold {entry.path!r} twice")
        found[entry.path] = _checked(entry)
    _add_parents(found)
    _elect_leaders(found)
    return tuple(sorted(found.values(), key=_order))


def check_path(path: str) -> None:
    """Raise ArtifactError unless ``path`` may stand in a layer: relative, plain, UTF-8, no whiteout's name."""
    parts = path.split("/")
    if "" in parts or "." in parts or ".." in parts:
        raise ArtifactError(
            f"not a plain relative path: {path!r}", hint="a layer holds no absolute, empty, . or .. parts"
        )
    if WHITEOUT in path and any(part.startswith(WHITEOUT) for part in parts):
        raise ArtifactError(f"{path!r} would be read as a whiteout", hint="remove or rename that file")
    if not path.isascii() and not _is_utf8(path):
        raise ArtifactError(f"not UTF-8: {path!r}", hint="rename the file")
    if "\0" in path or (len(path) > _NAME_MAX // 4 and any(len(part.encode()) > _NAME_MAX for part in parts)):
        raise ArtifactError(f"no file can have the name {path!r}")


def write_tar(entries: Sequence[Entry], sink: BlockSink) -> int:
    """Write canonical entries as a tar; return how many bytes it has.

    Sources are streamed: memory is one block, whatever their size. Raises ArtifactError when a source cannot be read,
    or has not exactly ``size`` bytes: then it changed underneath. Raises ValueError when the entries are not in order.
    """
    blocks = _Blocks(sink)
    last = b""
    for entry in entries:
        order = _order(entry)
        if order <= last:
            raise ValueError(f"not in canonical order: {entry.path!r}")
        last = order
        blocks.put(header(entry))
        if entry.kind is Kind.FILE and entry.size:
            _put_content(entry, blocks)
            blocks.pad()
    blocks.put(bytes(2 * RECORD))
    return blocks.finish()


def _checked(entry: Entry) -> Entry:
    check_path(entry.path)
    if entry.mode & ~0o7777:
        raise ArtifactError(f"{entry.path!r} has the mode {entry.mode:o}", hint="a mode is at most 7777")
    if entry.xattrs:
        _check_xattrs(entry)
    match entry.kind:
        case Kind.FILE:
            if entry.size < 0 or (isinstance(entry.source, bytes) and len(entry.source) != entry.size):
                raise ArtifactError(f"{entry.path!r} is said to have {entry.size} bytes, which it has not")
            return entry
        case Kind.DIRECTORY | Kind.HARDLINK:
            return entry
        case Kind.SYMLINK:
            if not entry.target or "\0" in entry.target or not _is_utf8(entry.target):
                raise ArtifactError(f"the symbolic link {entry.path!r} has the target {entry.target!r}")
            return entry if entry.mode == 0o777 else replace(entry, mode=0o777)
        case Kind.WHITEOUT:
            return Entry(entry.path, Kind.WHITEOUT)
        case _:
            assert_never(entry.kind)


def _check_xattrs(entry: Entry) -> None:
    names = [name for name, _ in entry.xattrs]
    if entry.kind not in {Kind.FILE, Kind.DIRECTORY}:
        raise ArtifactError(
            f"the {entry.kind} {entry.path!r} has extended attributes", hint="files and directories may"
        )
    if names != sorted(set(names)):
        raise ArtifactError(f"the extended attributes of {entry.path!r} are not sorted and unique")
    for name in names:
        if not _is_kept_xattr(name):
            raise ArtifactError(f"{entry.path!r} has the extended attribute {name!r}", hint="a layer keeps user.* only")


def _is_kept_xattr(name: str) -> bool:
    """Whether a layer keeps the extended attribute of this name: ``security.capability`` or ``user.*``."""
    return (name == _XATTRS[0] or name.startswith(_XATTRS[1])) and not {"=", "\0"} & set(name) and _is_utf8(name)


def _is_utf8(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _add_parents(found: dict[str, Entry]) -> None:
    for path in tuple(found):
        parent = path.rpartition("/")[0]
        while parent:
            held = found.get(parent)
            if held is None:
                found[parent] = directory(parent)
            elif held.kind is Kind.DIRECTORY:
                break  # its own parents are seen to when its turn comes, or were when it was added
            else:
                raise ArtifactError(f"{path!r} lies beneath {parent!r}, which is a {held.kind}")
            parent = parent.rpartition("/")[0]


def _elect_leaders(found: dict[str, Entry]) -> None:
    """Let the first path of each hard-linked file hold its bytes, and the others point there."""
    links: dict[str, list[str]] = {}
    for entry in found.values():
        if entry.kind is Kind.HARDLINK:
            links.setdefault(_file_of(entry, found), []).append(entry.path)
    for file_path, others in links.items():
        file = found[file_path]
        leader, *followers = sorted([file_path, *others], key=lambda path: path.encode().split(b"/"))
        found[leader] = replace(file, path=leader)
        for path in followers:
            found[path] = Entry(path, Kind.HARDLINK, mode=file.mode, mtime=file.mtime, target=leader)


def _file_of(link: Entry, found: dict[str, Entry]) -> str:
    """The path of the file that a hard link, or a link to a link, repeats."""
    seen = {link.path}
    end: Entry | None = link
    while end is not None and end.kind is Kind.HARDLINK and end.target not in seen:
        seen.add(end.target)
        end = found.get(end.target)
    if end is None or end.kind is not Kind.FILE:
        raise ArtifactError(
            f"the hard link {link.path!r} points to {link.target!r}, which is no file of its layer",
            hint="hard links must stay within a layer: put both paths into one group, or copy the file",
        )
    return end.path


def _order(entry: Entry) -> bytes:
    """A key that orders entries by the bytes of their path's components: no byte of a name is as low as NUL."""
    return written_name(entry).encode().replace(b"/", b"\0")


def _put_content(file: Entry, blocks: _Blocks) -> None:
    if isinstance(file.source, bytes):
        blocks.put(file.source)
        return
    try:
        descriptor = os.open(file.source, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
        try:
            whole = blocks.read(descriptor, file.size)
        finally:
            os.close(descriptor)
    except OSError as error:
        raise ArtifactError(f"cannot read {file.source}, the content of {file.path!r}: {error.strerror}") from None
    if not whole:
        raise ArtifactError(
            f"{file.source}, the content of {file.path!r}, has not the {file.size} bytes it had: it changed underneath",
            hint="let nothing else write there, and build again",
        )


class _Blocks:
    """Gathers the stream into blocks and hands each on when it is full."""

    def __init__(self, sink: BlockSink) -> None:
        self._sink = sink
        self._handed_on = 0
        self._block = memoryview(bytearray(BLOCK_SIZE))
        self._filled = 0

    def _hand_on(self) -> None:
        self._sink.write(self._block[: self._filled])
        self._handed_on += self._filled
        self._filled = 0

    def put(self, data: bytes) -> None:
        """Add these bytes."""
        rest = memoryview(data)
        while rest:
            if self._filled == BLOCK_SIZE:
                self._hand_on()
            part = rest[: BLOCK_SIZE - self._filled]
            self._block[self._filled : self._filled + len(part)] = part
            self._filled += len(part)
            rest = rest[len(part) :]

    def read(self, descriptor: int, size: int) -> bool:
        """Add a file's bytes; False when they are not ``size`` many.

        One byte more than is left is asked for: so a single read tells most files' end, too.
        """
        left = size
        while True:
            if self._filled == BLOCK_SIZE:
                self._hand_on()
            free = self._block[self._filled : self._filled + left + 1]
            count = os.readv(descriptor, (free,))
            left -= count
            if left < 0 or (count == 0 and left > 0):
                return False
            self._filled += count
            if left == 0 and count < len(free):
                return True

    def pad(self) -> None:
        """Fill the record up; it never crosses a block's end."""
        end = self._filled + -self._filled % RECORD
        self._block[self._filled : end] = bytes(end - self._filled)
        self._filled = end

    def finish(self) -> int:
        """Hand on the last block; return the bytes of them all."""
        self._hand_on()
        return self._handed_on
