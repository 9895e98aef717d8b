"""An image of one layer, written as an OCI layout (image-spec, image-layout.md)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from peel.layers.blob import write_blob
from peel.layers.compress import compression_here
from peel.model.entry import Entry
from peel.model.oci import MANIFEST, AddedLayer, Config, Descriptor, ImageSettings, describe, make_config, make_manifest
from peel.model.values import Digest
from peel.store.blobs import Blobs
from peel.store.files import write_whole
from peel.store.layout import open_layout, set_reference


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
    open_layout(layout)
    blobs = Blobs(layout)
    made = write_blob(entries, compression_here("gzip"), layout / "layer")
    blobs.adopt(made.path, made.digest)
    blob = Descriptor(made.media_type, made.digest, made.size)
    layer = AddedLayer(blob, made.diff_id, "peel demo", "stand-in: Debian packages")
    config = make_config(Config("amd64"), [layer], settings, epoch=epoch)
    manifest = make_manifest(config, [blob], dict(settings.labels))
    for document in (config, manifest):
        write_whole(blobs.path(Digest.of(document)), document)
    set_reference(layout, tag, describe(MANIFEST, manifest))
    return Digest.of(manifest)
