"""Images in buildah's storage: the base to run things in, the finished image to launch."""

from __future__ import annotations

from collections.abc import Sequence

from peel.model.oci import MANIFEST, BaseImage, Descriptor, describe, make_manifest
from peel.model.oci_parse import parse_manifest
from peel.model.values import Digest
from peel.store.layout import export_layout
from peel.store.store import Store
from peel.tools import buildah as buildah_tool
from peel.tools import isolation
from peel.tools.buildah import CHROOT, Buildah, Storage, StoredImage

_TAG = "image"
_ONLY = None  # by a name, skopeo finds no image in a layout that came as Docker has it
_STORED = "localhost/peel"


def import_base(base: BaseImage, store: Store, buildah: Buildah) -> str:
    """The base as an image that containers can be made of; its id. Imported once, then found again."""
    manifest = container_manifest(base, store)
    store.blobs.put_bytes(manifest)
    return import_image(describe(MANIFEST, manifest), store, buildah)


def container_manifest(base: BaseImage, store: Store) -> bytes:
    """What a base is imported as: one may have come as Docker has it, and the same blobs mean the same image."""
    config = parse_manifest(base.manifest, str(base.digest)).config
    return make_manifest(store.blobs.read(config.digest), base.layers, {})


def name_in_storage(manifest: Digest) -> str:
    """What an image is called in the store's container storage."""
    return f"{_STORED}:{manifest.hex}"


def import_image(manifest: Descriptor, store: Store, buildah: Buildah) -> str:
    """An image of the store as one that containers can be made of; its id."""
    name = name_in_storage(manifest.digest)
    with store.lock("containers"):
        if (found := buildah.find_image(name)) is not None:
            return found
        with store.work() as work:
            export_layout(store.blobs, manifest, work / "layout", _TAG)
            return buildah_tool.import_layout(buildah.storage, work / "layout", _ONLY, name)


def load_image(manifest: Descriptor, store: Store, name: str) -> str:
    """Import an image into the machine's own storage, where buildah and podman find it as ``name``; its id."""
    with store.work() as work:
        export_layout(store.blobs, manifest, work / "layout", _TAG)
        return buildah_tool.load(work / "layout", _ONLY, name)


def storage_at_rest(store: Store) -> Storage | None:
    """The store's container storage, once what killed runs left in it is gone; None where there is none yet.

    Raises ToolError when there is one, and no buildah.
    """
    directory = store.root / "containers"
    if not (directory / "storage").is_dir():
        return None
    buildah_tool.version()
    storage = buildah_tool.open_storage(directory)
    Buildah(storage, CHROOT).sweep()  # how programs are isolated does not matter: none runs
    return storage


def stored_images(storage: Storage) -> Sequence[StoredImage]:
    """The images in a storage that peel put there, by name."""
    return [image for image in buildah_tool.list_images(storage) if image.name.startswith(f"{_STORED}:")]


def chosen_buildah(store: Store) -> Buildah:
    """buildah on the store's own container storage, with the isolation that works here; what killed runs left is gone.

    Raises ToolError.
    """
    chosen = isolation.open_buildah(store.root / "containers")
    chosen.sweep()
    return chosen
