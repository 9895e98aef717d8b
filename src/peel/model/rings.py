"""Who is how far from a change: the order in which packages are freed when a change cannot do without."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

Graph = Mapping[str, frozenset[str]]
"""By the name of each package, the names of what it depends on or goes only with."""


def dependants(names: Iterable[str], graph: Graph) -> frozenset[str]:
    """Which packages have any of these among what they depend on."""
    wanted = frozenset(names)
    return frozenset(name for name, touched in graph.items() if touched & wanted)


def rings(start: Iterable[str], touched: Iterable[str], graph: Graph) -> Iterator[frozenset[str]]:
    """What may move, a ring further each time, until it is all: names of ``graph`` without those that change anyway.

    The first ring is what depends on the packages in ``start`` and what their new versions have to do with
    (``touched``); each further one adds the neighbours of the one before, in both directions.
    """
    changing = frozenset(start)
    others = {name: found for name, found in graph.items() if name not in changing}
    there = frozenset(others)
    ring = (dependants(changing, others) | frozenset(touched)) & there
    known = frozenset[str]()
    while ring - known:
        yield ring
        known = ring
        below = frozenset(need for name in ring for need in others[name])
        ring |= (dependants(ring, others) | below) & there
    if known != there:
        yield there
