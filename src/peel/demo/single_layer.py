"""An image of one layer, written as an OCI layout (image-spec, image-layout.md)."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

from peel.layers.compress import Bytes, Sink, compression_here, media_type, open_compressor
from peel.layers.tar import write_tar
from peel.model.entry import Entry
from peel.model.oci import (
    INDEX,
    MANIFEST,
    REF_NAME,
    AddedLayer,
    Config,
    Descriptor,
    ImageSettings,
    describe,
    make_config,
    make_manifest,
)
from peel.model.values import Digest, canonical_json


class _Hashing:
    """A sink that keeps digest and size of what it passes on."""

    def __init__(self, sink: Sink) -> None:
        self._sink = sink
        self._hash = hashlib.sha256()
        self.size = 0

    def write(self, data: Bytes, /) -> None:
        self._hash.update(data)
        self.size += len(data)
        self._sink.write(data)

    @property
    def digest(self) -> Digest:
        return Digest.from_hex(self._hash.hexdigest())


def write_layout(
    layout: Path,
    entries: Sequence[Entry],
    settings: ImageSettings,
    *,
    tag: str,
    epoch: int,
) -> Digest:
    """Write canonical ``entries`` as the only layer of an amd64 image; return its manifest's digest.

    ``layout`` is an empty directory; ``epoch``, in seconds, is when the image says it was created. Its labels are
    the manifest's annotations too.
    """
    (layout / "blobs" / "sha256").mkdir(parents=True)
    layer = _write_layer(layout, entries)
    config = make_config(Config("amd64"), [layer], settings, epoch=epoch)
    manifest = make_manifest(config, [layer.blob], dict(settings.labels))
    for document in (config, manifest):
        _blob(layout, Digest.of(document)).write_bytes(document)
    entry = {**describe(MANIFEST, manifest).as_json(), "annotations": {REF_NAME: tag}}
    index = {"schemaVersion": 2, "mediaType": INDEX, "manifests": [entry]}
    (layout / "index.json").write_bytes(canonical_json(index))
    (layout / "oci-layout").write_bytes(canonical_json({"imageLayoutVersion": "1.0.0"}))
    return Digest.of(manifest)


def _write_layer(layout: Path, entries: Sequence[Entry]) -> AddedLayer:
    unnamed = layout / "blobs" / "layer"
    with unnamed.open("wb") as file:
        packed = _Hashing(file)
        with open_compressor(compression_here("gzip"), packed) as compressor:
            plain = _Hashing(compressor)
            write_tar(entries, plain)
    unnamed.rename(_blob(layout, packed.digest))
    blob = Descriptor(media_type("gzip"), packed.digest, packed.size)
    return AddedLayer(blob, plain.digest, "peel demo", "stand-in: Debian packages")


def _blob(layout: Path, digest: Digest) -> Path:
    return layout / "blobs" / "sha256" / digest.hex
