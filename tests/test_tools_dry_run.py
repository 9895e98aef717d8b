"""How a solver is asked, and what is made of its answers, a real micromamba's among them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from peel.errors import ArtifactError
from peel.tools.dry_run import DryRun, NoSolution, Solution, dry_run, dry_run_argv
from peel.tools.micromamba import Solver

RECORDED = Path(__file__).parents[2] / "shared" / "data" / "micromamba"
HIDDEN = "s3cr3t"


def ask(tmp_path: Path, *channels: str, alone: bool = False) -> DryRun:
    return DryRun(
        prefix=Path("/p"), channels=channels or ("https://c.example/main",), specs=("libbar >=1",),
        platform="linux-aarch64", glibc="2.34", cache=tmp_path, alone=alone, secrets={"TOKEN": HIDDEN},
    )  # fmt: skip


def answering(tmp_path: Path, stdout: str, *, status: int = 0, stderr: str = "", people: str = "") -> Solver:
    """A program that prints this; without ``--json``, ``people`` on stderr."""
    for name, text in (("stdout", stdout), ("stderr", stderr), ("people", people)):
        (tmp_path / name).write_text(text)
    program = tmp_path / "micromamba"
    program.write_text(
        '#!/bin/sh\ncd "$(dirname "$0")"\nenv | sort > env\n'
        f'case "$*" in *--json*) cat stderr >&2; cat stdout;; *) cat people >&2;; esac\nexit {status}\n'
    )
    program.chmod(0o755)
    return Solver(program, "micromamba", "2.8.1")


def test_everything_is_asked_as_both_solvers_mean_it(tmp_path: Path) -> None:
    assert dry_run_argv(Path("/m"), ask(tmp_path)) == (
        "/m", "install", "--allow-downgrade", "--no-py-pin", "-p", "/p", "--dry-run", "--json", "--yes", "--no-rc",
        "--override-channels", "-c", "https://c.example/main", "--channel-priority", "flexible", "libbar >=1",
    )  # fmt: skip
    assert dry_run_argv(Path("/m"), ask(tmp_path, alone=True))[1:3] == ("create", "--no-deps")


def test_a_channels_variables_have_values_only_for_the_solver(tmp_path: Path) -> None:
    argv = dry_run_argv(Path("/m"), ask(tmp_path, "https://c.example/t/${TOKEN}/x", "https://$TOKEN@c.example/$OTHER"))
    assert f"https://c.example/t/{HIDDEN}/x" in argv
    assert f"https://{HIDDEN}@c.example/$OTHER" in argv


@pytest.mark.parametrize("printed", [f"https://c.example/t/{HIDDEN}/x", "https://c.example/x"])
def test_an_address_has_names_whatever_the_solver_prints(printed: str, tmp_path: Path) -> None:
    record = {"name": "a", "version": "1", "build": "0", "subdir": "noarch", "fn": "a-1-0.conda",
              "url": f"{printed}/noarch/a-1-0.conda"}  # fmt: skip
    solver = answering(tmp_path, json.dumps({"success": True, "actions": {"LINK": [record]}}))
    found = dry_run(solver, ask(tmp_path, "https://c.example/t/$TOKEN/x"))
    assert isinstance(found, Solution)
    assert found.link[0].url == "https://c.example/t/${TOKEN}/x/noarch/a-1-0.conda"


def test_the_base_decides_the_virtual_packages(tmp_path: Path) -> None:
    dry_run(answering(tmp_path, '{"success": true}'), ask(tmp_path))
    told = dict(line.split("=", 1) for line in (tmp_path / "env").read_text().splitlines())
    assert {name: value for name, value in told.items() if name.startswith("CONDA_OVERRIDE_")} == {
        "CONDA_OVERRIDE_ARCHSPEC": "aarch64", "CONDA_OVERRIDE_CUDA": "", "CONDA_OVERRIDE_GLIBC": "2.34",
        "CONDA_OVERRIDE_LINUX": "4.18",
    }  # fmt: skip
    assert told["CONDA_SUBDIR"] == "linux-aarch64"


@pytest.mark.skipif(not RECORDED.is_dir(), reason="the recordings of micromamba 2.8.1 are not in this checkout")
def test_what_micromamba_prints_is_understood(tmp_path: Path) -> None:
    solver = answering(tmp_path, (RECORDED / "update-dry-run.stdout").read_text())
    found = dry_run(solver, ask(tmp_path))
    assert isinstance(found, Solution)
    (record,) = found.link
    assert (record.shown, record.depends, len(record.sha256)) == ("1.1 h0_0", ("libfoo >=1.0,<2",), 64)


@pytest.mark.skipif(not RECORDED.is_dir(), reason="the recordings of micromamba 2.8.1 are not in this checkout")
def test_a_real_micromamba_is_asked_again_for_what_it_tells_people(tmp_path: Path) -> None:
    stdout, stderr = ((RECORDED / f"create-unsat-conflict.{part}").read_text() for part in ("stdout", "stderr"))
    tree = "The following packages are incompatible\n└─ libbar 2.0 is not installable from https://u:pw@c.example/x"
    people = f"error    libmamba Could not solve for environment specs\n    {tree}\n"
    found = dry_run(answering(tmp_path, stdout, status=1, stderr=stderr, people=people), ask(tmp_path))
    assert found == NoSolution(tuple(tree.replace("u:pw", "<hidden>").splitlines()))
    assert dry_run(answering(tmp_path, stdout, status=1, stderr=stderr), ask(tmp_path)) == NoSolution(
        ("unsupported request",)
    )


@pytest.mark.skipif(not RECORDED.is_dir(), reason="the recordings of micromamba 2.8.1 are not in this checkout")
def test_a_channel_that_cannot_be_read_is_told_without_the_boilerplate(tmp_path: Path) -> None:
    stderr = (RECORDED / "create-bad-channel.stderr").read_text()
    with pytest.raises(ArtifactError) as caught:
        dry_run(answering(tmp_path, "", status=1, stderr=stderr), ask(tmp_path))
    assert "Couldn't read a file:// file [file:///no-such-channel/noarch/repodata.json]" in caught.value.message
    assert "github" not in caught.value.message


@pytest.mark.parametrize("stdout", ["", "[]", "no json", '{"success": true, "actions": {"LINK": [{}]}}'])
def test_an_answer_that_makes_no_sense_is_an_error(stdout: str, tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match="the solver ended with status 0"):
        dry_run(answering(tmp_path, stdout), ask(tmp_path))
