"""What conda-lock is given, and how its failures are told."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from locksets import make_declared
from peel.errors import DocumentError, ToolError
from peel.model.declared import DeclaredEnvironment
from peel.tools.conda_lock import CondaLock, NoWheelsError, Request, explanation, failure_of, lock_argv, write_inputs
from peel.tools.micromamba import Solver
from peel.tools.process import Command, Completed

LAB = make_declared().lab


def environment(**more: object) -> DeclaredEnvironment:
    return LAB.model_copy(update=more)


def written(directory: Path, name: str) -> dict[str, object]:
    found: dict[str, object] = json.loads((directory / name).read_text())
    return found


def test_inputs_are_the_environment_and_nothing_of_the_catalogue(tmp_path: Path) -> None:
    asked = environment(pip=("humanize",), pip_repositories=("http://index/simple",), allow_pypi_requests=False)
    write_inputs(Request(asked, {"linux-aarch64": "2.34", "linux-64": "2.34"}), tmp_path)
    assert written(tmp_path, "environment.yml") == {
        "channels": ["c"], "dependencies": ["jupyterlab", {"pip": ["humanize"]}],
        "platforms": ["linux-64", "linux-aarch64"], "pip-repositories": ["http://index/simple"],
        "allow-pypi-requests": False,
    }  # fmt: skip
    assert sorted(path.name for path in tmp_path.iterdir()) == ["environment.yml", "names.json", "virtual-packages.yml"]


def test_virtual_packages_are_the_bases_and_ask_for_an_old_kernel(tmp_path: Path) -> None:
    write_inputs(Request(LAB, {"linux-64": "2.34", "linux-aarch64": "2.35"}), tmp_path)
    subdirs = written(tmp_path, "virtual-packages.yml")["subdirs"]
    assert subdirs == {
        "linux-64": {
            "packages": {"__unix": "0", "__linux": "4.18", "__glibc": "2.34", "__archspec": "1 x86_64"},
        },
        "linux-aarch64": {
            "packages": {"__unix": "0", "__linux": "4.18", "__glibc": "2.35", "__archspec": "1 aarch64"},
        },
    }


def test_the_argv_names_its_solver_and_lets_nothing_be_looked_up() -> None:
    request = Request(LAB, {"linux-64": "2.34", "linux-aarch64": "2.34"}, update=("numpy", "scipy"))
    argv = lock_argv(Path("/opt/micromamba"), request)[1:]
    assert argv == (
        "lock", "--conda", "/opt/micromamba", "--file", "environment.yml", "--lockfile", "conda-lock.yml",
        "--platform", "linux-64", "--platform", "linux-aarch64", "--virtual-package-spec", "virtual-packages.yml",
        "--without-cuda", "--pypi_to_conda_lookup_file", "names.json", "--update", "numpy", "--update", "scipy",
    )  # fmt: skip


def test_an_update_starts_from_the_lock_as_it_is(tmp_path: Path) -> None:
    write_inputs(Request(LAB, {"linux-64": "2.34"}, locked=b"locked", update=("numpy",)), tmp_path)
    assert (tmp_path / "conda-lock.yml").read_bytes() == b"locked"


@pytest.mark.parametrize(
    ("said", "reasons"),
    [
        ('x {"message": "m", "solver_problems": ["a [b]", "c"], "success": false} y', ["a [b]", "c"]),
        ('{"solver_problems": ["line\\nline"]}', ["line\nline"]),
        ('"solver_problems": [broken]}', []),
        ("Traceback (most recent call last)", []),
        ("", []),
    ],
)
def test_the_solvers_reasons_are_found_in_what_was_printed(said: str, reasons: list[str]) -> None:
    assert list(explanation(said)) == reasons


def solver(directory: Path, script: str) -> CondaLock:
    """conda-lock with a program in place of the solver."""
    program = directory / "micromamba"
    program.write_text(f'#!/bin/sh\n[ "$1" = --version ] && {{ echo 2.8.1; exit 0; }}\n{script}\n')
    program.chmod(0o755)
    return CondaLock(Solver(program, "micromamba", "2.8.1"), {})


def test_a_solver_that_fails_for_no_reason_of_the_specs_is_a_failing_tool(tmp_path: Path) -> None:
    (tmp_path / "work").mkdir()
    tool = solver(tmp_path, "echo 'cannot reach https://host/t/tk-77/c' >&2; exit 1")
    with pytest.raises(ToolError) as raised:
        tool.lock(Request(LAB, {"linux-64": "2.34"}), tmp_path / "work")
    assert "tk-77" not in raised.value.message
    assert "Traceback" not in raised.value.message


def test_a_solver_that_explains_itself_is_quoted(tmp_path: Path) -> None:
    (tmp_path / "work").mkdir()
    told = json.dumps({"success": False, "message": "no", "solver_problems": ["nothing provides [x] needed by y"]})
    tool = solver(tmp_path, f"cat <<'EOF'\n{told}\nEOF\nexit 1")
    with pytest.raises(DocumentError, match=r"nothing provides \[x\] needed by y"):
        tool.lock(Request(LAB, {"linux-64": "2.34"}), tmp_path / "work")


def test_conda_lock_says_its_version(tmp_path: Path) -> None:
    assert solver(tmp_path, "exit 1").version().startswith("4.")


@pytest.mark.parametrize(
    ("said", "told"),
    [
        (
            "poetry.exceptions.PackageNotFoundError: Package nonsense (1.0) not found.",
            "Package nonsense (1.0)",
        ),
        (
            "RuntimeError: Unable to find installation candidates for debugpy (1.8.22)",
            "for debugpy (1.8.22)",
        ),
    ],
)
def test_a_wheel_that_no_index_has_is_a_fault_of_what_was_asked_for(said: str, told: str) -> None:
    done = Completed(1, b"", f"Traceback (most recent call last):\n  File x\n{said}\n".encode())
    error = failure_of(LAB, Command(("conda-lock",)), done)
    assert isinstance(error, NoWheelsError)
    assert told in error.message
    assert "Error:" not in error.message
