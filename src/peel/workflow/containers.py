"""Images in buildah's storage: the base to run things in, the finished image to launch."""

from __future__ import annotations

from peel.model.oci import MANIFEST, BaseImage, Descriptor, describe, make_manifest
from peel.model.oci_parse import parse_manifest
from peel.store.layout import export_layout
from peel.store.store import Store
from peel.tools import buildah as buildah_tool
from peel.tools import isolation
from peel.tools.buildah import Buildah

_TAG = "image"


def import_base(base: BaseImage, store: Store, buildah: Buildah) -> str:
    """The base as an image that containers can be made of; its id. Imported once, then found again."""
    config = parse_manifest(base.manifest, str(base.digest)).config
    # a base may have come as Docker has it; the same blobs under an OCI manifest mean the same image
    raw = store.blobs.read(config.digest)
    manifest = make_manifest(raw, base.layers, {})
    store.blobs.put_bytes(manifest)
    return import_image(describe(MANIFEST, manifest), store, buildah)


def import_image(manifest: Descriptor, store: Store, buildah: Buildah) -> str:
    """An image of the store as one that containers can be made of; its id."""
    name = f"localhost/peel:{manifest.digest.hex}"
    with store.lock("containers"):
        if (found := buildah.find_image(name)) is not None:
            return found
        with store.work() as work:
            export_layout(store.blobs, manifest, work / "layout", _TAG)
            return buildah_tool.import_layout(buildah.storage, work / "layout", _TAG, name)


def load_image(manifest: Descriptor, store: Store, name: str) -> str:
    """Import an image into the machine's own storage, where buildah and podman find it as ``name``; its id."""
    with store.work() as work:
        export_layout(store.blobs, manifest, work / "layout", _TAG)
        return buildah_tool.load(work / "layout", _TAG, name)


def chosen_buildah(store: Store) -> Buildah:
    """buildah on the store's own container storage, with the isolation that works here; what killed runs left is gone.

    Raises ToolError.
    """
    chosen = isolation.open_buildah(store.root / "containers")
    chosen.sweep()
    return chosen
