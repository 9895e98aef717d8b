"""Wheels: placed by scheme, scripts and RECORD in peel's own words, and held against their RECORD."""

from __future__ import annotations

import re
import stat
import zipfile
from pathlib import Path

import pytest

from archives import wheel
from peel.errors import ArtifactError
from peel.layers.wheel import installed_wheel_paths, link_wheel, read_wheel_facts
from peel.model.entry import Entry
from peel.model.values import MTIME_CONSTANT, Digest, PythonVersion

GOLDEN = Path(__file__).parent / "golden" / "linker1" / "wheeled-3.0-py3-none-any.whl"
NAME = "foo-1.0-py3-none-any.whl"
ABOUT = "foo-1.0.dist-info"
PYTHON = PythonVersion(3, 12)
SITE = "lib/python3.12/site-packages"


def linked(
    archive: Path,
    stage: Path,
    *,
    name: str | None = None,
    prefix: str = "/opt/x",
    omit: frozenset[str] = frozenset(),
    locked: tuple[str, str] | None = None,
) -> dict[str, Entry]:
    file_name = name or archive.name
    project, version = locked or file_name.split("-")[:2]
    entries = link_wheel(
        archive, name=project, version=version, file_name=file_name, digest=Digest.of(b""), prefix=prefix,
        python=PYTHON, stage=stage, omit=omit,
    )  # fmt: skip
    return {entry.path.removeprefix(prefix.strip("/") + "/"): entry for entry in entries}


def test_every_scheme_goes_to_its_place(tmp_path: Path) -> None:
    entries = linked(GOLDEN, tmp_path)
    assert set(entries) == {
        "bin/wheeled",
        "bin/wheeled-script",
        "include/python3.12/wheeled/wheeled.h",
        f"{SITE}/wheeled/__init__.py",
        *(
            f"{SITE}/wheeled-3.0.dist-info/{n}"
            for n in ("INSTALLER", "METADATA", "RECORD", "WHEEL", "entry_points.txt")
        ),
        "share/wheeled/data.txt",
    }
    assert {entry.mtime for entry in entries.values()} == {MTIME_CONSTANT}
    assert entries["bin/wheeled-script"].mode == 0o755
    assert (tmp_path / "bin/wheeled-script").read_bytes() == b"#!/opt/x/bin/python3.12\nimport wheeled\n"
    assert (tmp_path / SITE / "wheeled-3.0.dist-info/INSTALLER").read_text() == "peel\n"


def test_where_paths_go_is_known_without_linking(tmp_path: Path) -> None:
    facts = read_wheel_facts(GOLDEN, GOLDEN.name)
    assert (facts.name, facts.version, facts.license, facts.noarch) == ("wheeled", "3.0", "MIT", "python")
    assert facts.entry_points == ("wheeled = wheeled:main",)
    assert set(installed_wheel_paths(facts, PYTHON)) == set(linked(GOLDEN, tmp_path))


def test_the_record_is_sorted_and_lists_what_is_there_with_its_hash(tmp_path: Path) -> None:
    entries = linked(GOLDEN, tmp_path, omit=frozenset({"share/wheeled/data.txt"}))
    rows = (tmp_path / SITE / "wheeled-3.0.dist-info/RECORD").read_text().splitlines()
    assert rows == sorted(rows)
    assert len(rows) == len(entries)
    assert "../../../bin/wheeled," in "".join(rows)
    assert "data.txt" not in "".join(rows)
    assert "wheeled-3.0.dist-info/RECORD,," in rows


def test_a_long_prefix_gets_scripts_that_still_start(tmp_path: Path) -> None:
    prefix = "/opt/" + "x" * 130
    linked(GOLDEN, tmp_path, prefix=prefix)
    for script in ("bin/wheeled", "bin/wheeled-script"):
        assert (tmp_path / script).read_text().startswith(f"#!/bin/sh\n'''exec' \"{prefix}/bin/python3.12\"")


def test_the_archive_needs_no_name_of_its_own(tmp_path: Path) -> None:
    blob = tmp_path / "0f3a"
    blob.write_bytes(GOLDEN.read_bytes())
    assert linked(blob, tmp_path / "1", name=GOLDEN.name).keys() == linked(GOLDEN, tmp_path / "2").keys()


def test_an_executable_keeps_its_bit_and_nothing_else_of_its_mode(tmp_path: Path) -> None:
    archive = wheel(tmp_path / NAME, {"foo/run": b"x", "foo/a": b"x"}, modes={"foo/run": 0o100711, "foo/a": 0o100600})
    entries = linked(archive, tmp_path / "stage")
    assert entries[f"{SITE}/foo/run"].mode == 0o755
    assert entries[f"{SITE}/foo/a"].mode == 0o644


def test_a_wheel_of_another_project_or_version_than_the_lock_names_is_refused(tmp_path: Path) -> None:
    metadata = b"Metadata-Version: 2.1\nName: Foo.Bar_baz\nVersion: 1.0\n"
    name = "foo_bar_baz-1.0-py3-none-any.whl"
    archive = wheel(tmp_path / name, {"foo_bar_baz-1.0.dist-info/METADATA": metadata})
    assert linked(archive, tmp_path / "1", locked=("foo-bar-baz", "1.0.0"))
    assert linked(archive, tmp_path / "2", locked=("FOO.bar--baz", "1.0"))
    for locked in (("foo-bar", "1.0"), ("foo-bar-baz", "1.1")):
        with pytest.raises(
            ArtifactError, match=f"says that it is foo-bar-baz 1.0, and the lock says {' '.join(locked)}"
        ):
            linked(archive, tmp_path / "3", locked=locked)


def test_a_wheel_is_linked_by_what_it_holds_not_by_what_its_file_is_called(tmp_path: Path) -> None:
    archive = wheel(tmp_path / "Foo-1.0-py3-none-any.whl", {"Foo-1.0.data/headers/foo.h": b"x"})
    first = linked(archive, tmp_path / "1")
    second = linked(archive, tmp_path / "2", name="foo-1-py2-none-any.whl")
    assert first.keys() == second.keys()
    assert "include/python3.12/Foo/foo.h" in first


def test_only_another_script_can_be_the_same_as_a_script(tmp_path: Path) -> None:
    archive = wheel(
        tmp_path / NAME, {"foo-1.0.data/scripts/foo": b"#!python\n", "foo-1.0.data/data/foo": b"#!python\n"}
    )
    found = installed_wheel_paths(read_wheel_facts(archive, NAME), PYTHON)
    assert found["foo"] == Digest.of(b"#!python\n").hex
    assert found["bin/foo"] not in {None, found["foo"]}
    assert found[f"{SITE}/{ABOUT}/RECORD"] is None


def test_packaged_bytecode_is_left_out(tmp_path: Path) -> None:
    files = {"foo/__pycache__/a.cpython-312.pyc": b"x", "foo/a.py": b"", "foo-1.0.data/data/share/__pycache__/b": b""}
    archive = wheel(tmp_path / NAME, files)
    assert not any("__pycache__" in path for path in linked(archive, tmp_path / "stage"))
    facts = read_wheel_facts(archive, NAME)
    assert set(installed_wheel_paths(facts, PYTHON)) == set(linked(archive, tmp_path / "again"))


def test_a_source_distribution_is_refused_with_a_hint(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match=r"foo-1\.0\.tar\.gz: a source distribution") as caught:
        linked(GOLDEN, tmp_path, name="foo-1.0.tar.gz")
    assert "wheel" in (caught.value.hint or "")


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({"../x": b""}, "points out of the package"),
        ({"/x": b""}, "points out of the package"),
        ({"foo-1.0.data/scripts/../../../x": b""}, "points out of the package"),
        ({"foo-1.0.data/nowhere/x": b""}, "not contained in a valid .data subdirectory"),
        ({"foo-1.0.data/data/conda-meta/x.json": b""}, "record of the installer"),
        ({f"{ABOUT}/entry_points.txt": b"[console_scripts]\n../x = m:f\n"}, "not an entry point"),
        ({f"{ABOUT}/entry_points.txt": b"[console_scripts]\nx = m\n"}, "cannot be read as a wheel"),
        ({f"{ABOUT}/entry_points.txt": b"console_scripts"}, "cannot be read as a wheel"),
        ({f"{ABOUT}/WHEEL": b"Wheel-Version: 2.0\n"}, "Incompatible Wheel-Version"),
        ({"bar-2.0.dist-info/METADATA": b""}, "exactly one .dist-info"),
    ],
)
def test_a_hostile_or_malformed_wheel_is_refused_by_name(files: dict[str, bytes], message: str, tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match=message) as caught:
        linked(wheel(tmp_path / NAME, files), tmp_path / "a/stage")
    assert caught.value.message.startswith(NAME)


@pytest.mark.parametrize(
    "record",
    [
        b"",
        f"foo.py,sha256=AAAA,1\n{ABOUT}/METADATA,,\n{ABOUT}/WHEEL,,\n{ABOUT}/RECORD,,\n".encode(),
        b"\xff",
    ],
)
def test_a_wheel_at_odds_with_its_record_is_refused(record: bytes, tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match=re.escape(NAME)):
        linked(wheel(tmp_path / NAME, {"foo.py": b"x"}, record=record), tmp_path / "stage")


@pytest.mark.parametrize("mode", [stat.S_IFLNK | 0o777, stat.S_IFIFO | 0o644, stat.S_IFREG | 0o4755])
def test_links_devices_and_setuid_files_are_refused(mode: int, tmp_path: Path) -> None:
    archive = wheel(tmp_path / NAME, {"foo.py": b"x"}, modes={"foo.py": mode})
    with pytest.raises(ArtifactError, match=r"'foo\.py' is "):
        linked(archive, tmp_path / "stage")


def test_a_truncated_or_doubled_wheel_is_one_clear_error(tmp_path: Path) -> None:
    archive = wheel(tmp_path / NAME, {"foo.py": b"x"})
    data = archive.read_bytes()
    for length in range(0, len(data), 100):
        archive.write_bytes(data[:length])
        with pytest.raises(ArtifactError, match=re.escape(NAME)):
            linked(archive, tmp_path / f"stage-{length}")
    archive.write_bytes(data)
    with zipfile.ZipFile(archive, "a") as outer, pytest.warns(UserWarning, match="Duplicate name"):
        outer.writestr("foo.py", "y")
    with pytest.raises(ArtifactError, match=r"'foo\.py' is there twice"):
        linked(archive, tmp_path / "stage")
