"""A lock set as a build takes it: the image's lock joined with conda-lock's files, and what patches made of them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Literal

from peel.errors import DocumentError
from peel.model.condalock import CondaLockPackage
from peel.model.declared import refuse_contradictions
from peel.model.lockset import (
    LOCK_FILE,
    ImageLock,
    LockedPackage,
    LockedPatch,
    PatchedEnvironment,
    SupersededPackage,
)
from peel.model.values import Digest, ImageRef, Platform

_TOUCHED = "one file of the lock set was changed without the other: take both from version control, or lock again"


@dataclass(frozen=True, slots=True)
class Package:
    """A locked package with all that a build needs of it. ``size`` is the archive's, in bytes."""

    manager: Literal["conda", "pip"]
    name: str
    version: str
    file_name: str
    url: str
    digest: Digest
    size: int
    depends: tuple[str, ...]
    omit: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class PackageGroup:
    """A group with its packages in full."""

    name: str
    packages: tuple[Package, ...]


@dataclass(frozen=True, slots=True)
class EnvironmentPatch:
    """What one patch layer does to one environment; paths are relative to the prefix.

    ``restored`` are packages that stay and are recorded anew, with the paths they bring now that they did not before.
    ``packages`` are all that the environment consists of afterwards, without those of an imported image.
    """

    environment: str
    removed: tuple[str, ...]
    added: tuple[Package, ...]
    python: str | None
    gone: tuple[str, ...]
    kept: tuple[str, ...]
    restored: tuple[tuple[Package, tuple[str, ...]], ...]
    packages: tuple[Package, ...]


@dataclass(frozen=True, slots=True)
class FilePatch:
    """A file that a patch brings, with its bytes; or, without them, one that it removes."""

    path: str
    data: bytes | None
    mode: int = 0o644


@dataclass(frozen=True, slots=True)
class Patch:
    """A patch of one platform, in full."""

    locked: LockedPatch
    environments: tuple[EnvironmentPatch, ...]
    files: tuple[FilePatch, ...]


@dataclass(frozen=True, slots=True)
class LockSet:
    """A whole lock set: the image's lock, and the groups and patches of every platform joined with it."""

    ref: ImageRef
    lock: ImageLock
    groups: Mapping[tuple[str, str], tuple[PackageGroup, ...]]
    """By platform and environment: the layers beneath all patches."""
    installed: Mapping[tuple[str, str], tuple[CondaLockPackage, ...]]
    """By platform and environment: what is there in the end, as conda-lock's files have it."""
    patches: Mapping[str, tuple[Patch, ...]] = field(default_factory=dict)
    """By platform, lowest layer first."""
    attached: Mapping[str, bytes] = field(default_factory=dict)
    """The contents of the files that payloads bring, by sha256."""

    def unpatched(self, platform: Platform, environment: str) -> Sequence[Package]:
        """The packages of an environment's layers beneath all patches, in their order."""
        return [package for group in self.groups[platform.subdir, environment] for package in group.packages]

    def packages(self, platform: Platform, environment: str) -> Sequence[Package]:
        """The packages that an environment consists of in the end, in the order of their layers.

        What an imported image holds is not among them: see ``installed``.
        """
        for patch in reversed(self.patches.get(platform.subdir, ())):
            for change in patch.environments:
                if change.environment == environment:
                    return change.packages
        return self.unpatched(platform, environment)


def join(
    ref: ImageRef,
    lock: ImageLock,
    locks: Mapping[str, Sequence[CondaLockPackage]],
    origin: str,
    *,
    files: Mapping[str, bytes] | None = None,
) -> LockSet:
    """Put an image's lock and conda-lock's files together; ``locks`` is by environment, ``files`` by sha256.

    Raises DocumentError where they do not hold the same packages with the same hashes, or the lock is another's.
    """
    refuse_contradictions(lock.declared, origin)
    _refuse_missing_artifacts(lock, origin)
    _refuse_gaps(lock, origin)
    if (lock.image, lock.tag) != (ref.image, ref.tag):
        raise DocumentError(
            f"{origin}: is the lock of {lock.image}:{lock.tag}, not of {ref}",
            hint="a lock set belongs where it was made; lock the new tag instead of copying an old one",
        )
    places = [(platform, name) for platform, environments in lock.layers.items() for name in environments]
    known = {place: _Known(lock, locks, place, f"{origin}: {place[0]}: {place[1]}") for place in places}
    groups = {
        place: tuple(
            PackageGroup(group.name, known[place].packages(group.packages)) for group in lock.layers[place[0]][place[1]]
        )
        for place in places
    }
    states = {place: {p.name: p for group in groups[place] for p in group.packages} for place in places}
    patches = {
        platform: tuple(_patch(locked, platform, known, states, files or {}, origin) for locked in lock.patches)
        for platform in lock.layers
    }
    for place in places:
        known[place].refuse_unaccounted(states[place].values())
    installed = {place: tuple(known[place].installed) for place in places}
    return LockSet(ref, lock, groups, installed, patches, _attached(lock, files or {}, origin))


@dataclass(frozen=True)
class _Known:
    """What is known of the packages of one platform and environment, from conda-lock's file and the image's lock."""

    lock: ImageLock
    locks: Mapping[str, Sequence[CondaLockPackage]]
    place: tuple[str, str]
    origin: str

    @cached_property
    def installed(self) -> Sequence[CondaLockPackage]:
        """What conda-lock's file holds."""
        return [package for package in self.locks[self.place[1]] if package.platform == self.place[0]]

    @cached_property
    def _by_file(self) -> Mapping[str, CondaLockPackage]:
        return {package.file_name: package for package in self.installed}

    def packages(self, pinned: Sequence[LockedPackage]) -> tuple[Package, ...]:
        """These packages in full. Raises DocumentError for one that stands nowhere, or with another hash."""
        platform, environment = self.place
        superseded = {old.file: old for old in self.lock.superseded.get(platform, {}).get(environment, ())}
        return tuple(self._package(one, self._by_file.get(one.file), superseded.get(one.file)) for one in pinned)

    def _package(self, pinned: LockedPackage, found: CondaLockPackage | None, old: SupersededPackage | None) -> Package:
        if found is not None and found.hash.sha256 in {None, pinned.sha256}:
            return _make_package(pinned, found.manager, found.name, found.version, found.url, found.dependencies)
        if old is not None and old.sha256 == pinned.sha256:  # another channel's may have the same name
            return _make_package(pinned, old.manager, old.name, old.version, old.url, old.depends)
        if found is not None or old is not None:
            raise DocumentError(f"{self.origin}: {pinned.file} has another sha256 in conda-lock's file", hint=_TOUCHED)
        raise DocumentError(
            f"{self.origin}: {pinned.file} is in {LOCK_FILE} but not in conda-lock's file", hint=_TOUCHED
        )

    def refuse_unaccounted(self, state: Iterable[Package]) -> None:
        """Raise DocumentError unless conda-lock's file holds what the layers give in the end, and nothing else."""
        there, given = {p.file_name for p in self.installed}, {p.file_name for p in state}
        if gone := sorted(given - there):
            raise DocumentError(
                f"{self.origin}: {gone[0]} is in the image in the end, but not in conda-lock's file", hint=_TOUCHED
            )
        if (more := sorted(there - given)) and not self.lock.imported:
            raise DocumentError(f"{self.origin}: {more[0]} is in no layer of {LOCK_FILE}", hint=_TOUCHED)


def _attached(lock: ImageLock, files: Mapping[str, bytes], origin: str) -> Mapping[str, bytes]:
    """What payloads bring beside packages. Raises DocumentError for what is missing or another."""
    found = {}
    for environment in lock.declared.environments:
        for attachment in environment.attached.values():
            data = files.get(attachment.sha256)
            if data is None or len(data) != attachment.size or Digest.of(data).hex != attachment.sha256:
                raise DocumentError(
                    f"{origin}: the contents of {attachment.name} of {environment.name!r} are missing or changed",
                    hint=_TOUCHED,
                )
            found[attachment.sha256] = data
    return found


def _make_package(
    pinned: LockedPackage,
    manager: Literal["conda", "pip"],
    name: str,
    version: str,
    url: str,
    depends: Iterable[str],
) -> Package:
    return Package(
        manager=manager, name=name, version=version, file_name=pinned.file, url=url,
        digest=Digest.from_hex(pinned.sha256), size=pinned.size, depends=tuple(depends), omit=pinned.omit,
    )  # fmt: skip


def _refuse_missing_artifacts(lock: ImageLock, origin: str) -> None:
    missing = [item for environments in lock.missing.values() for found in environments.values() for item in found]
    if missing:
        more = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
        raise DocumentError(
            f"{origin}: is incomplete: an import could not have {missing[0].name} {missing[0].version}{more}",
            hint="import it again when the artifacts can be had, for example from an archive",
        )


def _refuse_gaps(lock: ImageLock, origin: str) -> None:
    """Every platform has a base and every environment its layers, and no package comes twice."""
    environments = {environment.name for environment in lock.declared.environments}
    if not set(lock.declared.platforms) == lock.base.keys() == lock.layers.keys():
        raise DocumentError(f"{origin}: platforms, bases and layers are not of the same platforms", hint=_TOUCHED)
    for platform, layers in lock.layers.items():
        if layers.keys() != environments:
            raise DocumentError(f"{origin}: {platform}: layers are not of the declared environments", hint=_TOUCHED)
        captured = {environment.name for environment in lock.declared.environments if environment.is_captured}
        if lock.captured.get(platform, {}).keys() != captured:
            raise DocumentError(f"{origin}: {platform}: what was captured is not what is declared", hint=_TOUCHED)
        for name, groups in layers.items():
            names = [package.name for group in groups for package in group.packages]
            if len(names) != len(set(names)):
                raise DocumentError(f"{origin}: {platform}: {name}: a package stands in two layers", hint=_TOUCHED)


def _patch(
    locked: LockedPatch,
    platform: str,
    known: Mapping[tuple[str, str], _Known],
    states: Mapping[tuple[str, str], dict[str, Package]],
    files: Mapping[str, bytes],
    origin: str,
) -> Patch:
    """A patch in full; ``states`` moves on to what is there after it."""
    changes = []
    for name, change in sorted(locked.environments.get(platform, {}).items()):
        if (platform, name) not in known:
            raise DocumentError(f"{origin}: patch {locked.name!r} is of an unknown environment {name!r}", hint=_TOUCHED)
        changes.append(_change(name, change, known[platform, name], states[platform, name], f"patch {locked.name!r}"))
    return Patch(locked, tuple(changes), tuple(_files(locked, files, origin)))


def _change(
    name: str, change: PatchedEnvironment, known: _Known, state: dict[str, Package], patch: str
) -> EnvironmentPatch:
    for gone in change.removed:
        if state.pop(gone, None) is None and not known.lock.imported:
            raise DocumentError(f"{known.origin}: {patch} removes {gone!r}, which is not there", hint=_TOUCHED)
    added = known.packages(change.added)
    if twice := sorted({package.name for package in added} & state.keys()):
        raise DocumentError(f"{known.origin}: {patch} adds {twice[0]!r}, which is there", hint=_TOUCHED)
    state.update({package.name: package for package in added})
    others = change.restored.keys() | change.yielded.keys()
    if unknown := sorted(others - (state.keys() - {package.name for package in added})):
        raise DocumentError(
            f"{known.origin}: {patch} restores {unknown[0]!r}, which is not there before", hint=_TOUCHED
        )
    restored = tuple(_restored(state, other, change) for other in sorted(others))
    return EnvironmentPatch(
        name, change.removed, added, change.python, change.gone, change.kept, restored, tuple(state.values())
    )


def _restored(state: dict[str, Package], name: str, change: PatchedEnvironment) -> tuple[Package, tuple[str, ...]]:
    """A package that stays and brings other paths now, which the state learns; and the paths that it did not bring."""
    paths, package = change.restored.get(name, ()), state[name]
    omit = (set(package.omit) - set(paths)) | set(change.yielded.get(name, ()))
    state[name] = replace(package, omit=tuple(sorted(omit)))
    return state[name], paths


def _files(locked: LockedPatch, files: Mapping[str, bytes], origin: str) -> Iterator[FilePatch]:
    for file in locked.files:
        data = files.get(file.sha256)
        if data is None or len(data) != file.size or Digest.of(data).hex != file.sha256:
            raise DocumentError(
                f"{origin}: the contents of {file.path} of patch {locked.name!r} are missing or changed", hint=_TOUCHED
            )
        yield FilePatch(file.path, data, file.mode)
    yield from (FilePatch(path, None) for path in locked.removed_files)
