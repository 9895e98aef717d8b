"""What the demo sees to before it makes anything, and what it says when it fails."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from peel.errors import ToolError
from peel.model.progress import Silent
from peel.workflow.demo import run_demo


def no_build(*_: Any) -> Any:
    raise AssertionError("nothing is to be built")


def test_a_machine_without_the_tools_is_told_before_anything_is_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "apt-get").symlink_to("/usr/bin/apt-get")
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    with pytest.raises(ToolError, match="lacks what it needs on this machine: buildah, skopeo") as raised:
        run_demo(tmp_path / "demo", online=False, build=no_build, progress=Silent())
    assert "apt-get install" in str(raised.value.hint)
    assert not (tmp_path / "demo").exists()


def test_another_machine_than_the_stand_ins_are_made_for_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "uname", lambda: os.uname_result(("Linux", "here", "6", "1", "aarch64")))
    with pytest.raises(ToolError, match="this is Linux on aarch64") as raised:
        run_demo(tmp_path / "demo", online=False, build=no_build, progress=Silent())
    assert "--online" in str(raised.value.hint)
    assert not (tmp_path / "demo").exists()


def test_a_demo_that_fails_says_how_to_try_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("peel.workflow.demo._refuse_unfit", lambda **_: None)
    monkeypatch.setenv("PEEL_MICROMAMBA", str(tmp_path / "nowhere"))
    with pytest.raises(ToolError, match="no file") as raised:
        run_demo(tmp_path / "demo", online=True, build=no_build, progress=Silent())
    assert str(raised.value.hint).endswith(f"to try again, remove {tmp_path / 'demo'} first")
