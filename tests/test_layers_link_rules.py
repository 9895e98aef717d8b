"""What linker 1 takes from a package, what it leaves behind, and how locking knows of it."""

from __future__ import annotations

import io
import json
import tarfile
from pathlib import Path

import pytest

from archives import MTIME, PLACEHOLDER, Item, conda, link
from linking import PYTHON, bytes_of, linked, one
from oracle import PREFIX
from peel.errors import ArtifactError
from peel.layers.archive import read_facts
from peel.layers.bytecode import listing, sources
from peel.layers.link import installed_paths
from peel.layers.tar import canonical, write_tar
from peel.model.entry import Entry, Kind
from peel.model.values import Digest

HELD = PLACEHOLDER.encode()


def test_an_archive_of_another_package_than_the_lock_names_is_refused(tmp_path: Path) -> None:
    archive = one(tmp_path, Item("a", b"1"))
    for locked in (("two", "1.0"), ("one", "2.0"), ("one", "not_pep_440")):
        with pytest.raises(ArtifactError, match=f"says that it is one 1.0, and the lock says {' '.join(locked)}"):
            linked(archive, tmp_path / "stage", locked=locked)
    assert "a" in linked(archive, tmp_path / "stage", locked=("one", "1"))


def test_a_python_that_keeps_its_packages_elsewhere_is_refused(tmp_path: Path) -> None:
    elsewhere = {"python_site_packages_path": "lib/python3.13t/site-packages"}
    for name, index in (("python-3.13.1-h1_1_cp313.conda", elsewhere), ("python-3.13.1-h1_1_cp313t.conda", {})):
        archive = conda(tmp_path / name, [Item("bin/python", b"")], index=index)
        with pytest.raises(ArtifactError, match="does not have its packages in 'lib/python3"):
            read_facts(archive, archive.name)
        with pytest.raises(ArtifactError, match=name) as caught:
            linked(archive, tmp_path)
        assert "free-threaded builds are not supported yet" in (caught.value.hint or "")
    usual = {"python_site_packages_path": "lib/python3.13/site-packages"}
    assert linked(conda(tmp_path / "python-3.13.1-h1_1_cp313.conda", [], index=usual), tmp_path / "stage")


def test_what_the_owner_may_read_or_run_all_may(tmp_path: Path) -> None:
    modes = {0o600: 0o644, 0o700: 0o755, 0o640: 0o644, 0o444: 0o444, 0o755: 0o755, 0o664: 0o664, 0o000: 0o444}
    archive = conda(tmp_path / "one-1.0-0.conda", [Item(f"{mode:o}", b"", mode) for mode in modes])
    entries = linked(archive, tmp_path / "stage")
    assert {mode: entries[f"{mode:o}"].mode for mode in modes} == modes


def test_members_that_are_not_listed_stay_behind(tmp_path: Path) -> None:
    a, b = Item("a", b"1"), Item("b", b"2")
    for item in (b, link("b", "a"), Item("b", type=tarfile.LNKTYPE, target="a")):
        stage = tmp_path / str(item.type)
        assert set(linked(conda(tmp_path / "one-1.0-0.conda", [a, item], listed=[a]), stage)) == {
            "a", "conda-meta/one-1.0-0.json"
        }  # fmt: skip
        assert not (stage / "b").is_symlink()
        assert not (stage / "b").exists()


def test_when_a_files_first_name_is_left_out_the_next_one_becomes_the_file(tmp_path: Path) -> None:
    data = b"#!" + HELD + b"/bin/sh"
    says = {"sha256": Digest.of(data).hex, "size_in_bytes": len(data)}
    items = [
        Item("bin/a", data, 0o755, rule="text"),
        Item("bin/c", type=tarfile.LNKTYPE, target="bin/a", rule="text", says=says),
        Item("bin/b", type=tarfile.LNKTYPE, target="bin/c", rule="text", says=says),
    ]
    entries = linked(conda(tmp_path / "one-1.0-0.conda", items), tmp_path / "stage", omit=["bin/a"])
    assert set(entries) == {"bin/b", "bin/c", "conda-meta/one-1.0-0.json"}
    assert bytes_of(entries["bin/b"]) == f"#!{PREFIX}/bin/sh".encode()
    assert (entries["bin/b"].mode, entries["bin/c"].kind, entries["bin/c"].target) == (
        0o755, Kind.HARDLINK, entries["bin/b"].path
    )  # fmt: skip


def test_only_bytecode_that_is_compiled_anew_is_left_out(tmp_path: Path) -> None:
    anew = ["lib/python3.13/__pycache__/a.cpython-313.pyc", "lib/python3.13/site-packages/b/__pycache__/b.pyc"]
    kept = ["share/gdb/__pycache__/a.pyc", "lib/gcc/__pycache__/b.pyc", "__pycache__/c.pyc", "lib/python3.13/d.pyc"]
    kept += ["lib/python3.11/__pycache__/e.cpython-311.pyc", "share/site-packages/__pycache__/f.pyc"]
    archive = conda(tmp_path / "one-1.0-0.conda", [Item(path, b"x") for path in (*anew, *kept)])
    record = "conda-meta/one-1.0-0.json"
    assert set(linked(archive, tmp_path / "1")) == {*kept, record}
    assert set(linked(archive, tmp_path / "2", python=None)) == {*anew, *kept, record}
    items = [Item("site-packages/a/__pycache__/a.pyc", b"x"), Item("etc/__pycache__/b.pyc", b"x")]
    noarch = conda(tmp_path / "two-1.0-0.conda", items, index={"noarch": "python"})
    assert set(linked(noarch, tmp_path / "3")) == {"etc/__pycache__/b.pyc", "conda-meta/two-1.0-0.json"}


def test_a_listed_directory_is_there_though_it_is_empty(tmp_path: Path) -> None:
    empty = Item("var/lib/one", type=tarfile.DIRTYPE)
    entries = linked(one(tmp_path, empty), tmp_path / "stage")
    assert entries["var/lib/one"] == Entry("opt/peel/lab/var/lib/one", Kind.DIRECTORY, 0o755, MTIME)
    assert json.loads(bytes_of(entries["conda-meta/one-1.0-0.json"]))["files"] == []
    assert "var/lib/one" not in linked(one(tmp_path, empty), tmp_path / "other", omit=["var/lib/one"])
    hidden = conda(tmp_path / "one-1.0-0.conda", [link("d", "share"), Item("d/one", type=tarfile.DIRTYPE)])
    with pytest.raises(ArtifactError, match="'d/one' leads through a link"):
        linked(hidden, tmp_path / "third")


def test_names_with_backslashes_reach_the_layer(tmp_path: Path) -> None:
    name = f"{PYTHON.site_packages}/a\\x2db.py"
    entries = linked(one(tmp_path, Item(name, b"X = 1\n")), tmp_path / "stage")
    assert sources(entries.values(), PREFIX, PYTHON) == (name,)
    assert listing({"one": [name]}) == f"one#0\t{name}\n".encode()
    layer = io.BytesIO()
    write_tar(canonical(entries.values()), layer)
    with tarfile.open(fileobj=io.BytesIO(layer.getvalue())) as tar:
        assert entries[name].path in tar.getnames()


def test_what_identifies_a_path_tells_final_contents_apart(tmp_path: Path) -> None:
    items = [
        Item("plain", HELD),
        Item("text", HELD, rule="text"),
        Item("binary", HELD, rule="binary"),
        link("link", "plain"),
        Item("empty", type=tarfile.DIRTYPE),
    ]
    archive = conda(tmp_path / "one-1.0-0.conda", items)
    found = installed_paths(read_facts(archive, archive.name), PYTHON)
    assert found["plain"] == Digest.of(HELD).hex
    assert found["link"] is found["conda-meta/one-1.0-0.json"] is None
    assert len({found["plain"], found["text"], found["binary"], found["empty"]}) == 4
    again = conda(tmp_path / "two-1.0-0.conda", items)
    assert installed_paths(read_facts(again, again.name), PYTHON)["text"] == found["text"]
    old = conda(tmp_path / "old-1.0-0.conda", items[:1], legacy=True)
    assert installed_paths(read_facts(old, old.name), PYTHON)["plain"] is None
