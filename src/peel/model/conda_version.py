"""conda's order of versions (conda's documentation of ``VersionOrder``), which is not that of PEP 440.

A version is ``[EPOCH!]VERSION[+LOCAL]``; version and local part are segments, parted by ``.``, ``_`` or ``-``; a
segment is runs of digits and of other characters. Missing segments and runs count as 0. ``dev`` comes before all other
letters, letters before numbers, and ``post`` after numbers. An underscore at the end, as old versions of openssl have
one, counts as letters. No text is refused: what is no version of conda's still has a place.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache, total_ordering
from itertools import zip_longest
from typing import Final

Run = tuple[int, int, str]
"""The kind of a run (letters 0, number 1, ``post`` 2), its number, its letters."""

Segment = tuple[Run, ...]

_RUNS: Final = re.compile(r"[0-9]+|_|[^0-9_]+")
_ZERO: Final[Run] = (1, 0, "")
_POST: Final[Run] = (2, 0, "")
_DEV: Final[Run] = (0, 0, "")  # before every other text


@total_ordering
@dataclass(frozen=True, slots=True, eq=False)
class CondaVersion:
    """A version as conda orders them: ``1.0dev < 1.0a < 1.0 == 1.0.0 < 1.0.post1 < 1.0.1 < 1!0``."""

    text: str

    def compare(self, other: CondaVersion) -> int:
        """Less than, equal to or greater than 0, as this version is older, equal or newer."""
        for mine, its in zip(_parse(self.text), _parse(other.text), strict=True):
            if order := _compare(mine, its):
                return order
        return 0

    def begins_with(self, series: CondaVersion) -> bool:
        """Whether this is a version of a series, as match specs have them: 1.2.3 and 1.2a are of 1.2, 1.21 is not."""
        epoch, given, _ = _parse(self.text)
        same, wanted, _ = _parse(series.text)
        found = (*given, *(((_ZERO,),) * (len(wanted) - len(given))))
        *whole, last = wanted
        return epoch == same and list(found[: len(whole)]) == whole and found[len(whole)][: len(last)] == last

    def series(self, segments: int = 1) -> tuple[Segment, ...]:
        """Epoch and so many first segments: what a new one of announces a break."""
        epoch, version, _ = _parse(self.text)
        return (*epoch, *version[:segments])

    def __eq__(self, other: object) -> bool:
        return isinstance(other, CondaVersion) and self.compare(other) == 0

    def __hash__(self) -> int:
        return hash(tuple(_trim(part) for part in _parse(self.text)))

    def __lt__(self, other: CondaVersion) -> bool:
        return self.compare(other) < 0


def _compare(mine: tuple[Segment, ...], its: tuple[Segment, ...]) -> int:
    for one, two in zip_longest(mine, its, fillvalue=()):
        for here, there in zip_longest(one, two, fillvalue=_ZERO):
            if here != there:
                return 1 if here > there else -1
    return 0


@lru_cache(maxsize=8192)
def _parse(text: str) -> tuple[tuple[Segment, ...], tuple[Segment, ...], tuple[Segment, ...]]:
    """Epoch, version and local part."""
    epoch, _, rest = text.strip().lower().rpartition("!")
    version, _, local = rest.partition("+")
    return _split(epoch or "0"), _split(version), _split(local) if local else ()


def _split(text: str) -> tuple[Segment, ...]:
    body = text[:-1] if text.endswith(("_", "-")) else text
    parts = re.split(r"[._-]", body)
    if body != text:
        parts[-1] += "_"
    return tuple(_segment(part) for part in parts)


def _segment(text: str) -> Segment:
    runs = tuple(_run(run) for run in _RUNS.findall(text)) or (_ZERO,)
    # a segment that begins with letters counts as beginning with 0, so that 1.1.a1 is older than 1.1.0
    return runs if text[:1].isdigit() else (_ZERO, *runs)


def _run(text: str) -> Run:
    if text[0] in "0123456789":
        return (1, _number(text), "")
    return _DEV if text == "dev" else _POST if text == "post" else (0, 0, text)


def _number(text: str) -> int:
    """Python itself refuses to read numbers of thousands of digits, which no version has; the largest come last."""
    return int(text) if len(text) < 1000 else 10**1000 + len(text)


def _trim(part: tuple[Segment, ...]) -> tuple[Segment, ...]:
    """The part without what counts as nothing, so that equal versions have equal ones."""
    trimmed = [_trim_segment(segment) for segment in part]
    while trimmed and not trimmed[-1]:
        trimmed.pop()
    return tuple(trimmed)


def _trim_segment(segment: Segment) -> Segment:
    while segment and segment[-1] == _ZERO:
        segment = segment[:-1]
    return segment
