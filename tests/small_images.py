"""Images small enough for any test: one layer, written as an OCI layout by hand."""

from __future__ import annotations

import gzip
import io
import json
import tarfile
from pathlib import Path
from typing import Any

from peel.model import oci
from peel.model.values import Digest, canonical_json


def write_layout(directory: Path, tag: str, files: dict[str, tuple[bytes, int]], **more: Any) -> Digest:
    """Write an image of these files (path: bytes and mode) as an OCI layout; returns its manifest's digest.

    ``more`` is what ``write_image`` takes besides.
    """
    manifest = write_image(directory, files, **more)
    _write_index(directory, [{**manifest.as_json(), "annotations": {oci.REF_NAME: tag}}])
    return manifest.digest


def write_layouts(directory: Path, tags: list[str], aliases: dict[str, str]) -> dict[str, Digest]:
    """Write an image per tag into one OCI layout, and aliases that stand for others; returns each one's digest."""
    made = {tag: write_image(directory, {"for": (tag.encode(), 0o644)}) for tag in tags}
    made |= {alias: made[tag] for alias, tag in aliases.items()}
    _write_index(directory, [{**image.as_json(), "annotations": {oci.REF_NAME: tag}} for tag, image in made.items()])
    return {tag: image.digest for tag, image in made.items()}


def write_index_layout(directory: Path, tag: str, architectures: list[str]) -> dict[str, Digest]:
    """Write an index of an image per architecture; returns the digest of each one's manifest."""
    made = {name: write_image(directory, {"for": (name.encode(), 0o644)}, architecture=name) for name in architectures}
    platforms = {name: {"os": "linux", "architecture": name} for name in architectures}
    entries = [{**made[name].as_json(), "platform": platforms[name]} for name in architectures]
    index = canonical_json({"schemaVersion": 2, "mediaType": oci.INDEX, "manifests": entries})
    _write_index(directory, [{**_blob(directory, oci.INDEX, index).as_json(), "annotations": {oci.REF_NAME: tag}}])
    return {name: descriptor.digest for name, descriptor in made.items()}


def write_image(
    directory: Path,
    files: dict[str, tuple[bytes, int]],
    *,
    symlinks: dict[str, str] | None = None,
    directories: dict[str, int] | None = None,
    architecture: str = "amd64",
) -> oci.Descriptor:
    """Write an image's blobs without naming it in the layout's index."""
    tar = _tar(files, symlinks or {}, directories or {})
    layer = _blob(directory, oci.LAYER_GZIP, gzip.compress(tar, mtime=0))
    added = oci.AddedLayer(layer, Digest.of(tar), "a test")
    settings = oci.ImageSettings(env=(("GREETING", "from the image"),))
    config = oci.make_config(oci.Config(architecture), [added], settings, epoch=0)
    _blob(directory, oci.CONFIG, config)
    return _blob(directory, oci.MANIFEST, oci.make_manifest(config, [layer], {}))


def _tar(files: dict[str, tuple[bytes, int]], symlinks: dict[str, str], directories: dict[str, int]) -> bytes:
    written = io.BytesIO()
    with tarfile.open(fileobj=written, mode="w") as tar:
        for path, mode in directories.items():
            entry = tarfile.TarInfo(path)
            entry.type, entry.mode = tarfile.DIRTYPE, mode
            tar.addfile(entry)
        for path, target in symlinks.items():
            entry = tarfile.TarInfo(path)
            entry.type, entry.linkname = tarfile.SYMTYPE, target
            tar.addfile(entry)
        for path, (data, mode) in files.items():
            entry = tarfile.TarInfo(path)
            entry.size, entry.mode = len(data), mode
            tar.addfile(entry, io.BytesIO(data))
    return written.getvalue()


def _blob(directory: Path, media_type: str, data: bytes) -> oci.Descriptor:
    descriptor = oci.describe(media_type, data)
    path = directory / "blobs" / "sha256" / descriptor.digest.hex
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return descriptor


def _write_index(directory: Path, entries: list[dict[str, object]]) -> None:
    (directory / "oci-layout").write_text(json.dumps({"imageLayoutVersion": "1.0.0"}))
    (directory / "index.json").write_bytes(canonical_json({"schemaVersion": 2, "manifests": entries}))
