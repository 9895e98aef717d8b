"""The base image: resolved when locking, taken into the store, and found there ever after."""

from __future__ import annotations

from peel.errors import ArtifactError
from peel.layers.glibc import find_glibc
from peel.model.oci import BaseImage
from peel.model.oci_parse import parse_manifest
from peel.model.plan import BasePin
from peel.model.progress import Progress
from peel.model.values import Digest, Platform
from peel.store.archives import take_from
from peel.store.base import import_directory, load_base
from peel.store.store import Store
from peel.tools import skopeo
from peel.workflow.fetching import Sources


def pin_base(reference: str, platform: Platform, store: Store, sources: Sources) -> BasePin:
    """What the reference means today, for one platform; nobody is asked for one by digest that is at hand.

    Raises ArtifactError or ToolError.
    """
    _, at, digest = reference.partition("@")
    known = _at_hand(Digest(digest), store, sources, origin=reference) if at else None
    if known is not None and known.config.architecture == platform.architecture:
        return BasePin(reference, known.digest)
    return BasePin(reference, skopeo.resolve(reference, platform))


def fetch_base(pin: BasePin, platform: Platform, store: Store, sources: Sources, progress: Progress) -> BaseImage:
    """The base with every blob in the store; the network is asked only for what no archive has.

    Raises ArtifactError when it cannot be had, is not what its digest says, or is made for another platform.
    """
    found = _at_hand(pin.digest, store, sources, origin=pin.reference) or _fetch(pin, store, sources, progress)
    if found.config.architecture != platform.architecture:
        raise ArtifactError(
            f"the base {pin.pinned} is made for {found.config.architecture}, not for {platform}",
            hint="the lock set was changed by hand: take it from version control, or lock again",
        )
    return found


def _at_hand(digest: Digest, store: Store, sources: Sources, *, origin: str) -> BaseImage | None:
    """The base without asking the network: from the store, completed from archives; None when a part is missing."""
    take_from(sources.archives, [(digest, origin)], store.blobs)
    if not store.blobs.has(digest):
        return None
    manifest = parse_manifest(store.blobs.read(digest), origin)
    parts = (manifest.config, *manifest.layers)
    take_from(sources.archives, [(part.digest, f"a part of {origin}") for part in parts], store.blobs)
    return load_base(store.blobs, digest, origin=origin)


def _fetch(pin: BasePin, store: Store, sources: Sources, progress: Progress) -> BaseImage:
    if not sources.network:
        raise ArtifactError(
            f"the base {pin.pinned} is in no archive and not in the store",
            hint="name the archive that holds it with --archive; peel archive makes one",
        )
    progress.step(f"fetching the base {pin.pinned}")
    with store.work() as work:
        skopeo.copy_to_directory(pin.pinned, work / "base")
        return import_directory(work / "base", pin.digest, store.blobs, origin=pin.reference)


def glibc_of(base: BaseImage, store: Store, origin: str) -> str:
    """The version of a base's C library, which conda calls ``__glibc``. Raises ArtifactError when it has none."""
    return find_glibc([(store.blobs.path(layer.digest), layer.media_type) for layer in base.layers], origin)
