"""Linker 1: final bytes for a final prefix, the same as rattler's, and nothing hostile gets through."""

from __future__ import annotations

import io
import json
import subprocess
import sys
import tarfile
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from archives import MTIME, PLACEHOLDER, Item, conda, link
from linking import DIGEST, PYTHON, bytes_of, linked, names, one
from oracle import PREFIX, differences
from peel.errors import ArtifactError
from peel.layers.archive import read_facts
from peel.layers.link import installed_paths, link_conda
from peel.layers.prefix import FileMode, PrefixRule, fit_shebang, rewrite
from peel.layers.wheel import link_wheel
from peel.model.entry import Entry, Kind
from peel.model.values import MTIME_CONSTANT, Digest

GOLDEN = Path(__file__).parent / "golden" / "linker1"
ARCHIVES = ("native-1.0-h0_0.conda", "odd-1.0-0.conda", "old-0.1-0.tar.bz2", "pure-2.0-py_0.conda")
HELD = PLACEHOLDER.encode()


def describe(entry: Entry) -> dict[str, object]:
    found: dict[str, object] = {
        "kind": str(entry.kind),
        "mode": oct(entry.mode),
        "mtime": entry.mtime,
        "path": entry.path,
    }
    if entry.target:
        found["target"] = entry.target
    if entry.kind is Kind.FILE:
        data = bytes_of(entry)
        found |= {"sha256": Digest.of(data).hex, "size": entry.size, "text": data.decode("latin-1")}
    return found


@pytest.mark.parametrize("name", ARCHIVES)
def test_the_bytes_of_linker_1_are_a_promise_across_releases(
    name: str, tmp_path: Path, golden: Callable[[str, bytes], None]
) -> None:
    # A change here changes every image: raise LINKER instead.
    entries = [describe(entry) for entry in linked(GOLDEN / name, tmp_path).values()]
    golden(f"linker1/{name}.json", json.dumps(entries, indent=1, sort_keys=True).encode() + b"\n")


def test_the_bytes_of_a_linked_wheel_are_a_promise_across_releases(
    tmp_path: Path, golden: Callable[[str, bytes], None]
) -> None:
    name = "wheeled-3.0-py3-none-any.whl"
    entries = link_wheel(
        GOLDEN / name, name="Wheeled", version="3", file_name=name, digest=DIGEST, prefix=PREFIX, python=PYTHON,
        stage=tmp_path,
    )  # fmt: skip
    made = json.dumps([describe(entry) for entry in entries], indent=1, sort_keys=True)
    golden(f"linker1/{name}.json", made.encode() + b"\n")


@pytest.mark.parametrize("prefix", [PREFIX, "/opt/" + "long" * 40, "/opt/with space"])
def test_every_file_equals_what_rattler_installs(prefix: str) -> None:
    packages = sorted([*GOLDEN.glob("*.conda"), *GOLDEN.glob("*.tar.bz2")])
    assert len(packages) == len(ARCHIVES)
    assert differences(packages, PYTHON, prefix) == []


def test_rattler_reads_the_record_of_a_linked_package(tmp_path: Path) -> None:
    entries = linked(GOLDEN / "native-1.0-h0_0.conda", tmp_path)
    record = tmp_path / "conda-meta/native-1.0-h0_0.json"
    code = """if True:
        import os, sys
        from rattler import PrefixRecord
        record = PrefixRecord.from_path(sys.argv[1])
        print(record.name.normalized, record.url, len(record.files), len(record.paths_data.paths), flush=True)
        os._exit(0)"""
    done = subprocess.run([sys.executable, "-c", code, record], capture_output=True, text=True, check=True)
    count = len(entries) - 1
    assert done.stdout.split() == [
        "native", "ni:///sha-256;47DEQpj8HBSa-_TImW-5JCeuQeRkm5NMpJWZG3hSuFU", str(count), str(count)
    ]  # fmt: skip


def test_a_record_knows_nothing_of_where_the_archive_came_from(tmp_path: Path) -> None:
    item = Item("share/a", b"a")
    first = conda(tmp_path / "here/one-1.0-0.tar.bz2", [item])
    second = tmp_path / "there" / "renamed-9.9-9.tar.bz2"
    second.parent.mkdir()
    second.write_bytes(first.read_bytes())
    record = "conda-meta/one-1.0-0.json"
    left, right = linked(first, tmp_path / "1")[record], linked(second, tmp_path / "2", locked=("one", "1.0"))[record]
    assert bytes_of(left) == bytes_of(right)
    assert left.mode == 0o644


def test_a_packages_build_time_is_the_mtime_of_its_files(tmp_path: Path) -> None:
    for stamp, expected in ((MTIME, MTIME), (MTIME * 1000, MTIME), (None, MTIME_CONSTANT)):
        archive = conda(tmp_path / "one-1.0-0.conda", [Item("a", b"")], index={"timestamp": stamp})
        assert {entry.mtime for entry in linked(archive, tmp_path / str(stamp)).values()} == {expected}


def test_a_path_that_loses_a_clobber_is_neither_staged_nor_recorded(tmp_path: Path) -> None:
    archive = conda(tmp_path / "one-1.0-0.conda", [Item("a", b"1"), Item("b", b"2")])
    entries = linked(archive, tmp_path / "stage", omit=["a"])
    assert set(entries) == {"b", "conda-meta/one-1.0-0.json"}
    assert not (tmp_path / "stage/a").exists()
    assert json.loads(bytes_of(entries["conda-meta/one-1.0-0.json"]))["files"] == ["b"]


@pytest.mark.parametrize("name", ARCHIVES)
def test_where_paths_go_is_known_without_linking(name: str, tmp_path: Path) -> None:
    facts = read_facts(GOLDEN / name, name)
    assert set(installed_paths(facts, PYTHON)) == set(linked(GOLDEN / name, tmp_path))


def test_a_noarch_package_without_python_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match="needs a Python"):
        linked(GOLDEN / "pure-2.0-py_0.conda", tmp_path, python=None)


def test_packages_can_be_linked_by_several_processes_into_one_stage(tmp_path: Path) -> None:
    with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as pool:
        started = [
            pool.submit(
                link_conda, GOLDEN / file_name, name=names(file_name)[0], version=names(file_name)[1],
                file_name=file_name, digest=DIGEST, prefix=PREFIX, python=PYTHON, stage=tmp_path / "at-once",
            )
            for file_name in ARCHIVES
        ]  # fmt: skip
        at_once = [future.result() for future in started]
    for name, entries in zip(ARCHIVES, at_once, strict=True):
        alone = linked(GOLDEN / name, tmp_path / "alone")
        assert [describe(entry) for entry in entries] == [describe(entry) for entry in alone.values()]


def test_two_packages_with_one_path_are_an_error_that_names_it(tmp_path: Path) -> None:
    linked(conda(tmp_path / "one-1.0-0.conda", [Item("bin/x", b"1")]), tmp_path / "stage")
    with pytest.raises(ArtifactError, match=r"two-1.0-0.conda: 'bin/x' is written twice"):
        linked(conda(tmp_path / "two-1.0-0.conda", [Item("bin/x", b"2")]), tmp_path / "stage")


def test_a_prefix_without_room_names_file_lengths_and_what_to_do(tmp_path: Path) -> None:
    archive = one(tmp_path, Item("lib/a.so", HELD + b"\0", rule="binary"))
    with pytest.raises(
        ArtifactError, match=r"one-1.0-0.conda: lib/a.so: .* takes 301 bytes, .* room for 216"
    ) as caught:
        linked(archive, tmp_path / "stage", prefix="/" + "x" * 300)
    assert caught.value.hint == "choose a shorter prefix for this environment"


def test_large_files_are_replaced_without_filling_the_memory(tmp_path: Path) -> None:
    block = bytes(1 << 20)[: (1 << 20) - 100]
    data = b"".join(block + HELD + b"/lib\0" for _ in range(12))
    entries = linked(one(tmp_path, Item("lib/big.so", data, rule="binary")), tmp_path / "stage")
    expected = block + PREFIX.encode() + b"/lib\0" + bytes(len(HELD) - len(PREFIX))
    assert bytes_of(entries["lib/big.so"]) == expected * 12


@settings(max_examples=60, deadline=None)
@given(st.lists(st.sampled_from([b"\0", b"a", HELD, HELD[:40], b"/lib:", b"\n"]), max_size=30))
def test_binary_replacement_keeps_length_and_every_string(parts: list[bytes]) -> None:
    data = b"".join(parts)
    out = io.BytesIO()
    rewrite(io.BytesIO(data), out.write, rule=PrefixRule(PLACEHOLDER, FileMode.BINARY), prefix=PREFIX, label="x")
    made = out.getvalue()
    assert len(made) == len(data)
    assert [s for s in made.split(b"\0") if s] == [s.replace(HELD, PREFIX.encode()) for s in data.split(b"\0") if s]


@pytest.mark.parametrize(
    ("line", "new", "expected"),
    [
        ("#!/old/bin/python", "/new", "#!/new/bin/python"),
        (
            "#!/old/bin/python -u",
            "/" + "n" * 130,
            "#!/bin/sh\n'''exec' \"/" + "n" * 130 + '/bin/python" -u "$0" "$@" #\'\'\'',
        ),
        ("#!/old/bin/perl -w", "/" + "n" * 130, "#!/usr/bin/env perl -w"),
        ("#!/old/bin/perl", "/new dir", "#!/usr/bin/env perl"),
        ("#!/usr/bin/perl", "/new dir", "#!/usr/bin/perl"),
    ],
)
def test_an_interpreter_line_that_a_kernel_would_refuse_is_said_in_another_way(
    line: str, new: str, expected: str
) -> None:
    assert fit_shebang(line, "/old", new) == expected


HOSTILE = {
    "points out of the package": [
        Item("/etc/passwd", b"x"),
        Item("../x", b"x"),
        Item("a/../../x", b"x"),
    ],
    "is no name for a file": [Item("a\nb", b"x"), Item("a\x1bb", b"x")],
    "is not written plainly": [Item("a//b", b"x"), Item("a/./b", b"x")],
    "points out of the prefix": [link("a", "/etc/passwd"), link("a", "../x"), link("lib/a", "../../x")],
    "which is no file of the package before it": [
        Item("a", type=tarfile.LNKTYPE, target="../../etc/passwd"),
        Item("a", type=tarfile.LNKTYPE, target="/etc/passwd"),
    ],
    "device or something else": [Item("a", type=tarfile.CHRTYPE), Item("a", type=tarfile.FIFOTYPE)],
    "setuid or setgid": [Item("a", b"x", mode=0o4755), Item("a", b"x", mode=0o2755)],
    "record of the installer": [Item("conda-meta/evil-1.0-0.json", b"{}")],
    "is listed with 7": [Item("a", b"x", says={"size_in_bytes": 7})],
    "does not have the sha256": [Item("a", b"x", says={"sha256": "0" * 64})],
    "is listed as a symbolic link": [Item("a", b"x", says={"path_type": "softlink"})],
    "is listed as a directory": [Item("a", b"x", says={"path_type": "directory"})],
}


@pytest.mark.parametrize(("why", "item"), [(why, item) for why, items in HOSTILE.items() for item in items])
@pytest.mark.parametrize("suffix", [".conda", ".tar.bz2"])
def test_a_hostile_member_is_refused_by_name(why: str, item: Item, suffix: str, tmp_path: Path) -> None:
    archive = conda(tmp_path / "evil" / f"evil-1.0-0{suffix}", [item])
    with pytest.raises(ArtifactError, match=why) as caught:
        linked(archive, tmp_path / "a/b/stage")
    assert caught.value.message.startswith(f"evil-1.0-0{suffix}: ")
    assert not any((tmp_path / "a").rglob("*passwd*"))


def test_nothing_is_written_through_a_symbolic_link(tmp_path: Path) -> None:
    (tmp_path / "outside").mkdir()
    stage = tmp_path / "stage"
    stage.mkdir()
    (stage / "out").symlink_to(tmp_path / "outside")
    for item in (Item("out/x", b"x"), link("out/x", "y")):
        with pytest.raises(ArtifactError, match="leads through a link"):
            linked(one(tmp_path, item), stage)
    inside = conda(tmp_path / "two-1.0-0.conda", [link("d", "."), Item("d/x", b"x")])
    with pytest.raises(ArtifactError, match="'d/x' leads through a link"):
        linked(inside, tmp_path / "other")
    assert list((tmp_path / "outside").iterdir()) == []


def test_members_and_the_list_of_files_must_agree(tmp_path: Path) -> None:
    a, b = Item("a", b"1"), Item("b", b"2")
    with pytest.raises(ArtifactError, match="'b' is listed but not there"):
        linked(conda(tmp_path / "one-1.0-0.conda", [a], listed=[a, b]), tmp_path / "2")
    with pytest.raises(ArtifactError, match="'a' is there twice"):
        linked(conda(tmp_path / "one-1.0-0.conda", [a, a], listed=[a]), tmp_path / "3")
    with pytest.raises(ArtifactError, match="lists 'a' twice"):
        linked(conda(tmp_path / "one-1.0-0.conda", [a], listed=[a, a]), tmp_path / "4")


def test_hard_links_become_links_to_the_first_name(tmp_path: Path) -> None:
    entries = linked(GOLDEN / "native-1.0-h0_0.conda", tmp_path)
    assert entries["bin/native"].kind is Kind.FILE
    assert entries["libexec/native"].kind is Kind.HARDLINK
    assert entries["libexec/native"].target == entries["bin/native"].path
    assert (tmp_path / "libexec/native").samefile(tmp_path / "bin/native")
