"""Which solver is found, and what an unusable one is refused for."""

from __future__ import annotations

from pathlib import Path

import pytest

import peel
from peel.errors import ToolError
from peel.tools.micromamba import Solver, find_solver
from solving import EMBEDDED


def fake_micromamba(directory: Path, version: str, *, name: str = "micromamba") -> Path:
    """A program that answers ``--version`` and ``info --json`` as a micromamba of this version does."""
    directory.mkdir(parents=True, exist_ok=True)
    path = directory / name
    path.write_text(f'#!/bin/sh\nif [ "$1" = --version ]; then echo "{version}"; else echo "{{}}"; fi\n')
    path.chmod(0o755)
    return path


@pytest.fixture
def path_variable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory that is alone on PATH, besides the shell."""
    directory = tmp_path / "bin"
    directory.mkdir()
    monkeypatch.setenv("PATH", f"{directory}:/usr/bin:/bin")
    return directory


def test_without_a_micromamba_the_embedded_solver_is_found_and_says_whose_it_is(path_variable: Path) -> None:
    assert not list(path_variable.iterdir())
    assert find_solver() == Solver(EMBEDDED, "peel-micromamba", peel.__version__)


def test_a_micromamba_on_path_comes_before_the_embedded_solver(path_variable: Path) -> None:
    found = fake_micromamba(path_variable, "2.0.7")
    assert find_solver() == Solver(found, "micromamba", "2.0.7")


def test_an_old_micromamba_on_path_is_passed_over(path_variable: Path) -> None:
    fake_micromamba(path_variable, "2.0.6.rc1")
    assert find_solver().program == "peel-micromamba"


def test_a_broken_micromamba_on_path_is_passed_over(path_variable: Path) -> None:
    fake_micromamba(path_variable, "no idea")
    assert find_solver().program == "peel-micromamba"


def test_a_named_one_comes_before_the_variable_and_the_variable_before_path(
    tmp_path: Path, path_variable: Path
) -> None:
    fake_micromamba(path_variable, "2.1.0")
    named = fake_micromamba(tmp_path / "named", "2.8.1")
    variable = fake_micromamba(tmp_path / "variable", "2.5.0")
    assert find_solver(named, variable=str(variable)).version == "2.8.1"
    assert find_solver(variable=str(variable)).version == "2.5.0"
    assert find_solver(variable="").version == "2.1.0"


def test_an_old_micromamba_is_refused_when_it_is_named(tmp_path: Path) -> None:
    old = fake_micromamba(tmp_path, "1.5.10")
    with pytest.raises(ToolError, match=r"--micromamba names .*1\.5\.10, which is too old") as caught:
        find_solver(old)
    assert "2.0.7" in (caught.value.hint or "")


def test_a_named_program_that_is_missing_misnamed_or_no_micromamba_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ToolError, match=r"PEEL_MICROMAMBA names .*no file"):
        find_solver(variable=str(tmp_path / "micromamba"))
    with pytest.raises(ToolError, match="does not end in micromamba"):
        find_solver(fake_micromamba(tmp_path, "2.8.1", name="mamba"))
    with pytest.raises(ToolError, match="no version"):
        find_solver(fake_micromamba(tmp_path, "conda 24.1"))
