"""The base image: resolved when locking, taken into the store, and found there ever after."""

from __future__ import annotations

from peel.errors import ArtifactError
from peel.layers.glibc import find_glibc
from peel.model.oci import BaseImage
from peel.model.plan import BasePin
from peel.model.progress import Progress
from peel.model.values import Digest, Platform
from peel.store.base import import_directory, load_base
from peel.store.store import Store
from peel.tools import skopeo


def pin_base(reference: str, platform: Platform, store: Store) -> BasePin:
    """What the reference means today, for one platform; one by digest that the store has is not asked for.

    Raises ArtifactError or ToolError.
    """
    _, at, digest = reference.partition("@")
    known = load_base(store.blobs, Digest(digest), origin=reference) if at else None
    if known is not None and known.config.architecture == platform.architecture:
        return BasePin(reference, known.digest)
    return BasePin(reference, skopeo.resolve(reference, platform))


def fetch_base(pin: BasePin, platform: Platform, store: Store, progress: Progress) -> BaseImage:
    """The base with every blob in the store; the network is asked only when one is missing.

    Raises ArtifactError when it cannot be had, is not what its digest says, or is made for another platform.
    """
    found = load_base(store.blobs, pin.digest, origin=pin.reference) or _fetch(pin, store, progress)
    if found.config.architecture != platform.architecture:
        raise ArtifactError(
            f"the base {pin.pinned} is made for {found.config.architecture}, not for {platform}",
            hint="the lock set was changed by hand: take it from version control, or lock again",
        )
    return found


def _fetch(pin: BasePin, store: Store, progress: Progress) -> BaseImage:
    progress.step(f"fetching the base {pin.pinned}")
    with store.work() as work:
        skopeo.copy_to_directory(pin.pinned, work / "base")
        return import_directory(work / "base", pin.digest, store.blobs, origin=pin.reference)


def glibc_of(base: BaseImage, store: Store, origin: str) -> str:
    """The version of a base's C library, which conda calls ``__glibc``. Raises ArtifactError when it has none."""
    return find_glibc([(store.blobs.path(layer.digest), layer.media_type) for layer in base.layers], origin)
