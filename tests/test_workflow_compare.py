"""Two images, compared: each way in which a small one can differ is told as what it is, at the first rung."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import zstandard

from peel.errors import ArtifactError
from peel.layers import layer_tree
from peel.layers.package_records import parse_record, source_of
from peel.model.ladder import Comparison, Difference
from peel.model.progress import Silent
from peel.model.values import Platform
from peel.store.store import Store
from peel.workflow.compare import compare_images
from peel.workflow.compared_images import of_published
from peel.workflow.published import open_image
from rewriting import GZIP, ImageCopy, Piece, conda_package, file, packed_gzip, packed_tar, packed_zstd

PREFIX = "opt/peel/envs/calm"
SITE = "lib/python3.11/site-packages"
NUMBERS = "numbers 1.0 py311_0"
SOURCE, BYTECODE = f"{SITE}/numbers.py", f"{SITE}/__pycache__/numbers.cpython-311.pyc"


def numbers(**more: str) -> list[Piece]:
    """A package with a source, its bytecode, and a program that names the prefix."""
    files: dict[str, bytes | str] = {SOURCE: "ONE = 1\nTWO = 2\n", "bin/count": f"#!/{PREFIX}/bin/python -s\nrun()\n"}
    pieces = conda_package(PREFIX, "numbers", files, build=more.pop("build", "py311_0"), **more)
    return [*pieces, file(f"{PREFIX}/{BYTECODE}", b"compiled")]


def letters() -> list[Piece]:
    return conda_package(PREFIX, "letters", {f"share/{name}.txt": name for name in "abcdefgh"})


@dataclass
class Pair:
    """An image, and a copy of it to be changed."""

    place: Path
    copy: ImageCopy
    original: ImageCopy

    def compare(self) -> Comparison:
        platform, store = Platform("linux-64"), Store(self.place / "store")
        work = self.place / "work"
        work.mkdir()
        with (
            open_image(self.original.reference, platform, store, Silent()) as ours,
            open_image(self.copy.reference, platform, store, Silent()) as theirs,
        ):
            return compare_images(
                of_published(ours), of_published(theirs), prefixes=[f"/{PREFIX}"], work=work, progress=Silent()
            )

    def only(self, rung: str) -> Difference:
        """The one difference, which is at this rung."""
        found = self.compare()
        assert (found.rung, found.identical) == (rung, False)
        (difference,) = found.differences
        return difference


@pytest.fixture
def pair(tmp_path: Path) -> Pair:
    base = [file("etc/os-release", "ID=small\n")]
    original = ImageCopy.make(tmp_path / "original", "1", base, numbers(), letters())
    return Pair(tmp_path, ImageCopy.of(original.directory, "1", tmp_path / "copy"), original)


def told(difference: Difference) -> tuple[str | None, ...]:
    return difference.layer, difference.path, difference.package, difference.kind.value, difference.cause.value


def test_equal_manifests_are_equal_and_nothing_is_read(pair: Pair) -> None:
    for blob in (pair.copy.directory / "blobs" / "sha256").iterdir():
        if blob.name in {layer["digest"].removeprefix("sha256:") for layer in pair.copy.manifest["layers"]}:
            blob.unlink()
    assert pair.compare() == Comparison()


def test_one_changed_byte_is_named_with_layer_file_package_and_place(pair: Pair) -> None:
    pair.copy.edit_file(1, SOURCE, lambda piece: piece.having(b"ONE = 1\nTWO = 3\n"))
    found = pair.only("file tree")
    assert told(found) == ("layer 1", f"{PREFIX}/{SOURCE}", NUMBERS, "content", "contents changed")
    assert found.detail == "byte 15 of 16: 33 0a instead of 32 0a"


def test_a_file_cut_short_is_told_with_both_sizes(pair: Pair) -> None:
    pair.copy.edit_file(1, SOURCE, lambda piece: piece.having(b"ONE = 1\n"))
    assert pair.only("file tree").detail == (
        "8 bytes instead of 16; byte 9 of 16: the end instead of 54 57 4f 20 3d 20 32 0a"
    )


@pytest.mark.parametrize(
    ("change", "cause", "detail"),
    [
        ({"mtime": 1_700_000_000}, "mtime", "2023-11-14T22:13:20Z instead of 2020-09-13T12:26:40Z"),
        ({"mode": 0o755}, "mode", "0755 instead of 0644"),
        ({"uid": 1000, "gid": 100}, "owner", "1000:100 instead of 0:0"),
    ],
)
def test_metadata_is_told_as_what_it_is(pair: Pair, change: dict[str, Any], cause: str, detail: str) -> None:
    path = pair.copy.edit_file(2, "share/c.txt", lambda piece: piece.having(**change))
    found = pair.only("file tree")
    assert told(found) == ("layer 2", path, "letters 1.0 0", cause, cause)
    assert found.detail == detail


def test_an_extended_attribute_is_named(pair: Pair) -> None:
    headers = {"SCHILY.xattr.user.origin": "elsewhere"}
    pair.copy.edit_file(2, "share/c.txt", lambda piece: piece.having(pax_headers=headers))
    found = pair.only("file tree")
    assert (found.kind, found.detail) == ("xattrs", "with user.origin")


def test_a_file_in_place_of_a_link_and_a_link_that_leads_elsewhere(tmp_path: Path) -> None:
    def link(path: str, target: str) -> Piece:
        info = tarfile.TarInfo(path)
        info.type, info.linkname = tarfile.SYMTYPE, target
        return Piece(info)

    original = ImageCopy.make(tmp_path / "original", "1", [link("bin", "usr/bin"), link("lib", "usr/lib")])
    other = ImageCopy.of(original.directory, "1", tmp_path / "copy")
    other.edit_layer(0, lambda _: [link("bin", "usr/sbin"), file("lib", "no link")])
    found = Pair(tmp_path, other, original).compare().differences
    assert [(d.path, d.kind.value, d.detail) for d in found] == [
        ("lib", "type", "a file instead of a symbolic link"),
        ("bin", "target", "it leads to 'usr/sbin' instead of 'usr/bin'"),
    ]


def test_a_removed_file_is_missing_and_an_added_one_extra(pair: Pair) -> None:
    added = file(f"{PREFIX}/share/new.txt", "new")
    pair.copy.edit_layer(2, lambda pieces: [*(p for p in pieces if not p.path.endswith("c.txt")), added])
    found = pair.compare()
    assert found.rung == "file tree"
    assert [(told(d), d.detail) for d in found.differences] == [
        (
            ("layer 2", f"{PREFIX}/share/c.txt", "letters 1.0 0", "missing", "missing file"),
            "a file of 1 bytes is not there",
        ),
        (("layer 2", added.path, None, "extra", "extra file"), "a file of 3 bytes that should not be there"),
    ]


def test_bytecode_alone_is_told_as_bytecode_and_belongs_to_its_source(pair: Pair) -> None:
    path = pair.copy.edit_file(1, ".pyc", lambda piece: piece.having(b"compilef"))
    assert told(pair.only("file tree")) == ("layer 1", path, NUMBERS, "content", "bytecode")


def test_bytecode_of_a_changed_source_changed_with_it(pair: Pair) -> None:
    pair.copy.edit_file(1, ".pyc", lambda piece: piece.having(b"compilef"))
    pair.copy.edit_file(1, SOURCE, lambda piece: piece.having(b"ONE = 1\nTWO = 3\n"))
    assert {d.cause.value for d in pair.compare().differences} == {"contents changed"}


def test_contents_that_are_equal_but_for_the_prefix_are_told_so(pair: Pair) -> None:
    pair.copy.edit_file(1, "bin/count", lambda piece: piece.having(b"#!/opt/other/bin/python -s\nrun()\n"))
    found = pair.only("file tree")
    assert found.cause == "prefix"
    assert found.detail.startswith("linked for /opt/other; ")


def test_a_binary_padded_to_its_old_length_has_another_prefix_too(tmp_path: Path) -> None:
    def program(prefix: str) -> list[Piece]:
        text = f"/{prefix}/lib/x.so".encode().ljust(80, b"\0")
        return [file("bin/x", b"\x7fELF" + text + b"end")]

    original = ImageCopy.make(tmp_path / "original", "1", program(PREFIX))
    other = ImageCopy.make(tmp_path / "copy", "1", program("opt/peel/envs/calmer"))
    found = Pair(tmp_path, other, original).only("file tree")
    assert (found.cause, found.detail.partition(";")[0]) == ("prefix", "linked for /opt/peel/envs/calmer")


def test_more_than_the_prefix_is_no_matter_of_the_prefix(pair: Pair) -> None:
    pair.copy.edit_file(1, "bin/count", lambda piece: piece.having(b"#!/opt/other/bin/python -s\nrum()\n"))
    assert pair.only("file tree").cause == "contents changed"


def test_another_build_of_a_package_explains_all_of_its_files(pair: Pair) -> None:
    changed = [p.having(p.data + b"#") if p.path.endswith((".py", "count")) else p for p in numbers(build="py311_1")]
    pair.copy.edit_layer(1, lambda _: changed)
    found = pair.compare().differences
    assert {d.cause.value for d in found} == {"other package build"}
    assert {d.package for d in found} == {NUMBERS, "numbers 1.0 py311_1"}
    assert all(d.detail.startswith("numbers 1.0 py311_1 instead of numbers 1.0 py311_0: ") for d in found)
    assert {d.kind.value for d in found} == {"missing", "extra", "content"}


def test_a_package_from_another_archive_is_another_build_though_it_is_called_the_same(tmp_path: Path) -> None:
    original = ImageCopy.make(tmp_path / "original", "1", numbers(sha256="a" * 64))
    other = ImageCopy.make(tmp_path / "copy", "1", numbers(sha256="b" * 64))
    found = Pair(tmp_path, other, original).only("file tree")
    assert found.cause == "other package build"
    assert found.detail.startswith("another archive instead of numbers 1.0 py311_0: ")


def test_a_package_that_is_missing_or_extra_as_a_whole_is_told_so(pair: Pair) -> None:
    pair.copy.edit_layer(2, lambda _: conda_package(PREFIX, "figures", {"share/1.txt": "1"}))
    found = pair.compare().differences
    assert {(d.package, d.cause.value) for d in found} == {
        ("letters 1.0 0", "missing package"),
        ("figures 1.0 0", "extra package"),
    }


def test_a_package_that_lies_in_another_layer_is_told_so(pair: Pair) -> None:
    first, second = pair.copy.pieces(1), pair.copy.pieces(2)
    pair.copy.edit_layer(1, lambda _: second)
    pair.copy.edit_layer(2, lambda _: first)
    found = pair.compare()
    assert (found.rung, [d.cause.value for d in found.differences]) == ("diff ids", ["order"])
    pair.copy.edit_layer(2, lambda pieces: [*pieces, file("new")])
    (Path(pair.place) / "work").rmdir()
    again = pair.compare()
    assert again.rung == "file tree"
    assert "new" in {d.path for d in again.differences}


def test_a_wheel_owns_what_its_record_lists(tmp_path: Path) -> None:
    site = f"{PREFIX}/{SITE}"
    wheel = [
        file(f"{site}/small/a.py", "A = 1\n"),
        file(
            f"{site}/small-2.0.dist-info/RECORD", "small/a.py,,\n../../../bin/small,,\nsmall-2.0.dist-info/RECORD,,\n"
        ),
        file(f"{PREFIX}/bin/small", "run"),
    ]
    original = ImageCopy.make(tmp_path / "original", "1", wheel)
    other = ImageCopy.of(original.directory, "1", tmp_path / "copy")
    other.edit_file(0, "bin/small", lambda piece: piece.having(b"rum"))
    assert Pair(tmp_path, other, original).only("file tree").package == "small 2.0"


def test_the_order_of_a_tar_is_the_second_rung(pair: Pair) -> None:
    pair.copy.edit_layer(2, lambda pieces: [*pieces[3:], *pieces[:3]])
    found = pair.only("diff ids")
    assert told(found) == ("layer 2", f"{PREFIX}/share/c.txt", "letters 1.0 0", "order", "order")
    assert found.detail == f"it comes where {PREFIX}/conda-meta/letters-1.0-0.json should be"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"uname": "root", "gname": "root"}, "the owner's names are root:root instead of -:-"),
        ({"pax_headers": {"comment": "hello"}}, "its extended header has comment instead of nothing"),
        ({"name": f"./{PREFIX}/share/c.txt"}, f"its name is written as './{PREFIX}/share/c.txt'"),
    ],
)
def test_equal_trees_of_other_tar_headers_are_told_at_the_second_rung(
    pair: Pair, change: dict[str, Any], words: str
) -> None:
    pair.copy.edit_file(2, "share/c.txt", lambda piece: piece.having(**change))
    found = pair.only("diff ids")
    assert (found.kind, found.cause) == ("order", "tar headers")
    assert found.path == f"{PREFIX}/share/c.txt"
    assert words in found.detail


def test_another_tar_format_is_told_by_its_first_header(pair: Pair) -> None:
    pair.copy.edit_layer(2, lambda pieces: pieces, format=tarfile.GNU_FORMAT)
    assert pair.only("diff ids").detail == "its header says the same in other bytes: another tar format"


def test_bytes_after_the_last_entry_are_seen(pair: Pair) -> None:
    pair.copy.put_tar(2, pair.copy.tar(2) + bytes(10240))
    assert "follow the last" in pair.only("diff ids").detail


def test_a_path_that_is_there_twice_counts_as_its_last(pair: Pair) -> None:
    pair.copy.edit_layer(2, lambda pieces: [pieces[1].having(b"first"), *pieces])
    found = pair.only("diff ids")
    assert (found.cause, found.detail.partition("; ")[2]) == ("order", "paths that are there twice: 1")


@pytest.mark.parametrize("number", [0, 1, 2])
def test_a_layer_that_is_missing_is_named(pair: Pair, number: int) -> None:
    config, manifest = pair.copy.config, pair.copy.manifest
    for listed in (config["rootfs"]["diff_ids"], config["history"], manifest["layers"]):
        del listed[number]
    pair.copy.put(config, manifest)
    found = pair.only("file tree")
    assert (found.layer, found.kind, found.cause) == (f"layer {number}", "layer", "missing layer")


def test_a_layer_too_many_is_named_by_what_its_history_says(pair: Pair) -> None:
    config, manifest = pair.copy.config, pair.copy.manifest
    config["rootfs"]["diff_ids"].append(config["rootfs"]["diff_ids"][0])
    config["history"].append({"created_by": "peel: patch: more"})
    manifest["layers"].append(manifest["layers"][0])
    pair.copy.put(config, manifest)
    found = pair.only("file tree")
    assert (found.layer, found.cause) == ("patch: more", "extra layer")


@pytest.mark.parametrize(
    ("media_type", "pack", "cause", "words"),
    [
        (GZIP, packed_gzip, "other compressor", "gzip instead of zstd"),
        ("application/vnd.docker.image.rootfs.diff.tar.gzip", packed_gzip, "other compressor", "gzip instead of zstd"),
        (None, lambda tar: packed_zstd(tar, 19), "compressor version", "zstd of another version or level"),
        ("application/vnd.oci.image.layer.v1.tar", bytes, "other compressor", "no compression instead of zstd"),
    ],
)
def test_equal_contents_in_another_blob_are_a_matter_of_the_compressor(
    pair: Pair, media_type: str | None, pack: Callable[[bytes], bytes], cause: str, words: str
) -> None:
    pair.copy.recompress(1, media_type or pair.copy.manifest["layers"][1]["mediaType"], pack)
    found = pair.only("blobs")
    assert told(found) == ("layer 1", None, None, "compression", cause)
    assert f"equal contents; {words}" in found.detail


def test_a_blob_that_is_not_what_the_configs_diff_id_says_is_not_believed(pair: Pair) -> None:
    config = pair.copy.config
    pair.copy.edit_file(1, SOURCE, lambda piece: piece.having(b"ONE = 1\nTWO = 3\n"))
    pair.copy.put(config, pair.copy.manifest)  # the old diffIDs again
    found = pair.compare()
    assert found.rung == "file tree"
    assert [d.cause.value for d in found.differences] == ["wrong diffID in the config", "contents changed"]


def test_a_diff_id_that_is_no_layers_own_is_told_though_the_layer_is_right(pair: Pair) -> None:
    pair.copy.edit_config(lambda config: config["rootfs"]["diff_ids"].__setitem__(1, f"sha256:{'0' * 64}"))
    found = pair.only("diff ids")
    assert (found.layer, found.cause) == ("layer 1", "wrong diffID in the config")


def test_a_label_is_told_at_the_rung_of_the_config(pair: Pair) -> None:
    pair.copy.edit_config(lambda config: config["config"]["Labels"].update(title="large"))
    found = pair.only("config")
    assert told(found) == (None, "config.Labels.title", None, "config", "config changed")
    assert found.detail == '"large" instead of "small"'


def test_credentials_in_a_label_are_not_shown(pair: Pair) -> None:
    pair.copy.edit_config(lambda config: config["config"]["Labels"].update(source="https://me:sesame@host/x"))
    assert "sesame" not in pair.only("config").detail


def test_an_annotation_is_told_at_the_last_rung(pair: Pair) -> None:
    pair.copy.edit_manifest(lambda manifest: manifest["annotations"].update(made="elsewhere"))
    found = pair.only("manifest")
    assert told(found) == (None, "annotations.made", None, "manifest", "annotation changed")


def test_equal_values_in_other_bytes_are_told_as_that(pair: Pair) -> None:
    raw = pair.copy.blob(pair.copy._entry["digest"]).replace(b'{"annotations"', b'{ "annotations"')
    entry = pair.copy._put("application/vnd.oci.image.manifest.v1+json", raw)
    pair.copy._write_index({**entry, "annotations": pair.copy._entry["annotations"]})
    found = pair.only("manifest")
    assert (found.cause, found.path) == ("written otherwise", None)


def test_a_large_file_is_compared_to_its_first_other_byte_without_being_held(tmp_path: Path) -> None:
    data = bytes(range(256)) * 36_000  # 9.2 million bytes
    original = ImageCopy.make(tmp_path / "original", "1", [file("big", data)])
    other = ImageCopy.make(tmp_path / "copy", "1", [file("big", data[:-3] + b"!" + data[-2:])])
    found = Pair(tmp_path, other, original).only("file tree")
    assert found.detail == f"byte {len(data) - 2:,} of {len(data):,}: 21 fe ff instead of fd fe ff"


def test_a_thousand_changed_files_are_all_named(tmp_path: Path) -> None:
    def many(text: str) -> list[Piece]:
        return [file(f"share/{number:04}", f"{text} {number}") for number in range(1000)]

    original = ImageCopy.make(tmp_path / "original", "1", many("one"))
    other = ImageCopy.make(tmp_path / "copy", "1", many("two"))
    found = Pair(tmp_path, other, original).compare().differences
    assert len(found) == 1000
    assert found[0].detail.startswith("byte 1 of 5: 74 77 6f")
    assert "sha256:" in found[-1].detail


def hostile(member: tarfile.TarInfo) -> Callable[[Sequence[Piece]], Sequence[Piece]]:
    return lambda pieces: [*pieces, Piece(member)]


def test_a_path_that_leads_out_of_the_image_is_refused_by_name(pair: Pair) -> None:
    pair.copy.edit_layer(1, hostile(tarfile.TarInfo("share/../../etc/passwd")))
    with pytest.raises(ArtifactError, match=r"copy:1 holds 'share/\.\./\.\./etc/passwd'"):
        pair.compare()


def test_a_tar_cut_within_a_file_is_refused(pair: Pair) -> None:
    pair.copy.put_tar(1, pair.copy.tar(1)[:600])
    with pytest.raises(ArtifactError, match="is truncated"):
        pair.compare()


def test_a_tar_cut_between_two_files_lacks_the_rest(pair: Pair) -> None:
    pair.copy.put_tar(1, pair.copy.tar(1)[:1024])
    assert {d.cause.value for d in pair.compare().differences} == {"missing file"}


def test_a_size_that_lies_is_refused(pair: Pair) -> None:
    tar = bytearray(packed_tar([file("big", b"x" * 100)]))
    tar[124:136] = b"77777777777\0"
    tar[148:156] = b"%06o\0 " % (sum(tar[:148]) + 8 * 32 + sum(tar[156:512]))
    pair.copy.put_tar(1, bytes(tar))
    with pytest.raises(ArtifactError, match="truncated"):
        pair.compare()


def test_more_entries_than_any_image_has_are_refused(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(layer_tree, "_MOST_ENTRIES", 20)
    pair.copy.edit_layer(2, lambda pieces: [*pieces, *(file(f"share/{number}") for number in range(20))])
    with pytest.raises(ArtifactError, match="has more than 20 entries"):
        pair.compare()


def test_a_bomb_is_refused_while_it_goes_off(pair: Pair) -> None:
    compressor = zstandard.ZstdCompressor(level=1)
    packed = io.BytesIO()
    with compressor.stream_writer(packed, closefd=False) as stream:
        member = tarfile.TarInfo("zeros")
        member.size = 512 << 20
        stream.write(member.tobuf())
        for _ in range(512):
            stream.write(bytes(1 << 20))
    pair.copy.put_tar(1, b"", lambda _: packed.getvalue())
    with pytest.raises(ArtifactError, match="out of proportion"):
        pair.compare()


@pytest.mark.parametrize("data", [b"", b"[]", b"{", b'{"name": 1, "version": "1"}', b"[" * 5000, b"\xff\xfe"])
def test_a_record_that_makes_no_sense_names_no_owner(data: bytes) -> None:
    assert parse_record(f"{PREFIX}/conda-meta/x-1-0.json", data) is None


@pytest.mark.parametrize(
    ("path", "source"),
    [
        ("a/__pycache__/b.cpython-311.pyc", "a/b.py"),
        ("a/__pycache__/b.c.cpython-313.opt-1.pyc", "a/b.c.py"),
        ("__pycache__/b.cpython-311.pyc", "b.py"),
        ("a/b.pyc", None),
    ],
)
def test_bytecode_knows_its_source(path: str, source: str | None) -> None:
    assert source_of(path) == source
