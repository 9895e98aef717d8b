"""One pass gives the blob and both digests; a failure leaves nothing."""

from __future__ import annotations

import hashlib
import io
import os
import pickle
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import pytest
import zstandard

from peel.errors import ArtifactError, ToolError
from peel.layers.blob import write_blob
from peel.layers.compress import compression_here
from peel.layers.tar import canonical, write_tar
from peel.model.entry import Entry, Kind, file_of_bytes
from peel.model.values import Digest

ENTRIES = canonical([file_of_bytes(f"lib/{n}", bytes([n]) * n * 1000) for n in range(200)])


@pytest.mark.parametrize("codec", ["zstd", "gzip", "none"])
def test_the_digests_and_sizes_are_those_of_the_tar_and_of_the_file(tmp_path, codec):
    sink = io.BytesIO()
    write_tar(ENTRIES, sink)
    blob = write_blob(ENTRIES, compression_here(codec), tmp_path / "blob")
    on_disk = blob.path.read_bytes()
    assert blob.diff_id == Digest.of(sink.getvalue())
    assert blob.diff_size == len(sink.getvalue())
    assert blob.digest == Digest.of(on_disk)
    assert blob.size == len(on_disk)
    assert blob.media_type.startswith("application/vnd.oci.image.layer.v1.tar")


def test_the_diff_id_and_digest_of_a_layer_are_a_promise_across_releases(tmp_path):
    blob = write_blob(ENTRIES, compression_here(), tmp_path / "blob")
    assert str(blob.diff_id) == "sha256:f1981ada9b253e4a5e17f5fa76817f59f633a5a507296855afb6e3ee8e90cb72"
    assert str(blob.digest) == "sha256:9a1aeffde11a1b4466c276f08064ef8cf8b5dac3687afebbc2d5ea0d62a7470f"


def test_several_processes_write_the_same_bytes_at_once(tmp_path):
    with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as pool:
        blobs = [
            pool.submit(write_blob, ENTRIES, compression_here(), tmp_path / str(threads), threads=threads)
            for threads in (1, 2, 4)
        ]
        assert len({(blob.result().digest, blob.result().diff_id) for blob in blobs}) == 1


def test_a_blob_survives_pickling(tmp_path):
    blob = write_blob((), compression_here(), tmp_path / "blob")
    assert pickle.loads(pickle.dumps(blob)) == blob  # noqa: S301  # its own bytes


def test_an_empty_layer_is_two_zero_blocks(tmp_path):
    blob = write_blob((), compression_here(), tmp_path / "blob")
    assert blob.diff_id == Digest.from_hex(hashlib.sha256(bytes(1024)).hexdigest())
    assert zstandard.ZstdDecompressor().decompressobj().decompress(blob.path.read_bytes()) == bytes(1024)


def test_nothing_is_left_when_a_source_is_missing(tmp_path):
    lost = Entry("z", Kind.FILE, size=1, source=tmp_path / "lost")
    with pytest.raises(ArtifactError, match="lost"):
        write_blob([*ENTRIES, lost], compression_here(), tmp_path / "blob")
    assert list(tmp_path.iterdir()) == []


def test_a_place_that_cannot_be_written_to_is_named():
    with pytest.raises(ToolError, match="nowhere"):
        write_blob(ENTRIES, compression_here(), Path("/nowhere/at/all"))


@pytest.mark.skipif(not os.access("/dev/full", os.W_OK), reason="no /dev/full here")
@pytest.mark.parametrize("codec", ["zstd", "none"])
def test_a_full_disk_is_one_clear_error(tmp_path, codec):
    full = tmp_path / "full"
    full.symlink_to("/dev/full")
    with pytest.raises(ToolError, match="No space left"):
        write_blob(ENTRIES, compression_here(codec), full)
    assert list(tmp_path.iterdir()) == []
