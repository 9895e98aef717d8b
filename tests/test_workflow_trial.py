"""``peel try``: the locked files, made once from the store, entered as the image's kernel would; or a clear refusal."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from channels import PLACEHOLDER, File
from peel.errors import ToolError, UsageError
from peel.model.progress import Silent
from peel.model.values import ImageRef
from peel.store.environments import all_made
from peel.tools import system
from peel.tools.micromamba import find_solver
from peel.workflow.fetching import Sources
from peel.workflow.gc import find_garbage, free
from peel.workflow.trial import Trial, newest_lock_with, prepare_here
from tiny import EMBEDDED, REF, Tiny

PEEL = Path(sys.executable).parent / "peel"
SHELL = "#!/bin/sh\nexit 0\n"


@pytest.fixture
def tiny(tmp_path: Path) -> Tiny:
    """A payload whose Python is a shell script, with an activation script and a file that names its prefix."""
    made = Tiny(tmp_path)
    made.add("python", "3.13.1", files={"bin/python": File(SHELL, mode=0o755)})
    files = {
        "etc/conda/activate.d/tool.sh": "export TOOL_HOME=$CONDA_PREFIX/tool\n",
        "bin/whereami": File(f"#!/bin/sh\necho {PLACEHOLDER}\n", mode=0o755, placeholder=PLACEHOLDER),
    }
    made.add("tool", depends=["python"], files=files)
    made.declare_payload("sci", "tool", "ipykernel", variables={"GREETING": "hello there"})
    made.declare_image(payloads=["sci"])
    made.lock_simply()
    return made


def prepare(tiny: Tiny, payload: str = "sci") -> Trial:
    return prepare_here(
        REF, payload, catalogue=tiny.catalogue, store=tiny.store, find_solver=lambda: find_solver(EMBEDDED),
        sources=Sources(network=False), progress=Silent(),
    )  # fmt: skip


def tried(tiny: Tiny, *arguments: str, stdin: str = "", **env: str) -> subprocess.CompletedProcess[str]:
    argv = [str(PEEL), "-C", str(tiny.root), "--store", str(tiny.store.root), "try", *arguments]
    return subprocess.run(argv, env={**os.environ, **env}, input=stdin, capture_output=True, text=True, check=False)


def test_a_command_runs_in_the_locked_environment_and_its_status_is_passed_on(tiny: Tiny) -> None:
    done = tried(tiny, "sci", "--", "sh", "-c", 'whereami; echo "$TOOL_HOME $GREETING"; exit 7', VIRTUAL_ENV="/mine")
    (place,) = all_made(tiny.store)
    assert (done.returncode, done.stdout) == (7, f"{place}\n{place}/tool hello there\n")
    assert "sci as locked in lab:r1_0_0" in done.stderr


def test_what_is_read_from_a_pipe_is_done_in_the_environment(tiny: Tiny) -> None:
    done = tried(tiny, "sci", "-q", stdin="whereami\nexit 3\n")
    (place,) = all_made(tiny.store)
    assert (done.returncode, done.stdout, done.stderr) == (3, f"{place}\n", "")


def test_the_variables_of_another_environment_are_gone(tiny: Tiny) -> None:
    done = tried(tiny, "sci", "-q", "env", PYTHONPATH="/mine", VIRTUAL_ENV="/venv", CONDA_EXE="/conda/bin/conda")
    (place,) = all_made(tiny.store)
    told = dict(line.split("=", 1) for line in done.stdout.splitlines() if "=" in line)
    assert not {"PYTHONPATH", "VIRTUAL_ENV", "CONDA_EXE"} & told.keys()
    assert (told["CONDA_PREFIX"], told["PATH"].split(":")[0]) == (str(place), f"{place}/bin")


def test_an_environment_is_made_once_from_the_store_alone_and_again_after_it_was_freed(tiny: Tiny) -> None:
    first = prepare(tiny)
    stamp = (first.place / "bin/whereami").stat().st_mtime_ns
    assert prepare(tiny).place == first.place
    assert (first.place / "bin/whereami").stat().st_mtime_ns == stamp
    garbage = find_garbage(tiny.root, tiny.store, images=False, progress=Silent())
    assert garbage.environments == (first.place,)
    free(garbage, tiny.store, Silent())
    assert list(all_made(tiny.store)) == []
    assert prepare(tiny).place.is_dir()


def test_an_environment_says_where_it_is_without_running_anything(tiny: Tiny) -> None:
    done = tried(tiny, "sci", "--json", "--image", "lab:r1_0_0")
    (place,) = all_made(tiny.store)
    assert yaml.safe_load(done.stdout) == {
        "schema": 1, "image": "lab:r1_0_0", "payload": "sci", "python": "3.13.1",
        "directory": str(place), "prefix": str(place), "in_base": False,
    }  # fmt: skip


def test_the_newest_lock_that_has_a_payload_is_taken(tiny: Tiny) -> None:
    tiny.declare_image(payloads=[])
    tiny.lock(ref=ImageRef("lab", "r1_0_1"), epoch=2_000_000_000)
    assert newest_lock_with("sci", tiny.catalogue) == REF
    assert newest_lock_with("lab", tiny.catalogue) == ImageRef("lab", "r1_0_1")


def test_an_unknown_payload_is_refused_with_the_nearest_name(tiny: Tiny) -> None:
    for ask in (lambda: newest_lock_with("sce", tiny.catalogue), lambda: prepare(tiny, "sce")):
        with pytest.raises(UsageError) as raised:
            ask()
        assert (raised.value.hint or "").endswith("did you mean sci?")


def test_a_machine_with_an_older_glibc_is_told_before_anything_is_made(
    tiny: Tiny, monkeypatch: pytest.MonkeyPatch
) -> None:
    lock = tiny.lock_set / "sci.conda-lock.yml"
    document = yaml.safe_load(lock.read_text())
    next(p for p in document["package"] if p["name"] == "tool")["dependencies"]["__glibc"] = ">=2.38"
    lock.write_text(yaml.safe_dump(document))
    monkeypatch.setattr(system, "glibc", lambda: "2.36")
    with pytest.raises(ToolError) as raised:
        prepare(tiny)
    assert raised.value.message == "tool of sci needs glibc 2.38, and this machine has 2.36"
    assert "peel try --in-base sci" in str(raised.value.hint)
    assert list(all_made(tiny.store)) == []


def test_a_python_that_does_not_start_here_is_told_and_not_kept(tiny: Tiny) -> None:
    script = "#!/bin/sh\necho \"libc.so.6: version 'GLIBC_2.99' not found\" >&2\nexit 1\n"
    tiny.add("python", "3.13.2", files={"bin/python": File(script, mode=0o755)})
    tiny.declare_payload("sci", "python 3.13.2", "ipykernel")
    tiny.lock()
    with pytest.raises(ToolError, match=r"GLIBC_2\.99") as raised:
        prepare(tiny)
    assert "--in-base" in str(raised.value.hint)
    assert list(all_made(tiny.store)) == []


def test_ctrl_c_ends_the_command_and_nothing_is_left(tiny: Tiny) -> None:
    prepare(tiny)
    argv = [str(PEEL), "-C", str(tiny.root), "--store", str(tiny.store.root), "try", "-q", "sci", "--",
            "sh", "-c", "trap 'echo heard; exit 5' INT; echo ready; sleep 60 & wait"]  # fmt: skip
    with subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == "ready\n"
        child.send_signal(signal.SIGINT)
        assert child.stdout.readline() == "heard\n"
        assert child.wait(20) == 5
    assert list((tiny.store.root / "tmp").iterdir()) == []
