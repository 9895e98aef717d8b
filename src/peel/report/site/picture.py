"""Sizes as bars: where everything lies is computed here, what it looks like is the style sheet's."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

from peel.console import human_size
from peel.report.site.split import shortened

Kind = Literal["shared", "new"]

WIDTH: Final = 720
_LEFT: Final = 200
_RIGHT: Final = 610
_ROW: Final = 26
_LABEL: Final = 26
"""How many characters fit left of a bar."""


@dataclass(frozen=True, slots=True)
class Bar:
    """One row: bytes that are shared and bytes that are new; ``told`` stands where there are none."""

    label: str
    shared: int
    new: int
    told: str = ""


@dataclass(frozen=True, slots=True)
class Segment:
    """A rectangle, in the picture's units."""

    kind: Kind
    x: float
    width: float


@dataclass(frozen=True, slots=True)
class Row:
    """A bar with its label left and its size right; ``y`` is its top."""

    label: str
    y: int
    segments: tuple[Segment, ...]
    told: str
    told_x: float


@dataclass(frozen=True, slots=True)
class Picture:
    """What the template ``site/bars.html`` draws; ``description`` says in words what is to be seen."""

    name: str
    title: str
    description: str
    shared: str
    new: str
    height: int
    rows: tuple[Row, ...]


def draw_bars(name: str, bars: Sequence[Bar], *, title: str, description: str, shared: str, new: str) -> Picture | None:
    """A picture on one scale, or None where no size is known. ``shared`` and ``new`` name the two kinds of bytes."""
    most = max((bar.shared + bar.new for bar in bars), default=0)
    if not most:
        return None
    rows = tuple(_row(bar, number * _ROW, most) for number, bar in enumerate(bars))
    return Picture(name, title, description, shared, new, len(rows) * _ROW, rows)


def _row(bar: Bar, y: int, most: int) -> Row:
    middle = _LEFT + _scaled(bar.shared, most)
    end = round(middle + _scaled(bar.new, most), 1)
    segments: list[Segment] = []
    if bar.shared:
        segments.append(Segment("shared", _LEFT, round(middle - _LEFT, 1)))
    if bar.new:
        segments.append(Segment("new", round(middle, 1), round(end - middle, 1)))
    told = human_size(bar.shared + bar.new) if segments else bar.told
    return Row(shortened(bar.label, _LABEL), y, tuple(segments), told, end + 8)


def _scaled(size: int, most: int) -> float:
    return size * (_RIGHT - _LEFT) / most
