"""What two images or lock sets differ in: a pure comparison of their contents."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from operator import attrgetter
from typing import Final, Literal

from peel.model.conda_version import CondaVersion
from peel.model.contents import BaseContents, Contents, EnvironmentContents, LayerContents, Present
from peel.model.version_order import compare_versions

Kind = Literal["raised", "lowered", "rebuilt", "replaced"]

_IN_ORDER: Final = attrgetter("name", "version", "build", "manager", "sha256")
_PARTED: Final = re.compile(r"[-_.]+")


@dataclass(frozen=True, slots=True)
class Changed:
    """A package that is there before and after.

    Raised or lowered: by its version, in its manager's order. Rebuilt: the same version in another build. Replaced:
    by a package of another manager, or by another archive of the same version and build.
    """

    name: str
    before: Present
    after: Present
    kind: Kind

    @property
    def is_major(self) -> bool:
        """Whether the first number of its version went up; of Python's, the second is as telling."""
        one, other = CondaVersion(self.before.version), CondaVersion(self.after.version)
        segments = 2 if self.name == "python" else 1
        return self.kind == "raised" and one.series(segments) != other.series(segments)


@dataclass(frozen=True, slots=True)
class PackagesDifference:
    """What became of packages, each list by name."""

    added: tuple[Present, ...] = ()
    removed: tuple[Present, ...] = ()
    changed: tuple[Changed, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.added or self.removed or self.changed)

    def of_kind(self, kind: Kind) -> Sequence[Changed]:
        """What changed in one way."""
        return [changed for changed in self.changed if changed.kind == kind]


@dataclass(frozen=True, slots=True)
class EnvironmentDifference:
    """An environment on both sides, or on one; ``before`` and ``after`` are its prefixes, None where it is not."""

    name: str
    before: str | None
    after: str | None
    packages: PackagesDifference

    @property
    def state(self) -> Literal["both", "added", "removed"]:
        """On which sides it is."""
        return "added" if self.before is None else "removed" if self.after is None else "both"

    def __bool__(self) -> bool:
        return self.before != self.after or bool(self.packages)


@dataclass(frozen=True, slots=True)
class Setting:
    """A setting that differs; None where it is not set."""

    key: str
    before: str | None
    after: str | None


@dataclass(frozen=True, slots=True)
class LayersDifference:
    """The layers of B that A has, and those that a node which holds A must pull.

    Sizes are in bytes, of blobs, each counted once; ``unknown`` counts the layers of each kind without a known size.
    """

    shared: int
    shared_bytes: int
    shared_unknown: int
    new: tuple[LayerContents, ...]
    new_bytes: int
    new_unknown: int
    gone: int
    """How many layers of A are not in B."""


@dataclass(frozen=True)
class Difference:
    """All that differs. None: it is not known on both sides, and ``unknown`` says why."""

    a: str
    b: str
    environments: tuple[EnvironmentDifference, ...]
    base: tuple[BaseContents, BaseContents] | None
    system: PackagesDifference | None
    launch: tuple[Setting, ...]
    files: tuple[Setting, ...]
    layers: LayersDifference | None
    unknown: tuple[str, ...]

    @cached_property
    def totals(self) -> Mapping[str, int]:
        """How many packages of all environments were lowered, removed, replaced, raised, rebuilt, added."""
        packages = [environment.packages for environment in self.environments]
        changed = [change.kind for found in packages for change in found.changed]
        return {
            "lowered": changed.count("lowered"),
            "removed": sum(len(found.removed) for found in packages),
            "replaced": changed.count("replaced"),
            "raised": changed.count("raised"),
            "rebuilt": changed.count("rebuilt"),
            "added": sum(len(found.added) for found in packages),
        }

    def __bool__(self) -> bool:
        """Whether anything differs."""
        layers = self.layers is not None and bool(self.layers.new or self.layers.gone)
        return bool(any(self.environments) or self.base or self.system or self.launch or self.files or layers)


def compare(a: Contents, b: Contents) -> Difference:
    """What it takes to come from A to B."""
    declared = a.launch is not None and b.launch is not None
    one, other = (a.launch or {}, b.launch or {}) if declared else _configs(a, b)
    known = a.system is not None and b.system is not None
    return Difference(
        a=a.name, b=b.name,
        environments=tuple(_environments(a.environments, b.environments)),
        base=(a.base, b.base) if a.base and b.base and a.base.digest != b.base.digest else None,
        system=compare_packages(a.system or (), b.system or ()) if known else None,
        launch=tuple(_settings(one, other)),
        files=tuple(_settings(a.files, b.files)),
        layers=compare_layers(a.layers, b.layers) if a.layers is not None and b.layers is not None else None,
        unknown=tuple(dict.fromkeys((*a.unknown, *b.unknown))),
    )  # fmt: skip


def _configs(a: Contents, b: Contents) -> tuple[Mapping[str, str], Mapping[str, str]]:
    """What configs say; where one is known in part only, that part of the other."""
    one, other = a.config, b.config
    if not a.config_whole:
        other = {key: text for key, text in other.items() if key in one}
    if not b.config_whole:
        one = {key: text for key, text in one.items() if key in other}
    return one, other


def _settings(one: Mapping[str, str], other: Mapping[str, str]) -> Iterator[Setting]:
    for key in sorted(one.keys() | other.keys()):
        if one.get(key) != other.get(key):
            yield Setting(key, one.get(key), other.get(key))


def _environments(
    before: Sequence[EnvironmentContents], after: Sequence[EnvironmentContents]
) -> Iterator[EnvironmentDifference]:
    """All environments: in B's order, then what B has not."""
    pairs = _pairs(before, after)
    for number, other in enumerate(after):
        yield _environment(before[pairs[number]] if number in pairs else None, other)
    for number, one in enumerate(before):
        if number not in pairs.values():
            yield _environment(one, None)


def _pairs(before: Sequence[EnvironmentContents], after: Sequence[EnvironmentContents]) -> Mapping[int, int]:
    """By position, every environment of B and the one of A that it is: by name, by prefix, by the prefix's last part.

    Of an image, the name is the prefix: two of them pair by that alone.
    """
    pairs: dict[int, int] = {}
    for key in (_name, _prefix, _last_part):
        known = {key(one): number for number, one in enumerate(before) if number not in pairs.values()}
        for number, other in enumerate(after):
            if number not in pairs and key(other) in known:
                pairs[number] = known.pop(key(other))
    return pairs


def _name(environment: EnvironmentContents) -> str:
    return environment.name


def _prefix(environment: EnvironmentContents) -> str:
    return environment.prefix


def _last_part(environment: EnvironmentContents) -> str:
    return environment.name.rpartition("/")[2]


def _environment(one: EnvironmentContents | None, other: EnvironmentContents | None) -> EnvironmentDifference:
    sides = [side for side in (other, one) if side is not None]
    name = next((side.name for side in sides if side.name != side.prefix), sides[0].name)
    packages = compare_packages(one.packages if one else (), other.packages if other else ())
    return EnvironmentDifference(name, one.prefix if one else None, other.prefix if other else None, packages)


def compare_packages(before: Iterable[Present], after: Iterable[Present]) -> PackagesDifference:
    """What became of packages, which may stand there several times."""
    left, right = _by(before, _exactly), _by(after, _exactly)
    changed = list(_take_pairs(left, right))
    loosely = [_by((p for found in side.values() for p in found), _loosely) for side in (left, right)]
    changed += _take_pairs(*loosely)
    removed, added = (sorted((p for found in side.values() for p in found), key=_IN_ORDER) for side in loosely)
    return PackagesDifference(tuple(added), tuple(removed), tuple(sorted(changed, key=lambda change: change.name)))


def _exactly(package: Present) -> tuple[str, str]:
    return package.manager, _loosely(package) if package.manager == "pip" else package.name


def _loosely(package: Present) -> str:
    """A name as wheels are told apart (PyPA, "Name normalization")."""
    return _PARTED.sub("-", package.name).lower()


def _by(packages: Iterable[Present], key: Callable[[Present], object]) -> dict[object, list[Present]]:
    found: dict[object, list[Present]] = {}
    for package in sorted(packages, key=_IN_ORDER):
        found.setdefault(key(package), []).append(package)
    return found


def _take_pairs(left: dict[object, list[Present]], right: dict[object, list[Present]]) -> Iterator[Changed]:
    """Pair what both have under a key, and leave the rest; equal packages are paired first, and say nothing."""
    for key in [key for key in left if key in right]:
        one, other = left[key], right[key]
        for package in [package for package in one if any(_equal(package, found) for found in other)]:
            match = next((found for found in other if _equal(package, found)), None)
            if match is not None:
                one.remove(package)
                other.remove(match)
        while one and other:
            before, after = one.pop(0), other.pop(0)
            yield Changed(after.name, before, after, _kind(before, after))


def _equal(one: Present, other: Present) -> bool:
    same_archive = not (one.sha256 and other.sha256) or one.sha256 == other.sha256
    return same_archive and (one.version, one.build, one.manager) == (other.version, other.build, other.manager)


def _kind(before: Present, after: Present) -> Kind:
    if before.manager != after.manager or before.text == after.text:
        return "replaced"
    order = compare_versions(before.manager, before.version, after.version)
    return "raised" if order < 0 else "lowered" if order > 0 else "rebuilt"


def compare_layers(before: Sequence[LayerContents], after: Sequence[LayerContents]) -> LayersDifference:
    """Which layers of B a node that holds A has already; what either side knows of a size counts."""
    held = {name: layer for layer in before for name in layer.names}
    shared, new = [], []
    for layer in after:
        match = next((held[name] for name in sorted(layer.names) if name in held), None)
        if match is None:
            new.append(layer)
        else:
            shared.append(layer.size if layer.size is not None else match.size)
    known = [size for size in shared if size is not None]
    pulled = {min(layer.names): layer.size for layer in new}
    return LayersDifference(
        shared=len(shared), shared_bytes=sum(known), shared_unknown=len(shared) - len(known),
        new=tuple(new), new_bytes=sum(size for size in pulled.values() if size is not None),
        new_unknown=sum(size is None for size in pulled.values()),
        gone=sum(not any(layer.names & other.names for other in after) for layer in before),
    )  # fmt: skip
