"""What a whole catalogue holds, side by side: its lock sets in order, what they share, and what came of what."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import pairwise
from typing import Final

from peel.model.contents import Contents, LayerContents, Present
from peel.model.diff import Difference, compare
from peel.model.lockset import MadeFrom
from peel.model.values import ImageRef

_DIGITS: Final = re.compile(r"(\d+)", re.ASCII)


@dataclass(frozen=True, slots=True)
class SurveyedPlatform:
    """One platform of a lock set; without ``manifest`` it is not built."""

    platform: str
    manifest: str | None
    contents: Contents


@dataclass(frozen=True, slots=True)
class SurveyedTag:
    """A lock set that could be read; ``epoch`` in seconds since 1970, ``missing`` counts what an import lacks."""

    ref: ImageRef
    epoch: int
    platforms: tuple[SurveyedPlatform, ...]
    made_from: MadeFrom | None = None
    imported: str = ""
    missing: int = 0

    def on(self, platform: str) -> SurveyedPlatform | None:
        """What is locked of it for a platform."""
        return next((found for found in self.platforms if found.platform == platform), None)

    @property
    def origin(self) -> str:
        """``IMAGE:TAG`` of what it was made from, "" where it was locked or imported."""
        return f"{self.made_from.image}:{self.made_from.tag}" if self.made_from else ""


@dataclass(frozen=True, slots=True)
class Unreadable:
    """A lock set, or the declaration of an image, that nothing more is known of, and why."""

    name: str
    message: str


@dataclass(frozen=True, slots=True)
class PackageRun:
    """One build of a package, and the tags of an image that have it without interruption, in their order."""

    package: Present
    image: str
    environment: str
    platform: str
    first: str
    last: str
    count: int


@dataclass(frozen=True)
class Survey:
    """A catalogue: ``tags`` by image, in the order of ``tag_order``; ``unreadable`` is what could not be read."""

    tags: Mapping[str, tuple[SurveyedTag, ...]]
    unreadable: tuple[Unreadable, ...] = ()
    unlocked: tuple[str, ...] = ()
    """Images that are declared only."""

    @cached_property
    def by_name(self) -> Mapping[str, SurveyedTag]:
        """Every lock set by ``IMAGE:TAG``."""
        return {str(tag.ref): tag for tags in self.tags.values() for tag in tags}

    @cached_property
    def _before(self) -> Mapping[str, SurveyedTag]:
        pairs = (pair for tags in self.tags.values() for pair in pairwise(tags))
        return {str(tag.ref): before for before, tag in pairs}

    @cached_property
    def made_of(self) -> Mapping[str, tuple[str, ...]]:
        """By ``IMAGE:TAG``, what was made from it, in order."""
        found: dict[str, list[str]] = {}
        for name, tag in self.by_name.items():
            if tag.origin:
                found.setdefault(tag.origin, []).append(name)
        return {origin: tuple(names) for origin, names in found.items()}

    @cached_property
    def holders(self) -> Counter[str]:
        """How many images, each platform counted, hold a layer; by each of its names."""
        held = (layer for tag in self.by_name.values() for one in tag.platforms for layer in one.contents.layers or ())
        return Counter(name for layer in held for name in layer.names)

    def neighbour(self, tag: SurveyedTag) -> SurveyedTag | None:
        """What a tag is compared with: what it was made from, if that is here; else the tag before it."""
        return self.by_name.get(tag.origin) or self._before.get(str(tag.ref))

    def change(self, tag: SurveyedTag, platform: str) -> Difference | None:
        """What differs from the neighbour; None for a first tag, or where the neighbour is not for this platform."""
        before = self.neighbour(tag)
        one, other = (before.on(platform) if before else None), tag.on(platform)
        return compare(one.contents, other.contents) if one and other else None


def tag_order(tag: str) -> tuple[tuple[int, int, str], ...]:
    """What sorts tags as people count: ``r1_0_9`` before ``r1_0_10``, and equal numbers by how they are written."""
    parts = (part for part in _DIGITS.split(tag) if part)
    return tuple((0, int(part), part) if part.isdecimal() else (1, 0, part) for part in parts)


@dataclass(frozen=True, slots=True)
class Sizes:
    """Bytes of blobs: of all layers, each counted as often as an image has it, and of different ones alone."""

    total: int
    distinct: int

    @property
    def saved(self) -> int:
        """What sharing layers saves."""
        return self.total - self.distinct


def sizes_of(images: Sequence[SurveyedPlatform]) -> Sizes:
    """What these images weigh, as far as their records tell."""
    layers = [layer for image in images for layer in known_layers(image.contents)]
    distinct = {min(layer.names): layer.size or 0 for layer in layers}
    return Sizes(sum(layer.size or 0 for layer in layers), sum(distinct.values()))


def known_layers(contents: Contents) -> Sequence[LayerContents]:
    """The layers whose size is known: not those of a base, nor of what is not built."""
    return [layer for layer in contents.layers or () if layer.size is not None]


@dataclass(slots=True)
class _Run:
    first: str
    last: str
    place: int
    count: int = 1


@dataclass(slots=True)
class _Runs:
    """The runs of one image."""

    ended: list[PackageRun] = field(default_factory=list)
    going: dict[tuple[str, str, Present], _Run] = field(default_factory=dict)

    def see(self, key: tuple[str, str, Present], tag: str, place: int, image: str) -> None:
        run = self.going.get(key)
        if run is not None and run.place == place - 1:
            run.last, run.place, run.count = tag, place, run.count + 1
        elif run is None or run.place != place:
            if run is not None:
                self.ended.append(_ended(key, run, image))
            self.going[key] = _Run(tag, tag, place)


def _ended(key: tuple[str, str, Present], run: _Run, image: str) -> PackageRun:
    platform, environment, package = key
    return PackageRun(package, image, environment, platform, run.first, run.last, run.count)


def package_runs(survey: Survey) -> Sequence[PackageRun]:
    """Where every package is: by name, then image, platform and environment, then from the newest tag back."""
    found: list[tuple[int, PackageRun]] = []
    for image, tags in survey.tags.items():
        places = {tag.ref.tag: place for place, tag in enumerate(tags)}
        found += [(-places[run.last], run) for run in _runs_of(image, tags)]
    found.sort(key=lambda pair: (
        pair[1].package.name.lower(), pair[1].package.name, pair[1].image, pair[1].platform, pair[1].environment,
        pair[0], pair[1].package,
    ))  # fmt: skip
    return [run for _, run in found]


def _runs_of(image: str, tags: Sequence[SurveyedTag]) -> Iterator[PackageRun]:
    runs = _Runs()
    for place, tag in enumerate(tags):
        for one in tag.platforms:
            for environment in one.contents.environments:
                for package in environment.packages:
                    runs.see((one.platform, environment.name, package), tag.ref.tag, place, image)
    yield from runs.ended
    for key, run in runs.going.items():
        yield _ended(key, run, image)


@dataclass(frozen=True, slots=True)
class Descendant:
    """A lock set in the tree of what came of what; roots have depth 0. It may be one that is not here."""

    name: str
    depth: int
    tag: SurveyedTag | None


def lineage(survey: Survey) -> Sequence[Descendant]:
    """Every lock set that was made from another or into another: trees, each root followed by what came of it.

    Lock sets that claim to be made from each other have no root: the first of them by name stands for it.
    """
    concerned = {*survey.made_of, *(name for names in survey.made_of.values() for name in names)}
    order = {name: number for number, name in enumerate(survey.by_name)}
    names = sorted(concerned, key=lambda name: (order.get(name, -1), name))
    roots = [name for name in names if not (tag := survey.by_name.get(name)) or not tag.origin]
    found: dict[str, Descendant] = {}
    for root in (*roots, *names):  # who is not reached from a root goes round in a circle
        _descend(root, survey, found)
    return list(found.values())


def _descend(root: str, survey: Survey, found: dict[str, Descendant]) -> None:
    waiting = [(root, 0)]
    while waiting:
        name, depth = waiting.pop()
        if name not in found:
            found[name] = Descendant(name, depth, survey.by_name.get(name))
            waiting += [(child, depth + 1) for child in reversed(survey.made_of.get(name, ()))]
