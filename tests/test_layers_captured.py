"""A layer that came back from a container becomes entries again, or one clear error."""

from __future__ import annotations

import io
import subprocess
import tarfile
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from peel.errors import ArtifactError
from peel.layers.captured import expand_opaque, is_opaque, read_tar
from peel.layers.tar import canonical, write_tar
from peel.model.entry import Entry, Kind, directory, file_of_bytes, symlink


@pytest.fixture
def stage(tmp_path):
    path = tmp_path / "stage"
    path.mkdir()
    return path


def member(
    name: str, kind: bytes = tarfile.REGTYPE, *, link: str = "", mtime: float = 5, **pax: str
) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname, info.mtime, info.pax_headers = kind, link, mtime, pax
    return info


def tar_file(path: Path, *members: tarfile.TarInfo, data: bytes = b"") -> Path:
    with tarfile.open(path, "w", format=tarfile.PAX_FORMAT) as tar:
        for info in members:
            info.size = len(data) if info.isreg() else 0
            tar.addfile(info, io.BytesIO(data))
    return path


def content(entry: Entry) -> bytes:
    return entry.source.read_bytes() if isinstance(entry.source, Path) else entry.source


def test_what_the_canonical_writer_wrote_comes_back(tmp_path, stage):
    layer = canonical([
        file_of_bytes("usr/bin/sudo", b"bytes", mode=0o4755, mtime=7),
        Entry("usr/bin/zzz", Kind.HARDLINK, target="usr/bin/sudo"),
        symlink("usr/" + "l" * 120, "täget", mtime=-3),
        directory("tmp", mode=0o1777),
        Entry("etc/gone", Kind.WHITEOUT),
        Entry("ping", Kind.FILE, xattrs=(("security.capability", b"\x01\xff\0=\n"), ("user.a", b"b"))),
    ])  # fmt: skip
    first = tmp_path / "first.tar"
    with first.open("wb") as file:
        write_tar(layer, file)
    again = io.BytesIO()
    write_tar(canonical(read_tar(first, stage)), again)
    assert again.getvalue() == first.read_bytes()


def test_gnu_tars_way_of_long_names_is_understood(tmp_path, stage):
    tree = tmp_path / "tree"
    name = "/".join(["directory-" * 12] * 2)
    (tree / name).mkdir(parents=True)
    (tree / name / "file").write_bytes(b"1")
    subprocess.run(["tar", "--format=gnu", "-C", tree, "-cf", tmp_path / "gnu.tar", "."], check=True)
    entries = canonical(read_tar(tmp_path / "gnu.tar", stage))
    assert [entry.path for entry in entries][-1] == f"{name}/file"
    assert content(entries[-1]) == b"1"


def test_foreign_attributes_are_dropped_and_times_are_whole_seconds(tmp_path, stage):
    pax = {
        "SCHILY.xattr.security.selinux": "x",
        "SCHILY.xattr.user.kept": "y",
        "SCHILY.xattr.system.posix_acl_access": "",
    }
    (entry,) = read_tar(tar_file(tmp_path / "t", member("a", mtime=-1.5, **pax)), stage)
    assert entry.xattrs == (("user.kept", b"y"),)
    assert entry.mtime == -2


def test_type_bits_in_the_mode_do_not_matter(tmp_path, stage):
    info = member("a")
    info.mode = 0o100644
    assert read_tar(tar_file(tmp_path / "t", info), stage)[0].mode == 0o644


def test_a_hard_link_to_a_symbolic_link_becomes_a_second_one(tmp_path, stage):
    tar = tar_file(tmp_path / "t", member("a", tarfile.SYMTYPE, link="x"), member("b", tarfile.LNKTYPE, link="a"))
    assert read_tar(tar, stage)[1] == symlink("b", "x", mtime=5)


def test_whiteouts_are_told_from_files_and_opaque_ones_reported(tmp_path, stage):
    entries = read_tar(
        tar_file(tmp_path / "t", member("a/.wh.b"), member("a/.wh..wh..opq"), member(".wh..wh..opq")), stage
    )
    assert entries[0] == Entry("a/b", Kind.WHITEOUT)
    assert [is_opaque(entry) for entry in entries] == [False, True, True]
    with pytest.raises(ArtifactError, match="whiteout"):
        canonical(entries[1:])


def test_an_opaque_directory_becomes_a_whiteout_for_each_path_that_it_hides():
    upper = [
        Entry("d/.wh..opq", Kind.WHITEOUT),
        directory("d"),
        file_of_bytes("d/kept/new", b""),
        file_of_bytes("d/f", b""),
    ]
    lower = ["d", "d/f", "d/old", "d/old/deep", "d/kept", "d/kept/old", "d/kept/new", "e", "e/f"]
    expanded = expand_opaque(upper, lower)
    assert [entry.path for entry in expanded if entry.kind is Kind.WHITEOUT] == ["d/kept/old", "d/old"]
    canonical(expanded)


def test_an_opaque_root_hides_every_top_level_path():
    expanded = expand_opaque([Entry(".wh..opq", Kind.WHITEOUT), directory("new")], ["etc", "etc/passwd", "usr"])
    assert [entry.path for entry in expanded] == ["new", "etc", "usr"]


@pytest.mark.parametrize(
    ("bad", "said"),
    [
        (member("../escape"), "plain relative"),
        (member("/etc/passwd"), "plain relative"),
        (member("a/../../b"), "plain relative"),
        (member("../.wh.escape"), "plain relative"),
        (member("../.wh..wh..opq"), "plain relative"),
        (member("a/.wh..wh.plnk"), "whiteout"),
        (member("sda", tarfile.BLKTYPE), "device"),
        (member("null", tarfile.CHRTYPE), "device"),
        (member("pipe", tarfile.FIFOTYPE), "fifo"),
    ],
)
def test_what_no_layer_may_hold_is_refused_with_the_tar_and_the_member_named(tmp_path, stage, bad, said):
    with pytest.raises(ArtifactError, match=said) as caught:
        read_tar(tar_file(tmp_path / "layer.tar", bad), stage)
    assert "layer.tar" in caught.value.message
    assert list(stage.iterdir()) == []


def test_a_sparse_file_is_refused(tmp_path, stage):
    with (tmp_path / "holes").open("wb") as file:
        file.truncate(1 << 20)
    subprocess.run(["tar", "-C", tmp_path, "--sparse", "-cf", tmp_path / "t", "holes"], check=True)
    with pytest.raises(ArtifactError, match="sparse"):
        read_tar(tmp_path / "t", stage)


def test_a_header_cannot_claim_the_whole_memory(tmp_path, stage):
    info = member("x", tarfile.XHDTYPE)
    info.size = 1 << 40
    path = tmp_path / "t"
    path.write_bytes(info.tobuf(format=tarfile.GNU_FORMAT) + bytes(4096))
    with pytest.raises(ArtifactError, match="claims"):
        read_tar(path, stage)


@pytest.mark.parametrize("name", ["x", ".wh.x"])
@pytest.mark.parametrize("size", [-1024, -512, -1])
def test_a_negative_size_is_refused(tmp_path, stage, name, size):
    info = member(name)
    info.size = size
    path = tmp_path / "t"
    path.write_bytes(info.tobuf(format=tarfile.GNU_FORMAT) + bytes(4096))
    with pytest.raises(ArtifactError):
        read_tar(path, stage)


def whole_tar(tmp_path: Path) -> bytes:
    return tar_file(tmp_path / "whole", member("a"), member("b" * 120), member("c"), data=b"12345").read_bytes()


@pytest.mark.parametrize("kept", [0, 1, 511, 512, 600, 1024, 2000, 2048, 4000])
def test_a_truncated_tar_is_never_taken_for_a_whole_one(tmp_path, stage, kept):
    path = tmp_path / "cut"
    path.write_bytes(whole_tar(tmp_path)[:kept])
    with pytest.raises(ArtifactError, match="cut"):
        read_tar(path, stage)


def test_a_damaged_header_is_never_taken_for_the_end(tmp_path, stage):
    data = bytearray(whole_tar(tmp_path))
    data[1024 + 50] ^= 1
    path = tmp_path / "damaged"
    path.write_bytes(data)
    with pytest.raises(ArtifactError, match="damaged"):
        read_tar(path, stage)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(st.integers(0, 4095), st.binary(min_size=1, max_size=12)), min_size=1, max_size=4))
def test_no_damage_leads_to_anything_but_entries_or_an_artifact_error(tmp_path, changes):
    data = bytearray(whole_tar(tmp_path))
    for at, new in changes:
        data[at : at + len(new)] = new
    path = tmp_path / "fuzzed"
    path.write_bytes(data)
    stage = tmp_path / "fuzz-stage"
    stage.mkdir(exist_ok=True)
    for old in stage.iterdir():
        old.unlink()
    with suppress(ArtifactError):
        read_tar(path, stage)


def test_a_missing_tar_is_one_clear_error(tmp_path, stage):
    with pytest.raises(ArtifactError, match="No such file"):
        read_tar(tmp_path / "none", stage)
