"""One patch, put upon a draft: relocked, read, decided, and written down as a layer of its own."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

from peel.errors import DocumentError
from peel.model.condalock import CondaLockPackage
from peel.model.declared import DeclaredEnvironment
from peel.model.locked import LockSet, Package
from peel.model.lockset import LockedPatch, PatchedEnvironment, PatchedFile
from peel.model.patch_document import DeclaredPatch
from peel.model.paths import is_covered
from peel.model.values import Digest, Platform, PythonVersion
from peel.workflow.capturing.paths import captured_paths
from peel.workflow.draft import Draft, Place, parse_entries, superseded_by
from peel.workflow.inspect import Inspected, python_of, refuse_link_scripts, refuse_long_prefix
from peel.workflow.lock import FORMATS, locked_compression
from peel.workflow.lock_entries import Entry
from peel.workflow.patch_files import Lower, check_files, refuse_swallowed
from peel.workflow.patch_packages import Moved, changes_of, relock_all
from peel.workflow.patched_environment import Change, Item, decide_change
from peel.workflow.surface import Surface, surface_of
from peel.workflow.workbench import Workbench

_NEEDED = {"lab": "jupyterlab", "payload": "ipykernel"}


@dataclass(frozen=True, slots=True)
class Applied:
    """What came of a patch. ``newest`` is when the newest package that it brings was built, in seconds."""

    draft: Draft
    moves: tuple[Moved, ...]
    newest: int


def apply_patch(draft: Draft, patch: DeclaredPatch, earlier: Sequence[DeclaredPatch], bench: Workbench) -> Applied:
    """Put a patch upon a draft, as one more layer; ``earlier`` are those that were put upon it before.

    Raises DocumentError for what a patch asks in vain, or that would change nothing; ArtifactError for packages that
    cannot be had, or cannot go together.
    """
    own = Surface().under(patch.contents, patch.declaration.remove_files)
    refuse_swallowed(own, [each.prefix for each in draft.lock.declared.environments], patch.origin)
    changes = changes_of(patch, draft)
    after, moves = relock_all(draft, changes, earlier, bench.relock)
    step = _Step(draft, _declared(after, patch, changes), draft.locks(), patch, own, bench)
    decided = {place: step.decide(place) for place in draft.places if step.is_touched(place)}
    step.check_files(decided)
    locked = _locked_patch(patch, {place: found.change for place, found in decided.items()}, draft)
    if not (any(locked.environments.values()) or locked.files or locked.removed_files):
        raise DocumentError(
            f"{patch.origin}: changes nothing: all that it asks for is so already", hint="leave the patch out"
        )
    newest = max([0, *(item.contents.timestamp or 0 for found in decided.values() for item in found.added.values())])
    return Applied(step.finish(decided, locked), moves, newest)


def _declared(draft: Draft, patch: DeclaredPatch, changes: Collection[str]) -> Draft:
    """What a patch decides about clobbers and link scripts becomes part of what is declared."""
    declared, said = draft.lock.declared, patch.declaration
    environments = tuple(
        each.model_copy(
            update={
                "clobber": {**each.clobber, **said.clobber},
                "skip_link_scripts": {**each.skip_link_scripts, **said.skip_link_scripts},
            }
        )
        if each.name in changes
        else each
        for each in declared.environments
    )
    return draft.with_lock(declared=declared.model_copy(update={"environments": environments}))


def _locked_patch(patch: DeclaredPatch, decided: Mapping[Place, PatchedEnvironment], draft: Draft) -> LockedPatch:
    """The patch as the lock has it; environments that nothing happens to are not named."""
    environments: dict[str, dict[str, PatchedEnvironment]] = {
        platform: {
            name: change
            for (there, name), change in decided.items()
            if there == platform and change != PatchedEnvironment(removed=(), added=(), python=change.python)
        }
        for platform in draft.lock.declared.platforms
    }
    modes = {file.path: file.permissions for file in patch.declaration.files}
    files = tuple(
        PatchedFile(path=path, sha256=Digest.of(data).hex, size=len(data), mode=modes[path])
        for path, data in sorted(patch.contents.items())
    )
    return LockedPatch(
        name=patch.name, formats=FORMATS, compression=locked_compression(draft.lock.declared),
        environments={platform: found for platform, found in environments.items() if found},
        files=files, removed_files=tuple(sorted(patch.declaration.remove_files)),
    )  # fmt: skip


@dataclass(frozen=True, slots=True)
class _Decided:
    """What happens to one environment of one platform.

    ``environment`` is what is declared of it in the end, ``gone`` are packages that are superseded, and ``paths`` all
    that its packages bring in the end.
    """

    environment: DeclaredEnvironment
    change: PatchedEnvironment
    added: Mapping[str, Inspected]
    gone: tuple[Package, ...]
    paths: frozenset[str]


@dataclass(frozen=True, slots=True)
class _Step:
    """A draft before a patch, and after it as far as packages are known; ``locks`` are those before."""

    before: Draft
    after: Draft
    locks: LockSet
    patch: DeclaredPatch
    own: Surface
    bench: Workbench

    def is_touched(self, place: Place) -> bool:
        """Whether anything happens to an environment of a platform."""
        prefix = self.after.environment(place[1]).prefix
        return self.own.touches(prefix) or self.before.entries_at(place) != self.after.entries_at(place)

    def decide(self, place: Place) -> _Decided:
        """What happens to it. Raises DocumentError and ArtifactError for what cannot be."""
        platform, name = place
        environment, beneath = self.after.environment(name), self.bench.beneath(self.before, platform)
        origin = f"{name} on {platform}"
        there, then = self.locks.installed[place], parse_entries(self.after.entries_at(place), origin)
        pythons, twice = (python_of(there), python_of(then)), _twice(there) | _twice(then)
        packages = {_key(package, twice): package for package in then}
        before = self._items(place, environment, pythons[0], twice)
        removed = frozenset(each for each, item in before.items() if not _stays(item, packages.get(each), pythons))
        _refuse_crippled(environment, before, packages, self.patch.origin)
        fresh = [package for each, package in packages.items() if each not in before or each in removed]
        added = {_key(item.package, twice): item for item in self.bench.reader.read(fresh, pythons[1])}
        refuse_link_scripts(environment, list(added.values()), origin)
        refuse_long_prefix(environment, list(added.values()), origin)
        brought = [*(item.inspected for each, item in before.items() if each not in removed), *added.values()]
        environment = _founded(environment, self.patch.declaration.clobber, brought)
        change = Change(
            environment, before, removed, added, pythons,
            own=self.own.within(environment.prefix),
            above=self._above(platform).within(environment.prefix),
            beneath=partial(self._beneath, place, environment.prefix),
            modes=partial(self.bench.reader.modes, python=pythons[0]),
            origin=origin, imported=beneath.imported,
        )  # fmt: skip
        if beneath.imported:
            files = [f"{environment.prefix}/{path}" for item in added.values() for path in item.contents.paths]
            beneath.warn_of_changed(files, origin)
        gone = tuple(each for each in self.locks.packages(Platform(platform), name) if each.name in removed)
        paths = frozenset(path for item in brought for path in item.contents.paths)
        return _Decided(environment, decide_change(change), added, gone, paths)

    def _items(
        self, place: Place, environment: DeclaredEnvironment, python: PythonVersion | None, twice: Collection[str]
    ) -> Mapping[str, Item]:
        """What is there before: from archives, or of an imported image as its records have it."""
        beneath = self.bench.beneath(self.before, place[0])
        known = {package.file_name: package for package in self.locks.packages(Platform(place[0]), place[1])}
        there = self.locks.installed[place]
        read = self.bench.reader.read([package for package in there if package.file_name in known], python)
        items = {_key(item.package, twice): Item(item, frozenset(known[item.package.file_name].omit)) for item in read}
        for package in there:
            if package.file_name not in known:
                recorded = beneath.recorded(environment.prefix, package).inspected(package, python)
                items[_key(package, twice)] = Item(recorded, archived=False)
        return items

    def _beneath(self, place: Place, prefix: str) -> Collection[str]:
        """What the base holds beneath a prefix, but for what earlier patches took away."""
        platform, name = place
        changes = [patch.environments.get(platform, {}).get(name) for patch in self.before.lock.patches]
        gone = {path for change in changes if change for path in change.gone}
        there = self.bench.beneath(self.before, platform).within(prefix)
        return {path for path in there if not is_covered(path, gone)} if gone else there

    def _above(self, platform: str) -> Surface:
        """All that lies above packages with the patch."""
        declared = self.patch.declaration
        return surface_of(self.locks, Platform(platform)).under(self.patch.contents, declared.remove_files)

    def check_files(self, decided: Mapping[Place, _Decided]) -> None:
        """See that what the patch brings beside packages can lie there, and that what it removes is there.

        Raises DocumentError and ArtifactError naming the path.
        """
        if not (self.own.held or self.own.removed):
            return
        for platform in self.before.lock.declared.platforms:
            packaged = {
                self.before.environment(name).prefix: found.paths
                for (there, name), found in decided.items()
                if there == platform
            } | self._captured(platform)
            surface, beneath = surface_of(self.locks, Platform(platform)), self.bench.beneath(self.before, platform)
            check_files(self.own, Lower(surface, packaged, beneath), f"{self.patch.origin}: for {platform}")

    def _captured(self, platform: str) -> dict[str, Collection[str]]:
        """The paths of captured environments that the patch's files touch, by prefix."""
        lock, bench = self.before.lock, self.bench
        return {
            each.prefix: captured_paths(lock, platform, each.name, each.prefix, bench.store, bench.sources)
            for each in lock.declared.environments
            if each.is_captured and self.own.touches(each.prefix)
        }

    def finish(self, decided: Mapping[Place, _Decided], locked: LockedPatch) -> Draft:
        """The draft with the patch on top."""
        contents = {Digest.of(data).hex: data for data in self.patch.contents.values()}
        done = replace(self.after, contents={**self.before.contents, **contents})
        superseded = {platform: dict(places) for platform, places in self.before.lock.superseded.items()}
        environments = {each.name: each for each in self.after.lock.declared.environments}
        for (platform, name), found in decided.items():
            done = done.with_entries((platform, name), _hashed(done.entries_at((platform, name)), found.added))
            there = parse_entries(done.entries_at((platform, name)), name)
            old = superseded.get(platform, {}).get(name, ())
            superseded.setdefault(platform, {})[name] = superseded_by(old, found.gone, there)
            environments[name] = found.environment
        declared = done.lock.declared.model_copy(update={"environments": tuple(environments.values())})
        kept = {
            platform: {name: found for name, found in places.items() if found}
            for platform, places in superseded.items()
        }
        return done.with_lock(
            declared=declared, patches=(*self.before.lock.patches, locked),
            superseded={platform: found for platform, found in kept.items() if found},
        )  # fmt: skip


def _twice(packages: Sequence[CondaLockPackage]) -> set[str]:
    """Names that both a conda package and a wheel have, as somebody's image may have it."""
    names = [package.name for package in packages]
    return {name for name in names if names.count(name) > 1} if len(set(names)) < len(names) else set()


def _key(package: CondaLockPackage, twice: Collection[str]) -> str:
    """What a package goes by: its name, unless a conda package has that."""
    return f"{package.name} (wheel)" if package.manager == "pip" and package.name in twice else package.name


def _stays(
    item: Item, after: CondaLockPackage | None, pythons: tuple[PythonVersion | None, PythonVersion | None]
) -> bool:
    """Whether nothing happens to a package: the same archive, and no file of it depends on another Python."""
    before, contents = item.inspected.package, item.inspected.contents
    if after is None or after.manager != before.manager:
        return False
    hashes = before.hash.sha256 or item.inspected.digest.hex, after.hash.sha256
    if hashes[0] != hashes[1] and before != after:
        return False
    homes = tuple(f"lib/python{python}/" for python in pythons)
    return pythons[0] == pythons[1] or not (
        contents.for_python or any(path.startswith(homes) for path in contents.paths)
    )


def _refuse_crippled(
    environment: DeclaredEnvironment, before: Collection[str], after: Collection[str], origin: str
) -> None:
    """The lab must keep JupyterLab, and a payload what its kernel starts with. Raises DocumentError."""
    needed = _NEEDED.get(environment.role, "")
    if needed in before and needed not in after:
        raise DocumentError(
            f"{origin}: takes {needed} out of {environment.name!r}, which cannot start without it",
            hint="choose a change that leaves it there",
        )


def _founded(
    environment: DeclaredEnvironment, said: Mapping[str, str], brought: Sequence[Inspected]
) -> DeclaredEnvironment:
    """The environment without what was once decided in favour of packages that do not bring the path any more."""
    paths = {item.package.name: item.contents.paths for item in brought}
    clobber = {
        path: winner for path, winner in environment.clobber.items() if path in said or path in paths.get(winner, ())
    }
    return environment.model_copy(update={"clobber": clobber})


def _hashed(entries: Sequence[Entry], added: Mapping[str, Inspected]) -> Sequence[Entry]:
    """The entries, every added one with its sha256: a channel may not have given one."""
    return [
        {**entry, "hash": {**entry["hash"], "sha256": added[entry["name"]].digest.hex}}
        if entry["name"] in added and not entry["hash"].get("sha256")
        else entry
        for entry in entries
    ]
