"""Compressed bytes depend on codec, library and level, and on nothing else."""

from __future__ import annotations

import gzip
import io
import random
import subprocess
import zlib

import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from peel.errors import DocumentError, ToolError
from peel.layers.compress import Compression, compression_here, media_type, open_compressor

JOB = 8 << 20  # what one of zstd's threads compresses at a time, at level 3


def some_text(size: int) -> bytes:
    """Bytes that compress about as well as code does."""
    source = random.Random(1)
    words = [source.randbytes(source.randrange(1, 12)) for _ in range(3000)]
    text = b"".join(source.choices(words, k=200_000))
    return (text * (size // len(text) + 1))[:size]


TEXT = some_text(3 * JOB)


def compressed(data: bytes, codec: str = "zstd", *, cuts: tuple[int, ...] = (), threads: int | None = None) -> bytes:
    sink = io.BytesIO()
    with open_compressor(compression_here(codec), sink, threads=threads) as stream:
        for start, end in zip((0, *cuts), (*cuts, len(data)), strict=True):
            stream.write(memoryview(data)[start:end])
    return sink.getvalue()


def test_the_number_of_threads_does_not_show():
    assert len({compressed(TEXT, threads=threads) for threads in (1, 2, 4)}) == 1


def test_any_zstd_reads_it_back():
    assert zstandard.ZstdDecompressor().decompressobj().decompress(compressed(TEXT)) == TEXT
    command_line = subprocess.run(["zstd", "-dc"], input=compressed(TEXT), capture_output=True, check=True)
    assert command_line.stdout == TEXT


def test_there_is_one_frame_without_checksum_or_size():
    frame = zstandard.get_frame_parameters(compressed(TEXT))
    assert not frame.has_checksum
    assert frame.content_size == zstandard.CONTENTSIZE_UNKNOWN
    assert frame.dict_id == 0


@pytest.mark.parametrize("size", [0, 1, JOB // 16, JOB - 1, JOB, JOB + 1, 2 * JOB])
def test_writing_in_pieces_gives_what_writing_at_once_gives(size):
    data = TEXT[:size]
    for piece in (1 << 16, 1 << 20, (1 << 20) - 1, 3_000_000):
        assert compressed(data, cuts=tuple(range(piece, size, piece))) == compressed(data)


@settings(max_examples=15, deadline=None)
@given(st.lists(st.integers(0, JOB + 100_000), max_size=6).map(sorted).map(tuple), st.sampled_from(["zstd", "gzip"]))
def test_no_way_of_cutting_the_input_shows(cuts, codec):
    data = TEXT[: JOB + 100_000] if codec == "zstd" else TEXT[:100_000]
    cuts = tuple(min(cut, len(data)) for cut in cuts)
    assert compressed(data, codec, cuts=cuts) == compressed(data, codec)


def test_gzip_has_neither_time_nor_name_nor_system():
    assert compressed(b"abc", "gzip")[:10] == b"\x1f\x8b\x08\0\0\0\0\0\0\xff"


def test_any_gzip_reads_it_back():
    assert gzip.decompress(compressed(TEXT[:300_000], "gzip")) == TEXT[:300_000]
    assert subprocess.run(["gzip", "-dc"], input=compressed(b"", "gzip"), capture_output=True, check=True).stdout == b""


def test_none_is_the_bytes_themselves():
    assert compressed(b"abc", "none") == b"abc"


def test_what_this_machine_writes_is_named_with_its_version():
    assert compression_here() == Compression("zstd", "libzstd 1.5.7", 3, "multithreaded")
    assert compression_here("gzip").level == 6
    assert compression_here("none") == Compression("none", "none", 0, "stream")


def test_plain_zlib_counts_as_one_library_for_its_bytes_did_not_change():
    if "zlib-ng" not in zlib.ZLIB_RUNTIME_VERSION:
        assert compression_here("gzip").library == "zlib 1"


def test_another_library_than_the_recorded_one_is_refused():
    recorded = Compression("zstd", "libzstd 1.4.0", 3, "multithreaded")
    with pytest.raises(ToolError, match=r"libzstd 1\.4\.0.*libzstd 1\.5\.7"), open_compressor(recorded, io.BytesIO()):
        pass


@pytest.mark.parametrize(
    ("codec", "level", "mode"),
    [("xz", 6, "stream"), ("zstd", 0, "multithreaded"), ("zstd", 20, "multithreaded"), ("zstd", 3, "stream"),
     ("gzip", 0, "stream"), ("none", 1, "stream")],
)  # fmt: skip
def test_a_compression_that_is_never_written_cannot_be_held(codec, level, mode):
    with pytest.raises(DocumentError, match=codec):
        Compression(codec, "library", level, mode)


def test_an_unknown_codec_is_refused_by_name():
    with pytest.raises(DocumentError, match="xz"):
        compression_here("xz")


def test_the_media_types_are_those_of_oci():
    assert media_type("zstd") == "application/vnd.oci.image.layer.v1.tar+zstd"
    assert media_type("gzip") == "application/vnd.oci.image.layer.v1.tar+gzip"
    assert media_type("none") == "application/vnd.oci.image.layer.v1.tar"
