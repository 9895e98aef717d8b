"""The command line as people and programs meet it: helps, exit codes, streams, JSON."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from peel.cli import app
from tiny import REF, Tiny

PEEL = Path(sys.executable).parent / "peel"
VERBS = [
    "", "lock", "build", "launch", "check", "push", "pull", "menu", "propose", "try", "verify", "diff", "patch",
    "import", "archive", "gc", "list", "show", "site", "tag", "doctor", "demo",
]  # fmt: skip
PLAIN = {"NO_COLOR": "1", "TERM": "dumb", "COLUMNS": "100", "TERMINAL_WIDTH": "100"}


@pytest.fixture
def tiny(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Tiny:
    monkeypatch.delenv("SOURCE_DATE_EPOCH", raising=False)
    return Tiny(tmp_path)


def peel(tiny: Tiny, *argv: str) -> Result:
    options = ["-C", str(tiny.root), "--store", str(tiny.store.root)]
    return CliRunner().invoke(app, [*options, *argv], env=PLAIN)


def run(*argv: str | Path, **env: str) -> subprocess.CompletedProcess[str]:
    environment = {"PATH": os.environ["PATH"], "HOME": "/nonexistent", **PLAIN, **env}
    return subprocess.run([PEEL, *argv], env=environment, capture_output=True, text=True, timeout=120, check=False)


def failed(done: Result, status: int) -> str:
    """What a failing verb said on stderr: one error, nothing on stdout, and no traceback."""
    assert done.exit_code == status, done.output
    assert done.stdout == ""
    assert done.stderr.startswith("error: ")
    assert "Traceback" not in done.stderr
    return done.stderr


@pytest.mark.parametrize("verb", VERBS)
def test_every_help_is_as_it_was_read_over(verb: str, golden: Callable[[str, bytes], None]) -> None:
    done = run(*([verb] if verb else []), "--help")
    assert done.returncode == 0
    assert done.stderr == ""
    golden(f"cli/{verb or 'peel'}.txt", done.stdout.encode())


def test_the_verbs_are_these_and_each_is_told_in_one_sentence() -> None:
    listed = run("--help").stdout.partition("Commands:\n")[2].partition("\n\n")[0]
    assert [line.split()[0] for line in listed.splitlines() if line.startswith("  ") and line[2] != " "] == VERBS[1:]


def test_help_loads_none_of_what_is_slow() -> None:
    script = "import sys, peel.cli; print(*sorted(m for m in sys.modules if '.' not in m))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=60)
    assert not {"rich", "pydantic", "yaml", "httpx", "zstandard", "rattler"} & set(done.stdout.split())


def test_help_itself_loads_none_of_what_is_slow() -> None:
    script = "import sys; from peel.cli import app; sys.argv = ['peel', '--help']; app(standalone_mode=False)"
    told = f"{script}; print(*sorted(m for m in sys.modules if '.' not in m), file=sys.stderr)"
    done = subprocess.run([sys.executable, "-c", told], capture_output=True, text=True, timeout=60, check=False)
    assert "Lock a JupyterLab" in done.stdout
    assert not {"rich", "pydantic", "yaml", "httpx", "zstandard", "rattler"} & set(done.stderr.split())


def test_the_version_is_one_line() -> None:
    done = run("--version")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("peel ")


@pytest.mark.parametrize(
    ("argv", "status"),
    [
        (["nosuchverb"], 2),
        (["lock"], 2),
        (["lock", "lab:r1", "--nosuchoption"], 2),
        (["lock", "lab:r1", "--epoch", "-1"], 2),
        (["launch", "lab:r1", "--port", "70000"], 2),
        (["lock", "lab"], 2),
        (["lock", "lab:"], 2),
        (["lock", "../lab:r1"], 2),
        (["show", "lab:r1"], 3),
        (["show", "LAB:r1"], 2),
        (["build", "lab:r1"], 3),
        (["launch", "lab:r1"], 3),
        (["lock", "lap:r1"], 3),
        (["lock", "lap:r1", "--check"], 3),
        (["doctor", "--for", "nothing"], 2),
    ],
)
def test_a_mistake_has_its_exit_code_and_no_traceback(tiny: Tiny, argv: list[str], status: int) -> None:
    done = peel(tiny, *argv)
    assert done.exit_code == status, done.output
    assert done.stdout == ""
    assert "rror: " in done.stderr
    assert "Traceback" not in done.stderr


def test_an_image_nearly_right_is_guessed(tiny: Tiny) -> None:
    assert "hint: did you mean 'lab'?" in failed(peel(tiny, "lock", "lap:r1"), 3)


def test_a_place_that_is_no_catalogue_is_told(tmp_path: Path) -> None:
    done = run("-C", tmp_path, "list")
    assert done.returncode == 2
    assert done.stderr.startswith(f"error: {tmp_path} is no catalogue")
    assert "hint: " in done.stderr


def test_a_store_that_holds_other_things_is_told(tiny: Tiny, tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "me.png").touch()
    done = CliRunner().invoke(app, ["-C", str(tiny.root), "--store", str(tmp_path / "photos"), "lock", str(REF)])
    assert "is no store" in failed(done, 2)


def test_a_bad_document_names_file_and_line(tiny: Tiny) -> None:
    tiny.declare_image(payload=["[/bold] \x1b[31mred"])
    error = failed(peel(tiny, "lock", str(REF)), 3)
    assert "envs/lab.yaml:" in error
    assert "did you mean 'payloads'?" in error
    assert "\x1b" not in error


def test_text_from_a_document_is_shown_and_drives_no_terminal(tiny: Tiny) -> None:
    tiny.declare_image(tags="[/bold] \x1b[31mred")
    error = failed(peel(tiny, "lock", str(REF)), 3)
    assert "[/bold]" in error
    assert "\x1b" not in error


def test_a_check_that_finds_a_difference_exits_with_1(tiny: Tiny) -> None:
    tiny.lock_simply()
    agreed = peel(tiny, "lock", "--check", str(REF))
    assert (agreed.exit_code, agreed.stdout) == (0, "lab:r1_0_0: declarations and lock agree\n")
    tiny.declare_lab("jupyterlab", "python")
    assert "environments.lab.dependencies: 'python' was added" in failed(peel(tiny, "lock", "--check", str(REF)), 1)


def test_a_lock_prints_where_it_lies_and_progress_elsewhere(tiny: Tiny) -> None:
    done = peel(tiny, "lock", str(REF))
    assert (done.exit_code, done.stdout) == (0, f"{tiny.lock_set}\n"), done.stderr
    assert "locking lab with conda-lock" in done.stderr
    quiet = peel(tiny, "lock", "-q", str(REF))
    assert (quiet.stdout, quiet.stderr) == (f"{tiny.lock_set}\n", "")


def test_an_artifact_that_fails_its_hash_exits_with_5(tiny: Tiny) -> None:
    from channels import tamper  # noqa: PLC0415

    tamper(next(tiny.channel.glob("*/jupyterlab-*")))
    assert "jupyterlab-4.6.0" in failed_after_progress(peel(tiny, "lock", str(REF)), 5)


def test_an_unsatisfiable_lock_exits_with_3_and_explains(tiny: Tiny) -> None:
    tiny.declare_lab("jupyterlab >=9")
    assert "the solver says" in failed_after_progress(peel(tiny, "lock", str(REF)), 3)


def test_a_solver_that_is_not_there_exits_with_4(tiny: Tiny) -> None:
    assert "no file" in failed(peel(tiny, "lock", str(REF), "--micromamba", "/nowhere/micromamba"), 4)


def failed_after_progress(done: Result, status: int) -> str:
    assert done.exit_code == status, done.output
    assert done.stdout == ""
    assert "Traceback" not in done.stderr
    return done.stderr.partition("error: ")[2]


def test_a_lock_that_was_built_is_refused_with_the_next_tag(tiny: Tiny) -> None:
    tiny.lock_simply()
    tiny.record()
    assert "hint: lock another tag, for example: peel lock lab:r1_0_1" in failed(peel(tiny, "lock", str(REF)), 2)


def json_of(tiny: Tiny, *argv: str) -> Any:
    done = peel(tiny, *argv, "--json")
    assert done.exit_code == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["schema"] == 1
    return found


def test_list_tells_what_is_declared_locked_and_built(tiny: Tiny) -> None:
    assert json_of(tiny, "list")["images"][0]["locked"] is False
    assert "declared" in peel(tiny, "list").stdout
    tiny.lock_simply()
    (image,) = json_of(tiny, "list")["images"]
    assert (image["image"], image["tag"], image["platforms"], image["locked"], image["built"], image["manifest"]) == (
        "lab", "r1_0_0", ["linux-64"], True, False, None,
    )  # fmt: skip
    tiny.record()
    (image,) = json_of(tiny, "list")["images"]
    assert (image["built"], image["manifest"]) == (True, f"sha256:{'a' * 64}")
    assert f"sha256:{'a' * 64}" in peel(tiny, "list").stdout


def test_list_shows_what_is_broken_among_the_rest(tiny: Tiny) -> None:
    tiny.lock_simply()
    (tiny.root / "envs" / "bad.yaml").write_text("schema: 1\n")
    torn = tiny.lock_set.with_name("r1_0_1") / "image.lock.yaml"
    torn.parent.mkdir()
    torn.write_text("[]")
    done = peel(tiny, "list")
    assert done.exit_code == 3
    assert [line.split()[:3] for line in done.stdout.splitlines()[1:]] == [
        ["bad", "-", "broken"], ["lab:r1_0_0", "linux-64", "locked"], ["lab:r1_0_1", "-", "broken"],
    ]  # fmt: skip
    assert "warning: bad is broken: envs/bad.yaml:1: base: missing" in done.stderr
    told = peel(tiny, "list", "--json")
    assert told.exit_code == 3
    assert ["base: missing" in (image["error"] or "") for image in json.loads(told.stdout)["images"]] == [
        True, False, False,
    ]  # fmt: skip


def test_show_tells_packages_and_layers(tiny: Tiny) -> None:
    tiny.lock_simply()
    shown = json_of(tiny, "show", str(REF))["platforms"]["linux-64"]
    packages = shown["environments"]["lab"]["packages"]
    assert [package["name"] for package in packages] == ["jupyterlab", "python"]
    assert shown["layers"][-1]["contents"] == "glue: kernels, start scripts, links"
    text = peel(tiny, "show", str(REF)).stdout
    assert "lab:r1_0_0 for linux-64: not built" in text
    assert "jupyterlab" in text


def test_a_dry_run_prints_the_plan_and_makes_nothing(tiny: Tiny) -> None:
    tiny.lock_simply()
    planned = json_of(tiny, "build", str(REF), "--dry-run", "--platform", "linux-64")
    assert planned["plan"].startswith("sha256:")
    assert [layer["reused"] for layer in planned["layers"]] == [False] * len(planned["layers"])
    assert "make " in peel(tiny, "build", str(REF), "--dry-run", "--platform", "linux-64").stdout
    assert not list((tiny.store.root / "layers").iterdir())
    assert tiny.catalogue.record(REF) is None


def test_check_and_lock_speak_json(tiny: Tiny) -> None:
    assert json_of(tiny, "lock", str(REF))["changed"] is True
    assert json_of(tiny, "lock", "--check", str(REF))["agrees"] is True
    tiny.declare_lab("jupyterlab", "python")
    done = peel(tiny, "lock", "--check", "--json", str(REF))
    assert (done.exit_code, done.stderr) == (1, "")
    assert json.loads(done.stdout) == {
        "schema": 1, "image": "lab", "tag": "r1_0_0", "agrees": False,
        "differences": ["environments.lab.dependencies: 'python' was added"],
    }  # fmt: skip


@pytest.mark.parametrize(("platform", "status"), [("linux-aarch64", 3), ("win-64", 2)])
def test_a_platform_that_is_not_locked_is_told(tiny: Tiny, platform: str, status: int) -> None:
    tiny.lock_simply()
    failed(peel(tiny, "build", str(REF), "--platform", platform), status)


@pytest.mark.parametrize("to", ["dir:x", "x", "oci:", "oci:a:b:c"])
def test_a_destination_that_is_none_is_a_mistake(tiny: Tiny, to: str) -> None:
    tiny.lock_simply()
    assert "write oci:DIR" in failed(peel(tiny, "build", str(REF), "--platform", "linux-64", "--to", to), 2)


def test_images_and_tags_are_completed_for_the_shell(tiny: Tiny) -> None:
    tiny.lock_simply()
    completed = run(
        _PEEL_COMPLETE="complete_bash", COMP_WORDS=f"peel -C {tiny.root} show la", COMP_CWORD="4",
    )  # fmt: skip
    assert "lab:r1_0_0" in completed.stdout or "r1_0_0" in completed.stdout
    assert "Traceback" not in completed.stderr


def test_completion_outside_a_catalogue_says_nothing(tmp_path: Path) -> None:
    completed = run(_PEEL_COMPLETE="complete_bash", COMP_WORDS=f"peel -C {tmp_path} show la", COMP_CWORD="4")
    assert (completed.stdout.strip(), completed.stderr) == ("", "")


def test_a_reader_that_goes_away_gets_no_traceback(tiny: Tiny) -> None:
    tiny.lock_simply()
    command = f"{PEEL} -C {tiny.root} show {REF} --json | head -c 10"
    done = subprocess.run(["/bin/sh", "-c", command], capture_output=True, text=True, timeout=60, check=False)
    assert done.stderr == ""


def test_color_is_for_terminals_that_want_it() -> None:
    forced = run("show", "lab", NO_COLOR="", FORCE_COLOR="1", TERM="xterm-256color")
    assert "\x1b[" in forced.stderr
    assert "\x1b[" not in run("show", "lab").stderr
