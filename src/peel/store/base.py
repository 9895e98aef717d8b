"""Base images: taken over from what skopeo fetched, and found again without a network."""

from __future__ import annotations

from pathlib import Path

from peel.errors import ArtifactError
from peel.model.oci import BaseImage, Descriptor
from peel.model.oci_parse import manifest_type, parse_config, parse_manifest
from peel.model.values import Digest
from peel.store.blobs import DOCUMENT_LIMIT, Blobs, hash_of


def import_directory(directory: Path, expected: Digest, blobs: Blobs, *, origin: str) -> BaseImage:
    """Take over an image that ``skopeo copy --preserve-digests docker://… dir:DIRECTORY`` has left.

    The manifest must be the expected one, and every blob what the manifest says; only then does it enter the store.
    ``origin`` is what people call the image. Raises ArtifactError naming it and the blob at fault.
    """
    raw = _read_manifest(directory / "manifest.json", origin)
    if Digest.of(raw) != expected:
        raise ArtifactError(
            f"{origin}: the manifest that came is {Digest.of(raw)}, not the pinned {expected}",
            hint="an index's digest names no single image: pin the digest of the platform's own manifest",
        )
    manifest = parse_manifest(raw, origin)
    for blob in (*manifest.layers, manifest.config):
        if not blobs.has(blob.digest):
            _take_over(directory / blob.digest.hex, blob, blobs, origin)
    blobs.put_bytes(raw)  # last: while it is missing, the image counts as missing
    return _parse(raw, blobs, origin)


def load_base(blobs: Blobs, digest: Digest, *, origin: str) -> BaseImage | None:
    """A base image from the store, or None when any of its blobs is not there.

    Its documents are verified, its layers only known to be there. Raises ArtifactError for a damaged document.
    """
    if not blobs.has(digest):
        return None
    raw = blobs.read(digest)
    manifest = parse_manifest(raw, origin)
    if not all(blobs.has(blob.digest) for blob in (manifest.config, *manifest.layers)):
        return None
    return _parse(raw, blobs, origin)


def _parse(raw: bytes, blobs: Blobs, origin: str) -> BaseImage:
    manifest = parse_manifest(raw, origin)
    config = parse_config(blobs.read(manifest.config.digest), f"{origin} (its config)")
    if len(config.diff_ids) != len(manifest.layers):
        raise ArtifactError(
            f"{origin} contradicts itself: {len(manifest.layers)} layers, {len(config.diff_ids)} diff ids",
            hint="the image is broken; use another base",
        )
    return BaseImage(raw, config, manifest.layers, manifest_type(raw, origin))


def _take_over(path: Path, blob: Descriptor, blobs: Blobs, origin: str) -> None:
    again = "fetch the image again"
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            found = hash_of(file)
    except OSError as error:
        raise ArtifactError(f"{origin}: blob {blob.digest} did not come: {error.strerror}", hint=again) from None
    if (found, size) != (blob.digest, blob.size):
        raise ArtifactError(
            f"{origin}: blob {blob.digest} of {blob.size:,} bytes came as {found} of {size:,} bytes", hint=again
        )
    blobs.adopt(path, blob.digest)


def _read_manifest(path: Path, origin: str) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(DOCUMENT_LIMIT)
    except OSError as error:
        raise ArtifactError(f"{origin}: no manifest came: {error.strerror}", hint="fetch the image again") from None
