"""``peel pull``: a published image back into the store, where its lock set finds it."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from time import monotonic

from peel.errors import ArtifactError, DifferenceError, DocumentError, UsageError
from peel.model.lockset import RecordedImage
from peel.model.oci import MANIFEST, TITLE, VERSION, Descriptor, Index, Manifest
from peel.model.oci_parse import parse_config, parse_manifest, parse_manifest_or_index
from peel.model.plan import layer_key, make_plan
from peel.model.progress import Progress
from peel.model.repository import Repository
from peel.model.tags.tag import tag_fault
from peel.model.values import Digest, ImageRef, Platform, is_digest
from peel.registry.client import RegistryClient, open_registry
from peel.store.blobs import hash_of
from peel.store.catalogue import Catalogue
from peel.store.layout import link_or_copy
from peel.store.store import LayerRecord, Store
from peel.tools import skopeo


@dataclass(frozen=True, slots=True)
class Published:
    """An image of a registry: its repository, and a tag or digest."""

    repository: Repository
    reference: str

    def __str__(self) -> str:
        return f"{self.repository}{'@' if ':' in self.reference else ':'}{self.reference}"

    @classmethod
    def parse(cls, text: str) -> Published:
        """Read ``REGISTRY/NAME:TAG`` or ``REGISTRY/NAME@DIGEST``. Raises UsageError for anything else."""
        name, at, digest = text.removeprefix("docker://").partition("@")
        head, slash, last = name.rpartition("/")
        last, _, tag = last.partition(":")
        repository = Repository.parse(f"{head}{slash}{last}")
        if not (digest if at else tag):
            raise UsageError(f"no tag in {text!r}", hint=f"write {repository}:TAG")
        fault = None if at else tag_fault(tag)
        if fault is not None or (at and not is_digest(digest)):
            raise UsageError(f"not an image of {repository}: {fault or 'the digest is none'}", hint="copy it once more")
        return cls(repository, digest if at else tag)


@dataclass(frozen=True, slots=True)
class Pulled:
    """An image that is in the store now; ``fetched`` are the blobs that it lacked. ``known`` to a lock set's record."""

    ref: ImageRef
    manifest: Descriptor
    fetched: Sequence[Descriptor]
    known: bool
    seconds: float


def pull_image(
    image: Published,
    platform: Platform,
    ref: ImageRef | None,
    *,
    catalogue: Catalogue | None,
    store: Store,
    progress: Progress,
) -> Pulled:
    """Bring an image, digest by digest, and let ``ref`` stand for it; by default the address that it names itself.

    Where the catalogue has a record of that address, the image must be the recorded one; then its layers are known to
    builds, too. Raises DifferenceError when it is another, UsageError for an image that names no address, ArtifactError
    for what cannot be had or is not what its digests say, ToolError when skopeo is missing or the disk refuses.
    """
    began = monotonic()
    skopeo.version()
    with open_registry(image.repository) as client:
        descriptor, raw = _manifest_for(client, image, platform)
    manifest = parse_manifest(raw, str(image))
    address = ref or _address_of(manifest)
    if address is None:
        raise UsageError(f"{image} does not say what it is", hint="name it: peel pull … IMAGE:TAG")
    recorded = _recorded(address, platform, catalogue)
    if ref is None and recorded is None:
        _refuse_taken(address, platform, image, descriptor, store)
    if recorded is not None and recorded.manifest != str(descriptor.digest):
        raise DifferenceError(
            f"{image} is {descriptor.digest}, and the record of {address} says {recorded.manifest}",
            hint="it was published from another build; keep it under another address: peel pull … OTHER:TAG",
        )
    fetched = _fetch(image, descriptor, manifest, store, progress)
    store.blobs.put_bytes(raw)
    _refuse_other_platform(image, manifest, platform, store)
    store.set_image(address, platform, descriptor)
    if recorded is not None and catalogue is not None:
        _remember_layers(address, platform, recorded, manifest, catalogue, store)
    return Pulled(address, descriptor, fetched, recorded is not None, monotonic() - began)


def _manifest_for(client: RegistryClient, image: Published, platform: Platform) -> tuple[Descriptor, bytes]:
    reference = image.reference
    for _ in range(3):  # an index may name an index
        found = client.manifest(reference)
        if found is None:
            raise ArtifactError(f"there is no image {image}", hint="check the name and the tag")
        descriptor, raw = found
        parsed = parse_manifest_or_index(raw, str(image))
        if not isinstance(parsed, Index):
            return descriptor, raw
        reference = str(parsed.find(platform, str(image)).digest)
    raise ArtifactError(f"{image} is an index of indexes of indexes", hint="it was put together wrongly")


def _address_of(manifest: Manifest) -> ImageRef | None:
    said = dict(manifest.annotations)
    with suppress(DocumentError):  # annotations are anybody's
        return ImageRef(said.get(TITLE, ""), said.get(VERSION, ""))
    return None


def _refuse_taken(
    address: ImageRef, platform: Platform, image: Published, descriptor: Descriptor, store: Store
) -> None:
    """An image may say that it is any other: without a record, it does not take what another has."""
    found = store.image(address, platform)
    if found is not None and found.digest != descriptor.digest:
        raise UsageError(
            f"{image} calls itself {address}, which is {found.digest} in this store",
            hint=f"say what it is to be: peel pull … {address}, or another address",
        )


def _recorded(ref: ImageRef, platform: Platform, catalogue: Catalogue | None) -> RecordedImage | None:
    record = catalogue.record(ref) if catalogue is not None and catalogue.has_lock(ref) else None
    return record.platforms.get(platform.subdir) if record else None


def _fetch(
    image: Published, descriptor: Descriptor, manifest: Manifest, store: Store, progress: Progress
) -> Sequence[Descriptor]:
    """Bring what the store lacks; what it has is offered to skopeo, which then asks for the rest alone."""
    blobs = dict.fromkeys((*manifest.layers, manifest.config))
    lacking = [blob for blob in blobs if not store.blobs.has(blob.digest)]
    size = sum(blob.size for blob in lacking)
    if lacking:
        pinned = f"{image.repository}@{descriptor.digest}"
        with store.work() as work, progress.bar(f"fetching {len(lacking)} blobs of {image}", size, "bytes"):
            directory = _copy(pinned, descriptor, [blob for blob in blobs if blob not in lacking], work, store, size)
            for blob in lacking:
                _adopt(directory / blob.digest.hex, blob, image, store)
    return lacking


def _copy(
    pinned: str, descriptor: Descriptor, there: Sequence[Descriptor], work: Path, store: Store, size: int
) -> Path:
    """Copy an image; returns the directory in which its blobs lie, each by the digits of its digest."""
    if descriptor.media_type != MANIFEST:
        skopeo.copy_to_directory(pinned, work / "image", timeout=skopeo.time_for(size))
        return work / "image"
    blobs = work / "image" / "blobs" / "sha256"
    blobs.mkdir(parents=True)
    for blob in there:
        link_or_copy(store.blobs.path(blob.digest), blobs / blob.digest.hex)
    skopeo.copy_to_layout(pinned, work / "image", size=size)
    return blobs


def _adopt(path: Path, blob: Descriptor, image: Published, store: Store) -> None:
    if not path.is_file():
        raise ArtifactError(f"{image}: blob {blob.digest} did not come", hint="pull it again")
    with path.open("rb") as file:
        found = hash_of(file)
    if (found, path.stat().st_size) != (blob.digest, blob.size):
        raise ArtifactError(f"{image}: blob {blob.digest} of {blob.size:,} bytes came as {found}", hint="pull it again")
    store.blobs.adopt(path, blob.digest)


def _refuse_other_platform(image: Published, manifest: Manifest, platform: Platform, store: Store) -> None:
    config = parse_config(store.blobs.read(manifest.config.digest), f"{image} (its config)")
    if config.architecture != platform.architecture:
        raise ArtifactError(
            f"{image} is made for {config.architecture}, not for {platform}", hint="name its platform with --platform"
        )


def _remember_layers(
    ref: ImageRef, platform: Platform, recorded: RecordedImage, manifest: Manifest, catalogue: Catalogue, store: Store
) -> None:
    """Let builds find the layers: the record, which was reviewed, says which contents each blob holds."""
    plan = make_plan(catalogue.lock_set(ref), platform)
    if str(plan.digest) != recorded.plan:
        return
    blobs = {blob.digest: blob for blob in manifest.layers}
    for step, layer in zip(plan.layers, recorded.layers, strict=True):
        if (blob := blobs.get(Digest(layer.digest))) is not None:
            store.remember_layer(layer_key(step, plan), LayerRecord(blob, Digest(layer.diff_id)))
