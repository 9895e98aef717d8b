"""How two JSON documents differ, value by value."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

_MOST_SHOWN: Final = 80
_ABSENT: Final = object()


@dataclass(frozen=True, slots=True)
class ValueApart:
    """A value that differs: where, as ``config.Labels.title`` or ``history[3].comment``, and both, for people."""

    place: str
    ours: str
    theirs: str


def values_apart(ours: Any, theirs: Any, place: str = "") -> Iterator[ValueApart]:
    """Every place at which the other document differs, by name; lists are compared position by position."""
    if isinstance(ours, dict) and isinstance(theirs, dict):
        for key in sorted(ours.keys() | theirs.keys()):
            yield from values_apart(
                ours.get(key, _ABSENT), theirs.get(key, _ABSENT), f"{place}.{key}" if place else key
            )
    elif isinstance(ours, list) and isinstance(theirs, list):
        for number in range(max(len(ours), len(theirs))):
            yield from values_apart(_at(ours, number), _at(theirs, number), f"{place}[{number}]")
    elif type(ours) is not type(theirs) or ours != theirs:
        yield ValueApart(place, _shown(ours), _shown(theirs))


def _at(values: list[Any], number: int) -> Any:
    return values[number] if number < len(values) else _ABSENT


def _shown(value: Any) -> str:
    if value is _ABSENT:
        return "nothing"
    text = json.dumps(value, ensure_ascii=False, sort_keys=True)
    return text if len(text) <= _MOST_SHOWN else f"{text[:_MOST_SHOWN]}…"
