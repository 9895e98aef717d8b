"""A layer that breaks off or is damaged amid a file: whoever reads its contents gets one error that names it."""

from __future__ import annotations

import gzip
import io
import random
import tarfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import BinaryIO

import pytest
import zstandard

from peel.errors import ArtifactError
from peel.layers.layer_stream import ImageLayer, layer_members
from peel.model.oci import LAYER, LAYER_GZIP, LAYER_ZSTD, Descriptor
from peel.model.values import Digest

SIZE = 3 << 20


def tar_of_one_file() -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        member = tarfile.TarInfo("large")
        member.size = SIZE
        tar.addfile(member, io.BytesIO(random.Random(1).randbytes(SIZE)))
    return buffer.getvalue()


def layer_of(data: bytes, media_type: str) -> ImageLayer:
    @contextmanager
    def opened() -> Iterator[BinaryIO]:
        yield io.BytesIO(data)

    return ImageLayer(Descriptor(media_type, Digest.of(data), len(data)), opened)


def read_through(layer: ImageLayer) -> int:
    return sum(len(chunk) for member in layer_members(layer, "lab:1") for chunk in member.content())


PACKED = pytest.mark.parametrize(
    ("media_type", "pack"),
    [(LAYER, bytes), (LAYER_GZIP, gzip.compress), (LAYER_ZSTD, zstandard.ZstdCompressor().compress)],
    ids=["plain", "gzip", "zstd"],
)


@PACKED
def test_a_whole_layer_is_read(media_type: str, pack: Callable[[bytes], bytes]) -> None:
    assert read_through(layer_of(pack(tar_of_one_file()), media_type)) == SIZE


@PACKED
def test_a_layer_that_breaks_off_amid_a_file_is_one_error_that_names_it(
    media_type: str, pack: Callable[[bytes], bytes]
) -> None:
    broken = layer_of(pack(tar_of_one_file())[: SIZE // 2], media_type)
    with pytest.raises(ArtifactError, match=rf"layer {broken.blob.digest} of lab:1"):
        read_through(broken)
