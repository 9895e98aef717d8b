"""A decompressed stream as tarfile wants it, whatever a stranger has put into it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import BinaryIO, Final

from peel.errors import ArtifactError

CHUNK: Final = 1 << 20
"""How many bytes are in memory at a time."""

LARGEST_WINDOW: Final = 1 << 27
"""How far back, in bytes, a zstd frame may refer: what ``zstd --ultra -22`` writes."""

FREE_SIZE: Final = 256 << 20
"""How many bytes may come out of anything, however small."""


class Forward:
    """Reads, and seeks forward only. It stops what inflates out of proportion, and headers that would fill the memory.

    ``limit`` and ``header_limit`` are in bytes; ``broken`` makes the error for what the stream itself raises, whose
    kinds ``kinds`` lists. ``seen`` is handed every piece that is read. Every method raises ArtifactError beginning with
    ``name``.
    """

    def __init__(
        self,
        stream: BinaryIO,
        name: str,
        *,
        limit: int,
        header_limit: int,
        kinds: tuple[type[Exception], ...],
        broken: Callable[[BaseException], ArtifactError],
        seen: Callable[[bytes], object] = lambda _: None,
    ) -> None:
        self._stream, self._name, self._limit, self._header_limit = stream, name, limit, header_limit
        self._kinds, self._broken, self._seen = kinds, broken, seen
        self._position = 0
        self._header_end: int | None = None

    def tell(self) -> int:
        """How many bytes have been read."""
        return self._position

    def seek(self, position: int) -> int:
        """Read up to there."""
        for _ in self.exactly(max(0, position - self._position)):
            pass
        return self._position

    def read(self, size: int = -1) -> bytes:
        """So many bytes, fewer at the end."""
        if size < 0 or (self._header_end is not None and self._position + size > self._header_end):
            raise ArtifactError(f"{self._name}: a header of the archive is too large")
        try:
            data = self._stream.read(size)
        except self._kinds as error:
            raise self._broken(error) from None
        self._seen(data)
        self._position += len(data)
        if self._position > self._limit:
            raise ArtifactError(
                f"{self._name}: unpacks to more than {self._limit:,} bytes, out of proportion to its size",
                hint="this looks like a decompression bomb",
            )
        return data

    def exactly(self, size: int) -> Iterator[bytes]:
        """So many bytes, ``CHUNK`` at most at a time; raises when the stream ends before."""
        while size:
            data = self.read(min(CHUNK, size))
            if not data:
                raise ArtifactError(f"{self._name}: the archive is truncated", hint="fetch it again")
            size -= len(data)
            yield data

    def drain(self) -> None:
        """Read to the very end, where the checksums are."""
        while self.read(CHUNK):
            pass

    @contextmanager
    def header(self) -> Iterator[None]:
        """While it lasts, only so much may be read as a header may be long."""
        self._header_end = self._position + self._header_limit
        yield
        self._header_end = None
