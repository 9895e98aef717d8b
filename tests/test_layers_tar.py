"""Canonical layer 1 is a promise: the same entries, the same bytes, and any tar reader understands them."""

from __future__ import annotations

import hashlib
import io
import os
import subprocess
import sys
import tarfile
import tempfile
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from peel.errors import ArtifactError
from peel.layers.tar import BLOCK_SIZE, LAYER, canonical, write_tar
from peel.model.entry import Entry, Kind, directory, file_of_bytes, symlink
from peel.model.values import MTIME_CONSTANT

BITS_OF_EVERYTHING = (
    file_of_bytes("usr/bin/tool", b"#!/bin/sh\n", mode=0o4755, mtime=1_700_000_000),
    Entry("usr/bin/again", Kind.HARDLINK, target="usr/bin/tool"),
    symlink("usr/bin/alias", "tool"),
    directory("usr/share", mode=0o1777, mtime=0),
    file_of_bytes("usr/share/empty", b""),
    file_of_bytes("usr-local", b"x" * 513),
    Entry("etc/gone", Kind.WHITEOUT),
)
WHAT_USTAR_CANNOT_SAY = (
    file_of_bytes("opt/grüße.txt", b"hello"),
    file_of_bytes("n" * 101, b""),
    file_of_bytes("p" * 156 + "/" + "q", b""),
    symlink("far", "t" * 101),
    symlink("schön", "über"),
    file_of_bytes("old", b"", mtime=-1),
    file_of_bytes("late", b"", mtime=8**11),
    replace(file_of_bytes("ping", b""), xattrs=(("security.capability", b"\x01\0\xff="), ("user.note", b"a\nb"))),
)
LONG_NAMES_THAT_FIT = (
    file_of_bytes("n" * 100, b""),
    directory("d" * 99),
    directory("d" * 98 + "e/" + "f" * 99),
    file_of_bytes("a/" + "b" * 50 + "/" + "c" * 60, b""),
    file_of_bytes("p" * 155 + "/" + "q" * 100, b""),
    symlink("link", "t" * 100),
)


def tar_of(*entries: Entry) -> bytes:
    sink = io.BytesIO()
    size = write_tar(canonical(entries), sink)
    assert size == len(sink.getvalue())
    return sink.getvalue()


def read_back(data: bytes) -> list[tarfile.TarInfo]:
    with tarfile.open(fileobj=io.BytesIO(data), mode="r:") as tar:
        return tar.getmembers()


def described(data: bytes) -> bytes:
    """The digest of a tar, then its bytes in hexadecimal and ASCII, 32 in a line, runs of zeros as one ``*``."""
    lines = [f"sha256:{hashlib.sha256(data).hexdigest()}"]
    for at in range(0, len(data), 32):
        row = data[at : at + 32]
        if row != bytes(32):
            text = "".join(chr(byte) if 32 <= byte < 127 else "." for byte in row)
            lines.append(f"{at:08x}  {row.hex()}  {text}")
        elif lines[-1] != "*":
            lines.append("*")
    return "\n".join([*lines, f"{len(data):08x}", ""]).encode()


@pytest.mark.parametrize(
    ("name", "entries"),
    [
        ("nothing", ()),
        ("everything", BITS_OF_EVERYTHING),
        ("pax", WHAT_USTAR_CANNOT_SAY),
        ("long-names", LONG_NAMES_THAT_FIT),
    ],
)
def test_the_bytes_of_canonical_layer_1_are_a_promise_across_releases(name, entries, golden):
    assert LAYER == 1
    golden(f"layer1/{name}.txt", described(tar_of(*entries)))


def test_entries_stand_in_byte_order_of_their_paths_components():
    files = [file_of_bytes(path, b"") for path in ("a-b", "a.b", "a/b", "a/B", "b", "Z", "ä")]
    assert [entry.path for entry in canonical(files)] == ["Z", "a", "a/B", "a/b", "a-b", "a.b", "b", "ä"]


def test_missing_parents_come_in_as_plain_directories():
    parents = canonical([file_of_bytes("a/b/c", b"")])[:2]
    assert parents == (directory("a"), directory("a/b"))
    assert parents[0].mode == 0o755
    assert parents[0].mtime == MTIME_CONSTANT


def test_a_given_directory_keeps_its_own_mode():
    assert canonical([file_of_bytes("root/x", b""), directory("root", mode=0o550)])[0].mode == 0o550


def test_canonical_entries_stay_as_they_are():
    once = canonical((*BITS_OF_EVERYTHING, *WHAT_USTAR_CANNOT_SAY))
    assert canonical(once) == once


def test_the_first_path_of_a_hard_linked_file_holds_its_bytes():
    entries = canonical([
        file_of_bytes("z", b"data", mode=0o755, mtime=5),
        Entry("m", Kind.HARDLINK, target="b"),
        Entry("b", Kind.HARDLINK, target="z"),
    ])  # fmt: skip
    assert [(entry.path, entry.kind, entry.target, entry.mode, entry.mtime) for entry in entries] == [
        ("b", Kind.FILE, "", 0o755, 5),
        ("m", Kind.HARDLINK, "b", 0o755, 5),
        ("z", Kind.HARDLINK, "b", 0o755, 5),
    ]
    assert entries[0].source == b"data"


def test_a_tar_ends_with_two_zero_blocks_and_no_more():
    assert tar_of() == bytes(1024)
    assert len(tar_of(file_of_bytes("a", b"1"))) == 512 + 512 + 1024


def test_a_removed_path_is_an_explicit_whiteout():
    member = read_back(tar_of(Entry("a/b", Kind.WHITEOUT, mode=0o777, mtime=9)))[1]
    assert (member.name, member.size, member.mode, member.mtime) == ("a/.wh.b", 0, 0o644, MTIME_CONSTANT)


def test_the_size_of_a_huge_file_is_a_pax_record(tmp_path):
    huge = tmp_path / "huge"
    with huge.open("wb") as file:
        file.truncate(8**11)

    class FirstBlockError(Exception):
        def write(self, block):
            raise FirstBlockError(bytes(block[:2048]))

    with pytest.raises(FirstBlockError) as caught:
        write_tar([Entry("huge", Kind.FILE, size=8**11, source=huge)], FirstBlockError())
    start = caught.value.args[0]
    assert start[512:532].rstrip(b"\0") == b"19 size=8589934592\n"
    assert start[1024 + 124 : 1024 + 136] == b"00000000000\0"


@pytest.mark.parametrize(
    ("bad", "said"),
    [
        ([file_of_bytes("/etc/passwd", b"")], "plain relative"),
        ([file_of_bytes("a/../../b", b"")], "plain relative"),
        ([file_of_bytes("./a", b"")], "plain relative"),
        ([file_of_bytes("a//b", b"")], "plain relative"),
        ([directory("a/")], "plain relative"),
        ([directory("")], "plain relative"),
        ([file_of_bytes("a\0b", b"")], "no file can"),
        ([file_of_bytes("n" * 256, b"")], "no file can"),
        ([file_of_bytes("a\udcff", b"")], "UTF-8"),
        ([file_of_bytes("a/.wh.b/c", b"")], "whiteout"),
        ([Entry("a/.wh..opq", Kind.WHITEOUT)], "whiteout"),
        ([file_of_bytes("a", b""), directory("a")], "twice"),
        ([Entry("a", Kind.WHITEOUT), file_of_bytes("a", b"")], "twice"),
        ([symlink("a", "b"), file_of_bytes("a/c", b"")], "beneath"),
        ([Entry("a", Kind.WHITEOUT), file_of_bytes("a/b/c", b"")], "beneath"),
        ([Entry("a", Kind.HARDLINK, target="b")], "no file of its layer"),
        ([Entry("a", Kind.HARDLINK, target="b"), Entry("b", Kind.HARDLINK, target="a")], "no file of its layer"),
        ([Entry("a", Kind.HARDLINK, target="b"), directory("b")], "no file of its layer"),
        ([file_of_bytes("a", b"", mode=0o100644)], "mode"),
        ([file_of_bytes("a", b"", mode=-1)], "mode"),
        ([symlink("a", "")], "target"),
        ([symlink("a", "b\0c")], "target"),
        ([Entry("a", Kind.FILE, size=3, source=b"12")], "bytes"),
        ([replace(file_of_bytes("a", b""), xattrs=(("security.selinux", b"x"),))], "security.selinux"),
        ([replace(file_of_bytes("a", b""), xattrs=(("user.a=b", b"x"),))], "user.a=b"),
        ([replace(file_of_bytes("a", b""), xattrs=(("user.b", b""), ("user.a", b"")))], "sorted"),
        ([replace(symlink("a", "b"), xattrs=(("user.a", b""),))], "symlink"),
    ],
)
def test_what_no_layer_may_hold_is_refused(bad, said):
    with pytest.raises(ArtifactError, match=said):
        canonical(bad)


@pytest.mark.parametrize("on_disk", [b"", b"12", b"1234", b"1" * (BLOCK_SIZE * 2)])
def test_a_source_that_changed_underneath_is_an_error(tmp_path, on_disk):
    source = tmp_path / "source"
    source.write_bytes(on_disk)
    with pytest.raises(ArtifactError, match="changed underneath"):
        tar_of(Entry("a", Kind.FILE, size=3, source=source))


@pytest.mark.parametrize("grown", [-1, 1])
def test_a_change_is_noticed_at_a_blocks_very_end(tmp_path, grown):
    source = tmp_path / "source"
    size = BLOCK_SIZE * 2 - 512  # with its header it ends where a block does
    source.write_bytes(bytes(size + grown))
    with pytest.raises(ArtifactError, match="changed underneath"):
        tar_of(Entry("a", Kind.FILE, size=size, source=source))


def test_a_source_that_cannot_be_read_is_named(tmp_path):
    (tmp_path / "link").symlink_to("elsewhere")
    for name in ("missing", "link", "."):
        with pytest.raises(ArtifactError, match=r"cannot read .*'lib/a'"):
            tar_of(Entry("lib/a", Kind.FILE, size=3, source=tmp_path / name))


def test_entries_out_of_order_are_not_written():
    with pytest.raises(ValueError, match="order"):
        write_tar([file_of_bytes("b", b""), file_of_bytes("a", b"")], io.BytesIO())


@pytest.mark.parametrize("extra", [-513, -512, -1, 0, 1, 511, 512])
def test_files_longer_than_a_block_arrive_whole(tmp_path, extra):
    content = os.urandom(1024) * (BLOCK_SIZE // 512) + os.urandom(1024 + extra)
    source = tmp_path / "source"
    source.write_bytes(content)
    from_disk = tar_of(Entry("a", Kind.FILE, size=len(content), source=source), file_of_bytes("b", b"tail"))
    assert from_disk == tar_of(file_of_bytes("a", content), file_of_bytes("b", b"tail"))
    assert from_disk[512 : 512 + len(content)] == content


names = st.text(st.characters(exclude_characters="/\0", exclude_categories=["Cs"]), min_size=1, max_size=60).filter(
    lambda name: name not in {".", ".."} and not name.startswith(".wh.") and len(name.encode()) <= 255
)
paths = st.lists(names, min_size=1, max_size=4).map("/".join)
mtimes = st.integers(-(2**33), 2**34)
modes = st.integers(0, 0o7777).map(lambda mode: mode | 0o700)  # so that whoever tests can read it
xattrs = st.dictionaries(st.sampled_from(["user.a", "user.ö", "security.capability"]), st.binary(max_size=200)).map(
    lambda pairs: tuple(sorted(pairs.items()))
)
somethings = st.one_of(
    st.builds(
        lambda data, mode, mtime, pairs: replace(file_of_bytes("", data, mode=mode, mtime=mtime), xattrs=pairs),
        st.binary(max_size=1100), modes, mtimes, xattrs,
    ),
    st.builds(lambda mode, mtime: directory("", mode=mode, mtime=mtime), modes, mtimes),
    st.builds(lambda target, mtime: symlink("", target, mtime=mtime), paths, mtimes),
)  # fmt: skip


@st.composite
def layers(draw):
    """Some entries that agree with each other, in any order."""
    drawn = draw(st.dictionaries(paths, somethings, max_size=8))
    inner = {"/".join(parts[:n]) for parts in (path.split("/") for path in drawn) for n in range(1, len(parts))}
    entries = [replace(thing, path=path) for path, thing in drawn.items() if path not in inner]
    files = [entry.path for entry in entries if entry.kind is Kind.FILE]
    if files:
        target = draw(st.sampled_from(files))
        new = draw(names.filter(lambda name: not any(path.split("/")[0] == name for path in drawn)))
        entries.append(Entry(new, Kind.HARDLINK, target=target))
    return draw(st.permutations(entries))


@given(layers())
def test_any_order_gives_the_same_bytes_and_tarfile_reads_back_what_was_written(entries):
    data = tar_of(*entries)
    assert data == tar_of(*reversed(entries))
    with tarfile.open(fileobj=io.BytesIO(data), mode="r:") as tar:
        for entry, member in zip(canonical(entries), tar, strict=True):
            assert member.name == entry.path
            assert (member.uid, member.gid, member.uname, member.gname) == (0, 0, "", "")
            assert (member.mode, int(member.mtime), member.linkname) == (entry.mode, entry.mtime, entry.target)
            assert {
                key.removeprefix("SCHILY.xattr."): value.encode("utf-8", "surrogateescape")
                for key, value in member.pax_headers.items()
                if key.startswith("SCHILY.")
            } == dict(entry.xattrs)
            if entry.kind is Kind.FILE:
                assert tar.extractfile(member).read() == entry.source


def unpack_with_gnu_tar(data: bytes, into: Path) -> None:
    subprocess.run(["tar", "-xpf", "-"], input=data, cwd=into, capture_output=True, check=True)


def assert_unpacked(entry: Entry, root: Path) -> None:
    path = root / entry.path
    match entry.kind:
        case Kind.WHITEOUT:
            assert path.with_name(f".wh.{path.name}").read_bytes() == b""
        case Kind.SYMLINK:
            assert str(path.readlink()) == entry.target
        case Kind.HARDLINK:
            assert path.samefile(root / entry.target)
        case Kind.DIRECTORY:
            assert path.is_dir()
            assert path.stat().st_mode & 0o7777 == entry.mode
        case Kind.FILE:
            assert path.read_bytes() == entry.source
            assert path.stat().st_mode & 0o7777 == entry.mode


@settings(max_examples=40, suppress_health_check=[HealthCheck.too_slow])
@given(layers())
def test_gnu_tar_unpacks_any_layer_as_it_was_meant(entries):
    with tempfile.TemporaryDirectory() as root:
        unpack_with_gnu_tar(tar_of(*entries), Path(root))
        for entry in canonical(entries):
            assert_unpacked(entry, Path(root))


def test_gnu_tar_unpacks_whiteouts_special_bits_and_times_outside_ustar(tmp_path):
    every = canonical((*BITS_OF_EVERYTHING, *WHAT_USTAR_CANNOT_SAY, *LONG_NAMES_THAT_FIT))
    unpack_with_gnu_tar(tar_of(*every), tmp_path)
    for entry in every:
        assert_unpacked(entry, tmp_path)
    for name, mtime in (("old", -1), ("late", 8**11), ("usr/share", 0)):
        assert (tmp_path / name).stat().st_mtime == mtime


WRITE_ELSEWHERE = """
import io, os, sys
os.umask(int(sys.argv[1], 8))
from peel.layers.tar import canonical, write_tar
from peel.model.entry import file_of_bytes, symlink
sink = io.BytesIO()
write_tar(canonical([file_of_bytes("b/ä", b"1", mode=0o777), symlink("a", "b")]), sink)
sys.stdout.buffer.write(sink.getvalue())
"""


def test_umask_zone_locale_directory_and_hash_seed_do_not_show(tmp_path):
    made = {
        subprocess.run(
            [sys.executable, "-c", WRITE_ELSEWHERE, umask],
            env={"TZ": zone, "LC_ALL": locale, "PYTHONHASHSEED": seed}, cwd=where, capture_output=True, check=True,
        ).stdout
        for umask, zone, locale, seed, where in (
            ("022", "UTC", "C.UTF-8", "0", Path("/")),
            ("077", "Asia/Kathmandu", "C", "1", tmp_path),
        )
    }  # fmt: skip
    assert len(made) == 1
