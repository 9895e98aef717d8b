"""Archives: artifacts kept by digest, which are asked before the network is."""

from __future__ import annotations

import errno
import hashlib
import os
import stat
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO, Final

from peel.errors import ArtifactError
from peel.model.archive import ArchiveManifest, Content, is_archive_manifest, parse_archive_manifest
from peel.model.oci import MANIFEST, REF_NAME
from peel.model.values import Digest
from peel.store.blobs import CHUNK, DOCUMENT_LIMIT, Blobs
from peel.store.files import writing
from peel.store.layout import read_index
from peel.store.locks import fresh_directory
from peel.store.transport import LARGEST

_ABSENT: Final = (errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.ENXIO)
"""How it shows that no regular file has this name: none at all, a link, or a socket."""

_SEALED: Final = 0o444
"""The mode of a blob that is never written to again."""


def _there() -> None:
    """Bring nothing: the archive is there."""


@dataclass(frozen=True, slots=True)
class Archive:
    """A directory that keeps blobs by digest, as an OCI layout does; ``name`` is what people call it.

    ``bring`` is called before the directory is looked at, each time: one in a registry comes only when it is needed.
    """

    name: str
    root: Path
    bring: Callable[[], None] = field(default=_there, compare=False, repr=False)


def take_from(
    archives: Sequence[Archive],
    wanted: Iterable[tuple[Digest, str]],
    blobs: Blobs,
    *,
    advance: Callable[[int], None] = lambda _: None,
) -> None:
    """Have in ``blobs`` what archives hold of these, each checked; ``wanted`` are digests with names for messages.

    What no archive has is left to others. ``advance`` is told how many bytes more were read. Raises ArtifactError for a
    blob that is not what its digest says, naming archive and artifact; ToolError when the disk refuses.
    """
    missing = {digest: name for digest, name in wanted if not blobs.has(digest)}
    for archive in archives:
        if missing:
            archive.bring()
            with fresh_directory(blobs.root / "tmp") as work:
                taken = [d for d, name in missing.items() if _take(archive, d, name, blobs, work / "blob", advance)]
            for digest in taken:
                del missing[digest]


def contents(archive: Archive) -> Sequence[Content]:
    """All that an archive keeps, of every lock set, by kind and title. Raises ArtifactError when it cannot be read."""
    archive.bring()
    found = {content for manifest in archive_manifests(archive) for content in manifest.contents}
    return sorted(found)


def archive_manifests(archive: Archive, tag: str | None = None) -> Iterator[ArchiveManifest]:
    """What the index of an archive names, one by one; with ``tag``, only what goes by it.

    Images beside them are passed over. Raises ArtifactError for an index or manifest that cannot be read.
    """
    for entry in read_index(archive.root).entries:
        name = dict(entry.manifest.annotations).get(REF_NAME, "")
        if entry.manifest.media_type == MANIFEST and tag in {None, name}:
            origin = f"{archive.name} ({name or entry.manifest.digest})"
            data = _read_document(archive, entry.manifest.digest, origin)
            if is_archive_manifest(data, origin):
                yield parse_archive_manifest(data, origin)


def refuse_foreign_archive(archive: Archive, tag: str | None = None) -> None:
    """Raise ArtifactError for a directory that holds no archive of lock sets; with ``tag``, none of that name."""
    if not archive.root.is_dir():
        raise ArtifactError(f"the archive {archive.name} is not there", hint="check its place, and that it is mounted")
    if next(archive_manifests(archive, tag), None) is None:
        what = f"nothing called {tag!r}" if tag else "no archive of a lock set"
        raise ArtifactError(f"{archive.name} holds {what}", hint="peel archive IMAGE:TAG --to PLACE makes one")


def blob_path(archive: Archive, digest: Digest) -> Path:
    """Where an archive has this blob, or would have it."""
    return archive.root / "blobs" / "sha256" / digest.hex


def _take(
    archive: Archive, digest: Digest, name: str, blobs: Blobs, fresh: Path, advance: Callable[[int], None]
) -> bool:
    """Take over one blob, if the archive has it as a regular file; ``fresh`` is where it lies until it is checked."""
    source = blob_path(archive, digest)
    linked = _link(source, fresh)
    with _opened(fresh if linked else source, f"{archive.name}: {name}") as file:
        if file is None:
            fresh.unlink(missing_ok=True)
            return False
        if linked and not _is_sealed(os.fstat(file.fileno())):
            fresh.unlink()
            linked = False
        found = _hash(file, None if linked else fresh, f"{archive.name}: {name}", advance)
    if found != digest:
        fresh.unlink()
        raise ArtifactError(
            f"the archive {archive.name} holds other bytes for {name}: expected {digest}, found {found}",
            hint=f"do not use this archive: find out what changed {source}, or remove that file to do without it",
        )
    blobs.adopt(fresh, digest)
    return True


def _link(source: Path, fresh: Path) -> bool:
    """Whether it could be linked: before it is opened, so that what is checked is what will be kept."""
    try:
        os.link(source, fresh, follow_symlinks=False)
    except OSError:  # another disk, or one without hard links, or nothing there
        return False
    return True


def _is_sealed(state: os.stat_result) -> bool:
    """Whether nobody will write to this file in the archive: else a link would let them change the store's blob."""
    return state.st_uid == os.geteuid() and stat.S_IMODE(state.st_mode) == _SEALED


@contextmanager
def _opened(path: Path, origin: str) -> Iterator[BinaryIO | None]:
    """Lend a regular file for reading; None where there is none. A link is not followed, and a pipe not waited for."""
    descriptor = -1
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        if error.errno not in _ABSENT:
            raise _unreadable(origin, error) from None
    if descriptor < 0:
        yield None
    elif not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        yield None
    else:
        with os.fdopen(descriptor, "rb") as file:
            yield file


def _hash(file: BinaryIO, copy: Path | None, origin: str, advance: Callable[[int], None]) -> Digest:
    """The digest of a file's bytes, which go to ``copy`` on the way, where one is wanted."""
    if copy is None:
        return _hash_pieces(_pieces(file, origin), advance)
    with writing(copy, needed=os.fstat(file.fileno()).st_size), copy.open("wb") as target:
        return _hash_pieces(_pieces(file, origin), advance, target)


def _hash_pieces(pieces: Iterator[bytes], advance: Callable[[int], None], target: BinaryIO | None = None) -> Digest:
    state = hashlib.sha256()
    for piece in pieces:
        state.update(piece)
        if target is not None:
            target.write(piece)
        advance(len(piece))
    return Digest.from_hex(state.hexdigest())


def _pieces(file: BinaryIO, origin: str) -> Iterator[bytes]:
    """A file's bytes. A read error must not be taken for one of the disk that is written to."""
    if os.fstat(file.fileno()).st_size > LARGEST:
        raise ArtifactError(f"{origin} is longer than the {LARGEST:,} bytes that an artifact may have")
    try:
        while piece := file.read(CHUNK):
            yield piece
    except OSError as error:
        raise _unreadable(origin, error) from None


def _read_document(archive: Archive, digest: Digest, origin: str) -> bytes:
    with _opened(blob_path(archive, digest), origin) as file:
        if file is None:
            raise ArtifactError(f"{origin}: its manifest {digest} is missing", hint="the archive is not whole")
        try:
            data = file.read(DOCUMENT_LIMIT + 1)
        except OSError as error:
            raise _unreadable(origin, error) from None
    if Digest.of(data) != digest:
        raise ArtifactError(f"{origin}: its manifest is not {digest}", hint="the archive was changed or is damaged")
    return data


def _unreadable(origin: str, error: OSError) -> ArtifactError:
    return ArtifactError(
        f"{origin} cannot be read: {error.strerror}", hint="let this user read the archive, and check its disk"
    )
