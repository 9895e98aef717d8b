"""The conda part of a relock: everything else stays, and neighbours are freed ring by ring where that is impossible."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from peel.errors import ArtifactError, DocumentError
from peel.model.conda_record import Record, touching
from peel.model.conda_spec import parse_conda_spec, spec_name
from peel.model.moves import constraint_behind, is_moved
from peel.model.patch import Changes, Demand
from peel.model.rings import rings
from peel.tools.dry_run import NoSolution, Solution
from peel.workflow.asker import Asker, CondaWish, State
from peel.workflow.local_channel import WITHOUT

_MOST_TRIED: Final = 8
"""How many moved packages are tried one by one, whether they can stay after all."""

_MOST_TOLD: Final = 5


def relock_conda(wish: CondaWish, asker: Asker) -> dict[str, Record]:
    """What is there afterwards, by name: as little else as possible is another than before.

    Raises DocumentError for what is asked in vain or cannot be had, with the solver's own explanation; ArtifactError
    where that may be for a channel that cannot be read.
    """
    _refuse_dependants(wish)
    _refuse_settled(wish)
    if not wish.changes.demands:  # nothing has to be found
        return {name: record for name, record in wish.before.items() if name not in wish.changes.leaving}
    attempts = _Attempts(wish, asker)
    after = attempts.try_with(frozenset())
    if after is not None:
        return after
    touched = _touched_by_new(wish, asker)
    for number, free in enumerate(rings(_changing(wish), touched, touching(wish.before)), start=1):
        asker.progress.step(f"relocking {wish.label}: not with all else as it is; freeing ring {number} ({len(free)})")
        after = attempts.try_with(free)
        if after is not None:
            return _with_fewest_moves(wish, attempts, after)
    raise _impossible(wish, attempts.explanation, asker)


@dataclass
class _Attempts:
    """What was tried: which packages were free in vain, and why the last attempt failed."""

    wish: CondaWish
    asker: Asker
    explanation: tuple[str, ...] = ()
    failed: list[frozenset[str]] = field(default_factory=list)

    def try_with(self, free: frozenset[str]) -> dict[str, Record] | None:
        """What is there afterwards if these may move, too; None where nothing satisfies."""
        if any(free <= vain for vain in self.failed):
            return None
        solved = self.asker.ask(_specs(self.wish, free), _installed(self.wish))
        after = _settle(self.wish, solved) if isinstance(solved, Solution) else solved
        if isinstance(after, NoSolution):
            self.failed.append(free)
            self.explanation = after.explanation
            return None
        return after


def _changing(wish: CondaWish) -> frozenset[str]:
    """What a patch names, as far as it is there."""
    return (frozenset(demand.name for demand in wish.changes.demands) | wish.changes.leaving) & wish.before.keys()


def _installed(wish: CondaWish) -> Sequence[Record]:
    """What the solver finds installed: not what leaves, nor what must not stay though its spec would let it."""
    gone = wish.changes.leaving | {demand.name for demand in wish.changes.raised if _admits(demand, wish.before)}
    return [record for name, record in sorted(wish.before.items()) if name not in gone]


def _specs(wish: CondaWish, free: frozenset[str]) -> Sequence[str]:
    """All that the environment is to hold: pinned, unless it is free or asked for."""
    changing = _changing(wish)
    held = [
        spec
        for name, record in sorted(wish.before.items())
        if name not in changing
        for spec in (wish.freely.get(name, (name,)) if name in free else (record.pin,))
    ]
    leaving = wish.changes.leaving | wish.banned
    return [*_demanded(wish), *held, *(f"{WITHOUT}{name}" for name in sorted(leaving))]


def _demanded(wish: CondaWish) -> Sequence[str]:
    specs = [demand.spec for demand in wish.changes.demands]
    at_least = [wish.before[demand.name] for demand in wish.changes.raised if _admits(demand, wish.before)]
    return [*specs, *(f"{record.name} >={record.version}" for record in at_least)]


def _admits(demand: Demand, before: State) -> bool:
    """Whether what is there satisfies what is asked for, as far as that can be told here."""
    record = before.get(demand.name)
    return record is not None and parse_conda_spec(demand.spec).allows(record.version, record.build)


def _settle(wish: CondaWish, solution: Solution) -> dict[str, Record] | NoSolution:
    """The state after a solution; what would only be installed again, from another place, stays as it is locked."""
    after = {name: record for name, record in wish.before.items() if name not in wish.changes.leaving}
    for record in solution.link:
        old = wish.before.get(record.name)
        if not record.name.startswith(WITHOUT) and (old is None or old.identity != record.identity):
            after[record.name] = record
    for demand in wish.changes.raised:
        old = wish.before[demand.name]
        if not after[demand.name].is_newer_than(old):
            return NoSolution((f"nothing newer than {old.name} {old.shown} goes with what stays",))
    return after


def _touched_by_new(wish: CondaWish, asker: Asker) -> frozenset[str]:
    """What the new versions have to do with, as they are where nothing else is.

    Raises DocumentError when not even then they can be had.
    """
    outcome = asker.ask(_demanded(wish), (), alone=True)
    if isinstance(outcome, Solution):
        found = {record.name: record for record in outcome.link}
        stale = [d.name for d in wish.changes.raised if not _is_raised(wish.before[d.name], found.get(d.name))]
        if not stale:
            return frozenset(name for record in outcome.link for name in record.touches)
        old = wish.before[stale[0]]
        outcome = NoSolution((f"the newest {old.name} to be had is not newer than {old.shown}",))
    raise _impossible(wish, outcome.explanation, asker)


def _is_raised(old: Record, new: Record | None) -> bool:
    return new is None or new.is_newer_than(old)  # not every solver tells of what it would not install


def _with_fewest_moves(wish: CondaWish, attempts: _Attempts, after: dict[str, Record]) -> dict[str, Record]:
    """The same with as many neighbours as they were as can be found out by trying, when they are few."""
    moved = _moved(wish, after)
    if len(moved) > _MOST_TRIED:
        forced = frozenset(name for name in moved if constraint_behind(name, wish.before, after))
        return attempts.try_with(forced) or after
    for name in sorted(moved):
        if name in moved and (better := attempts.try_with(moved - {name})) is not None:
            after, moved = better, _moved(wish, better)
    return after


def _moved(wish: CondaWish, after: State) -> frozenset[str]:
    """The neighbours that are others afterwards."""
    there = after.keys() & wish.before.keys() - _changing(wish)
    return frozenset(name for name in there if is_moved(name, wish.before, after))


def _refuse_dependants(wish: CondaWish) -> None:
    """What is removed must not be needed by what stays as it is."""
    staying = {n: r for n, r in wish.before.items() if n not in _changing(wish)}
    for demand in wish.changes.removed:
        users = sorted(name for name, record in staying.items() if demand.name in record.needs)
        if users:
            raise DocumentError(
                f"patch {demand.patch!r} removes {demand.name} from {wish.label}, and {_listed(users)} "
                f"{'depends' if len(users) == 1 else 'depend'} on it",
                hint=f"remove {'that' if len(users) == 1 else 'those'} as well, or replace {demand.name} by another",
            )


def _refuse_settled(wish: CondaWish) -> None:
    """A package is not replaced by what is there already."""
    for one in wish.changes.replaced:
        spec = parse_conda_spec(one.by.spec)
        if one.by.name == one.name and not spec.other and _admits(one.by, wish.before):
            raise DocumentError(
                f"patch {one.by.patch!r} replaces {one.name} by {one.by.spec} in {wish.label}, "
                f"where it is {wish.before[one.name].shown} already",
                hint="take the line out, or ask for another version or build",
            )


def _listed(names: Sequence[str]) -> str:
    shown = ", ".join(names[:_MOST_TOLD])
    return f"{shown} and {len(names) - _MOST_TOLD} more" if len(names) > _MOST_TOLD else shown


def _impossible(wish: CondaWish, explanation: Sequence[str], asker: Asker) -> DocumentError | ArtifactError:
    demands = wish.changes.demands
    patches = ", ".join(repr(name) for name in sorted({demand.patch for demand in demands}))
    wanted = " and ".join(f"{demand.spec!r}" for demand in demands)
    lines = "".join(f"\n  {line}" for line in _plain(explanation))
    said = f"patch {patches} asks for {wanted} in {wish.label}, which cannot be had whatever else moves"
    if asker.unread is not None:
        return ArtifactError(
            f"{asker.unread.message}\nand of what is at hand, {said}; the solver says:{lines}", hint=asker.unread.hint
        )
    held = sorted(spec for name, specs in wish.freely.items() if name in wish.before for spec in specs)
    also = f"; the environment itself asks for {_listed(held)}" if held else ""
    return DocumentError(
        f"{said}; the solver says:{lines}",
        hint=f"ask for another version, or replace or remove what stands in its way{also}",
    )


def _plain(explanation: Sequence[str]) -> Iterator[str]:
    """The solver's words, where peel's own stand-ins are called what they mean."""
    yield from (line.replace(WITHOUT, "no ") for line in explanation if line.strip())


def free_specs(before: State, asked: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """By name, what a package of ``before`` keeps to when it may move: of ``asked``, what it keeps to now."""
    found: dict[str, tuple[str, ...]] = {}
    for text in asked:
        bare = text.rpartition("::")[2]  # it may come from an archive
        record = before.get(spec_name(bare))
        try:
            keeps = record is not None and parse_conda_spec(bare).allows(record.version, record.build)
        except DocumentError:
            continue
        if record is not None and keeps and bare.strip() != record.name:
            found[record.name] = (*found.get(record.name, ()), bare.strip())
    return found


def without_settled(changes: Changes, before: State, held: Sequence[Demand]) -> Changes:
    """The changes without what an earlier patch raised already, far enough for this one."""
    names = {demand.name for demand in held}
    left = tuple(d for d in changes.raised if not (d.name in names and _admits(d, before)))
    return replace(changes, raised=left)
