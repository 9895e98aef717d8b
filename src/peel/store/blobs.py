"""Blobs by digest: ``blobs/sha256/`` of an OCI image layout (image-layout.md, "Blobs").

A blob that is there is whole: it was hashed on its way in and renamed into place.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, Final

from peel.errors import ArtifactError
from peel.model.values import Digest
from peel.store.files import settle, writing
from peel.store.locks import fresh_directory

CHUNK: Final = 1 << 20
"""How many bytes are read at once."""

DOCUMENT_LIMIT: Final = 4 << 20
"""How long, in bytes, a manifest or config may be: what registries accept."""


class Blobs:
    """The blobs beneath ``root``, a layout's directory; work in progress goes to ``root/tmp``."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._directory = root / "blobs" / "sha256"

    def path(self, digest: Digest) -> Path:
        """Where this blob lies, or would."""
        return self._directory / digest.hex

    def has(self, digest: Digest) -> bool:
        """Whether it is there."""
        return self.path(digest).is_file()

    def put_bytes(self, data: bytes) -> Digest:
        """Keep a small document. Raises ToolError when the disk refuses."""
        digest = Digest.of(data)
        if not self.has(digest):
            with fresh_directory(self.root / "tmp") as work, writing(self.root, needed=len(data)):
                (work / "blob").write_bytes(data)
                self.adopt(work / "blob", digest)
        return digest

    def adopt(self, path: Path, digest: Digest) -> Path:
        """Move a finished file in, which the caller has hashed; says where it lies now, mode 0444.

        From another disk it is copied. Raises ToolError when the disk refuses.
        """
        target = self.path(digest)
        with writing(self.root, needed=path.stat().st_size):
            target.parent.mkdir(parents=True, exist_ok=True)
            if path.stat().st_dev == target.parent.stat().st_dev:
                _move(path, target)
            else:
                with fresh_directory(self.root / "tmp") as work:
                    _move(Path(shutil.copyfile(path, work / "blob")), target)
                path.unlink()
        return target

    @contextmanager
    def open(self, digest: Digest) -> Iterator[BinaryIO]:
        """Lend a blob for reading. Raises ArtifactError when it is not there."""
        try:
            file = self.path(digest).open("rb")
        except OSError as error:
            raise ArtifactError(
                f"the store has no blob {digest}: {error.strerror}", hint=f"looked in {self._directory}; build again"
            ) from None
        with file:
            yield file

    def read(self, digest: Digest, *, limit: int = DOCUMENT_LIMIT) -> bytes:
        """A document's bytes, verified. Raises ArtifactError when missing, damaged, or longer than ``limit`` bytes."""
        with self.open(digest) as file:
            data = file.read(limit + 1)
        if len(data) > limit:
            raise ArtifactError(f"blob {digest} is longer than the {limit:,} bytes that a document may have")
        if Digest.of(data) != digest:
            raise self._damaged(digest)
        return data

    def verify(self, digest: Digest) -> None:
        """Read a blob through. Raises ArtifactError when it is missing or its bytes are not those of its digest."""
        with self.open(digest) as file:
            if hash_of(file) != digest:
                raise self._damaged(digest)

    def _damaged(self, digest: Digest) -> ArtifactError:
        return ArtifactError(
            f"the store's blob {digest} is damaged",
            hint=f"check the disk, remove {self.path(digest)} and run again: it will be fetched or made anew",
        )


def hash_of(file: BinaryIO) -> Digest:
    """The digest of what is still to be read from this file."""
    state = hashlib.sha256()
    while chunk := file.read(CHUNK):
        state.update(chunk)
    return Digest.from_hex(state.hexdigest())


def _move(path: Path, target: Path) -> None:
    """Settled before it is renamed: after a power cut a name must never stand for missing bytes."""
    with path.open("rb") as file:
        settle(file.fileno(), 0o444)
    os.replace(path, target)  # noqa: PTH105 - beside os.fsync
