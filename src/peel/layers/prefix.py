"""Replaces the prefix a package was built for by the prefix it is installed to.

Linker 1 gives the bytes that rattler gives: the placeholder is sought in UTF-8, UTF-16 and UTF-32; a text may change
its length, a binary may not: what follows the placeholder in a C string moves up, and zeros fill the gap before its
terminator. Files are read in windows, never whole.
"""

from __future__ import annotations

import re
from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, Protocol

from peel.errors import ArtifactError

SHEBANG_LIMIT: Final = 127
"""The longest first line, in bytes, that every Linux kernel takes as an interpreter line."""

_WINDOW = 1 << 20
_FIRST_LINE_LIMIT = 1 << 16
_MOST_OCCURRENCES = 1_000_000
_ENCODINGS: Final = (("utf-8", 1), ("utf-16-le", 2), ("utf-16-be", 2), ("utf-32-le", 4), ("utf-32-be", 4))
_SHEBANG = re.compile(r"#! *(/(?:\\ |[^ \n\r\t])*)(.*)")
_PYTHON = re.compile(r"python(?:\d+(?:\.\d+)?)?")

Sink = Callable[[bytes], object]


class Readable(Protocol):
    """A seekable stream of bytes."""

    def read(self, size: int = -1, /) -> bytes:
        """As of any binary file."""

    def readline(self, size: int = -1, /) -> bytes:
        """As of any binary file."""

    def seek(self, position: int, /) -> int:
        """As of any binary file."""


class FileMode(StrEnum):
    """How a file holds its placeholder (``file_mode`` of paths.json)."""

    TEXT = "text"
    BINARY = "binary"


@dataclass(frozen=True, slots=True)
class PrefixRule:
    """The placeholder to replace in a file, and how."""

    placeholder: str
    mode: FileMode


@dataclass(frozen=True, slots=True)
class _Wording:
    """Placeholder and prefix in one encoding; ``unit`` is the size in bytes of its code unit."""

    old: bytes
    new: bytes
    unit: int


@dataclass(frozen=True, slots=True)
class _CString:
    """A string with placeholders at ``offsets``; ``end`` is its terminator, or the end of the file."""

    offsets: Sequence[int]
    end: int
    wording: _Wording

    @property
    def start(self) -> int:
        return self.offsets[0]


def rewrite(source: Readable, sink: Sink, *, rule: PrefixRule, prefix: str, label: str) -> None:
    """Give ``sink`` the bytes of a seekable ``source`` with every placeholder replaced by ``prefix``.

    ``label`` names package and file in errors. Raises ArtifactError when a binary has no room for the prefix.
    """
    wordings = [_Wording(rule.placeholder.encode(e), prefix.encode(e), unit) for e, unit in _ENCODINGS]
    if rule.mode is FileMode.TEXT:
        _rewrite_text(source, sink, wordings, label)
    else:
        _rewrite_binary(source, sink, wordings, label)


def fit_shebang(line: str, old: str, new: str) -> str:
    """The interpreter line for another prefix; one that a kernel would refuse is said in another way.

    Too long (over 127 bytes) or with a space in the prefix: Python is started by ``/bin/sh``, anything else by
    ``/usr/bin/env``.
    """
    if " " in new:
        return _by_other_means(line).replace(old, new) if old in line else line
    replaced = line.replace(old, new)
    return replaced if len(replaced.encode()) <= SHEBANG_LIMIT else _by_other_means(replaced)


def _by_other_means(line: str) -> str:
    found = _SHEBANG.fullmatch(line)
    if found is None:
        return line
    path, options = found.groups()
    program = path.rpartition("/")[2]
    if _PYTHON.fullmatch(program):
        return f"#!/bin/sh\n'''exec' \"{path}\"{options} \"$0\" \"$@\" #'''"
    return f"#!/usr/bin/env {program}{options}"


def _rewrite_text(source: Readable, sink: Sink, wordings: list[_Wording], label: str) -> None:
    body = _rewrite_shebang(source, sink, wordings[0])
    found = [(at, wording) for wording in wordings for at in _occurrences(source, wording.old, label)]
    done, position = 0, body
    for at, wording in sorted(found, key=lambda pair: pair[0]):
        if at < done:
            continue  # lies in an occurrence of another encoding
        done = at + len(wording.old)
        if at >= body:
            _copy(source, sink, position, at)
            sink(wording.new)
            position = done
    _copy(source, sink, position, None)


def _rewrite_shebang(source: Readable, sink: Sink, wording: _Wording) -> int:
    """Write the first line if it is an interpreter line; how many bytes of the source that took."""
    source.seek(0)
    line = source.readline(_FIRST_LINE_LIMIT)
    if not line.startswith(b"#!") or (len(line) == _FIRST_LINE_LIMIT and not line.endswith(b"\n")):
        return 0
    text = line.removesuffix(b"\n").decode("utf-8", "replace")
    sink(fit_shebang(text, wording.old.decode(), wording.new.decode()).encode())
    sink(b"\n" if line.endswith(b"\n") else b"")
    return len(line)


def _rewrite_binary(source: Readable, sink: Sink, wordings: list[_Wording], label: str) -> None:
    position = 0
    for string in _disjoint([ranked for wording in wordings for ranked in _cstrings(source, wording, label)]):
        old, new = string.wording.old, string.wording.new
        if len(new) > len(old):
            raise ArtifactError(
                f"{label}: the prefix takes {len(new)} bytes, and the file has room for {len(old)}",
                hint="choose a shorter prefix for this environment",
            )
        for at in string.offsets:
            _copy(source, sink, position, at)
            sink(new)
            position = at + len(old)
        _copy(source, sink, position, string.end)
        sink(bytes((len(old) - len(new)) * len(string.offsets)))
        position = string.end
    _copy(source, sink, position, None)


def _cstrings(source: Readable, wording: _Wording, label: str) -> Iterator[tuple[int, _CString]]:
    """The C strings with a placeholder in one encoding, each with a rank: the lower, the more likely genuine."""
    found = _occurrences(source, wording.old, label)
    length, unit = len(wording.old), wording.unit
    covered = [0] * unit  # per alignment: how far the last string reaches
    for index, first in enumerate(found):
        if first < covered[first % unit]:
            continue
        end, terminated = _terminator(source, first + length, unit)
        covered[first % unit] = end
        offsets = found[index : bisect_right(found, end - length)]
        rank = 0 if unit == 1 else 1 + 2 * (first % unit != 0) + (not terminated)
        yield rank, _CString(offsets, end, wording)


def _disjoint(ranked: list[tuple[int, _CString]]) -> list[_CString]:
    """The best strings that do not overlap a better one, in file order.

    The encodings of one path are shifted copies of each other, so that a genuine wide string can look like another one
    a byte earlier. UTF-8 wins, then what is aligned, then what has a terminator, then what comes first.
    """
    kept: list[_CString] = []
    starts: list[int] = []
    for _, string in sorted(ranked, key=lambda pair: (pair[0], pair[1].start)):
        index = bisect_left(starts, string.start)
        clear_before = index == 0 or kept[index - 1].end <= string.start
        clear_after = index == len(kept) or kept[index].start >= string.end
        if clear_before and clear_after:
            kept.insert(index, string)
            starts.insert(index, string.start)
    return kept


def _terminator(source: Readable, start: int, unit: int) -> tuple[int, bool]:
    """Where the first zero code unit at or after ``start`` lies; or the end of the file, and False."""
    source.seek(start)
    base, window, zeros = start, 4096, bytes(unit)
    while block := source.read(window):
        at = block.find(zeros)
        while at >= 0 and at % unit:
            at = block.find(zeros, at + 1)
        if at >= 0:
            return base + at, True
        base += len(block)
        window = _WINDOW  # a multiple of every unit, as 4096 is: no code unit is split
    return base, False


def _occurrences(source: Readable, sought: bytes, label: str) -> array[int]:
    """The offsets of all occurrences that do not overlap, the leftmost first."""
    found = array("q")
    source.seek(0)
    base, buffer = 0, b""
    while block := source.read(_WINDOW):
        buffer += block
        done = 0
        while (at := buffer.find(sought, done)) >= 0:
            found.append(base + at)
            done = at + len(sought)
        if len(found) > _MOST_OCCURRENCES:
            raise ArtifactError(f"{label}: holds its prefix more than {_MOST_OCCURRENCES} times")
        done = max(done, len(buffer) - len(sought) + 1)
        base, buffer = base + done, buffer[done:]
    return found


def _copy(source: Readable, sink: Sink, start: int, end: int | None) -> None:
    source.seek(start)
    while end is None or start < end:
        block = source.read(_WINDOW if end is None else min(_WINDOW, end - start))
        if not block:
            return
        sink(block)
        start += len(block)
