"""Which layer every locked package goes to, and which package brings a path that several have."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from peel.errors import DocumentError
from peel.model.declared import Declared, DeclaredEnvironment
from peel.model.groups import MAX_LAYERS, Sized, budget, make_groups
from peel.model.lockset import Group, ImageLock, LockedBase, LockedPackage
from peel.workflow.inspect import Inspected
from peel.workflow.owners import decide_owners

Inspections = Mapping[tuple[str, str], Sequence[Inspected]]
"""By platform and environment."""

Layers = dict[str, dict[str, tuple[Group, ...]]]


def pin_layers(
    declared: Declared, bases: Mapping[str, LockedBase], inspected: Inspections, previous: ImageLock | None
) -> Layers:
    """The groups of every platform and environment; those of the previous lock are taken over.

    What was not inspected keeps its groups to the letter, and the previous lock must have it. Raises ArtifactError
    where packages clobber each other and nobody decided.
    """
    count = len(declared.environments)
    layers: Layers = {
        platform: {
            environment.name: _groups(
                environment,
                inspected[platform, environment.name],
                limit=budget(bases[platform].layers, count),
                previous=_previous_groups(previous, platform, environment.name),
                origin=f"{environment.name} on {platform}",
            )
            if previous is None or (platform, environment.name) in inspected
            else previous.layers[platform][environment.name]
            for environment in declared.environments
        }
        for platform in declared.platforms
    }
    others = 1 + sum(environment.is_captured for environment in declared.environments)  # the glue, and one for each
    for platform, environments in layers.items():
        _refuse_too_many(bases[platform].layers + others + sum(map(len, environments.values())), platform)
    return layers


def _refuse_too_many(count: int, platform: str) -> None:
    if count > MAX_LAYERS:
        raise DocumentError(
            f"the image for {platform} would have {count} layers, and {MAX_LAYERS} run everywhere",
            hint="make two images of it, each with some of the payloads, or choose a base with fewer layers",
        )


def _previous_groups(previous: ImageLock | None, platform: str, environment: str) -> Mapping[str, str]:
    """Which group each package was in."""
    groups = previous.layers.get(platform, {}).get(environment, ()) if previous else ()
    return {package.name: group.name for group in groups for package in group.packages}


def _groups(
    environment: DeclaredEnvironment,
    found: Sequence[Inspected],
    *,
    limit: int,
    previous: Mapping[str, str],
    origin: str,
) -> tuple[Group, ...]:
    owners = decide_owners(environment, found, origin)
    pinned = {item.package.name: _pinned(item, owners) for item in found}
    sizes = [Sized(name, package.size) for name, package in pinned.items()]
    return tuple(
        Group(name=name, packages=tuple(pinned[member] for member in members))
        for name, members in make_groups(sizes, limit=limit, previous=previous)
    )


def _pinned(item: Inspected, owners: Mapping[str, str]) -> LockedPackage:
    lost = sorted(path for path in item.contents.paths if owners.get(path, item.package.name) != item.package.name)
    return LockedPackage(
        name=item.package.name, file=item.package.file_name, sha256=item.digest.hex, size=item.size, omit=tuple(lost)
    )
