from __future__ import annotations

import json
import platform
import struct
import subprocess
from pathlib import Path

import pytest

from peel.errors import ToolError
from peel.tools import isolation
from peel.tools.buildah import CHROOT, RUNC, Storage
from peel.tools.isolation import Probe, Refusal

NOWHERE = Storage(Path("/nowhere/storage"), Path("/nowhere/run"), "overlay")


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory that is the whole PATH; what buildah says there is the test's business."""
    place = tmp_path / "bin"
    place.mkdir()
    for name in ("runc", "unshare"):
        _write_program(place / name, 'while [ "$1" != -- ]; do shift; done; shift; exec "$@"')
    monkeypatch.setenv("PATH", str(place))
    return place


def _write_program(path: Path, script: str) -> None:
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)


def test_the_smallest_program_runs_here_and_succeeds(tmp_path: Path) -> None:
    program = tmp_path / "true"
    program.write_bytes(isolation.smallest_program(platform.machine()))
    program.chmod(0o755)
    assert subprocess.run([program], check=False).returncode == 0


@pytest.mark.parametrize(("machine", "number"), [("x86_64", 62), ("aarch64", 183), ("ppc64le", 21)])
def test_the_smallest_program_says_which_machine_it_is_for(machine: str, number: int) -> None:
    program = isolation.smallest_program(machine)
    assert program[:4] == b"\x7fELF"
    assert struct.unpack_from("<HH", program, 16) == (2, number)
    assert struct.unpack_from("<Q", program, 24)[0] - 0x400000 == 120  # the entry follows the headers


def test_an_unknown_machine_is_an_error_that_names_the_known_ones() -> None:
    with pytest.raises(ToolError, match="s390x") as error:
        isolation.smallest_program("s390x")
    assert "x86_64" in str(error.value.hint)


def test_the_first_way_that_works_is_chosen(programs: Path, tmp_path: Path) -> None:
    _write_program(programs / "buildah", "exit 0")
    assert isolation.probe(NOWHERE, tmp_path / "memory.json") == Probe(RUNC, ())


def test_a_way_that_fails_is_refused_with_its_reason_and_the_next_one_tried(programs: Path, tmp_path: Path) -> None:
    _write_program(
        programs / "buildah",
        'case "$*" in *"run --isolation oci"*) echo "cgroups are in the way" >&2; exit 1;; esac',
    )
    found = isolation.probe(NOWHERE, tmp_path / "memory.json")
    assert found.chosen() == CHROOT
    assert found.refused == (Refusal("runc", "cgroups are in the way"), Refusal("crun", "crun is not installed"))


def test_limits_that_cannot_be_raised_are_lowered(programs: Path, tmp_path: Path) -> None:
    _write_program(
        programs / "buildah",
        f"""case "$*" in
          *" from "*--ulimit*) echo > {tmp_path}/lowered;;
          *" run "*) [ -e {tmp_path}/lowered ] || {{ echo "error setting rlimit type 7: not permitted" >&2; exit 1; }};;
        esac""",
    )
    found = isolation.probe(NOWHERE, tmp_path / "memory.json").chosen()
    assert found.name == "runc"
    assert [flag.partition("=")[0] for flag in found.ulimits[1::2]] == ["nofile", "nproc"]
    assert isolation.probe(NOWHERE, tmp_path / "memory.json").chosen() == found  # as remembered


def test_limits_are_never_lowered_beyond_what_may_be_set() -> None:
    assert isolation.lowered_limits(1024, -1) == ("--ulimit", "nofile=1024:1024", "--ulimit", "nproc=20000:20000")


def test_when_nothing_works_every_reason_is_told_with_what_to_do(programs: Path, tmp_path: Path) -> None:
    _write_program(programs / "buildah", 'case "$*" in *" run "*) echo "not here" >&2; exit 1;; esac')
    found = isolation.probe(NOWHERE, tmp_path / "memory.json")
    with pytest.raises(ToolError) as error:
        found.chosen()
    assert error.value.message.splitlines()[1:] == [
        "  runc: not here", "  crun: crun is not installed", "  chroot: not here",
    ]  # fmt: skip
    assert error.value.hint
    assert not (tmp_path / "memory.json").exists()


def test_what_was_found_is_remembered_until_a_program_changes(programs: Path, tmp_path: Path) -> None:
    memory = tmp_path / "memory.json"
    _write_program(programs / "buildah", f"echo x >> {tmp_path}/calls")
    isolation.probe(NOWHERE, memory)
    once = (tmp_path / "calls").read_text()
    isolation.probe(NOWHERE, memory)
    assert (tmp_path / "calls").read_text() == once
    _write_program(programs / "buildah", f"echo another >> {tmp_path}/calls")
    isolation.probe(NOWHERE, memory)
    assert "another" in (tmp_path / "calls").read_text()


@pytest.mark.parametrize("damaged", ["", "[]", '{"format": 1}', "{", '{"format": 1, "key": "x", "isolation": "jail"}'])
def test_a_damaged_memory_is_as_good_as_none(programs: Path, tmp_path: Path, damaged: str) -> None:
    memory = tmp_path / "memory.json"
    memory.write_text(damaged)
    _write_program(programs / "buildah", "exit 0")
    assert isolation.probe(NOWHERE, memory).chosen() == RUNC
    assert json.loads(memory.read_text())["isolation"] == "runc"


CRUN_SAID = """\
error running container: from /usr/bin/crun creating container for [/true]: cgroups in hybrid mode not supported
: exit status 1
Error: while running runtime: exit status 1
"""
RUNC_SAID = """\
error running container: from /usr/bin/runc creating container for [/true]: \
time="2026-11-23T14:56:30Z" level=error msg="runc create failed: error setting rlimit type 7: operation not permitted"
: exit status 1
"""


@pytest.mark.parametrize(
    ("stderr", "reason"),
    [
        (CRUN_SAID, "cgroups in hybrid mode not supported"),
        (RUNC_SAID, "runc create failed: error setting rlimit type 7: operation not permitted"),
        ("", "it failed and said nothing"),
    ],
)
def test_of_all_that_is_printed_the_reason_is_kept(stderr: str, reason: str) -> None:
    assert isolation.reason_in(stderr) == reason


@pytest.mark.e2e
def test_some_way_works_on_this_machine(tmp_path: Path) -> None:
    engine = isolation.open_buildah(tmp_path / "containers")
    assert engine.isolation.name in {"runc", "crun", "chroot"}


def test_buildah_is_not_opened_when_it_is_too_old(programs: Path, tmp_path: Path) -> None:
    _write_program(programs / "buildah", "echo buildah version 1.27.0")
    with pytest.raises(ToolError, match="too old"):
        isolation.open_buildah(tmp_path)
