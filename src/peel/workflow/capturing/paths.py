"""Which paths a captured layer holds: nothing but the layer itself knows."""

from __future__ import annotations

from peel.errors import ArtifactError
from peel.layers.compress import media_type
from peel.layers.layer_stream import ImageLayer, layer_members
from peel.model.lockset import ImageLock
from peel.model.oci import Descriptor
from peel.model.values import Digest
from peel.store.archives import take_from
from peel.store.store import Store
from peel.workflow.fetching import Sources


def captured_paths(
    lock: ImageLock, platform: str, environment: str, prefix: str, store: Store, sources: Sources
) -> frozenset[str]:
    """All that a captured environment has, relative to its prefix, but for directories.

    Raises ArtifactError when its layer cannot be had.
    """
    found, origin = lock.captured[platform][environment], f"the captured {environment} of {lock.image}:{lock.tag}"
    digest = Digest(found.digest)
    take_from(sources.archives, [(digest, origin)], store.blobs)
    if not store.blobs.has(digest):
        raise ArtifactError(
            f"{origin} is not in the store: {digest}", hint=f"peel build {lock.image}:{lock.tag}, or name an --archive"
        )
    blob = Descriptor(media_type(lock.compression.codec), digest, found.size)
    layer, root = ImageLayer(blob, lambda: store.blobs.path(digest).open("rb")), f"{prefix.strip('/')}/"
    members = (member for member in layer_members(layer, origin) if not member.info.isdir())
    return frozenset(member.path.removeprefix(root) for member in members if member.path.startswith(root))
