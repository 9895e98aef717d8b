"""Two images, compared rung by rung: file tree, diffIDs, config, blobs, manifest. The first to differ is explained."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from peel.layers.layer_stream import ImageLayer
from peel.layers.layer_tree import tar_digest
from peel.model.documents_apart import values_apart
from peel.model.ladder import Cause, Comparison, Difference, Kind, Rung, differing
from peel.model.oci import Descriptor
from peel.model.progress import Progress
from peel.model.secrets import redact
from peel.model.values import Digest
from peel.workflow.compare_layers import LayerPair, compare_layers


@dataclass(frozen=True, slots=True)
class ComparedLayer:
    """A layer to be compared. ``contents`` is what people call it; ``source`` is None where its blob is not at hand."""

    contents: str
    diff_id: Digest
    blob: Descriptor
    source: ImageLayer | None


@dataclass(frozen=True, slots=True)
class ComparedImage:
    """An image to be compared, ``name`` as people call it; documents are None where only their digests are known."""

    name: str
    manifest: Digest
    config: Digest
    raw_manifest: bytes | None
    raw_config: bytes | None
    layers: tuple[ComparedLayer, ...]


def compare_images(
    ours: ComparedImage, theirs: ComparedImage, *, prefixes: Sequence[str], work: Path, progress: Progress
) -> Comparison:
    """How theirs differs from ours, at the first rung that does. Equal manifests are equal in all, and nothing is read.

    ``prefixes`` are those of our environments, ``work`` is an empty directory. Raises ArtifactError for a layer that
    cannot be read.
    """
    if ours.manifest == theirs.manifest:
        return Comparison()
    pairing = pair_layers(ours.layers, theirs.layers)
    found = _compare_contents(pairing, (ours.name, theirs.name), prefixes, work, progress)
    if not found.identical:
        return found
    if ours.config != theirs.config:
        return differing(Rung.CONFIG, _config_differences(ours, theirs))
    if blobs := list(_blob_differences(pairing)):
        return differing(Rung.BLOBS, blobs)
    return differing(Rung.MANIFEST, _manifest_differences(ours, theirs))


@dataclass(frozen=True, slots=True)
class Pairing:
    """Which layer of theirs stands for which of ours."""

    equal: tuple[tuple[ComparedLayer, ComparedLayer], ...]
    unequal: tuple[tuple[ComparedLayer, ComparedLayer], ...]
    missing: tuple[ComparedLayer, ...]
    extra: tuple[ComparedLayer, ...]
    in_order: bool
    """Whether the equal ones come in the same order."""


def pair_layers(ours: Sequence[ComparedLayer], theirs: Sequence[ComparedLayer]) -> Pairing:
    """Pair layers by diffID, the rest by what people call them, the rest of those in order."""
    left, right = list(enumerate(ours)), list(enumerate(theirs))
    equal = _take_pairs(left, right, lambda layer: layer.diff_id)
    named = _take_pairs(left, right, lambda layer: layer.contents)
    count = min(len(left), len(right))
    unequal = sorted([*named, *zip(left[:count], right[:count], strict=True)], key=lambda pair: pair[0][0])
    places = [other for _, (other, _) in equal]
    return Pairing(
        equal=tuple((mine, other) for (_, mine), (_, other) in equal),
        unequal=tuple((mine, other) for (_, mine), (_, other) in unequal),
        missing=tuple(layer for _, layer in left[count:]),
        extra=tuple(layer for _, layer in right[count:]),
        in_order=places == sorted(places),
    )


_Numbered = tuple[int, ComparedLayer]


def _take_pairs(
    left: list[_Numbered], right: list[_Numbered], key: Callable[[ComparedLayer], object]
) -> Sequence[tuple[_Numbered, _Numbered]]:
    """Take out of both what has the same key, each once, in the order of the left."""
    waiting: dict[object, list[_Numbered]] = {}
    for item in right:
        waiting.setdefault(key(item[1]), []).append(item)
    pairs = [(item, waiting[key(item[1])].pop(0)) for item in left if waiting.get(key(item[1]))]
    for mine, other in pairs:
        left.remove(mine)
        right.remove(other)
    return pairs


def _compare_contents(
    pairing: Pairing, origins: tuple[str, str], prefixes: Sequence[str], work: Path, progress: Progress
) -> Comparison:
    """The first two rungs. What cannot be read differs in its diffID at least."""
    suspects = [*pairing.unequal, *_with_wrong_diff_ids(pairing.equal, origins[1])]
    readable = [
        LayerPair(mine.contents, (mine.source, other.source), other.diff_id)
        for mine, other in suspects
        if mine.source and other.source
    ]
    apart = compare_layers(readable, origins, prefixes=prefixes, work=work, progress=progress)
    trees = [*_whole_layers(pairing), *apart.trees]
    tars = [*_unreadable_layers(suspects), *apart.tars, *_order(pairing)]
    if trees:
        return differing(Rung.FILE_TREE, [*trees, *tars])
    return differing(Rung.DIFF_IDS, tars) if tars else Comparison()


def _with_wrong_diff_ids(
    pairs: Sequence[tuple[ComparedLayer, ComparedLayer]], origin: str
) -> Iterator[tuple[ComparedLayer, ComparedLayer]]:
    """Pairs that are equal only if the other's config is believed. Equal blobs need no such faith."""
    for mine, other in pairs:
        if mine.blob.digest != other.blob.digest and other.source and tar_digest(other.source, origin) != other.diff_id:
            yield mine, other


def _whole_layers(pairing: Pairing) -> Iterator[Difference]:
    for layer in pairing.missing:
        detail = f"the layer {layer.diff_id} is not there"
        yield Difference(Kind.LAYER, Cause.MISSING_LAYER, layer.contents, None, None, detail)
    for layer in pairing.extra:
        detail = f"a layer {layer.diff_id} that should not be there"
        yield Difference(Kind.LAYER, Cause.EXTRA_LAYER, layer.contents, None, None, detail)


def _unreadable_layers(pairs: Sequence[tuple[ComparedLayer, ComparedLayer]]) -> Iterator[Difference]:
    for mine, other in pairs:
        if not (mine.source and other.source):
            detail = f"diffID {other.diff_id} instead of {mine.diff_id}; its blob {other.blob.digest} is not at hand"
            yield Difference(Kind.LAYER, Cause.UNREADABLE_LAYER, mine.contents, None, None, detail)


def _order(pairing: Pairing) -> Iterator[Difference]:
    if not pairing.in_order:
        yield Difference(Kind.ORDER, Cause.ORDER, None, None, None, "equal layers lie upon each other in another order")


def _config_differences(ours: ComparedImage, theirs: ComparedImage) -> Iterator[Difference]:
    told = f"{theirs.config} instead of {ours.config}"
    if ours.raw_config is None or theirs.raw_config is None:
        yield Difference(Kind.CONFIG, Cause.UNREADABLE_CONFIG, None, None, None, f"{told}; its bytes are not at hand")
        return
    found = False
    for place, detail in _values_apart(ours.raw_config, theirs.raw_config):
        found = True
        yield Difference(Kind.CONFIG, Cause.CONFIG, None, place, None, detail)
    if not found:
        yield Difference(Kind.CONFIG, Cause.NOTATION, None, None, None, f"equal values in other bytes: {told}")


def _manifest_differences(ours: ComparedImage, theirs: ComparedImage) -> Iterator[Difference]:
    told = f"{theirs.manifest} instead of {ours.manifest}"
    if ours.raw_manifest is None or theirs.raw_manifest is None:
        detail = f"{told}; its bytes are not at hand"
        yield Difference(Kind.MANIFEST, Cause.UNREADABLE_MANIFEST, None, None, None, detail)
        return
    found = False
    for place, detail in _values_apart(ours.raw_manifest, theirs.raw_manifest):
        found = True
        cause = Cause.ANNOTATION if "annotations" in place else Cause.MANIFEST
        yield Difference(Kind.MANIFEST, cause, None, place, None, detail)
    if not found:
        yield Difference(Kind.MANIFEST, Cause.NOTATION, None, None, None, f"equal values in other bytes: {told}")


def _values_apart(ours: bytes, theirs: bytes) -> Iterator[tuple[str, str]]:
    """The places at which two documents differ, and the sentences that say so."""
    with suppress(ValueError, RecursionError):  # a number of a million digits, nesting of a thousand levels
        for apart in values_apart(json.loads(ours), json.loads(theirs)):
            yield apart.place, redact(f"{apart.theirs} instead of {apart.ours}")


def _blob_differences(pairing: Pairing) -> Iterator[Difference]:
    """Equal tars in other blobs."""
    for mine, other in pairing.equal:
        if mine.blob.digest != other.blob.digest:
            codecs = tuple(_codec(blob) for blob in (mine.blob, other.blob))
            same = codecs[0] == codecs[1]
            sizes = f"{other.blob.size:,} bytes instead of {mine.blob.size:,}"
            detail = (
                f"{codecs[1]} of another version or level: {sizes}"
                if same
                else f"{codecs[1]} instead of {codecs[0]}: {sizes}"
            )
            cause = Cause.COMPRESSOR if same else Cause.OTHER_COMPRESSOR
            yield Difference(Kind.COMPRESSION, cause, mine.contents, None, None, f"equal contents; {detail}")


def _codec(blob: Descriptor) -> str:
    return blob.media_type.rpartition("+")[2] if "+" in blob.media_type else "no compression"
