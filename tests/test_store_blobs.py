from __future__ import annotations

import os
import stat
import subprocess
from pathlib import Path

import pytest

from peel.errors import ArtifactError, ToolError
from peel.model.values import Digest
from peel.store.blobs import Blobs
from peel.store.files import write_whole


@pytest.fixture
def blobs(tmp_path):
    return Blobs(tmp_path / "store")


@pytest.fixture
def small_disk(tmp_path):
    place = tmp_path / "small"
    place.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=256k", "peel-test", place], check=False, capture_output=True
    )
    if mounted.returncode != 0:
        pytest.skip("a small disk cannot be mounted here")
    yield place
    subprocess.run(["umount", place], check=True)


def everything_in(root: Path) -> list[str]:
    return sorted(str(path.relative_to(root)) for path in root.rglob("*") if not path.is_dir())


def test_a_file_is_written_whole_with_one_mode_whatever_the_umask(tmp_path):
    before = os.umask(0o077)
    try:
        write_whole(tmp_path / "deep" / "file", b"one")
        write_whole(tmp_path / "deep" / "file", b"two")
    finally:
        os.umask(before)
    assert (tmp_path / "deep" / "file").read_bytes() == b"two"
    assert stat.S_IMODE((tmp_path / "deep" / "file").stat().st_mode) == 0o644
    assert everything_in(tmp_path) == ["deep/file"]


def test_a_file_that_cannot_be_written_leaves_nothing(tmp_path):
    (tmp_path / "taken").mkdir()
    with pytest.raises(ToolError, match="taken"):
        write_whole(tmp_path / "taken", b"")
    assert everything_in(tmp_path) == []


def test_a_full_disk_is_told_with_place_and_the_old_file_stays(small_disk):
    write_whole(small_disk / "file", b"old")
    with pytest.raises(ToolError, match="No space left") as caught:
        write_whole(small_disk / "file", b"x" * 1_000_000)
    assert str(small_disk) in caught.value.hint
    assert (small_disk / "file").read_bytes() == b"old"
    assert everything_in(small_disk) == ["file"]


def test_bytes_put_are_read_back_and_nothing_else_is_left(blobs):
    digest = blobs.put_bytes(b"hello")
    assert blobs.put_bytes(b"hello") == digest
    assert blobs.read(digest) == b"hello"
    assert everything_in(blobs.root) == [f"blobs/sha256/{digest.hex}"]
    assert stat.S_IMODE(blobs.path(digest).stat().st_mode) == 0o444


def test_a_full_disk_stops_a_blob_and_names_the_bytes_needed(small_disk):
    blobs = Blobs(small_disk / "store")
    with pytest.raises(ToolError, match="No space left") as caught:
        blobs.put_bytes(b"x" * 1_000_000)
    assert "1,000,000 bytes" in caught.value.hint
    assert everything_in(small_disk) == []


def test_a_finished_file_is_moved_in(blobs, tmp_path):
    digest = Digest.of(b"data")
    (tmp_path / "work").write_bytes(b"data")
    assert blobs.adopt(tmp_path / "work", digest).read_bytes() == b"data"
    assert not (tmp_path / "work").exists()


def test_a_finished_file_from_another_disk_is_copied_in(blobs, small_disk):
    digest = Digest.of(b"data")
    (small_disk / "work").write_bytes(b"data")
    blobs.adopt(small_disk / "work", digest)
    blobs.verify(digest)
    assert everything_in(small_disk) == []


def test_a_damaged_blob_is_named_with_what_to_do(blobs):
    digest = blobs.put_bytes(b"hello")
    blobs.path(digest).chmod(0o644)
    blobs.path(digest).write_bytes(b"hallo")
    for read in (blobs.read, blobs.verify):
        with pytest.raises(ArtifactError, match=str(digest)) as caught:
            read(digest)
        assert str(blobs.path(digest)) in caught.value.hint


def test_a_missing_blob_is_named(blobs):
    with pytest.raises(ArtifactError, match="no blob sha256:"):
        blobs.read(Digest.of(b"never"))


def test_a_document_that_is_too_long_is_not_read(blobs):
    digest = blobs.put_bytes(b"x" * 11)
    with pytest.raises(ArtifactError, match="longer than the 10 bytes"):
        blobs.read(digest, limit=10)
