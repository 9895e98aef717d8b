"""Which glibc a base image has, read from its layers: the base's own word, without running it."""

from __future__ import annotations

import gzip
import re
import tarfile
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, Final

import zstandard

from peel.errors import ArtifactError
from peel.model.oci import LAYER_GZIP, LAYER_ZSTD

_LIBRARY: Final = re.compile(r"(?:\./)?(?:usr/)?lib(?:64)?/(?:[\w-]+/)?libc(?:\.so\.6|-2\.\d+\.so)")
_VERSION: Final = re.compile(rb"GNU C Library [^\n]{0,120}?(?:stable|development) release version (\d+\.\d+)")
_MOST_BYTES: Final = 32 * 2**20


def find_glibc(layers: Sequence[tuple[Path, str]], origin: str) -> str:
    """The version of a base's C library, for example ``2.34``.

    ``layers`` are blobs and their OCI media types, lowest first; the topmost library counts.
    Raises ArtifactError when there is none: conda packages for Linux need glibc.
    """
    found = None
    for blob, media_type in layers:
        found = _glibc_of_layer(blob, media_type, origin) or found
    if found is None:
        raise ArtifactError(
            f"{origin} has no GNU C library", hint="choose a glibc base, for example almalinux:9, not one with musl"
        )
    return found


def _glibc_of_layer(blob: Path, media_type: str, origin: str) -> str | None:
    try:
        with _uncompressed(blob, media_type) as stream, tarfile.open(fileobj=stream, mode="r|") as archive:
            found = [
                _version(archive, member) for member in archive if _LIBRARY.fullmatch(member.name) and member.isfile()
            ]
    except (tarfile.TarError, OSError, EOFError, zlib.error, zstandard.ZstdError) as error:
        raise ArtifactError(
            f"a layer of {origin} cannot be read: {error}", hint="the base image is damaged; choose another digest"
        ) from None
    return next((version for version in found if version), None)


def _version(archive: tarfile.TarFile, member: tarfile.TarInfo) -> str | None:
    stream = archive.extractfile(member)
    data = stream.read(_MOST_BYTES) if stream else b""
    match = _VERSION.search(data)
    return match[1].decode() if match else None


@contextmanager
def _uncompressed(blob: Path, media_type: str) -> Iterator[IO[bytes] | Any]:
    with blob.open("rb") as raw:
        if media_type == LAYER_GZIP:
            with gzip.open(raw) as stream:
                yield stream
        elif media_type == LAYER_ZSTD:
            with zstandard.ZstdDecompressor().stream_reader(raw, read_across_frames=True) as stream:
                yield stream
        else:
            yield raw
