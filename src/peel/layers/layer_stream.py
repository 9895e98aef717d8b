"""The members of an image's layer, streamed: bounded in memory, and nothing of it is put anywhere.

A layer may come from a stranger's registry. Whatever is wrong with one becomes one ArtifactError that names it.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import tarfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from functools import partial
from typing import BinaryIO

import zstandard

from peel.errors import ArtifactError
from peel.layers.forward import CHUNK, FREE_SIZE, LARGEST_WINDOW, Forward
from peel.model.oci import LAYER, LAYER_GZIP, LAYER_ZSTD, Descriptor
from peel.model.values import Digest

_HEADER_LIMIT = 1 << 18  # a path, a link and extended attributes; tarfile holds a header in memory
_MOST_GLOBALS = 1000
_MOST_RATIO = 1100  # deflate ends near 1032; a zstd frame of zeros is about 30000 times smaller than they are
_BROKEN = (
    OSError, EOFError, ValueError, ArithmeticError, LookupError, RuntimeError, tarfile.TarError, zlib.error,
    zstandard.ZstdError,
)  # fmt: skip
_AGAIN = "the image is damaged or was made to do harm: fetch it again, or ask whoever made it"


@dataclass(frozen=True, slots=True)
class ImageLayer:
    """A layer to be read: its blob, of an OCI media type, and how to open that; it is verified on the way."""

    blob: Descriptor
    open: Callable[[], AbstractContextManager[BinaryIO]]


@dataclass(frozen=True, slots=True)
class LayerMember:
    """One entry of a layer. ``path`` has no leading slash or dot; the root directory's is empty.

    ``content`` yields a regular file's bytes, at most ``CHUNK`` at a time, while it is the current member.
    """

    path: str
    info: tarfile.TarInfo
    content: Callable[[], Iterator[bytes]]


def layer_members(
    layer: ImageLayer, origin: str, *, seen: Callable[[bytes], object] = lambda _: None
) -> Iterator[LayerMember]:
    """All entries of a layer in its order; ``origin`` is what people call the image.

    ``seen`` is handed every piece of the uncompressed tar, whatever becomes of it.

    Raises ArtifactError naming both: for a blob that is damaged, truncated, not what its digest says or inflates out
    of all proportion, for a path that leads upwards, and for a media type that holds no tar.
    """
    name = f"layer {layer.blob.digest} of {origin}"
    try:
        with layer.open() as raw:
            blob = _Blob(raw, layer.blob, name)
            with _uncompressed(blob, layer.blob.media_type, name) as stream:
                limit = max(FREE_SIZE, layer.blob.size * _MOST_RATIO)
                forward = Forward(
                    stream, name, limit=limit, header_limit=_HEADER_LIMIT,
                    kinds=_BROKEN, broken=partial(_broken, name), seen=seen,
                )  # fmt: skip
                yield from _members(forward, name)
            blob.verify()
    except _BROKEN as error:
        raise _broken(name, error) from None


def _broken(name: str, error: BaseException) -> ArtifactError:
    return ArtifactError(f"{name} cannot be read: {error or type(error).__name__}", hint=_AGAIN)


def plain_path(name: str, origin: str) -> str:
    """A member's path as it is meant, from the root on. Raises ArtifactError for one that leads upwards."""
    parts = [part for part in name.split("/") if part not in {"", "."}]
    if ".." in parts:
        raise ArtifactError(f"{origin} holds {name!r}, which leads out of the image", hint=_AGAIN)
    return "/".join(parts)


def _members(forward: Forward, name: str) -> Iterator[LayerMember]:
    with forward.header():
        tar = tarfile.TarFile(fileobj=forward, encoding="utf-8", errors="surrogateescape")  # type: ignore[arg-type]
    end = 0
    while True:
        forward.seek(end)
        with forward.header():
            info = tar.next()
        if info is None:
            return forward.drain()
        end = tar.offset
        tar.members.clear()  # type: ignore[attr-defined]  # or tarfile would keep them all
        if len(tar.pax_headers) > _MOST_GLOBALS:
            raise ArtifactError(f"{name} has more global headers than any tool writes", hint=_AGAIN)
        yield LayerMember(plain_path(info.name, name), info, _Content(forward, info, name))


@dataclass(frozen=True, slots=True)
class _Content:
    """The bytes of the member that the stream stands at."""

    forward: Forward
    info: tarfile.TarInfo
    name: str

    def __call__(self) -> Iterator[bytes]:
        if self.info.issparse():
            raise ArtifactError(f"{self.name} holds {self.info.name!r} as a sparse file", hint=_AGAIN)
        yield from self.forward.exactly(self.info.size if self.info.isreg() else 0)


class _Blob(io.RawIOBase):
    """A blob that is hashed while it is read."""

    def __init__(self, raw: BinaryIO, blob: Descriptor, name: str) -> None:
        self._raw = raw
        self._blob = blob
        self._name = name
        self._hash = hashlib.sha256()
        self._size = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        data = self._raw.read(min(len(buffer), CHUNK))
        buffer[: len(data)] = data
        self._hash.update(data)
        self._size += len(data)
        if self._size > self._blob.size:
            raise self._other()
        return len(data)

    def verify(self) -> None:
        """Read what is left. Raises ArtifactError unless the blob is what its descriptor says."""
        buffer = memoryview(bytearray(CHUNK))
        while self.readinto(buffer):  # not read(): who decompressed it may have closed this by now
            pass
        if (self._size, self._hash.hexdigest()) != (self._blob.size, self._blob.digest.hex):
            raise self._other()

    def _other(self) -> ArtifactError:
        found = Digest.from_hex(self._hash.hexdigest())
        what = f"more than {self._blob.size:,}" if self._size > self._blob.size else f"{self._size:,}"
        return ArtifactError(f"{self._name} is something else: {what} bytes, {found}", hint=_AGAIN)


@contextmanager
def _uncompressed(blob: _Blob, media_type: str, name: str) -> Iterator[BinaryIO]:
    if media_type == LAYER_GZIP:
        with gzip.open(io.BufferedReader(blob, CHUNK)) as stream:
            yield stream  # type: ignore[misc]
    elif media_type == LAYER_ZSTD:
        decompressor = zstandard.ZstdDecompressor(max_window_size=LARGEST_WINDOW)
        with decompressor.stream_reader(blob, read_across_frames=True, closefd=False) as stream:  # type: ignore[arg-type]
            yield io.BufferedReader(stream, CHUNK)
    elif media_type == LAYER:
        yield io.BufferedReader(blob, CHUNK)
    else:
        raise ArtifactError(
            f"{name} is of a kind that cannot be read: {media_type}",
            hint="layers must be tar archives, plain or compressed by gzip or zstd",
        )
