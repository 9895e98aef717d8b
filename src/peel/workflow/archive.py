"""``peel archive``: all that building a lock set from nothing needs, kept by digest in one place."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import assert_never

from peel.errors import ArtifactError, UsageError
from peel.model.archive import Content, Kind, archive_tag, in_order
from peel.model.locked import LockSet, Package
from peel.model.lockset import FILES, LOCK_FILE, RECORD_FILE, environment_lock_file
from peel.model.oci import Descriptor
from peel.model.oci_parse import parse_manifest
from peel.model.plan import BasePin
from peel.model.progress import Progress
from peel.model.values import Digest, ImageRef, Platform
from peel.store.archives import take_from
from peel.store.archiving import write_archive
from peel.store.catalogue import Catalogue
from peel.store.fetch import Artifact
from peel.store.layout import refuse_foreign, refuse_store
from peel.store.store import Store
from peel.tools import skopeo
from peel.workflow.archives import LayoutPlace, Place, RegistryPlace, parse_place
from peel.workflow.base import fetch_base
from peel.workflow.fetching import Sources, fetch_artifacts


@dataclass(frozen=True, slots=True)
class Archived:
    """An archive that was made: its manifest, and how many artifacts of how many bytes in all that lists."""

    ref: ImageRef
    manifest: Digest
    place: Place
    artifacts: int
    size: int


def parse_destination(text: str, ref: ImageRef, store: Store) -> Place:
    """Read where an archive is to go; its tag is ``IMAGE-TAG`` when none is named.

    Raises UsageError for what is no place, a directory that holds other things, and the store itself.
    """
    place = parse_place(text, at=Path.cwd())
    match place:
        case LayoutPlace():
            refuse_store(place.directory, store.blobs)
            refuse_foreign(place.directory)
            return LayoutPlace(place.directory, place.tag or archive_tag(ref))
        case RegistryPlace():
            if place.pin:
                raise UsageError(f"nothing can be put under a digest: {place}", hint="name a tag, or none")
            place.reference(ref)
            return RegistryPlace(place.name, place.tag or archive_tag(ref))
        case _:
            assert_never(place)


def archive_image(
    ref: ImageRef, *, destination: Place, catalogue: Catalogue, store: Store, sources: Sources, progress: Progress
) -> Archived:
    """Fetch what the store lacks of a lock set, and keep all of it at the destination, whole or not at all.

    Raises DocumentError for a bad lock set, ArtifactError for what cannot be had or a registry that refuses us.
    """
    locks, files = _read(ref, catalogue)
    documents = {Digest.of(data): data for data in files.values()}
    packages = packages_of(locks)
    fetch_artifacts([Artifact(p.file_name, p.url, p.digest, p.size) for p in packages], store, sources, progress)
    contents = in_order(
        [
            *(
                Content(_kind(package), package.file_name, package.digest, _size(store, package))
                for package in packages
            ),
            *(content for name in sorted(locks.lock.base) for content in _base(locks, name, store, sources, progress)),
            *_captured(locks, store, sources),
            *(Content(Kind.LOCK_SET, name, Digest.of(data), len(data)) for name, data in files.items()),
        ]
    )
    manifest = _put(ref, destination, contents, documents, store, progress)
    return Archived(ref, manifest.digest, destination, len(contents), sum(content.size for content in contents))


def packages_of(locks: LockSet) -> Sequence[Package]:
    """Every package that a lock set's layers are made from, on all platforms, each artifact once.

    Those that a patch took away again are among them; what an imported image brought itself is not.
    """
    layered = (package for groups in locks.groups.values() for group in groups for package in group.packages)
    patched = (
        package
        for patches in locks.patches.values()
        for patch in patches
        for change in patch.environments
        for package in (*change.added, *(restored for restored, _ in change.restored))
    )
    return list({package.digest: package for package in (*layered, *patched)}.values())


def _read(ref: ImageRef, catalogue: Catalogue) -> tuple[LockSet, Mapping[str, bytes]]:
    """A lock set, and its documents by the path they have in it; all of one moment, and nothing that lies beside."""
    catalogue.image_lock(ref)  # before it is held, which would make its directory
    with catalogue.hold(ref):
        locks, found = catalogue.lock_set(ref), catalogue.read_lock_set(ref)
        kept = [f"{FILES}/{sha256}" for sha256 in sorted(locks.lock.contents)]
        environments = [environment_lock_file(environment.name) for environment in locks.lock.declared.environments]
        files = {name: found[name] for name in (LOCK_FILE, *environments, *kept)}
        if catalogue.record(ref) is not None:
            files[RECORD_FILE] = (catalogue.lock_directory(ref) / RECORD_FILE).read_bytes()
        return locks, files


def _captured(locks: LockSet, store: Store, sources: Sources) -> Iterator[Content]:
    """The layers that were captured when locking. Raises ArtifactError for one that is nowhere."""
    for platform, environments in sorted(locks.lock.captured.items()):
        for name, found in sorted(environments.items()):
            digest, title = Digest(found.digest), f"captured/{platform}/{name}"
            take_from(sources.archives, [(digest, title)], store.blobs)
            if not store.blobs.has(digest):
                raise ArtifactError(
                    f"the layer that was captured of {name!r} for {platform} is not in the store: {digest}",
                    hint="peel build makes what can be made again; else name the archive that holds it with --archive",
                )
            yield Content(Kind.CAPTURED_LAYER, title, digest, found.size)


def _kind(package: Package) -> Kind:
    return Kind.WHEEL if package.manager == "pip" else Kind.CONDA_PACKAGE


def _size(store: Store, package: Package) -> int:
    return store.blobs.path(package.digest).stat().st_size


def _base(locks: LockSet, platform: str, store: Store, sources: Sources, progress: Progress) -> Iterator[Content]:
    pin = BasePin(locks.lock.declared.base, Digest(locks.lock.base[platform].digest))
    base = fetch_base(pin, Platform(platform), store, sources, progress)
    config = parse_manifest(base.manifest, pin.pinned).config
    yield Content(Kind.BASE, f"base/{platform}/manifest.json", base.digest, len(base.manifest))
    yield Content(Kind.BASE, f"base/{platform}/config.json", config.digest, config.size)
    for number, layer in enumerate(base.layers):
        yield Content(Kind.BASE, f"base/{platform}/layer-{number:03}", layer.digest, layer.size)


def _put(
    ref: ImageRef,
    destination: Place,
    contents: Sequence[Content],
    documents: Mapping[Digest, bytes],
    store: Store,
    progress: Progress,
) -> Descriptor:
    size = sum(content.size for content in contents)

    def write(directory: Path, tag: str) -> Descriptor:
        with progress.bar(f"archiving {len(contents)} artifacts", size, "bytes") as advance:
            return write_archive(
                ref, contents, documents, store.blobs, directory=directory, tag=tag, advance=advance
            )  # fmt: skip

    match destination:
        case LayoutPlace():
            return write(destination.directory, destination.tag or archive_tag(ref))
        case RegistryPlace():
            with store.work() as work:
                manifest = write(work / "layout", "archive")
                _push(work / "layout", destination.reference(ref), manifest, size, progress)
            return manifest
        case _:
            assert_never(destination)


def _push(layout: Path, reference: str, manifest: Descriptor, size: int, progress: Progress) -> None:
    progress.step(f"pushing to docker://{reference}")
    skopeo.push_layout(layout, "archive", reference, size=size)
    found = Digest.of(skopeo.inspect(reference))
    if found != manifest.digest:
        raise ArtifactError(
            f"the registry has {reference} as {found}, but what was pushed is {manifest.digest}",
            hint="another job may have pushed there; or the registry changes manifests, and cannot keep archives",
        )
