"""What moved between two states of an environment's wheels, and why."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from packaging.utils import canonicalize_name

from peel.model.moves import UNEXPLAINED, Move, MoveKind, asked_reasons
from peel.model.patch import Changes
from peel.model.wheel_fit import allowed_by, is_newer

Entries = Mapping[str, Mapping[str, Any]]
"""conda-lock's entries of wheels, by normalized name."""


def wheel_moves(before: Entries, after: Entries, changes: Changes) -> tuple[Move, ...]:
    """All moves between two states, by name; what a patch asked for comes first."""
    asked = dict(asked_reasons(changes))
    replaced = {one.name for one in changes.replaced if one.by.name != one.name}
    names = [name for name in sorted(before.keys() | after.keys()) if before.get(name) != after.get(name)]
    moves = [
        Move(
            name, _version(before, name), _version(after, name),
            reason=asked.get(name) or next(_constraints(name, before, after), UNEXPLAINED),
            kind=_kind(name, before, after, replaced), manager="pip", asked=name in asked,
        )
        for name in names
    ]  # fmt: skip
    return tuple(sorted(moves, key=lambda move: (not move.asked, move.name)))


def needs(entry: Mapping[str, Any]) -> dict[str, str]:
    """What a wheel depends on, by normalized name, as conda-lock wrote it."""
    return {canonicalize_name(name): str(spec) for name, spec in sorted(entry.get("dependencies", {}).items())}


def _constraints(name: str, before: Entries, after: Entries) -> Iterator[str]:
    """What a wheel could not stay with, or what needs it."""
    old = before.get(name)
    for other, spec in needs(old).items() if old else ():
        if other in after and not allowed_by(spec, str(after[other]["version"])):
            yield f"{name} {_version(before, name)} requires {other} {spec}"
    for other, entry in sorted(after.items()):
        asked = needs(entry).get(name)
        if asked is not None and (old is None or not allowed_by(asked, str(old["version"]))):
            yield f"{other} {entry['version']} requires {name} {asked}".rstrip(" *")


def _version(entries: Entries, name: str) -> str | None:
    return str(entries[name]["version"]) if name in entries else None


def _kind(name: str, before: Entries, after: Entries, replaced: set[str]) -> MoveKind:
    old, new = _version(before, name), _version(after, name)
    if new is None:
        return "replaced" if name in replaced else "removed"
    if old is None:
        return "added"
    return "rebuilt" if new == old else "raised" if is_newer(new, old) else "lowered"
