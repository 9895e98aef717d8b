"""From entries to a compressed layer on disk, in one pass, with both of its digests."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from peel.errors import ToolError
from peel.layers.compress import Bytes, Compression, Sink, media_type, open_compressor
from peel.layers.tar import write_tar
from peel.model.entry import Entry
from peel.model.values import Digest


@dataclass(frozen=True, slots=True)
class LayerBlob:
    """A layer as it lies on disk.

    ``diff_id`` is the digest of the tar, which has ``diff_size`` bytes; ``digest`` that of the compressed file at
    ``path``, which has ``size`` bytes (OCI image-spec, "Layer DiffID" and "Descriptor").
    """

    diff_id: Digest
    digest: Digest
    size: int
    diff_size: int
    media_type: str
    path: Path


def write_blob(
    entries: Sequence[Entry], compression: Compression, destination: Path, *, threads: int | None = None
) -> LayerBlob:
    """Write canonical entries as a compressed layer to ``destination``; ``Blobs.adopt`` has it reach the disk.

    ``threads``, as ``open_compressor`` has it, changes the speed alone. Memory stays at about 16 MiB for each of
    them, whatever the layer's size. On any failure nothing is left at ``destination``. Raises what ``write_tar`` and
    ``open_compressor`` raise, and ToolError when the file cannot be written, as on a full disk.
    """
    try:
        with _complete_file(destination) as file:
            return _write(entries, compression, file, destination, threads)
    except OSError as error:
        raise ToolError(f"cannot write the layer {destination}: {error.strerror}", hint="is the disk full?") from None


def _write(
    entries: Sequence[Entry], compression: Compression, file: BinaryIO, destination: Path, threads: int | None
) -> LayerBlob:
    blob = _HashedSink(file)
    with open_compressor(compression, blob, threads=threads) as compressor:
        tar = _HashedSink(compressor)
        write_tar(entries, tar)
    return LayerBlob(
        diff_id=tar.digest,
        digest=blob.digest,
        size=blob.size,
        diff_size=tar.size,
        media_type=media_type(compression.codec),
        path=destination,
    )


@contextmanager
def _complete_file(path: Path) -> Iterator[BinaryIO]:
    """A new file that is whole when all went well, and gone when not."""
    with path.open("wb") as file:
        try:
            yield file
            file.flush()  # not fsync: one per layer would also have the disk take all that is staged meanwhile
        except BaseException:
            with suppress(FileNotFoundError):
                path.unlink()
            raise


class _HashedSink:
    """A sink that passes everything on, and knows its digest and size.

    Hashing has no thread of its own: the compressor's threads keep all cores busy, and here a block is still in the
    cache.
    """

    def __init__(self, sink: Sink) -> None:
        self._sink = sink
        self._hash = hashlib.sha256()
        self.size = 0

    def write(self, data: Bytes, /) -> None:
        self._hash.update(data)
        self.size += len(data)
        self._sink.write(data)

    @property
    def digest(self) -> Digest:
        return Digest.from_hex(self._hash.hexdigest())
