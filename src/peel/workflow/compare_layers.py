"""Layers of two images that are not equal, compared path by path, and each difference explained."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from peel.layers.first_byte import FirstByte, first_bytes
from peel.layers.layer_stream import ImageLayer
from peel.layers.layer_tree import LayerTree, TreeEntry, header_apart, kinds_apart, read_tree
from peel.layers.package_records import PackageRecord, find_owner, owners_of, source_of
from peel.model.ladder import Cause, Difference, Kind
from peel.model.progress import Progress
from peel.model.values import Digest
from peel.workflow.difference_words import words_for

_MOST_EXPLAINED: Final = 200
"""Of how many files per layer the first byte is looked for that differs."""

_BY_KIND: Final = {
    Kind.MISSING: Cause.MISSING_FILE, Kind.EXTRA: Cause.EXTRA_FILE, Kind.TYPE: Cause.TYPE, Kind.CONTENT: Cause.CONTENTS,
    Kind.TARGET: Cause.TARGET, Kind.MODE: Cause.MODE, Kind.OWNER: Cause.OWNER, Kind.XATTRS: Cause.XATTRS,
    Kind.MTIME: Cause.MTIME,
}  # fmt: skip

_Key = tuple[str, str]


@dataclass(frozen=True, slots=True)
class LayerPair:
    """A layer of ours and the one that stands for it; ``claimed`` is the diffID that theirs is said to have."""

    contents: str
    layers: tuple[ImageLayer, ImageLayer]
    claimed: Digest


@dataclass(frozen=True, slots=True)
class _Path:
    """A path that differs."""

    path: str
    kinds: tuple[Kind, ...]
    ours: TreeEntry | None
    theirs: TreeEntry | None

    @property
    def is_content(self) -> bool:
        return Kind.CONTENT in self.kinds


@dataclass(frozen=True, slots=True)
class _Apart:
    """How the layers of a pair differ; ``gone`` and ``new`` are packages that one of them has no file of."""

    pair: LayerPair
    paths: Mapping[str, _Path]
    packages: tuple[Sequence[PackageRecord], Sequence[PackageRecord]]
    gone: Collection[_Key]
    new: Collection[_Key]


@dataclass(frozen=True, slots=True)
class LayersApart:
    """What differs in the trees of layers, and what only in their tars."""

    trees: Sequence[Difference]
    tars: Sequence[Difference]


def compare_layers(
    pairs: Sequence[LayerPair], origins: tuple[str, str], *, prefixes: Sequence[str], work: Path, progress: Progress
) -> LayersApart:
    """Compare pairs of layers; ``origins`` are what people call both images, ``work`` is an empty directory.

    Raises ArtifactError for a layer that cannot be read.
    """
    found, tars = [], list[Difference]()
    with progress.bar("comparing layers", len(pairs), "items") as advance:
        for pair in pairs:
            apart, differences = _read_pair(pair, origins)
            found.append(apart)
            tars += differences
            advance(1)
    explaining = _Explaining(found, origins, prefixes, work)
    return LayersApart([difference for apart in found for difference in explaining.explain(apart)], tars)


def _read_pair(pair: LayerPair, origins: tuple[str, str]) -> tuple[_Apart, Sequence[Difference]]:
    ours = read_tree(pair.layers[0], origins[0])
    theirs = read_tree(pair.layers[1], origins[1], like=ours.entries)
    paths = {path.path: path for path in _paths_apart(ours.entries, theirs.entries)}
    apart = _Apart(
        pair, paths, (ours.packages, theirs.packages),
        gone=_absent(ours, theirs.entries), new=_absent(theirs, ours.entries),
    )  # fmt: skip
    return apart, list(_tar_differences(pair, ours, theirs, origins, equal=not paths))


def _paths_apart(ours: Mapping[str, TreeEntry], theirs: Mapping[str, TreeEntry]) -> Iterator[_Path]:
    for path in sorted(ours.keys() | theirs.keys()):
        mine, other = ours.get(path), theirs.get(path)
        if mine is not other and (kinds := tuple(kinds_apart(mine, other))):
            yield _Path(path, kinds, mine, other)


def _absent(tree: LayerTree, other: Mapping[str, TreeEntry]) -> Collection[_Key]:
    """The packages of a layer of which the other one has no file."""
    return {package.key for package in tree.packages if not any(path in other for path in package.files)}


def _tar_differences(
    pair: LayerPair, ours: LayerTree, theirs: LayerTree, origins: tuple[str, str], *, equal: bool
) -> Iterator[Difference]:
    """What differs though the trees are equal, and a diffID that is not the layer's own."""
    if theirs.diff_id != pair.claimed:
        detail = f"the config says {pair.claimed}, and the layer is {theirs.diff_id}"
        yield Difference(Kind.LAYER, Cause.WRONG_DIFF_ID, pair.contents, None, None, detail)
    if equal and ours.diff_id != theirs.diff_id:
        header = header_apart(*pair.layers, origins)
        cause = Cause.ORDER if header.is_order else Cause.HEADERS
        owner = find_owner(header.path, owners_of(ours.packages)) if header.path else None
        twice = theirs.members - len(theirs.entries)
        more = f"; paths that are there twice: {twice}" if twice else ""
        label = owner.label if owner else None
        yield Difference(Kind.ORDER, cause, pair.contents, header.path, label, f"{header.detail}{more}")


@dataclass(slots=True)
class _Explaining:
    """What explaining takes: all pairs that were read, since a package may be found in another layer."""

    found: Sequence[_Apart]
    origins: tuple[str, str]
    prefixes: Sequence[str]
    work: Path
    known: tuple[Mapping[_Key, PackageRecord], Mapping[_Key, PackageRecord]] = field(init=False)

    def __post_init__(self) -> None:
        ours, theirs = ([package for apart in self.found for package in apart.packages[side]] for side in (0, 1))
        self.known = {package.key: package for package in ours}, {package.key: package for package in theirs}

    def explain(self, apart: _Apart) -> Iterator[Difference]:
        """The differences of one pair, in the order of their paths."""
        owners = owners_of(apart.packages[0]), owners_of(apart.packages[1])
        by_package = {path.path: self._of_package(path, apart, owners) for path in apart.paths.values()}
        puzzling = [p.path for p in apart.paths.values() if p.is_content and by_package[p.path][1] is None]
        first = self._first_bytes(apart, puzzling[:_MOST_EXPLAINED])
        for path in apart.paths.values():
            owner, reason = by_package[path.path]
            for kind in path.kinds:
                known = first.get(path.path) if kind is Kind.CONTENT else None
                cause = reason[0] if reason else _cause(kind, path.path, apart.paths, known)
                words = words_for(kind, path.ours, path.theirs, known)
                detail = f"{reason[1]}: {words}" if reason and reason[1] else words
                yield Difference(kind, cause, apart.pair.contents, path.path, owner.label if owner else None, detail)

    def _first_bytes(self, apart: _Apart, paths: Sequence[str]) -> Mapping[str, FirstByte]:
        if not paths:
            return {}
        place = self.work / f"layer-{self.found.index(apart)}"
        place.mkdir()
        return first_bytes(apart.pair.layers, self.origins, frozenset(paths), self.prefixes, place)

    def _of_package(
        self, path: _Path, apart: _Apart, owners: tuple[Mapping[str, PackageRecord], Mapping[str, PackageRecord]]
    ) -> tuple[PackageRecord | None, tuple[Cause, str] | None]:
        """The package of a path, and what is other about all of that package."""
        mine, other = (find_owner(path.path, side) for side in owners)
        owner = mine or other
        if owner is None:
            return None, None
        ours, theirs = (side.get(owner.key) for side in self.known)
        if ours is not None and theirs is not None and ours.identity != theirs.identity:
            named = theirs.label if theirs.label != ours.label else "another archive"
            return owner, (Cause.OTHER_BUILD, f"{named} instead of {ours.label}")
        if path.kinds == (Kind.MISSING,) and owner.key in apart.gone:
            return owner, (Cause.OTHER_LAYER if theirs else Cause.MISSING_PACKAGE, "")
        if path.kinds == (Kind.EXTRA,) and owner.key in apart.new:
            return owner, (Cause.OTHER_LAYER if ours else Cause.EXTRA_PACKAGE, "")
        return owner, None


def _cause(kind: Kind, path: str, apart: Mapping[str, _Path], first: FirstByte | None) -> Cause:
    """The likely cause, where no package explains it."""
    source = source_of(path)
    if source is not None and kind in {Kind.CONTENT, Kind.MISSING, Kind.EXTRA} and not _changed(apart.get(source)):
        return Cause.BYTECODE
    if kind is Kind.CONTENT and first is not None and first.prefix is not None:
        return Cause.PREFIX
    return _BY_KIND[kind]


def _changed(source: _Path | None) -> bool:
    """Whether a source differs in a way that shows in its bytecode, or in whether there is any."""
    return source is not None and bool({Kind.CONTENT, Kind.MISSING, Kind.EXTRA, Kind.TYPE} & set(source.kinds))


def prefixes_of(environments: Iterable[str]) -> tuple[str, ...]:
    """Prefixes worth looking for, each once; the image's root is in every path."""
    return tuple(sorted({prefix for prefix in environments if prefix.strip("/")}))
