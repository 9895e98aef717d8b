"""How a layer's bytes are compressed: a value that the lock records, and streams that honour it.

The diffID, not the compressed digest, is a layer's identity; yet blobs should be equal wherever they are made. So the
bytes depend on the codec, its library and its level only: not on the number of threads, nor on how the input is cut.
"""

from __future__ import annotations

import os
import re
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final, Literal, Protocol, get_args

import zstandard

from peel.errors import DocumentError, ToolError

Codec = Literal["zstd", "gzip", "none"]
Mode = Literal["multithreaded", "stream"]
Bytes = bytes | bytearray | memoryview


class Sink(Protocol):
    """What bytes can be written to."""

    def write(self, data: Bytes, /) -> object:
        """Take all of ``data``."""


_MEDIA_TYPES: Final[dict[Codec, str]] = {
    "zstd": "application/vnd.oci.image.layer.v1.tar+zstd",
    "gzip": "application/vnd.oci.image.layer.v1.tar+gzip",
    "none": "application/vnd.oci.image.layer.v1.tar",
}
_LEVELS: Final[dict[Codec, range]] = {"zstd": range(1, 20), "gzip": range(1, 10), "none": range(1)}
_DEFAULT_LEVELS: Final[dict[Codec, int]] = {"zstd": 3, "gzip": 6, "none": 0}
_MODES: Final[dict[Codec, Mode]] = {"zstd": "multithreaded", "gzip": "stream", "none": "stream"}

# ID1 ID2, deflate, no flags (so no name), mtime 0, no extra flags, operating system unknown: RFC 1952, section 2.3.
_GZIP_HEADER: Final = bytes((0x1F, 0x8B, 8, 0, 0, 0, 0, 0, 0, 255))
_STEADY_ZLIB: Final = re.compile(r"1\.[23](\.\d+)*")


@dataclass(frozen=True, slots=True)
class Compression:
    """What decides the compressed bytes of a given tar.

    ``library`` is the compressor with its version, for example ``libzstd 1.5.7``. ``level`` is the codec's own scale.
    Raises DocumentError for a codec, level or mode that peel does not write.
    """

    codec: Codec
    library: str
    level: int
    mode: Mode

    def __post_init__(self) -> None:
        if self.codec not in _MEDIA_TYPES:
            raise DocumentError(f"unknown layer codec {self.codec!r}", hint=f"known: {', '.join(get_args(Codec))}")
        if self.level not in _LEVELS[self.codec]:
            span = _LEVELS[self.codec]
            raise DocumentError(f"no {self.codec} level {self.level!r}", hint=f"from {span[0]} to {span[-1]}")
        if self.mode != _MODES[self.codec]:
            raise DocumentError(f"{self.codec} layers are not written in mode {self.mode!r}")


def compression_here(codec: Codec = "zstd", level: int | None = None) -> Compression:
    """What this machine's libraries would write; a missing ``level`` is 3 for zstd and 6 for gzip."""
    if codec not in _MEDIA_TYPES:
        raise DocumentError(f"unknown layer codec {codec!r}", hint=f"known: {', '.join(get_args(Codec))}")
    chosen = _DEFAULT_LEVELS[codec] if level is None else level
    return Compression(codec, _library_here(codec), chosen, _MODES[codec])


def media_type(codec: Codec) -> str:
    """The media type of a layer so compressed (OCI image-spec, "Layer", and its zstd addition)."""
    return _MEDIA_TYPES[codec]


@contextmanager
def open_compressor(compression: Compression, sink: Sink, *, threads: int | None = None) -> Iterator[Sink]:
    """A stream that writes what it is given, compressed, to ``sink``; on leaving, the frame is complete.

    ``threads`` (one more than cores, at most 8, when missing) changes the speed alone. Raises ToolError when this
    machine's library is not the recorded one, for it would write other bytes. After an exception inside, nothing more
    is written.
    """
    here = _library_here(compression.codec)
    if compression.library != here:
        raise ToolError(
            f"the layer is recorded as written by {compression.library}, but this machine has {here}",
            hint="install that version, or take the blob from the registry or store that has it",
        )
    match compression.codec:
        case "zstd":
            stream, finish = _zstd(compression.level, sink, threads or _threads_here())
        case "gzip":
            stream, finish = _gzip(compression.level, sink)
        case "none":
            stream, finish = sink, _nothing
    yield stream
    finish()


def _library_here(codec: Codec) -> str:
    match codec:
        case "zstd":
            return f"libzstd {'.'.join(map(str, zstandard.ZSTD_VERSION))}"
        case "gzip":
            # Zlib's own deflate wrote the same bytes from 1.2.13 to 1.3.2; another make (1.3.1.zlib-ng) need not.
            version = zlib.ZLIB_RUNTIME_VERSION
            return "zlib 1" if _STEADY_ZLIB.fullmatch(version) else f"zlib {version}"
        case "none":
            return "none"


def _threads_here() -> int:
    """One more than there are cores, so that none is idle while its job is fed; few, as each holds some 16 MiB."""
    return min(len(os.sched_getaffinity(0)) + 1, 8)


def _nothing() -> None:
    """Finish a stream that has no end of its own."""


def _zstd(level: int, sink: Sink, threads: int) -> tuple[Sink, Callable[[], object]]:
    """One frame, multi-threaded, its size not stated.

    One thread is multi-threaded mode too: only 0 is not, and cuts the input into other blocks. There is no checksum:
    the blob's digest is a better one, and whoever pulls a layer has to verify that.
    """
    compressor = zstandard.ZstdCompressor(
        level=level, threads=threads, write_checksum=False, write_content_size=False, write_dict_id=False
    )
    stream = compressor.compressobj()
    return _Filter(sink, stream.compress), lambda: sink.write(stream.flush())


def _gzip(level: int, sink: Sink) -> tuple[Sink, Callable[[], object]]:
    stream = _Gzip(level)
    sink.write(_GZIP_HEADER)
    return _Filter(sink, stream.compress), lambda: sink.write(stream.flush())


class _Filter:
    """A sink that passes what ``transform`` makes of the bytes on to another."""

    def __init__(self, sink: Sink, transform: Callable[[Bytes], bytes]) -> None:
        self._sink = sink
        self._transform = transform

    def write(self, data: Bytes, /) -> None:
        if made := self._transform(data):
            self._sink.write(made)


class _Gzip:
    """The body and trailer of a gzip member (RFC 1952); Python's own writer leaves the header to its version."""

    def __init__(self, level: int) -> None:
        self._deflate = zlib.compressobj(level, zlib.DEFLATED, -zlib.MAX_WBITS, zlib.DEF_MEM_LEVEL)
        self._crc = 0
        self._length = 0

    def compress(self, data: Bytes) -> bytes:
        self._crc = zlib.crc32(data, self._crc)
        self._length += len(data)
        return self._deflate.compress(data)

    def flush(self) -> bytes:
        trailer = self._crc.to_bytes(4, "little") + (self._length % 2**32).to_bytes(4, "little")
        return self._deflate.flush() + trailer
