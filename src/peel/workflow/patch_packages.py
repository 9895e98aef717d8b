"""The packages that a patch names, relocked in every environment of every platform that has them."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace

from peel.errors import DocumentError
from peel.model.moves import Move, conda_moves
from peel.model.patch import Changes, Installed, PackageChange, asked_of, changes_for, normalized
from peel.model.patch_document import DeclaredPatch, Manager
from peel.model.resolve import LAB
from peel.model.wheel_moves import wheel_moves
from peel.store.store import Store
from peel.workflow.draft import Draft
from peel.workflow.local_channel import locked_record
from peel.workflow.lock_entries import Entry
from peel.workflow.relock import Relocked, Wish

Relock = Callable[[Wish], Relocked]
"""Solves one environment of one platform."""


@dataclass(frozen=True, slots=True)
class Moved:
    """A package that moved in one environment of one platform."""

    platform: str
    environment: str
    move: Move


def changes_of(patch: DeclaredPatch, draft: Draft) -> Mapping[str, PackageChange]:
    """What a patch asks of each environment that it touches, by name.

    Raises DocumentError as ``changes_for`` does, and for an environment that is captured: nobody knows its packages.
    """
    captured = {each.name: each.kind for each in draft.lock.declared.environments if each.is_captured}
    for name in patch.declaration.environments or ():
        if name in captured:
            raise DocumentError(
                f"{patch.origin}: environments: {name!r} was captured from a payload of kind {captured[name]}, "
                "and has no packages to change",
                hint="bring or remove files, or change the payload and lock another tag",
            )
    return changes_for(patch, installed(draft))


def installed(draft: Draft) -> Installed:
    """The names of all that is there, by environment and manager, on whichever platform."""
    managers: tuple[Manager, ...] = ("conda", "pip")
    return {
        name: {manager: {entry["name"] for entry in entries if entry["manager"] == manager} for manager in managers}
        for name, entries in draft.entries.items()
    }


def relock_all(
    draft: Draft, changes: Mapping[str, PackageChange], earlier: Sequence[DeclaredPatch], relock: Relock
) -> tuple[Draft, tuple[Moved, ...]]:
    """Solve every environment that a patch names packages of, on every platform; ``earlier`` patches still hold."""
    after, moves = draft, list[Moved]()
    for place in draft.places:
        platform, name = place
        there = draft.entries_at(place)
        if name in changes and (change := _narrowed(changes[name], there)):
            glibc, held = draft.lock.base[platform].glibc, _held(name, there, earlier)
            found = relock(Wish(draft.environment(name), platform, glibc, there, change, held))
            after = after.with_entries(place, found.entries)
            moves += [Moved(platform, name, move) for move in found.moves]
    return after, tuple(moves)


def lab_moves(before: Draft, after: Draft, lab: str, store: Store) -> tuple[Moved, ...]:
    """What another lab brings, and takes away."""
    reason, moves = f"as in the lab of {lab}", list[Moved]()
    for platform in before.lock.declared.platforms:
        old, new = before.entries_at((platform, LAB)), after.entries_at((platform, LAB))
        conda = [
            {e["name"]: locked_record(e, store.blobs) for e in found if e["manager"] == "conda"} for found in (old, new)
        ]
        wheels = [{e["name"]: e for e in found if e["manager"] == "pip"} for found in (old, new)]
        found = (*conda_moves(conda[0], conda[1], Changes()), *wheel_moves(wheels[0], wheels[1], Changes()))
        moves += [Moved(platform, LAB, replace(move, reason=reason, asked=True)) for move in found]
    return tuple(moves)


def _narrowed(change: PackageChange, there: Sequence[Entry]) -> PackageChange:
    """What of it concerns a platform where these packages are: not every one has all that another has."""
    conda, wheels = _names(there, "conda"), _names(there, "pip")
    return PackageChange(_of_these(change.conda, conda), _of_these(change.wheels, wheels))


def _of_these(changes: Changes, names: Collection[str]) -> Changes:
    return Changes(
        raised=tuple(each for each in changes.raised if each.name in names),
        replaced=tuple(each for each in changes.replaced if each.name in names),
        added=tuple(each for each in changes.added if each.name not in names),
        removed=tuple(each for each in changes.removed if each.name in names),
    )


def _held(environment: str, there: Sequence[Entry], earlier: Sequence[DeclaredPatch]) -> PackageChange:
    """What patches before this one asked of the environment, as far as it still is so."""
    concerned = [p for p in earlier if p.declaration.environments is None or environment in p.declaration.environments]
    conda = [_still(asked_of(patch, "conda"), _names(there, "conda")) for patch in concerned]
    wheels = [_still(asked_of(patch, "pip"), _names(there, "pip")) for patch in concerned]
    return PackageChange(_together(conda), _together(wheels))


def _still(changes: Changes, names: Collection[str]) -> Changes:
    return Changes(
        raised=tuple(each for each in changes.raised if each.name in names),
        replaced=tuple(each for each in changes.replaced if each.by.name in names),
        added=tuple(each for each in changes.added if each.name in names),
        removed=tuple(each for each in changes.removed if each.name not in names),
    )


def _together(found: Sequence[Changes]) -> Changes:
    return Changes(
        raised=tuple(each for changes in found for each in changes.raised),
        replaced=tuple(each for changes in found for each in changes.replaced),
        added=tuple(each for changes in found for each in changes.added),
        removed=tuple(each for changes in found for each in changes.removed),
    )


def _names(there: Sequence[Entry], manager: Manager) -> Collection[str]:
    return {normalized(entry["name"], manager) for entry in there if entry["manager"] == manager}
