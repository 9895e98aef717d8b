"""``peel patch`` as people and jobs call it, as far as nothing has to be built."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from patching import declare
from peel.cli import app
from peel.cli.patch import _complete_patch
from test_cli import run
from tiny import Tiny


@pytest.fixture
def tiny(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Tiny:
    monkeypatch.delenv("SOURCE_DATE_EPOCH", raising=False)
    made = Tiny(tmp_path)
    made.add("tool", files={"share/tool": ""})
    made.declare_lab("jupyterlab", "tool")
    made.lock_simply()
    declare(made, packages={"remove": ["tool"]})
    return made


def peel(tiny: Tiny, *argv: str) -> Result:
    options = ["-C", str(tiny.root), "--store", str(tiny.store.root)]
    return CliRunner().invoke(app, [*options, "patch", "lab:r1_0_0", *argv, "--platform", "linux-64"])


def test_the_help_is_as_it_was_read_over(golden: Callable[[str, bytes], None]) -> None:
    golden("cli/patch.txt", run("patch", "--help").stdout.encode())


def test_the_place_of_a_lock_set_that_is_not_built_is_alone_on_stdout(tiny: Tiny) -> None:
    done = peel(tiny, "fix", "--no-build")
    assert done.exit_code == 0, done.output
    assert done.stdout == f"{tiny.root}/lockfiles/lab/r1_0_0_rsp1\n"
    assert "lab: removed tool 1.0 0 (" in done.stderr


def test_programs_get_json(tiny: Tiny) -> None:
    done = json.loads(peel(tiny, "fix", "--no-build", "--json").stdout)
    (move,) = done.pop("moves")
    assert {**move, "reason": ""} == {
        "environment": "lab", "platform": "linux-64", "package": "tool", "from": "1.0 0", "to": None,
        "kind": "removed", "reason": "",
    }  # fmt: skip
    assert done == {
        "schema": 1, "image": "lab", "tag": "r1_0_0_rsp1", "manifest": None, "kept": [], "new": [],
        "made_from": {"image": "lab", "tag": "r1_0_0", "manifests": {}, "lab": ""},
        "lock_set": f"{tiny.root}/lockfiles/lab/r1_0_0_rsp1",
    }  # fmt: skip


def test_a_dry_run_is_a_table_on_stdout(tiny: Tiny) -> None:
    done = peel(tiny, "fix", "--dry-run")
    head, row = done.stdout.splitlines()
    assert head.split() == ["ENVIRONMENT", "MOVE", "PACKAGE", "FROM", "TO", "REASON"]
    assert row.split()[:6] == ["lab", "removed", "tool", "1.0", "0", "-"]
    assert tiny.catalogue.tags("lab") == ["r1_0_0"]


def test_a_patch_of_files_alone_moves_no_package(tiny: Tiny) -> None:
    declare(tiny, "files", files=[{"path": "/etc/motd", "source": "files.yaml"}])
    assert peel(tiny, "files", "--dry-run").stdout == "no package would move\n"


def test_quiet_leaves_the_result_alone(tiny: Tiny) -> None:
    assert peel(tiny, "fix", "--no-build", "--quiet").stderr == ""


def test_the_shell_is_told_the_patches_of_the_catalogue(tiny: Tiny) -> None:
    class Context:
        def find_root(self) -> Context:
            return self

        params = {"catalogue": tiny.root}  # noqa: RUF012

    assert _complete_patch(Context(), "f") == ["fix"]  # type: ignore[arg-type]
    assert _complete_patch(Context(), "x") == []  # type: ignore[arg-type]
