"""The pip part of a relock, by conda-lock: everything else stays, and neighbours are freed only where they must be."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

from peel.errors import DocumentError
from peel.model.conda_record import Record
from peel.model.condalock import parse_conda_lock
from peel.model.declared import DeclaredEnvironment
from peel.model.patch import Changes, Demand
from peel.model.progress import Progress
from peel.model.rings import rings
from peel.model.wheel_fit import is_newer, satisfies
from peel.model.wheel_moves import Entries, needs
from peel.store.documents import parse_plain
from peel.store.files import writing
from peel.tools.conda_lock import CondaLock, NoWheelsError, Request
from peel.workflow.local_channel import file_name_of, write_channel
from peel.workflow.solve import without_secrets

_MOST_TRIED: Final = 4
"""How many moved wheels are tried one by one, whether they can stay after all: each takes conda-lock some seconds."""


@dataclass(frozen=True, slots=True)
class WheelWish:
    """What is asked of one environment's wheels on one platform; ``before`` is what is there, by normalized name.

    ``conda`` are the conda packages as they are to stay. ``have`` gives the archives of locked wheels by name.
    ``freely`` are the requirements that a wheel keeps to once it may move.
    """

    label: str
    environment: DeclaredEnvironment
    platform: str
    glibc: str
    conda: Mapping[str, Record]
    before: Entries
    changes: Changes
    freely: Mapping[str, tuple[str, ...]]
    have: Callable[[Sequence[str]], Mapping[str, Path]]
    banned: frozenset[str] = frozenset()
    """What earlier patches took away, and what must not come back."""


def relock_wheels(wish: WheelWish, conda_lock: CondaLock, work: Path, progress: Progress) -> dict[str, Any]:
    """What wheels are there afterwards, by name: as few others as possible are other than before.

    Raises DocumentError for what cannot be had, with conda-lock's explanation.
    """
    _refuse_settled(wish)
    if not wish.changes.demands:
        return {name: entry for name, entry in wish.before.items() if name not in wish.changes.leaving}
    attempts = _Attempts(wish, conda_lock, work)
    after = attempts.try_with(frozenset())
    if after is not None:
        return after
    graph = {name: frozenset(needs(entry)) for name, entry in wish.before.items()}
    touched = frozenset(need for name in _changing(wish) for need in graph[name])
    for number, free in enumerate(rings(_changing(wish), touched, graph), start=1):
        progress.step(f"relocking the wheels of {wish.label}: freeing ring {number} ({len(free)})")
        after = attempts.try_with(free)
        if after is not None:
            return _with_fewest_moves(wish, attempts, after)
    raise _impossible(wish, attempts.explanation)


@dataclass
class _Attempts:
    """What was tried: which wheels were free in vain, and why the last attempt failed."""

    wish: WheelWish
    conda_lock: CondaLock
    work: Path
    explanation: tuple[str, ...] = ()
    failed: list[frozenset[str]] = field(default_factory=list)
    _count: int = 0

    def try_with(self, free: frozenset[str]) -> dict[str, Any] | None:
        """What is there afterwards if these may move, too; None where nothing satisfies."""
        if any(free <= vain for vain in self.failed):
            return None
        try:
            after = self._lock(free)
        except NoWheelsError as error:
            self.explanation = error.explanation
        else:
            problem = _problem(self.wish, after)
            if not problem:
                return after
            self.explanation = (problem,)
        self.failed.append(free)
        return None

    def _lock(self, free: frozenset[str]) -> dict[str, Any]:
        self._count += 1
        directory = self.work / f"wheels-{self._count}"
        directory.mkdir(parents=True)
        wish, kept = self.wish, _kept(self.wish, free)
        request = Request(_environment(wish, free, directory), {wish.platform: wish.glibc})
        inside = directory / "lock"
        inside.mkdir()
        data = without_secrets(self.conda_lock.lock(request, inside), self.conda_lock.secrets, wish.environment)
        found = _wheels_in(data, wish)
        return {**found, **{name: wish.before[name] for name in kept}}


def _kept(wish: WheelWish, free: frozenset[str]) -> Sequence[str]:
    """The wheels that stay as they are."""
    return sorted(wish.before.keys() - _changing(wish) - free)


def _changing(wish: WheelWish) -> frozenset[str]:
    return (frozenset(demand.name for demand in wish.changes.demands) | wish.changes.leaving) & wish.before.keys()


def _environment(wish: WheelWish, free: frozenset[str], directory: Path) -> DeclaredEnvironment:
    """An environment that holds the conda packages as they are, and the wheels that stay by their very files."""
    records = list(wish.conda.values())
    if "pip" not in wish.conda:  # conda-lock asks for it where there are wheels; it is not kept
        records.append(Record("pip", "1", "0", 0, "noarch", "pip-1-0.conda", md5="0" * 32, sha256="0" * 64))
    channel = write_channel(directory / "channel", records, wish.platform)
    freed = [
        spec
        for name in sorted((wish.before.keys() & free) - _changing(wish))
        for spec in wish.freely.get(name, (name,))
    ]
    pip = [*map(_requirement(wish), wish.changes.demands), *freed, *_references(wish, free, directory)]
    pins = tuple(record.pin for _, record in sorted(wish.conda.items()))
    return wish.environment.model_copy(update={"channels": (channel,), "dependencies": pins, "pip": tuple(pip)})


def _requirement(wish: WheelWish) -> Callable[[Demand], str]:
    """A demand as conda-lock takes it; what is to be raised must be newer than it is."""
    raised = {demand.name for demand in wish.changes.raised}

    def written(demand: Demand) -> str:
        if demand.name not in raised:
            return demand.spec
        requirement = Requirement(demand.spec)
        requirement.specifier &= f">{str(wish.before[demand.name]['version']).partition('+')[0]}"
        return str(requirement)

    return written


def _references(wish: WheelWish, free: frozenset[str], directory: Path) -> Sequence[str]:
    """Direct references (PEP 508) to the files of the wheels that stay, under their real names."""
    kept = _kept(wish, free)
    references = []
    for name, path in sorted(wish.have(kept).items()):
        folder = directory / "files" / name
        folder.mkdir(parents=True)
        linked = folder / file_name_of(str(wish.before[name]["url"]))
        _link(path, linked)
        references.append(f"{name} @ {linked.as_uri()}")
    return references


def _link(path: Path, target: Path) -> None:
    """Have a file under another name; no symbolic link, since conda-lock would see where it leads."""
    with writing(target):
        try:
            os.link(path, target)
        except OSError:
            shutil.copyfile(path, target)


def _wheels_in(data: bytes, wish: WheelWish) -> dict[str, Any]:
    """The wheels of a lock, those that are what they were as they were locked."""
    document = parse_plain(data, "conda-lock.yml")
    parse_conda_lock(document, f"the wheels of {wish.label}")
    entries = {
        canonicalize_name(entry["name"]): entry
        for entry in document["package"]
        if entry["manager"] == "pip" and entry["platform"] == wish.platform
    }
    return {name: _as_locked(entry, wish.before.get(name)) for name, entry in entries.items()}


def _as_locked(entry: Any, old: Mapping[str, Any] | None) -> Any:
    same = old is not None and old["hash"].get("sha256") == entry["hash"].get("sha256")
    return old if same else entry


def _problem(wish: WheelWish, after: Entries) -> str:
    """Why this is not what was asked for, "" when it is."""
    for demand in wish.changes.raised:
        old = str(wish.before[demand.name]["version"])
        if demand.name not in after or not is_newer(str(after[demand.name]["version"]), old):
            return f"nothing newer than {demand.name} {old} can be had"
    back = sorted((wish.changes.leaving | wish.banned) & after.keys())
    return f"something still requires {back[0]}" if back else ""


def _with_fewest_moves(wish: WheelWish, attempts: _Attempts, after: dict[str, Any]) -> dict[str, Any]:
    """The same with as many neighbours as they were as can be found out by trying, when they are few."""
    moved = _moved(wish, after)
    for name in sorted(moved) if len(moved) <= _MOST_TRIED else ():
        if name in moved and (better := attempts.try_with(moved - {name})) is not None:
            after, moved = better, _moved(wish, better)
    return after


def _moved(wish: WheelWish, after: Entries) -> frozenset[str]:
    names = (wish.before.keys() & after.keys()) - _changing(wish)
    return frozenset(name for name in names if wish.before[name] != after[name])


def _refuse_settled(wish: WheelWish) -> None:
    """A wheel is not replaced by what is there already."""
    for one in wish.changes.replaced:
        there = str(wish.before[one.name]["version"])
        if one.by.name == one.name and satisfies(one.by.spec, there):
            raise DocumentError(
                f"patch {one.by.patch!r} replaces {one.name} by {one.by.spec} in {wish.label}, "
                f"where it is {there} already",
                hint="take the line out, or ask for another version",
            )


def _impossible(wish: WheelWish, explanation: Sequence[str]) -> DocumentError:
    patches = ", ".join(repr(name) for name in sorted({demand.patch for demand in wish.changes.demands}))
    wanted = " and ".join(f"{demand.spec!r}" for demand in wish.changes.demands)
    lines = "".join(f"\n  {line}" for line in explanation)
    return DocumentError(
        f"patch {patches} asks for the wheels {wanted} in {wish.label}, which cannot be had whatever other wheels "
        f"move; conda-lock says:{lines}",
        hint="ask for another version, or raise what stands in its way, under packages if that is conda's",
    )


def without_settled_wheels(changes: Changes, before: Entries, held: Sequence[Demand]) -> Changes:
    """The changes without what an earlier patch raised already, far enough for this one."""
    names = {demand.name for demand in held}
    left = tuple(
        d for d in changes.raised if not (d.name in names and satisfies(d.spec, str(before[d.name]["version"])))
    )
    return replace(changes, raised=left)


def free_requirements(before: Entries, asked: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """By name, what a wheel of ``before`` keeps to when it may move: of ``asked``, what it keeps to now."""
    found: dict[str, tuple[str, ...]] = {}
    for text in asked:
        try:
            name = canonicalize_name(Requirement(text).name)
        except InvalidRequirement:
            continue
        if name in before and satisfies(text, str(before[name]["version"])):
            found[name] = (*found.get(name, ()), text)
    return found
