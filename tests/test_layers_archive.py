"""What locking reads off an archive, and what a broken or malicious one says."""

from __future__ import annotations

import json
import tarfile
import zipfile
from pathlib import Path

import pytest
import zstandard

from archives import MTIME, Item, conda, link
from peel.errors import ArtifactError
from peel.layers.archive import PathFact, read_facts
from peel.layers.conda_stream import Part, members
from peel.layers.link import link_conda
from peel.model.entry import Kind
from peel.model.values import Digest, PythonVersion

SCRIPT = Item("bin/.one-post-link.sh", b"echo hello\n", 0o755)
SCRIPT_SHA256 = Digest.of(SCRIPT.data).hex


def facts_error(archive: Path, name: str | None = None) -> str:
    with pytest.raises(ArtifactError) as caught:
        read_facts(archive, name or archive.name)
    assert caught.value.message.startswith((name or archive.name).split(":")[0])
    return caught.value.message


def link_error(archive: Path, stage: Path) -> str:
    with pytest.raises(ArtifactError) as caught:
        link_conda(
            archive, name="one", version="1.0", file_name=archive.name, digest=Digest.of(b""), prefix="/opt/x",
            python=PythonVersion(3, 13), stage=stage,
        )  # fmt: skip
    return caught.value.message


def test_facts_are_read_from_the_metadata_alone(tmp_path: Path) -> None:
    archive = conda(
        tmp_path / "one-1.0-py_3.conda", [Item("site-packages/one.py", b"1234"), link("a", "b"), SCRIPT],
        index={"noarch": "python", "subdir": "noarch", "build_number": 3, "depends": ["python >=3.9"]},
        entry_points=["one=one:main"],
    )  # fmt: skip
    with zipfile.ZipFile(archive) as outer:
        info = outer.read("info-one-1.0-py_3.tar.zst")
    with zipfile.ZipFile(archive, "w") as outer:
        outer.writestr("info-one-1.0-py_3.tar.zst", info)  # and no payload
    facts = read_facts(archive, archive.name)
    assert (facts.name, facts.version, facts.build, facts.build_number) == ("one", "1.0", "py_3", 3)
    assert (facts.subdir, facts.noarch, facts.depends) == ("noarch", "python", ("python >=3.9",))
    assert (facts.license, facts.timestamp, facts.installed_size) == ("MIT", MTIME, 15)
    assert facts.entry_points == ("one = one:main",)
    assert facts.link_scripts == (("bin/.one-post-link.sh", SCRIPT_SHA256),)
    assert facts.paths[-1] == PathFact("site-packages/one.py", Digest.of(b"1234").hex, 4, Kind.FILE)


def test_an_old_archive_is_read_to_the_end(tmp_path: Path) -> None:
    archive = conda(tmp_path / "one-1.0-0.tar.bz2", [Item("a", b"1234"), link("b", "a"), SCRIPT], legacy=True)
    facts = read_facts(archive, archive.name)
    assert facts.link_scripts == (("bin/.one-post-link.sh", SCRIPT_SHA256),)
    assert facts.paths == (
        PathFact("a", None, 4, Kind.FILE),
        PathFact("b", None, 0, Kind.SYMLINK),
        PathFact("bin/.one-post-link.sh", None, 11, Kind.FILE),
    )


@pytest.mark.parametrize(
    ("index", "expected"),
    [
        ({"timestamp": 1_600_000_000}, 1_600_000_000),
        ({"timestamp": 1_600_000_000_123}, 1_600_000_000),
        ({"timestamp": 0}, None),
        ({"timestamp": None}, None),
    ],
)
def test_a_timestamp_is_in_seconds_whatever_the_archive_says(
    index: dict[str, int | None], expected: int | None, tmp_path: Path
) -> None:
    archive = conda(tmp_path / "one-1.0-0.conda", [], index=index)
    assert read_facts(archive, archive.name).timestamp == expected


def test_an_index_may_say_nothing_in_several_ways(tmp_path: Path) -> None:
    nothing = dict.fromkeys(("constrains", "depends", "license", "timestamp", "noarch", "build_number"))
    odd = conda(tmp_path / "one-1.0-0.conda", [Item("a", b"1")], index=nothing)
    facts = read_facts(odd, odd.name)
    assert (facts.depends, facts.license, facts.timestamp, facts.noarch, facts.build_number) == ((), "", None, "", 0)
    several = conda(tmp_path / "two-1.0-0.conda", [], index={"build_number": "3", "license": ["MIT", "Zlib"]})
    facts = read_facts(several, several.name)
    assert (facts.build_number, facts.license) == (3, "MIT, Zlib")


def test_an_archive_cut_anywhere_is_one_clear_error(tmp_path: Path) -> None:
    noise = bytes(range(256)) * 40
    for suffix in (".conda", ".tar.bz2"):
        whole = conda(tmp_path / suffix[1:] / f"one-1.0-0{suffix}", [Item("a", noise), Item("b", b"b")])
        data = whole.read_bytes()
        for length in range(0, len(data) - 1, max(1, len(data) // 40)):
            whole.write_bytes(data[:length])
            assert link_error(whole, tmp_path / f"{suffix}-{length}").startswith(f"one-1.0-0{suffix}")


def test_a_flipped_byte_is_an_error_or_changes_nothing(tmp_path: Path) -> None:
    whole = conda(tmp_path / "one-1.0-0.conda", [Item("a", bytes(range(256)))])
    data = whole.read_bytes()
    for at in range(0, len(data), 23):
        whole.write_bytes(data[:at] + bytes([data[at] ^ 0xFF]) + data[at + 1 :])
        try:
            entries = link_conda(
                whole, name="one", version="1.0", file_name=whole.name, digest=Digest.of(b""), prefix="/opt/x",
                python=None, stage=tmp_path / str(at),
            )  # fmt: skip
        except ArtifactError:
            continue
        assert [entry.path for entry in entries] == ["opt/x/a", "opt/x/conda-meta/one-1.0-0.json"]


def test_what_is_no_conda_package_is_refused_by_its_name(tmp_path: Path) -> None:
    archive = conda(tmp_path / "one-1.0-0.conda", [])
    assert "not a conda package" in facts_error(archive, "one-1.0.tar.gz")
    assert "must hold 'info-two-1.0-0.tar.zst' exactly once" in facts_error(archive, "two-1.0-0.conda")


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("index.json", b"{", "info/index.json: Invalid JSON"),
        ("index.json", b'{"name": "one"}', "info/index.json: version: Field required"),
        ("index.json", b'{"name": "../x", "version": "1", "build": "0"}', "info/index.json: name: "),
        ("index.json", b'{"name": "one", "version": "1/2", "build": "0"}', "info/index.json: version: "),
        ("index.json", b"\xff", "info/index.json: Invalid JSON"),
        ("paths.json", b'{"paths": [{"_path": 1}], "paths_version": 1}', "info/paths.json: paths.0._path: "),
        ("paths.json", b'{"paths": [], "paths_version": 2}', "info/paths.json: paths_version: "),
        ("paths.json", b"[" * 100_000, "info/paths.json: Invalid JSON"),
        ("paths.json", b'{"paths": [{"_path": "a", "size_in_bytes": -1}]}', "size_in_bytes: "),
    ],
)
def test_malformed_metadata_names_file_field_and_reason(name: str, text: bytes, message: str, tmp_path: Path) -> None:
    assert message in facts_error(conda(tmp_path / "one-1.0-0.conda", [], info={name: text}))


def test_an_entry_point_cannot_smuggle_code_or_a_path(tmp_path: Path) -> None:
    for text in ("x = m:f();import os", "../x = m:f", "x = m:f\nimport os", "x", "x = a b:f", ".. = m:f"):
        archive = conda(tmp_path / "one-1.0-py_0.conda", [], index={"noarch": "python"}, entry_points=[text])
        assert "not an entry point" in facts_error(archive)


def test_a_decompression_bomb_is_stopped(tmp_path: Path) -> None:
    archive = tmp_path / "one-1.0-0.conda"
    conda(archive, [Item("a", b"", says={"size_in_bytes": 300 << 20})])
    member = tarfile.TarInfo("a")
    member.size = 300 << 20
    compressor = zstandard.ZstdCompressor(level=1).compressobj()
    packed = [compressor.compress(member.tobuf())]
    packed += [compressor.compress(bytes(1 << 20)) for _ in range(300)]
    with zipfile.ZipFile(archive) as outer:
        info = outer.read("info-one-1.0-0.tar.zst")
    with zipfile.ZipFile(archive, "w") as outer:
        outer.writestr("info-one-1.0-0.tar.zst", info)
        outer.writestr("pkg-one-1.0-0.tar.zst", b"".join([*packed, compressor.flush()]))
    assert "out of proportion to its size" in link_error(archive, tmp_path / "stage")


def test_a_header_cannot_fill_the_memory(tmp_path: Path) -> None:
    member = tarfile.TarInfo("a")
    member.pax_headers = {"comment": "x" * (4 << 20)}
    archive = conda(tmp_path / "one-1.0-0.conda", [])
    with zipfile.ZipFile(archive) as outer:
        info = outer.read("info-one-1.0-0.tar.zst")
    with zipfile.ZipFile(archive, "w") as outer:
        outer.writestr("info-one-1.0-0.tar.zst", info)
        packed = zstandard.ZstdCompressor().compress(member.tobuf(tarfile.PAX_FORMAT))
        outer.writestr("pkg-one-1.0-0.tar.zst", packed)
    assert "a header of the archive is too large" in link_error(archive, tmp_path / "stage")


def test_the_old_list_of_prefixes_may_be_quoted_or_bare(tmp_path: Path) -> None:
    old = "/opt/" + "".join(f"anaconda{number}" for number in (1, 2, 3))
    lines = ["bin/a\n", '"/some where" text "bin/b c"\n', "/some/where BINARY bin/d\n"]
    items = [
        Item("bin/a", f"{old}/x".encode()),
        Item("bin/b c", b"/some where/x"),
        Item("bin/d", b"/some/where/x\0"),
    ]
    archive = conda(tmp_path / "one-1.0-0.tar.bz2", items, legacy=True, info={"has_prefix": "".join(lines).encode()})
    link_conda(
        archive, name="one", version="1.0", file_name=archive.name, digest=Digest.of(b""), prefix="/p", python=None,
        stage=tmp_path / "stage",
    )  # fmt: skip
    assert (tmp_path / "stage/bin/a").read_bytes() == b"/p/x"
    assert (tmp_path / "stage/bin/b c").read_bytes() == b"/p/x"
    assert (tmp_path / "stage/bin/d").read_bytes() == b"/p/x" + bytes(10)


def test_members_are_told_apart_by_half_in_both_formats(tmp_path: Path) -> None:
    for suffix in (".conda", ".tar.bz2"):
        archive = conda(tmp_path / f"one-1.0-0{suffix}", [Item("a", b"1"), Item("d", type=tarfile.DIRTYPE)])
        assert [member.path for member, _ in members(archive, archive.name, Part.PAYLOAD)] == ["a"]
        info = {
            member.path: b"".join(content.chunks()) for member, content in members(archive, archive.name, Part.INFO)
        }
        assert set(info) == {"info/index.json", "info/paths.json"}
        assert json.loads(info["info/index.json"])["name"] == "one"
