"""Folding patches into the layers that they change: what ``replace`` does instead of laying a layer on top."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from peel.model.lockset import ImageLock, LockedPatch, PatchedEnvironment
from peel.workflow.draft import Draft, Place, parse_entries
from peel.workflow.inspect import Inspected, python_of
from peel.workflow.packages import PackageReader
from peel.workflow.patched_environment import bytecode_behind
from peel.workflow.pin import pin_layers
from peel.workflow.surface import Surface


def fold_patches(draft: Draft, previous: ImageLock, reader: PackageReader) -> Draft:
    """The same packages and files, every package in an ordinary layer; groups of the previous lock are taken over.

    Environments whose packages no patch changed keep their groups to the letter. What patches bring or remove beside
    packages stays a layer on top. Raises ArtifactError where packages clobber each other.
    """
    changed = {
        name for patch in draft.lock.patches for place in patch.environments.values() for name in _changed(place)
    }
    found = {place: _read(draft, place, reader) for place in draft.places if place[1] in changed}
    layers = pin_layers(draft.lock.declared, draft.lock.base, found, previous)
    patches = [_without_packages(patch, draft, changed, found) for patch in draft.lock.patches]
    return draft.with_lock(
        layers=layers, superseded={}, patches=tuple(patch for patch in patches if patch.files or patch.removed_files)
    )


def _changed(environments: Mapping[str, PatchedEnvironment]) -> Collection[str]:
    """The environments whose packages a patch changed."""
    return [name for name, change in environments.items() if change.removed or change.added]


def _read(draft: Draft, place: Place, reader: PackageReader) -> Sequence[Inspected]:
    packages = parse_entries(draft.entries_at(place), place[1])
    return reader.read(packages, python_of(packages))


def _without_packages(
    patch: LockedPatch, draft: Draft, changed: Collection[str], found: Mapping[Place, Sequence[Inspected]]
) -> LockedPatch:
    """A patch of files alone: of remade environments it takes away the bytecode of sources that it replaces."""
    own = Surface().under((file.path for file in patch.files), patch.removed_files)
    environments = {
        platform: {
            name: change
            for name in sorted({*places, *changed})
            if (change := _bytecode_alone(own, draft, (platform, name), found) if name in changed else places[name])
        }
        for platform, places in _by_platform(patch, draft)
    }
    return patch.model_copy(
        update={"environments": {platform: each for platform, each in environments.items() if each}}
    )


def _by_platform(patch: LockedPatch, draft: Draft) -> Sequence[tuple[str, Mapping[str, PatchedEnvironment]]]:
    return [(platform, patch.environments.get(platform, {})) for platform in draft.lock.declared.platforms]


def _bytecode_alone(
    own: Surface, draft: Draft, place: Place, found: Mapping[Place, Sequence[Inspected]]
) -> PatchedEnvironment | None:
    python = python_of(item.package for item in found[place])
    files = {path for item in found[place] for path in item.contents.paths}
    gone = bytecode_behind(own.within(draft.environment(place[1]).prefix), files, python)
    return PatchedEnvironment(removed=(), added=(), python=None, gone=tuple(sorted(gone))) if gone else None
