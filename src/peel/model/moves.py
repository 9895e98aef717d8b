"""What moved between two states of an environment, and which constraint of which package made it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

from peel.model.conda_record import Record
from peel.model.conda_spec import depends_allow, spec_name
from peel.model.patch import Changes
from peel.model.patch_document import Manager

MoveKind = Literal["raised", "lowered", "rebuilt", "replaced", "added", "removed"]

_Records = Mapping[str, Record]

UNEXPLAINED = "the solver found nothing with it as it was"


@dataclass(frozen=True, slots=True)
class Move:
    """A package that is another afterwards: what it was and is, as ``3.5.0 h1_0``, and why.

    ``replaced`` is one whose place another name takes. ``asked`` says whether a patch named it.
    """

    name: str
    before: str | None
    after: str | None
    reason: str
    kind: MoveKind
    manager: Manager = "conda"
    asked: bool = False


def conda_moves(before: _Records, after: _Records, changes: Changes) -> tuple[Move, ...]:
    """All moves between two states, by name; what a patch asked for comes first."""
    asked = dict(asked_reasons(changes))
    replaced = {one.name for one in changes.replaced if one.by.name != one.name}
    names = [name for name in sorted(before.keys() | after.keys()) if is_moved(name, before, after)]
    moves = [
        Move(
            name, _shown(before, name), _shown(after, name),
            reason=asked.get(name) or constraint_behind(name, before, after) or UNEXPLAINED,
            kind=_kind(name, before, after, replaced), asked=name in asked,
        )
        for name in names
    ]  # fmt: skip
    return tuple(sorted(moves, key=lambda move: (not move.asked, move.name)))


def is_moved(name: str, before: _Records, after: _Records) -> bool:
    """Whether this package is another afterwards, or is on one side only."""
    old, new = before.get(name), after.get(name)
    return (old and old.identity) != (new and new.identity)


def asked_reasons(changes: Changes) -> Iterator[tuple[str, str]]:
    """For every package that a patch names, by name, what it says of it."""
    for one in changes.replaced:
        yield one.name, f"{one.by.spec} in place of {one.name} asked for by patch {one.by.patch}"
    for demand in changes.demands:
        yield demand.name, f"{demand.spec} asked for by patch {demand.patch}"
    for demand in changes.removed:
        yield demand.name, f"to be removed by patch {demand.patch}"


def constraint_behind(name: str, before: _Records, after: _Records) -> str:
    """The constraint that a package could not stay with, or that brought it; "" when there is none to be seen."""
    old = before.get(name)
    found = _needed(name, before, after) if old is None else _forced(old, before, after)
    return next(found, "")


def _needed(name: str, before: _Records, after: _Records) -> Iterator[str]:
    """Who depends on what is new; first those that are themselves new."""
    users = sorted((not is_moved(each, before, after), each) for each, user in after.items() if name in user.needs)
    for _, each in users:
        user = after[each]
        yield from (f"{_named(user)} depends on {spec}" for spec in user.depends if spec_name(spec) == name)


def _forced(old: Record, before: _Records, after: _Records) -> Iterator[str]:
    """What the old build does not go with, of what is there in the end."""
    for spec in old.depends:
        if (found := spec_name(spec)) in before and not _satisfied(spec, after.get(found)):
            yield f"{_named(old)} depends on {spec}"
    for spec in old.constrains:
        if (found := spec_name(spec)) in after and not _satisfied(spec, after[found]):
            yield f"{_named(old)} goes only with {spec}"
    for user in (after[each] for each in sorted(after) if is_moved(each, before, after)):
        for spec in user.depends:
            if spec_name(spec) == old.name and not _satisfied(spec, old):
                yield f"{_named(user)} depends on {spec}"
        for spec in user.constrains:
            if spec_name(spec) == old.name and not _satisfied(spec, old):
                yield f"{_named(user)} goes only with {spec}"


def _satisfied(spec: str, record: Record | None) -> bool:
    return record is not None and depends_allow(spec, record.version, record.build)


def _named(record: Record) -> str:
    return f"{record.name} {record.version}"


def _shown(records: _Records, name: str) -> str | None:
    return records[name].shown if name in records else None


def _kind(name: str, before: _Records, after: _Records, replaced: set[str]) -> MoveKind:
    old, new = before.get(name), after.get(name)
    if new is None:
        return "replaced" if name in replaced else "removed"
    if old is None:
        return "added"
    if new.is_newer_than(old):
        return "raised" if new.version != old.version else "rebuilt"
    return "lowered" if old.is_newer_than(new) else "rebuilt"
