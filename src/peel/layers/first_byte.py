"""Where two files of a path first differ, and whether it is only the prefix that they were linked for."""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final

from peel.layers.layer_stream import ImageLayer, layer_members

_SHOWN: Final = 8  # bytes
_WHOLE: Final = 8 << 20  # how many bytes a file may have to be looked through for another prefix
_PADDING: Final = re.compile(rb"\0+")
_PATH: Final = re.compile(rb"[^\0-\x20:;,\"'`()<>|&]*")


@dataclass(frozen=True, slots=True)
class FirstByte:
    """The first byte that differs, counted from 1, and some from there on; ``prefix`` is the one that theirs has."""

    number: int
    ours: bytes
    theirs: bytes
    prefix: str | None = None


def first_bytes(
    layers: tuple[ImageLayer, ImageLayer],
    origins: tuple[str, str],
    paths: Collection[str],
    prefixes: Sequence[str],
    work: Path,
) -> Mapping[str, FirstByte]:
    """By path, where the other layer's file first differs from ours; both layers have files at all of these paths.

    ``work`` is an empty directory, for our files; memory stays bounded. ``prefixes`` are those of our environments.
    Raises ArtifactError as ``layer_members`` does.
    """
    kept = _keep(layers[0], origins[0], paths, work)
    found: dict[str, FirstByte] = {}
    for member in layer_members(layers[1], origins[1]):
        if member.path in kept and member.info.isreg():
            with kept[member.path].open("rb") as ours:
                found[member.path] = _compare(ours, member.content(), member.info.size, prefixes)
    return found


def _keep(layer: ImageLayer, origin: str, paths: Collection[str], work: Path) -> Mapping[str, Path]:
    kept: dict[str, Path] = {}
    for member in layer_members(layer, origin):
        if member.path in paths and member.info.isreg():
            path = work / str(len(kept))
            with path.open("wb") as file:
                file.writelines(member.content())
            kept[member.path] = path
    return kept


def _compare(ours: BinaryIO, theirs: Iterable[bytes], size: int, prefixes: Sequence[str]) -> FirstByte:
    whole = bytearray() if max(size, os.fstat(ours.fileno()).st_size) <= _WHOLE else None
    found: FirstByte | None = None
    position = 0
    for piece in theirs:
        if found is None:
            found = _apart(ours.read(len(piece)), piece, position)
        if whole is not None:
            whole += piece
        position += len(piece)
    if found is None:  # theirs ends first, or both are equal
        found = FirstByte(position + 1, ours.read(_SHOWN), b"")
    if whole is None:
        return found
    ours.seek(0)
    prefix = other_prefix(ours.read(), bytes(whole), found.number - 1, prefixes)
    return FirstByte(found.number, found.ours, found.theirs, prefix)


def _apart(ours: bytes, theirs: bytes, position: int) -> FirstByte | None:
    if ours == theirs:
        return None
    low, high = 0, max(len(ours), len(theirs))
    while high - low > 1:  # equal before low, unequal before high
        middle = (low + high) // 2
        low, high = (middle, high) if ours[:middle] == theirs[:middle] else (low, middle)
    return FirstByte(position + low + 1, ours[low : low + _SHOWN], theirs[low : low + _SHOWN])


def other_prefix(ours: bytes, theirs: bytes, offset: int, prefixes: Sequence[str]) -> str | None:
    """The prefix for which theirs was linked, if that is all that tells it from ours, which first differ at ``offset``.

    A binary's strings are padded with zeros to their old length, so the amount of padding says nothing.
    """
    for text in sorted(prefixes, key=len, reverse=True):
        prefix = text.encode()
        start = ours.rfind(prefix, max(0, offset - len(prefix)), offset + len(prefix))
        other = _standing_in(ours, theirs, start, prefix) if start >= 0 else b""
        if other and _unpadded(ours.replace(prefix, other)) == _unpadded(theirs):
            return other.decode("utf-8", "replace")
    return None


def _standing_in(ours: bytes, theirs: bytes, start: int, prefix: bytes) -> bytes:
    """What theirs has where ours has the prefix: the path that begins there, without what follows it in ours."""
    mine, other = (found[0] if (found := _PATH.match(data, start)) else b"" for data in (ours, theirs))
    rest = mine[len(prefix) :]
    return other.removesuffix(rest) if other.startswith(b"/") and other.endswith(rest) and other != mine else b""


def _unpadded(data: bytes) -> bytes:
    return _PADDING.sub(b"\0", data)
