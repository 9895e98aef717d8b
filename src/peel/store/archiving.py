"""Writing archives: what a lock set needs, put into an OCI layout beside what that holds already."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from peel.errors import ArtifactError, DocumentError
from peel.model.archive import EMPTY_CONFIG, Content, in_order, make_archive_manifest
from peel.model.oci import MANIFEST, Descriptor, describe
from peel.model.values import Digest, ImageRef
from peel.store.blobs import DOCUMENT_LIMIT, Blobs, hash_of
from peel.store.files import write_whole
from peel.store.layout import extend_layout, link_or_copy, refuse_store


def write_archive(
    ref: ImageRef,
    contents: Sequence[Content],
    documents: Mapping[Digest, bytes],
    blobs: Blobs,
    *,
    directory: Path,
    tag: str,
    advance: Callable[[int], None] = lambda _: None,
) -> Descriptor:
    """Keep these artifacts in ``directory`` as ``tag``; those that are not ``documents`` come from ``blobs``.

    Every one is hashed where it comes to lie, or lies already; a damaged one there is replaced. ``advance`` is told how
    many bytes more are kept. Whatever fails, the layout stays as it was. Raises ArtifactError for a blob that is
    missing or damaged, UsageError for a directory that holds other things, ToolError when the disk refuses.
    """
    data = make_archive_manifest(ref, contents)
    if len(data) > DOCUMENT_LIMIT:
        raise DocumentError(
            f"the archive of {ref} needs a manifest of {len(data):,} bytes, and registries take {DOCUMENT_LIMIT:,}",
            hint="make two images of it, each with some of the payloads",
        )
    manifest = describe(MANIFEST, data)
    own = {manifest.digest: data, Digest.of(EMPTY_CONFIG): EMPTY_CONFIG, **documents}

    def put(there: Blobs) -> Iterator[Path]:
        for digest, document in own.items():
            if not _holds(there, digest):
                yield there.path(digest)
                _write(there.path(digest), document)
        for content in in_order(contents):
            if content.digest not in own and not _holds(there, content.digest):
                yield there.path(content.digest)
                _hand_out(blobs, content, there)
            advance(content.size)

    refuse_store(directory, blobs)
    extend_layout(directory, manifest, tag, put, needed=sum(content.size for content in in_order(contents)))
    return manifest


def _holds(there: Blobs, digest: Digest) -> bool:
    """Whether a blob is there and whole."""
    if not there.has(digest):
        return False
    with there.open(digest) as file:
        return hash_of(file) == digest


def _hand_out(blobs: Blobs, content: Content, there: Blobs) -> None:
    if not blobs.has(content.digest):
        raise ArtifactError(f"the store has no {content.title} ({content.digest})", hint="archive again")
    link_or_copy(blobs.path(content.digest), there.path(content.digest))
    if not _holds(there, content.digest):
        blobs.verify(content.digest)
        raise ArtifactError(
            f"{content.title} did not arrive whole in {there.root}", hint="check the disk, and archive again"
        )


def _write(path: Path, data: bytes) -> None:
    write_whole(path, data)
    path.chmod(0o444)
