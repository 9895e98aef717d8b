"""Images as they are compared: one that was built, one that was recorded, one that was published."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Final

from peel.layers.compress import media_type
from peel.layers.layer_stream import ImageLayer
from peel.model.lockset import RecordedImage
from peel.model.oci import BaseImage, Descriptor
from peel.model.plan import compression_of
from peel.model.values import Digest
from peel.store.store import Store
from peel.workflow.build import Built
from peel.workflow.compare import ComparedImage, ComparedLayer
from peel.workflow.published import PublishedImage

_CREATED_BY: Final = "peel: "


def of_build(built: Built, store: Store) -> ComparedImage:
    """What was built; all of it is in the store."""
    layers = (
        ComparedLayer(layer.step.contents, layer.record.diff_id, layer.record.blob, _layer(layer.record.blob, store))
        for layer in built.layers
    )
    return ComparedImage(
        name=f"the rebuilt {built.plan.ref}", manifest=built.manifest.digest, config=built.config,
        raw_manifest=store.blobs.read(built.manifest.digest), raw_config=store.blobs.read(built.config),
        layers=(*_base_layers(built.base, store), *layers),
    )  # fmt: skip


def _base_layers(base: BaseImage, store: Store) -> Iterator[ComparedLayer]:
    for number, (blob, diff_id) in enumerate(zip(base.layers, base.config.diff_ids, strict=True), start=1):
        name = "base" if len(base.layers) == 1 else f"base, layer {number} of {len(base.layers)}"
        yield ComparedLayer(name, diff_id, blob, _layer(blob, store))


def of_published(image: PublishedImage) -> ComparedImage:
    """An image elsewhere; a layer that peel made is called as it calls it, another by its place."""
    history = [entry.created_by for entry in image.config.history if not entry.empty_layer]
    layers = (
        ComparedLayer(_called(created_by, number), diff_id, source.blob, source)
        for number, (source, diff_id, created_by) in enumerate(
            zip(image.layers, image.config.diff_ids, history, strict=True), start=1
        )
    )
    return ComparedImage(
        image.name, image.manifest.digest, image.parsed.config.digest, image.raw_manifest, image.raw_config,
        tuple(layers),
    )  # fmt: skip


def of_pin(built: Built) -> ComparedImage:
    """An imported image, of which its lock set says the digest."""
    return ComparedImage(f"the imported {built.plan.ref}", built.plan.base.digest, built.config, None, None, ())


def _called(created_by: str, number: int) -> str:
    named = created_by.startswith(_CREATED_BY)
    return created_by.removeprefix(_CREATED_BY) if named else f"layer {number}"


def of_record(recorded: RecordedImage, built: Built, store: Store) -> ComparedImage:
    """What a record says, with what the store still has of it; the base is pinned by the lock set of both.

    The record lists as many layers as were built.
    """
    blobs = [
        (layer, Descriptor(media_type(compression_of(step, built.plan).codec), Digest(layer.digest), layer.size))
        for layer, step in zip(recorded.layers, built.plan.layers, strict=True)
    ]
    layers = (ComparedLayer(layer.contents, Digest(layer.diff_id), blob, _layer(blob, store)) for layer, blob in blobs)
    manifest, config = Digest(recorded.manifest), Digest(recorded.config)
    return ComparedImage(
        f"the recorded {built.plan.ref}", manifest, config, _document(manifest, store), _document(config, store),
        (*_base_layers(built.base, store), *layers),
    )  # fmt: skip


def _document(digest: Digest, store: Store) -> bytes | None:
    return store.blobs.read(digest) if store.blobs.has(digest) else None


def _layer(blob: Descriptor, store: Store) -> ImageLayer | None:
    return ImageLayer(blob, partial(store.blobs.open, blob.digest)) if store.blobs.has(blob.digest) else None
