"""What is published of a tag: one platform's manifest, or an index of several."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from peel.errors import ArtifactError, UsageError
from peel.model.oci import INDEX, MANIFEST, Descriptor, IndexEntry, describe, make_index
from peel.model.oci_parse import parse_manifest
from peel.model.tags.policy import TagPolicy, policy_of
from peel.model.values import Digest, ImageRef, Platform
from peel.store.catalogue import Catalogue
from peel.store.store import Store


@dataclass(frozen=True, slots=True)
class Pushable:
    """An image as registries know it: ``document`` are the bytes that its tag stands for, ``top`` describes them."""

    ref: ImageRef
    policy: TagPolicy
    manifests: Sequence[Descriptor]
    top: Descriptor
    document: bytes

    @property
    def tag(self) -> str:
        """What it is published as."""
        return self.ref.tag


def pushable_image(ref: ImageRef, platforms: Sequence[Platform], catalogue: Catalogue, store: Store) -> Pushable:
    """What was built of a lock set, as its record says; ``platforms`` are those that it was locked for by default.

    Raises UsageError for an image that was not built for all of them, ArtifactError when the store lacks a part of it.
    """
    lock, record = catalogue.image_lock(ref), catalogue.record(ref)
    wanted = platforms or [Platform(name) for name in lock.declared.platforms]
    built = record.platforms if record else {}
    lacking = [platform for platform in wanted if platform.subdir not in built]
    if lacking:
        there = ", ".join(sorted(built))
        raise UsageError(
            f"{ref} is not built for {', '.join(map(str, lacking))}",
            hint=f"push what there is with --platform {there.split(', ')[0]}" if there else f"peel build {ref}",
        )
    manifests = {platform: _manifest(ref, Digest(built[platform.subdir].manifest), store) for platform in wanted}
    policy = policy_of(lock.declared.tags)
    top, document = _top(manifests, store)
    return Pushable(ref, policy, list(manifests.values()), top, document)


def _manifest(ref: ImageRef, digest: Digest, store: Store) -> Descriptor:
    if not store.blobs.has(digest):
        raise ArtifactError(f"this store has no image {ref}", hint=f"peel build {ref} makes it again, bit for bit")
    return describe(MANIFEST, store.blobs.read(digest))


def _top(manifests: Mapping[Platform, Descriptor], store: Store) -> tuple[Descriptor, bytes]:
    if len(manifests) == 1:
        manifest = next(iter(manifests.values()))
        return manifest, store.blobs.read(manifest.digest)
    entries = [IndexEntry(manifest, "linux", platform.architecture) for platform, manifest in manifests.items()]
    said = [dict(parse_manifest(store.blobs.read(m.digest), str(m.digest)).annotations) for m in manifests.values()]
    common = {name: text for name, text in said[0].items() if all(other.get(name) == text for other in said)}
    document = make_index(entries, common)
    return describe(INDEX, document), document
