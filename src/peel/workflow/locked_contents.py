"""One side of ``peel diff``: a lock set, as far as its own documents and the store tell, without any solving.

``image.lock.yaml`` alone says which packages there are, and what decides every layer; conda-lock's files, which take
long to read, are needed where an image was imported.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Final, Literal
from urllib.parse import quote

from peel.errors import DocumentError
from peel.model.condalock import CondaLockPackage, Hashes
from peel.model.contents import (
    BaseContents,
    Contents,
    EnvironmentContents,
    LayerContents,
    Present,
    flatten_declared,
    flatten_settings,
)
from peel.model.locked import join
from peel.model.lockset import FILES, ImageLock, LockedPackage, RecordedImage
from peel.model.oci import BaseImage, ImageSettings
from peel.model.plan import Plan, layer_key, make_plan
from peel.model.values import Digest, ImageRef, Platform
from peel.store.base import load_base
from peel.store.catalogue import Catalogue
from peel.store.store import Store

_PINNED_ELSEWHERE: Final = Hashes()

if TYPE_CHECKING:
    from peel.layers.image_files import ImageFiles
    from peel.layers.layer_stream import ImageLayer


@dataclass(frozen=True, slots=True)
class Manner:
    """How two sides are compared.

    ``declared``: by what both lock sets declare of launching, not by configs; ``keys``: by what layers are made from,
    since one is not built; ``same_base``: two lock sets have one base, which so need not be read.
    """

    declared: bool
    keys: bool
    same_base: bool


@dataclass(frozen=True, slots=True)
class LockedSide:
    """A lock set of one platform; its record, its base and the store where they are at hand."""

    ref: ImageRef
    platform: Platform
    lock: ImageLock
    recorded: RecordedImage | None
    base: BaseImage | None
    catalogue: Catalogue
    store: Store | None

    @property
    def name(self) -> str:
        """What people call it."""
        return str(self.ref)

    @property
    def is_whole(self) -> bool:
        """Whether an image can be made of it: not of an incomplete import."""
        return not self.lock.missing and self.platform.subdir in self.lock.base

    @property
    def pinned(self) -> BaseContents | None:
        """The base by reference and digest, where one is pinned."""
        found = self.lock.base.get(self.platform.subdir)
        return BaseContents(self.lock.declared.base, found.digest) if found else None

    def readable(self) -> Sequence[ImageLayer] | None:
        """The base's layers, to be read; None where they are not at hand."""
        from peel.layers.layer_stream import ImageLayer  # noqa: PLC0415 - two lock sets of one base need none

        if self.base is None or self.store is None:
            return None
        return [ImageLayer(blob, partial(self.store.blobs.open, blob.digest)) for blob in self.base.layers]

    def contents(self, manner: Manner, taken: ImageFiles | None) -> Contents:
        """What it consists of; ``taken`` are the records in its base's layers. Raises DocumentError, ArtifactError."""
        layers = _layers(self, keys=manner.keys)
        system = () if manner.same_base else _system(taken)
        return Contents(
            name=self.name,
            environments=_environments(self),
            base=self.pinned,
            system=system,
            launch=flatten_declared(self.lock.declared) if manner.declared else None,
            config={} if manner.declared else _config(self),
            config_whole=self.base is not None,
            layers=layers,
            files=_files(self),
            unknown=tuple(_unknown(self, manner, layers, no_system=taken is not None and system is None)),
        )


def _system(taken: ImageFiles | None) -> tuple[Present, ...] | None:
    from peel.workflow.image_records import system_of  # noqa: PLC0415 - as above

    return system_of(taken) if taken else None


def _unknown(
    side: LockedSide, manner: Manner, layers: Sequence[LayerContents] | None, *, no_system: bool
) -> Iterator[str]:
    """Why something is not known, a sentence each."""
    base = side.pinned.text if side.pinned else "that was imported"
    if layers is None:
        yield f"{side.ref} is an incomplete import, so its layers are not known"
    elif side.recorded is None and any(layer.size is None for layer in layers if layer.contents != "base"):
        yield f"{side.ref} is not built, so only those of its layers have a known size that the store has"
    if side.base is None and not manner.same_base:
        yield f"the base {base} is not in the store, so its system packages and the sizes of its layers are not known"
    elif no_system:
        yield f"the base {base} has no database of dpkg or rpm that peel reads"


def open_locked(ref: ImageRef, platform: Platform, catalogue: Catalogue, store: Store | None) -> LockedSide:
    """A lock set to be compared. Raises DocumentError when it is not locked, not for the platform, or bad."""
    lock = catalogue.image_lock(ref)
    if platform.subdir not in lock.declared.platforms:
        known = ", ".join(sorted(lock.declared.platforms))
        raise DocumentError(f"{ref} is not locked for {platform}", hint=f"name one with --platform: {known}")
    record, pinned = catalogue.record(ref), lock.base.get(platform.subdir)
    base = load_base(store.blobs, Digest(pinned.digest), origin=lock.declared.base) if store and pinned else None
    return LockedSide(
        ref, platform, lock, record.platforms.get(platform.subdir) if record else None, base, catalogue, store
    )


def _environments(side: LockedSide) -> tuple[EnvironmentContents, ...]:
    """What every environment consists of in the end."""
    imported = bool(side.lock.imported or side.lock.missing)
    read = _imported_packages if imported else _packages
    return tuple(
        EnvironmentContents(environment.name, environment.prefix, tuple(read(side, environment.name)))
        for environment in side.lock.declared.environments
    )


def _packages(side: LockedSide, environment: str) -> Iterator[Present]:
    return (_present(package) for package in _in_the_end(side.lock, side.platform.subdir, environment))


def _imported_packages(side: LockedSide, environment: str) -> Iterator[Present]:
    """What conda-lock's file holds, and what an import could not have."""
    known = set()
    for package in side.catalogue.conda_lock(side.ref, environment):
        if package.platform == side.platform.subdir:
            known.add(package.name)
            _, build = _version_and_build(package.file_name)
            yield Present(package.name, package.version, build, package.manager, package.hash.sha256 or "")
    for missing in side.lock.missing.get(side.platform.subdir, {}).get(environment, ()):
        if missing.name not in known:
            yield Present(missing.name, missing.version, missing.build, missing.manager, missing.sha256)


def _in_the_end(lock: ImageLock, platform: str, environment: str) -> Sequence[LockedPackage]:
    """The pinned packages of all layers, after what patches took away and brought."""
    groups = lock.layers.get(platform, {}).get(environment, ())
    there = {package.name: package for group in groups for package in group.packages}
    for patch in lock.patches:
        if change := patch.environments.get(platform, {}).get(environment):
            for name in change.removed:
                there.pop(name, None)
            there.update({package.name: package for package in change.added})
    return list(there.values())


def _present(package: LockedPackage) -> Present:
    return Present(package.name, *_version_and_build(package.file), _manager(package.file), package.sha256)


def _manager(file_name: str) -> Literal["conda", "pip"]:
    return "pip" if file_name.endswith(".whl") else "conda"


def _version_and_build(file_name: str) -> tuple[str, str]:
    """What an archive's name says: ``NAME-VERSION-BUILD`` of conda's, ``NAME-VERSION-TAGS`` of a wheel."""
    if file_name.endswith(".whl"):
        return (*file_name.split("-"), "")[1], ""
    parts = file_name.removesuffix(".conda").removesuffix(".tar.bz2").rsplit("-", 2)
    return (parts[1], parts[2]) if len(parts) == 3 else (parts[-1], "")


def _layers(side: LockedSide, *, keys: bool) -> tuple[LayerContents, ...] | None:
    """All layers, the base's first; with ``keys``, those of packages are also known by what they are made from.

    None for an incomplete import.
    """
    if not side.is_whole:
        return None
    plan = make_thin_plan(side) if keys or side.recorded is None else None
    return (*_base_layers(side), *(_recorded_layers(side, plan) if side.recorded else _planned_layers(side, plan)))


def _base_layers(side: LockedSide) -> Iterator[LayerContents]:
    pinned = side.lock.base[side.platform.subdir]
    for number in range(pinned.layers):
        names, size = {f"layer {number} of {pinned.digest}"}, None
        if side.base is not None and number < len(side.base.layers):
            blob = side.base.layers[number]
            names, size = {*names, str(blob.digest)}, blob.size
        yield LayerContents(frozenset(names), size, "base")


def _recorded_layers(side: LockedSide, plan: Plan | None) -> Iterator[LayerContents]:
    layers = side.recorded.layers if side.recorded else ()
    keys = [str(layer_key(step, plan)) for step in plan.layers] if plan else []
    for number, layer in enumerate(layers):
        key = {f"key {keys[number]}"} if len(keys) == len(layers) else set()
        yield LayerContents(frozenset({layer.digest, *key}), layer.size, layer.contents)


def _planned_layers(side: LockedSide, plan: Plan | None) -> Iterator[LayerContents]:
    for step in plan.layers if plan else ():
        key = layer_key(step, plan)  # type: ignore[arg-type]
        made = side.store.layer(key) if side.store else None
        names = {f"key {key}", *([str(made.blob.digest)] if made else [])}
        yield LayerContents(frozenset(names), made.blob.size if made else None, step.contents)


def make_thin_plan(side: LockedSide) -> Plan:
    """The plan without what only conda-lock's files know; its layers have the keys, and its settings, of the real one.

    Raises DocumentError for a lock that contradicts itself.
    """
    lock, origin = side.lock, f"lockfiles/{side.ref.image}/{side.ref.tag}"
    locks = {
        environment.name: [
            _entry(package, platform)
            for platform in lock.layers
            for package in _in_the_end(lock, platform, environment.name)
        ]
        for environment in lock.declared.environments
    }
    return make_plan(join(side.ref, lock, locks, origin, files=_contents(side)), side.platform)


def _entry(package: LockedPackage, platform: str) -> CondaLockPackage:
    version, _ = _version_and_build(package.file)
    return CondaLockPackage.model_construct(
        name=package.name, version=version, manager=_manager(package.file), platform=platform,
        url=f"file:///{quote(package.file)}", hash=_PINNED_ELSEWHERE, dependencies={},
    )  # fmt: skip


def _contents(side: LockedSide) -> Mapping[str, bytes]:
    """What the lock set keeps beside its documents, by sha256."""
    if not side.lock.contents:
        return {}
    files = side.catalogue.read_lock_set(side.ref)
    return {name.removeprefix(f"{FILES}/"): data for name, data in files.items() if name.startswith(f"{FILES}/")}


def _files(side: LockedSide) -> Mapping[str, str]:
    """The paths that patches bring or remove beside packages, and what became of each."""
    found: dict[str, str] = {}
    for patch in side.lock.patches:
        found.update((file.path, f"sha256:{file.sha256} {file.mode:04o}") for file in patch.files)
        found.update(dict.fromkeys(patch.removed_files, "removed"))
    return found


def _config(side: LockedSide) -> Mapping[str, str]:
    """What the image's config would say; without the base at hand, only what the plan itself sets."""
    ours = make_thin_plan(side).settings if side.is_whole else ImageSettings()
    return flatten_settings(ours.over(side.base.config.settings) if side.base else ours)
