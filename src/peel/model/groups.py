"""Which packages share a layer.

Python and the largest packages have layers of their own; the rest is dealt out by name, so that a change of one package
moves no other. A group that the previous lock of the image had is kept as it was.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

MAX_LAYERS: Final = 100
"""Of a whole image, base included: old buildahs cannot mount many more (127 run everywhere)."""

_MOST_PER_ENVIRONMENT = 24
_FEWEST_PER_ENVIRONMENT = 3
_SHARED = 8
_LARGE = 4 * 2**20  # bytes; below this a layer of its own costs a puller more than it saves


@dataclass(frozen=True, slots=True)
class Sized:
    """A package's name and its archive's size in bytes: all that grouping looks at."""

    name: str
    size: int


def budget(base_layers: int, environments: int) -> int:
    """How many layers each environment may have; one is kept for the glue."""
    free = MAX_LAYERS - base_layers - 1
    return max(_FEWEST_PER_ENVIRONMENT, min(_MOST_PER_ENVIRONMENT, free // environments))


def make_groups(
    packages: Iterable[Sized], *, limit: int, previous: Mapping[str, str] | None = None
) -> Sequence[tuple[str, tuple[str, ...]]]:
    """Groups in the order of their layers: each its name and the sorted names of its packages.

    ``previous`` maps a package's name to the group it was in. The order is python, packages of their own by name,
    shared groups by number.
    """
    shared = min(_SHARED, max(1, limit - 2))
    known = dict(previous or {})
    ordered = sorted(packages, key=lambda package: (-package.size, package.name))
    alone = _alone(ordered, known, limit - shared)
    groups: defaultdict[str, list[str]] = defaultdict(list)
    for package in ordered:
        groups[package.name if package.name in alone else _shared_group(package.name, shared)].append(package.name)
    return [(name, tuple(sorted(groups[name]))) for name in sorted(groups, key=_layer_order)]


def _alone(ordered: Sequence[Sized], known: Mapping[str, str], room: int) -> frozenset[str]:
    """The names that get a layer each: python, those that had one, then the largest there is room for."""
    names = [package.name for package in ordered]
    first = [name for name in names if name == "python"]
    had = [name for name in names if known.get(name) == name and name not in first]
    large = [p.name for p in ordered if p.size >= _LARGE and known.get(p.name, p.name) == p.name]
    return frozenset(list(dict.fromkeys([*first, *had, *large]))[:room])


def _shared_group(name: str, shared: int) -> str:
    # no package's name holds a slash, so none is mistaken for a shared group
    return f"shared/{int.from_bytes(hashlib.sha256(name.encode()).digest()[:4]) % shared}"


def _layer_order(group: str) -> tuple[int, str]:
    return (0 if group == "python" else 2 if group.startswith("shared/") else 1, group)
