"""What a patch does to one environment, decided from what packages say of themselves; a build only performs it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from peel.layers.archive import DIRECTORY
from peel.layers.bytecode import pyc_path
from peel.layers.tar import check_path
from peel.model.declared import DeclaredEnvironment
from peel.model.lockset import LockedPackage, PatchedEnvironment
from peel.model.paths import above, ancestors, is_covered, topmost
from peel.model.values import PythonVersion
from peel.workflow.inspect import Inspected
from peel.workflow.owners import Owners, refuse_undecided, shared_paths


@dataclass(frozen=True, slots=True)
class Item:
    """A package that is there: ``omit`` are paths that it leaves to others. An imported image's has no archive."""

    inspected: Inspected
    omit: frozenset[str] = frozenset()
    archived: bool = True

    @property
    def files(self) -> Iterator[str]:
        """The paths of all that it brings, relative to the prefix, without directories."""
        return (path for path in _files(self.inspected) if path not in self.omit)


@dataclass(frozen=True, slots=True)
class Above:
    """What lies above all packages, relative to the prefix: files ``held`` by glue and patches, paths ``removed``."""

    held: frozenset[str] = frozenset()
    removed: frozenset[str] = frozenset()

    def covers(self, path: str) -> bool:
        """Whether what a package has at this path is not to be seen."""
        return path in self.held or is_covered(path, self.removed)


@dataclass(frozen=True, slots=True)
class Change:
    """One environment before a patch and after it. ``added`` are by name, as all packages are.

    ``removed`` are names of packages that go, or come in another build. ``pythons`` are those before and after.
    ``own`` is what this patch itself puts above the packages; ``above`` is all that is there in the end, this included.
    ``beneath`` gives the paths that the base holds beneath the prefix and no patch took away; of an ``imported`` image
    that is everything but what patches brought, and there is no bytecode but its own.
    ``modes`` reads the modes of a package's files, by path.
    """

    environment: DeclaredEnvironment
    before: Mapping[str, Item]
    removed: frozenset[str]
    added: Mapping[str, Inspected]
    pythons: tuple[PythonVersion | None, PythonVersion | None]
    own: Above
    above: Above
    beneath: Callable[[], Collection[str]]
    modes: Callable[[Inspected], Mapping[str, int]]
    origin: str
    imported: bool = False

    @property
    def staying(self) -> Mapping[str, Item]:
        """Packages that nothing happens to."""
        return {name: item for name, item in self.before.items() if name not in self.removed}


def decide_change(change: Change) -> PatchedEnvironment:
    """What the patch layer does to the environment.

    Raises ArtifactError where packages clobber each other, and for paths that no layer can hold.
    """
    settled = _settle(change)
    kept, gone = _kept(change, settled), _gone(change, settled)
    others = (path for found in (settled.restored, settled.yielded) for paths in found.values() for path in paths)
    for path in (*kept, *gone, *others):
        check_path(path)
    return PatchedEnvironment(
        removed=tuple(sorted(change.removed)),
        added=tuple(_pinned(item, settled.omit[name]) for name, item in sorted(change.added.items())),
        python=str(change.pythons[1]) if change.pythons[1] else None,
        gone=tuple(gone),
        kept=tuple(kept),
        restored={name: tuple(sorted(paths)) for name, paths in sorted(settled.restored.items())},
        yielded={name: tuple(sorted(paths)) for name, paths in sorted(settled.yielded.items())},
    )


def bytecode_behind(own: Above, files: Collection[str], python: PythonVersion | None) -> set[str]:
    """The bytecode of packages' sources that a patch replaces or removes: it would be run in their stead."""
    if python is None:
        return set()
    covered = (path for path in own.held | own.removed if path in files and _is_source(path, python))
    return {made for made in (pyc_path(path, python) for path in covered) if not is_covered(made, own.removed)}


@dataclass(frozen=True, slots=True)
class _Settled:
    """Who brings what in the end: ``omit`` is by name, and ``files`` are all paths that are no directories."""

    omit: Mapping[str, frozenset[str]]
    restored: Mapping[str, frozenset[str]]
    yielded: Mapping[str, frozenset[str]]
    files: frozenset[str]
    directories: frozenset[str]


def _settle(change: Change) -> _Settled:
    """Decide on every path. What stays keeps what it has, unless somebody declared that another wins."""
    clobber, staying = change.environment.clobber, change.staying
    found = [*(item.inspected for item in staying.values()), *change.added.values()]
    shared = shared_paths(clobber, found, change.origin)
    owners = {path: clobber.get(path) or _owner(path, names, change) for path, names in shared.items()}
    refuse_undecided(clobber, {path: shared[path] for path in _contested(shared, owners, change)}, change.origin)
    omit: defaultdict[str, set[str]] = defaultdict(set)
    for path, names in shared.items():
        for name in names.keys() - {owners[path]}:
            omit[name].add(path)
    identities = [pair for item in found for pair in item.contents.paths.items()]
    directories = frozenset(path for path, identity in identities if identity == DIRECTORY)
    known = {name: item for name, item in staying.items() if item.archived}
    restored = {name: item.omit - omit[name] - directories for name, item in known.items()}
    yielded = {name: frozenset(omit[name] - item.omit - directories) for name, item in known.items()}
    return _Settled(
        omit=defaultdict(frozenset, {name: frozenset(paths) for name, paths in omit.items()}),
        restored={name: paths for name, paths in restored.items() if paths},
        yielded={name: paths for name, paths in yielded.items() if paths},
        files=frozenset(path for path, identity in identities if identity != DIRECTORY),
        directories=directories,
    )


def _owner(path: str, names: Collection[str], change: Change) -> str:
    """Whose a path is that several packages bring alike: nothing is written again without need."""
    staying = [name for name in names if name not in change.added]
    holding = [name for name in staying if path not in change.before[name].omit]
    return min(holding or [name for name in names if name in change.added] or staying)


def _contested(shared: Owners, owners: Mapping[str, str], change: Change) -> Iterator[str]:
    """The shared paths on which this patch has to decide: the lock did on the others."""
    for path, names in shared.items():
        stays = owners[path] not in change.added and path not in change.before[owners[path]].omit
        if not stays or not names.keys().isdisjoint(change.added):
            yield path


def _kept(change: Change, settled: _Settled) -> Sequence[str]:
    """What lower layers hold as an added package would bring it; directories of nothing else stand for all in them."""
    brought = {
        name: [path for path in _files(item) if path not in settled.omit[name]] for name, item in change.added.items()
    }
    all_brought = {path for found in (brought, settled.restored) for paths in found.values() for path in paths}
    kept = {path for path in all_brought if change.above.covers(path)} | _unchanged(change, brought)
    new_directories = settled.directories - ancestors(path for item in change.before.values() for path in item.files)
    written = all_brought - kept
    living = ancestors(written | new_directories) | new_directories
    return sorted({topmost(path, living) for path in kept})


def _unchanged(change: Change, brought: Mapping[str, Sequence[str]]) -> set[str]:
    """Paths that an added package brings as one of those had them that go: the same contents with the same mode."""
    if change.imported or change.pythons[0] != change.pythons[1]:
        return set()
    owned = {path: name for name in change.removed for path in change.before[name].files}
    pairs: defaultdict[tuple[str, str], set[str]] = defaultdict(set)
    for name, found in brought.items():
        for path in found:
            if path in owned and _is_same(change.before[owned[path]].inspected, change.added[name], path):
                pairs[owned[path], name].add(path)
    same = set()
    for (old, new), paths in pairs.items():
        before, after = change.modes(change.before[old].inspected), change.modes(change.added[new])
        same |= {path for path in paths if before.get(path) == after.get(path)}
    return same


def _is_same(old: Inspected, new: Inspected, path: str) -> bool:
    identity = new.contents.paths[path]
    is_comparable = identity is not None and old.package.manager == new.package.manager
    return is_comparable and old.contents.paths[path] == identity


def _gone(change: Change, settled: _Settled) -> Sequence[str]:
    """Files of which nothing is left, or the highest directories of which nothing is left."""
    files = {path for path in _vanishing(change, settled) if not _is_taken(path, change, settled)}
    folders = {
        path for name in change.removed for path, identity in _paths(change.before[name]) if identity == DIRECTORY
    } - settled.directories - settled.files  # fmt: skip
    if not files and not folders:
        return ()
    empty = {path for path in folders if not _is_taken(path, change, settled)}
    living = _living(change, settled)
    gone = (files | empty) - living  # what became a directory is replaced
    if any(topmost(path, living) not in files for path in gone):  # only where a directory may go is the base looked at
        living |= _of_the_base(change, files)
    found = {topmost(path, living) for path in gone - living}
    return sorted(path for path in found if not any(parent in found for parent in above(path)))


def _vanishing(change: Change, settled: _Settled) -> set[str]:
    """Paths that lower layers hold and nobody brings any more, bytecode included."""
    lost = {path for name in change.removed for path in change.before[name].files} - settled.files
    before = {path for item in change.before.values() for path in _files(item.inspected)}
    if change.imported:
        there = frozenset(change.beneath())
        caches = _caches(there)
        covered = (change.own.held | change.own.removed | settled.files & _files_of(change.added.values())) - lost
        stale = {made for path in lost | covered for made in caches.get(_stem(path), ())}
        patched = {
            path for name in change.removed if change.before[name].archived for path in change.before[name].files
        }
        return (lost & (there | patched)) | stale
    python = change.pythons[0]
    stale = {pyc_path(path, python) for path in lost if python and _is_source(path, python)}
    return lost | stale | bytecode_behind(change.own, before, python)


def _is_taken(path: str, change: Change, settled: _Settled) -> bool:
    """Whether something else is at a path, or it went already with what leads to it."""
    if path in change.above.held or path in settled.files or is_covered(path, change.above.removed):
        return True
    return any(parent in settled.files or parent in change.above.held for parent in above(path))


def _living(change: Change, settled: _Settled) -> set[str]:
    """All directories that packages, glue and patches leave something in."""
    python, removed = change.pythons[1], change.above.removed
    held = change.above.held | change.own.removed  # a whiteout of a file needs its directory, too
    left = [path for path in settled.files if not is_covered(path, removed)] if removed else settled.files
    sources = (path for path in settled.files if python and _is_source(path, python) and not change.above.covers(path))
    caches = {f"{path.rpartition('/')[0]}/__pycache__" for path in sources} if not change.imported else set()
    living = ancestors(path for paths in (left, settled.directories, held, caches) for path in paths)
    return living | caches | settled.directories


def _of_the_base(change: Change, gone: Collection[str]) -> set[str]:
    """All directories that something of the base stays in."""
    left = (path for path in change.beneath() if path not in gone)
    return ancestors(path for path in left if not is_covered(path, change.above.removed))


def _caches(paths: Iterable[str]) -> Mapping[str, Sequence[str]]:
    """The bytecode among these, by the path of its source without its suffix."""
    found: defaultdict[str, list[str]] = defaultdict(list)
    for path in paths:
        folder, slash, name = path.rpartition("/__pycache__/")
        if slash and name.endswith(".pyc"):
            found[f"{folder}/{name.partition('.')[0]}"].append(path)
    return found


def _stem(path: str) -> str:
    """A source without its suffix; what is no source has no bytecode."""
    return path.removesuffix(".py") if path.endswith(".py") else ""


def _pinned(item: Inspected, omit: Collection[str]) -> LockedPackage:
    package = item.package
    return LockedPackage(
        name=package.name, file=package.file_name, sha256=item.digest.hex, size=item.size, omit=tuple(sorted(omit))
    )


def _paths(item: Item) -> Iterable[tuple[str, str | None]]:
    return item.inspected.contents.paths.items()


def _files(item: Inspected) -> Iterator[str]:
    return (path for path, identity in item.contents.paths.items() if identity != DIRECTORY)


def _files_of(items: Iterable[Inspected]) -> set[str]:
    return {path for item in items for path in _files(item)}


def _is_source(path: str, python: PythonVersion) -> bool:
    return path.endswith(".py") and path.startswith(f"lib/python{python}/")
