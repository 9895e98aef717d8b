"""What is taken out of layers: contents and modes, nothing of how they came to be, and no privileges."""

from __future__ import annotations

import tarfile
from collections.abc import Mapping
from pathlib import Path

import pytest

from layers_of import WHITEOUT, make_layer, member
from peel.errors import ArtifactError
from peel.layers.captured import Taken, python_of, take
from peel.layers.layer_stream import ImageLayer
from peel.model.entry import Entry, Kind
from peel.model.values import MTIME_CONSTANT


def taken(tmp_path: Path, *layers: ImageLayer) -> Taken:
    work = tmp_path / "work"
    work.mkdir(exist_ok=True)
    return take(layers, lambda path: path, work, origin="a test")


def contents(found: Taken) -> Mapping[str, bytes]:
    return {path: entry.source.read_bytes() for path, entry in found.entries.items() if isinstance(entry.source, Path)}


def info(path: str, kind: bytes = tarfile.REGTYPE, target: str = "", **more: int) -> tarfile.TarInfo:
    made = member(path, kind, target)
    for name, value in more.items():
        setattr(made, name, value)
    return made


def test_modes_are_readable_by_all_and_writable_by_nobody_else_and_times_are_dropped(tmp_path: Path) -> None:
    files = [
        info("env/private", mode=0o600, mtime=77, uid=5),
        info("env/program", mode=0o777),
        info("env/folder", tarfile.DIRTYPE, mode=0o1777),
    ]
    found = taken(tmp_path, make_layer(tmp_path, {}, more=files)).entries
    assert {path: entry.mode for path, entry in found.items()} == {
        "env/private": 0o644, "env/program": 0o755, "env/folder": 0o755,
    }  # fmt: skip
    assert {entry.mtime for entry in found.values()} == {MTIME_CONSTANT}


def test_upper_layers_replace_and_remove_what_lower_ones_have(tmp_path: Path) -> None:
    lower = make_layer(tmp_path, {"env/a": b"1", "env/gone/x": b"1", "env/was/folder": b"1", "opt/old": b"1"})
    upper = make_layer(tmp_path, {"env/a": b"2", "env/gone": WHITEOUT, "env/was": b"file", "opt/.wh..wh..opq": b""})
    found = taken(tmp_path, lower, upper)
    assert contents(found) == {"env/a": b"2", "env/was": b"file"}
    assert found.removed == {"env/gone"}


def test_what_a_layer_removes_and_brings_again_is_there(tmp_path: Path) -> None:
    lower = make_layer(tmp_path, {"env/d/old": b"1"})
    upper = make_layer(tmp_path, {"env/d": WHITEOUT, "env/d/new": b"2"})
    assert contents(taken(tmp_path, lower, upper)) == {"env/d/new": b"2"}


def test_bytecode_that_a_time_would_have_to_vouch_for_is_left_out(tmp_path: Path) -> None:
    timed, hashed = b"\xa7\r\r\n" + bytes(12), b"\xa7\r\r\n" + b"\1\0\0\0" + bytes(8)
    found = taken(tmp_path, make_layer(tmp_path, {"env/a.pyc": timed, "env/b.pyc": hashed, "env/c.py": b""}))
    assert sorted(found.entries) == ["env/b.pyc", "env/c.py"]


def test_links_stay_links(tmp_path: Path) -> None:
    links = [info("env/soft", tarfile.SYMTYPE, "/etc/x"), info("env/hard", tarfile.LNKTYPE, "./env/a")]
    found = taken(tmp_path, make_layer(tmp_path, {"env/a": b"1"}, more=links)).entries
    assert (found["env/soft"].kind, found["env/soft"].target) == (Kind.SYMLINK, "/etc/x")
    assert found["env/hard"] == Entry("env/hard", Kind.HARDLINK, target="env/a")


def test_a_hard_link_to_what_stays_behind_is_refused(tmp_path: Path) -> None:
    layer = make_layer(tmp_path, {"a": b"1"}, more=[info("env/hard", tarfile.LNKTYPE, "a")])
    with pytest.raises(ArtifactError, match="/env/hard is a hard link to a file that is not taken along"):
        take([layer], lambda path: path if path.startswith("env/") else None, tmp_path, origin="a test")


@pytest.mark.parametrize("mode", [0o4755, 0o2755, 0o6644])
def test_another_users_rights_are_refused_by_name(tmp_path: Path, mode: int) -> None:
    with pytest.raises(ArtifactError, match="/env/su would run with another user's rights"):
        taken(tmp_path, make_layer(tmp_path, {}, more=[info("env/su", mode=mode)]))


def test_capabilities_are_refused_by_name(tmp_path: Path) -> None:
    made = info("env/ping", mode=0o755)
    made.pax_headers = {"SCHILY.xattr.security.capability": "x"}
    with pytest.raises(ArtifactError, match="/env/ping would run with another user's rights"):
        taken(tmp_path, make_layer(tmp_path, {}, more=[made]))


@pytest.mark.parametrize("kind", [tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.FIFOTYPE])
def test_devices_and_pipes_are_refused_by_name(tmp_path: Path, kind: bytes) -> None:
    with pytest.raises(ArtifactError, match="/env/odd is neither a file, a directory nor a link"):
        taken(tmp_path, make_layer(tmp_path, {}, more=[info("env/odd", kind)]))


@pytest.mark.parametrize("path", ["../etc/passwd", "env/../../x"])
def test_a_path_that_leads_out_is_refused(tmp_path: Path, path: str) -> None:
    with pytest.raises(ArtifactError, match="leads out of the image"):
        taken(tmp_path, make_layer(tmp_path, {path: b""}))


def test_the_python_of_a_prefix_is_told_by_its_library() -> None:
    assert python_of(["opt/env/lib/python3.9/x", "opt/env/lib/python3.11/os.py"], "/opt/env") == "3.11"
    assert python_of(["opt/env/lib/python3.x/os.py", "opt/env2/lib/python3.11/os.py"], "/opt/env") == ""
