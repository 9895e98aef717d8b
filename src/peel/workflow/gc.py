"""``peel gc``: freeing the store of what no lock set, record or image needs. On doubt, nothing is freed."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from peel.errors import DocumentError, PeelError, UsageError
from peel.model.lockset import LOCK_FILE
from peel.model.plan import layer_key, make_plan
from peel.model.progress import Progress
from peel.model.values import Digest, ImageRef, Platform
from peel.store.base import load_base
from peel.store.catalogue import Catalogue, is_catalogue
from peel.store.environments import all_made, discard
from peel.store.files import writing
from peel.store.garbage import Waste, find_waste, named_images, needed_by, remove
from peel.store.layout import drop_references
from peel.store.store import Store
from peel.tools import buildah
from peel.tools.buildah import StoredImage
from peel.workflow.archive import packages_of
from peel.workflow.containers import container_manifest, name_in_storage, storage_at_rest, stored_images

_MEND: Final = "nothing was freed: mend the lock set, or move it away if its artifacts are not needed any more"


@dataclass(frozen=True, slots=True)
class Garbage:
    """What nothing needs.

    ``names`` are those that images lose; ``strays`` those of images that no catalogue has a lock set of, and that are
    kept. ``environments`` were made to be tried, and are made anew when somebody tries them again. ``catalogues`` were
    considered, ``gone`` were remembered and are not there any more.
    """

    waste: tuple[Waste, ...]
    names: tuple[str, ...]
    strays: tuple[str, ...]
    containers: tuple[StoredImage, ...]
    environments: tuple[Path, ...]
    catalogues: tuple[Path, ...]
    gone: tuple[Path, ...]

    @property
    def freed(self) -> int:
        """How many bytes the disk gains, container images and environments not counted."""
        return sum(item.freed for item in self.waste)


@dataclass(slots=True)
class _Needed:
    """What is needed: blobs, and among them the manifests that container images may be made of."""

    store: Store
    blobs: set[Digest] = field(default_factory=set)
    manifests: set[Digest] = field(default_factory=set)

    def add_images(self, manifests: Iterable[Digest]) -> None:
        """Need images, and what they are made of as far as it is there."""
        found = set(manifests)
        self.manifests |= found
        self.blobs |= needed_by(self.store, found)

    def add_base(self, digest: Digest, origin: str) -> None:
        """Need a base, also in the form in which containers are made of it."""
        self.blobs |= needed_by(self.store, [digest])
        base = load_base(self.store.blobs, digest, origin=origin)
        if base is not None:
            self.add_images([Digest.of(container_manifest(base, self.store))])

    def add_layer(self, key: Digest) -> None:
        """Need the layer that was made for a key, if one was."""
        if (record := self.store.layer(key)) is not None:
            self.blobs.add(record.blob.digest)


def find_garbage(own: Path, store: Store, *, images: bool, progress: Progress) -> Garbage:
    """What the store holds in vain: for the catalogue ``own``, if it is one, and for all that the store remembers.

    With ``images``, names of images that no catalogue has a lock set of count for nothing. Raises UsageError when no
    catalogue is known, DocumentError or ArtifactError for whatever cannot be read, naming the file.
    """
    catalogues, gone = _catalogues(own, store)
    needed, refs = _Needed(store), set[str]()
    sets = [(catalogue, ref) for catalogue in catalogues for ref in _lock_sets(catalogue)]
    with progress.bar(f"reading {len(sets)} lock sets", len(sets), "items") as advance:
        for catalogue, ref in sets:
            _add_lock_set(needed, ref, catalogue)
            refs.add(str(ref))
            advance(1)
    named = named_images(store)
    strays = sorted({name for name, _ in named if _is_ref(name) and name not in refs})
    dropped = strays if images else []
    needed.add_images(digest for name, digest in named if name not in dropped)
    return Garbage(
        waste=tuple(find_waste(store, needed.blobs)),
        names=tuple(dropped), strays=() if images else tuple(strays),
        containers=tuple(_unneeded_containers(store, needed, progress)),
        environments=tuple(all_made(store)),
        catalogues=tuple(catalogue.root for catalogue in catalogues), gone=tuple(gone),
    )  # fmt: skip


def free(garbage: Garbage, store: Store, progress: Progress) -> None:
    """Remove it. The caller has the store alone. Raises ToolError; what is gone by then stays gone."""
    if garbage.names:
        drop_references(store.root, garbage.names)
    if garbage.waste:
        with progress.bar(f"removing {len(garbage.waste)} files", len(garbage.waste), "items") as advance:
            remove(garbage.waste, store, advance)
    storage = storage_at_rest(store) if garbage.containers else None
    if storage is not None:
        with progress.bar("removing container images", len(garbage.containers), "items") as advance:
            for image in garbage.containers:
                buildah.remove_image(storage, image.name)
                advance(1)
    for place in garbage.environments:
        discard(place)
    for root in garbage.gone:
        with writing(store.root):
            store.forget_catalogue(root)


def _catalogues(own: Path, store: Store) -> tuple[Sequence[Catalogue], Sequence[Path]]:
    remembered = store.catalogues()
    gone = [root for root in remembered if not is_catalogue(root)]
    roots = {root for root in remembered if root not in gone}
    if is_catalogue(own):
        roots.add(own.resolve())
    if not roots:
        raise UsageError(
            f"no catalogue is known that uses the store {store.root}, so all of it would go",
            hint="name one with -C DIR; or delete the directory, if nothing needs it",
        )
    return [Catalogue(root) for root in sorted(roots)], gone


def _lock_sets(catalogue: Catalogue) -> Iterator[ImageRef]:
    """Every lock set; whatever hinders looking for them is an error, never a lock set less."""
    root = catalogue.root / "lockfiles"
    for image in sorted(root.iterdir()) if root.is_dir() else ():
        for tag in sorted(image.iterdir()) if image.is_dir() else ():
            if os.path.lexists(tag / LOCK_FILE) and not tag.name.startswith("."):
                yield _ref_of(tag)


def _ref_of(directory: Path) -> ImageRef:
    try:
        return ImageRef(directory.parent.name, directory.name)
    except DocumentError as error:
        raise DocumentError(f"{directory}: {error.message}", hint=_MEND) from None


def _add_lock_set(needed: _Needed, ref: ImageRef, catalogue: Catalogue) -> None:
    try:
        _add_artifacts(needed, ref, catalogue)
        record = catalogue.record(ref)
    except DocumentError as error:
        raise DocumentError(
            f"{catalogue.root}: {error.message}",
            hint=_MEND,
        ) from None
    for built in record.platforms.values() if record else ():
        needed.add_images([Digest(built.manifest)])
        needed.blobs.update(Digest(text) for text in (built.config, *(layer.digest for layer in built.layers)))


def _add_artifacts(needed: _Needed, ref: ImageRef, catalogue: Catalogue) -> None:
    lock = catalogue.image_lock(ref)
    for base in lock.base.values():
        needed.add_base(Digest(base.digest), lock.declared.base)
    if lock.missing:
        needed.blobs.update(_known(ref, catalogue))
        return
    locks = catalogue.lock_set(ref)
    needed.blobs.update(package.digest for package in packages_of(locks))
    captured = (found for environments in lock.captured.values() for found in environments.values())
    needed.blobs.update(Digest(found.digest) for found in captured)
    for platform in lock.base:
        plan = make_plan(locks, Platform(platform))
        for step in plan.layers:
            needed.add_layer(layer_key(step, plan))


def _known(ref: ImageRef, catalogue: Catalogue) -> Iterator[Digest]:
    """What an incomplete import has so far."""
    for environment in catalogue.image_lock(ref).declared.environments:
        for package in catalogue.conda_lock(ref, environment.name):
            if package.hash.sha256:
                yield Digest.from_hex(package.hash.sha256)


def _is_ref(name: str) -> bool:
    """Whether this is how peel names images; whatever else is in the index, others put there."""
    try:
        ImageRef.parse(name)
    except DocumentError:
        return False
    return True


def _unneeded_containers(store: Store, needed: _Needed, progress: Progress) -> Iterator[StoredImage]:
    kept = {name_in_storage(manifest) for manifest in needed.manifests}
    try:
        storage = storage_at_rest(store)
        found = stored_images(storage) if storage else ()
    except PeelError as error:
        progress.warn(f"container images are left alone: {error.message}")
        return
    yield from (image for image in found if image.name not in kept)
