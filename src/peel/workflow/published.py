"""Images that lie elsewhere: in an OCI layout, or in a registry, from which skopeo brings them."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import BinaryIO, Final

from peel.errors import ArtifactError, UsageError
from peel.layers.layer_stream import ImageLayer
from peel.model.oci import CONFIG, INDEX, MANIFEST, REF_NAME, Config, Descriptor, Index, IndexEntry, Manifest, describe
from peel.model.oci_parse import parse_config, parse_manifest, parse_manifest_or_index
from peel.model.progress import Progress
from peel.model.secrets import redact
from peel.model.values import Digest, Platform
from peel.store.blobs import DOCUMENT_LIMIT, hash_of
from peel.store.layout import read_index
from peel.store.store import Store
from peel.tools import skopeo

_TAG: Final = r"[A-Za-z0-9_][A-Za-z0-9._-]{0,127}"
_LAYOUT: Final = re.compile(rf"oci:(?P<directory>[^:]+)(?::(?P<tag>{_TAG}))?")
_REGISTRY: Final = re.compile(
    rf"docker://(?P<reference>[A-Za-z0-9][^\s@:]*(?::\d+/[^\s@:]+)?(?::{_TAG})?(?:@sha256:[0-9a-f]{{64}})?)"
)
_DOCKER: Final = "application/vnd.docker.distribution.manifest"
_DOCUMENTS: Final = (CONFIG, MANIFEST, INDEX, f"{_DOCKER}.v2+json", f"{_DOCKER}.list.v2+json")
_DEEPEST: Final = 3  # an index may name an index; nobody needs more than one
_MOST_LAYERS: Final = 1000
_LARGEST: Final = 1 << 40  # bytes of an image, as far as patience goes: a manifest may say anything
_SLOWEST: Final = 50_000  # bytes per second, below which a registry counts as silent
_AGAIN: Final = "the image is damaged or was put together wrongly: copy it again, or ask whoever published it"


@dataclass(frozen=True, slots=True)
class LayoutImage:
    """An image of an OCI layout on this machine; ``tag`` where one was named."""

    directory: Path
    tag: str | None

    def __str__(self) -> str:
        return f"oci:{self.directory}:{self.tag}" if self.tag else f"oci:{self.directory}"


@dataclass(frozen=True, slots=True)
class RegistryImage:
    """An image of a registry, as skopeo calls it without ``docker://``."""

    reference: str

    def __str__(self) -> str:
        return f"docker://{redact(self.reference)}"


PublishedReference = LayoutImage | RegistryImage


@dataclass(frozen=True, slots=True)
class PublishedImage:
    """An image of one platform. Its documents are what their digests say; its layers are checked when they are read.

    ``name`` is what people call it. ``layers`` are lowest first, of OCI media types, one for each of the config's
    diffIDs, which nobody has checked.
    """

    name: str
    manifest: Descriptor
    raw_manifest: bytes
    parsed: Manifest
    raw_config: bytes
    config: Config
    directory: Path
    """Where its blobs lie, each by the hexadecimal digits of its digest."""

    @property
    def layers(self) -> tuple[ImageLayer, ...]:
        """Its layers, to be read with ``layers.layer_stream``."""
        return tuple(ImageLayer(blob, partial(self.open_blob, blob)) for blob in self.parsed.layers)

    @contextmanager
    def open_blob(self, blob: Descriptor) -> Iterator[BinaryIO]:
        """Lend a blob for reading, of the size it should have. Raises ArtifactError naming image and blob."""
        with _opened(self.directory / blob.digest.hex, f"{self.name}: blob {blob.digest}") as file:
            if (size := os.fstat(file.fileno()).st_size) != blob.size:
                raise ArtifactError(
                    f"{self.name}: blob {blob.digest} has {size:,} bytes, and its manifest says {blob.size:,}",
                    hint=_AGAIN,
                )
            yield file

    def check(self, progress: Progress) -> None:
        """See that every layer's blob is there and is what its digest says. Raises ArtifactError where one is not."""
        blobs = {blob.digest: blob for blob in self.parsed.layers}
        with progress.bar(f"checking {self.name}", sum(blob.size for blob in blobs.values()), "bytes") as advance:
            for blob in blobs.values():
                with self.open_blob(blob) as file:
                    _refuse_other((hash_of(file), blob.size), blob, self.name)
                advance(blob.size)


def is_published(text: str) -> bool:
    """Whether this is meant to name an image elsewhere, and no lock set."""
    return text.startswith(("oci:", "docker://"))


def parse_published(text: str) -> PublishedReference:
    """Read ``oci:DIR[:TAG]`` or ``docker://REGISTRY/NAME[:TAG|@DIGEST]``. Raises UsageError for anything else."""
    if found := _LAYOUT.fullmatch(text):
        return LayoutImage(Path(found["directory"]), found["tag"])
    if found := _REGISTRY.fullmatch(text):
        return RegistryImage(found["reference"])
    raise UsageError(
        f"not a published image: {redact(text)!r}",
        hint="write oci:DIR, oci:DIR:TAG, docker://REGISTRY/NAME:TAG or docker://REGISTRY/NAME@sha256:…",
    )


@contextmanager
def open_image(
    reference: str,
    platform: Platform,
    store: Store,
    progress: Progress,
    *,
    tag: str | None = None,
    patience: float = 120.0,
) -> Iterator[PublishedImage]:
    """Lend a published image; one of a registry comes as a whole, and is gone afterwards.

    ``tag`` is asked for where a layout's reference names none and several images are there. ``patience`` is how many
    seconds a registry may be silent. Raises UsageError for what names no image; ArtifactError for an image that is not
    there, not for the platform, of a kind that peel does not read, or not what its digests say, and for a registry
    that refuses, fails or takes for ever; ToolError when skopeo is missing.
    """
    match parse_published(reference):
        case LayoutImage() as place:
            yield _of_layout(place, tag, platform)
        case RegistryImage() as place:
            with store.work() as work:
                yield _of_registry(place, platform, work, progress, patience)


def image_of_layout(directory: Path, platform: Platform) -> PublishedImage:
    """The only image of an OCI layout. Raises as ``open_image`` does."""
    return _of_layout(LayoutImage(directory, None), None, platform)


def _of_layout(place: LayoutImage, tag: str | None, platform: Platform) -> PublishedImage:
    directory, name = place.directory.absolute() / "blobs" / "sha256", str(place)
    entries = _entries(read_index(place.directory), place, tag)
    manifest, raw = _find_manifest(entries, platform, directory, name)
    return _read_image(name, manifest, raw, platform, directory)


def _entries(index: Index, place: LayoutImage, tag: str | None) -> Sequence[IndexEntry]:
    """What a layout has by the tag that was named; else by the one that is preferred; else the only image."""
    by_tag: dict[str, list[IndexEntry]] = {}
    for entry in index.entries:
        by_tag.setdefault(dict(entry.manifest.annotations).get(REF_NAME, ""), []).append(entry)
    held = ", ".join(sorted(name or "an image without a name" for name in by_tag)) or "nothing"
    if place.tag is not None and place.tag not in by_tag:
        raise ArtifactError(f"oci:{place.directory} has no image called {place.tag!r}", hint=f"it has: {held}")
    if not by_tag:
        raise ArtifactError(f"{place} holds no image", hint="peel build IMAGE:TAG --to oci:DIR writes one")
    chosen = place.tag or (tag if tag in by_tag else None)
    if chosen is None and len(by_tag) > 1:
        raise UsageError(f"{place} holds several images", hint=f"name one, as {place}:TAG; it has: {held}")
    return by_tag[chosen] if chosen is not None else next(iter(by_tag.values()))


def _find_manifest(
    entries: Sequence[IndexEntry], platform: Platform, directory: Path, name: str, depth: int = 1
) -> tuple[Descriptor, bytes]:
    """The manifest for a platform among these, or in the indexes that they name; and its bytes."""
    unsaid = [entry.manifest for entry in entries if not entry.os]
    chosen = unsaid[0] if unsaid and Index(tuple(entries)).get(platform) is None else None
    manifest = chosen or Index(tuple(entries)).find(platform, name)
    raw = _read_document(manifest, directory, name)
    found = parse_manifest_or_index(raw, name)
    if isinstance(found, Manifest):
        return manifest, raw
    if depth == _DEEPEST:
        raise ArtifactError(f"{name} is an index of indexes of indexes", hint=_AGAIN)
    return _find_manifest(found.entries, platform, directory, name, depth + 1)


def _of_registry(
    place: RegistryImage, platform: Platform, directory: Path, progress: Progress, patience: float
) -> PublishedImage:
    digest = skopeo.resolve(place.reference, platform, timeout=patience)
    pinned, name = f"{_without_tag(place.reference)}@{digest}", str(place)
    raw = skopeo.inspect(pinned, timeout=patience)
    if Digest.of(raw) != digest:
        raise ArtifactError(f"{name}: the manifest that came is {Digest.of(raw)}, not {digest}", hint=_AGAIN)
    size = min(sum(blob.size for blob in parse_manifest(raw, name).layers), _LARGEST)
    progress.step(f"fetching {name}")
    skopeo.copy_to_directory(pinned, directory, timeout=patience + size / _SLOWEST)
    return _read_image(name, describe(MANIFEST, raw), raw, platform, directory)


def _without_tag(reference: str) -> str:
    head, slash, last = reference.partition("@")[0].rpartition("/")
    return f"{head}{slash}{last.partition(':')[0]}"


def _read_image(name: str, manifest: Descriptor, raw: bytes, platform: Platform, directory: Path) -> PublishedImage:
    parsed = parse_manifest(raw, name)
    if len(parsed.layers) > _MOST_LAYERS:
        raise ArtifactError(f"{name} has {len(parsed.layers):,} layers, and nothing runs as many", hint=_AGAIN)
    raw_config = _read_document(parsed.config, directory, f"{name} (its config)")
    config = parse_config(raw_config, f"{name} (its config)")
    if config.architecture != platform.architecture:
        raise ArtifactError(
            f"{name} is made for {config.architecture}, not for {platform}", hint="name another image, or --platform"
        )
    if len(config.diff_ids) != len(parsed.layers):
        raise ArtifactError(
            f"{name} contradicts itself: {len(parsed.layers)} layers, {len(config.diff_ids)} diffIDs", hint=_AGAIN
        )
    return PublishedImage(name, manifest, raw, parsed, raw_config, config, directory)


def _read_document(blob: Descriptor, directory: Path, name: str) -> bytes:
    """A manifest, index or config, checked."""
    if blob.media_type not in _DOCUMENTS:
        raise ArtifactError(
            f"{name} is of a kind that peel does not read: {blob.media_type}",
            hint="OCI images and Docker's schema 2 can be used; copy it with skopeo copy --format oci",
        )
    with _opened(directory / blob.digest.hex, f"{name}: blob {blob.digest}") as file:
        data = file.read(DOCUMENT_LIMIT + 1)
    if len(data) > DOCUMENT_LIMIT:
        raise ArtifactError(f"{name}: blob {blob.digest} is longer than the {DOCUMENT_LIMIT:,} bytes of a document")
    _refuse_other((Digest.of(data), len(data)), blob, name)
    return data


def _refuse_other(found: tuple[Digest, int], blob: Descriptor, name: str) -> None:
    """Raise ArtifactError unless digest and size are those that were named."""
    if found != (blob.digest, blob.size):
        raise ArtifactError(
            f"{name}: blob {blob.digest} of {blob.size:,} bytes is {found[0]} of {found[1]:,} bytes", hint=_AGAIN
        )


@contextmanager
def _opened(path: Path, what: str) -> Iterator[BinaryIO]:
    """Lend a regular file for reading: a pipe in its place would be waited for, a device never end."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        raise ArtifactError(f"{what} cannot be had: {error.strerror}", hint=_AGAIN) from None
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise ArtifactError(f"{what} is no regular file", hint=_AGAIN)
    with os.fdopen(descriptor, "rb") as file:
        yield file
