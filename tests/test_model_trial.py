"""What identifies an environment that is tried, what it asks of a machine, and how nothing of the caller's leaks in."""

from __future__ import annotations

import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from peel.model.condalock import CondaLockPackage, parse_conda_lock
from peel.model.locked import Package
from peel.model.trial import GlibcNeed, entering, entering_argv, glibc_need, is_older, trial_key, without_python
from peel.model.values import Digest

NUMPY = Package("conda", "numpy", "2.4.6", "numpy-2.4.6-py311_0.conda", "https://host/numpy", Digest.of(b"n"), 1, ())
PYTHON = Package("conda", "python", "3.11.2", "python-3.11.2-0.conda", "https://host/python", Digest.of(b"p"), 1, ())


def locked(name: str, file: str = "", **more: Any) -> CondaLockPackage:
    entry = {"name": name, "version": "1", "manager": "pip" if file else "conda", "platform": "linux-64", "hash": {},
             "url": f"https://host/{file or name + '-1-0.conda'}", **more}  # fmt: skip
    (package,) = parse_conda_lock({"version": 1, "package": [entry]}, "lock")
    return package


def test_an_environment_is_known_by_its_contents_and_its_place_whatever_the_order_and_the_urls() -> None:
    key = trial_key([NUMPY, PYTHON], "/opt/peel/envs/a", linker=1)
    assert key == trial_key([replace(PYTHON, url="file:///elsewhere"), NUMPY], "/opt/peel/envs/a", linker=1)
    others = [
        trial_key([NUMPY], "/opt/peel/envs/a", linker=1),
        trial_key([NUMPY, PYTHON], "/opt/peel/envs/b", linker=1),
        trial_key([NUMPY, PYTHON], "/opt/peel/envs/a", linker=2),
        trial_key([NUMPY, replace(PYTHON, omit=("bin/idle",))], "/opt/peel/envs/a", linker=1),
    ]
    assert len({key, *others}) == 5


def test_the_newest_glibc_that_any_package_asks_for_is_what_an_environment_needs() -> None:
    packages = [
        locked("python", dependencies={"__glibc": ">=2.9", "zlib": ">=2.99"}),
        locked("numpy", dependencies={"__glibc": ">=2.28,<3"}),
        locked("pure", "pure-1-py3-none-any.whl"),
        locked("wheel", "wheel-1-cp311-cp311-manylinux_2_24_x86_64.manylinux_2_34_x86_64.whl"),
    ]
    assert glibc_need(packages) == GlibcNeed("2.28", "numpy")
    assert glibc_need([*packages, locked("new", "new-1-cp311-cp311-manylinux_2_39_x86_64.whl")]) == GlibcNeed(
        "2.39", "new"
    )
    assert glibc_need([locked("pure", "pure-1-py3-none-any.whl")]) is None


def test_versions_of_glibc_are_compared_as_numbers() -> None:
    assert is_older("2.9", "2.28")
    assert not is_older("2.36", "2.36")
    assert not is_older("2.40", "2.38")


def test_nothing_of_the_callers_python_leaks_into_what_is_tried() -> None:
    variables = {
        "HOME": "/home/me", "TERM": "xterm", "PYTHONPATH": "/mine", "PYTHONHOME": "/usr", "PYTHONSTARTUP": "x.py",
        "VIRTUAL_ENV": "/venv/", "VIRTUAL_ENV_PROMPT": "(venv)", "CONDA_PREFIX": "/conda/envs/a", "CONDA_SHLVL": "2",
        "CONDA_PREFIX_1": "/conda", "_CE_CONDA": "", "_CONDA_ROOT": "/conda", "MAMBA_ROOT_PREFIX": "/mamba",
        "PIP_INDEX_URL": "https://index", "JUPYTER_PATH": "/jupyter", "LD_LIBRARY_PATH": "/lib", "CONDAR": "kept",
        "PATH": "/venv/bin:/conda/envs/a/bin:/conda/bin/:/usr/bin:/bin",
    }  # fmt: skip
    assert without_python(variables) == {
        "HOME": "/home/me", "TERM": "xterm", "CONDAR": "kept", "PATH": "/usr/bin:/bin", "PYTHONNOUSERSITE": "1",
    }  # fmt: skip


@pytest.mark.parametrize("path", ["/venv/bin", ""])
def test_a_path_of_which_nothing_is_left_becomes_the_usual_one(path: str) -> None:
    assert "/usr/bin" in without_python({"VIRTUAL_ENV": "/venv", "PATH": path})["PATH"].split(":")


def test_entering_activates_sets_the_variables_last_and_passes_arguments_as_they_are(tmp_path: Path) -> None:
    prefix = tmp_path / "a prefix; $(touch never)"
    (prefix / "etc/conda/activate.d").mkdir(parents=True)
    (prefix / "bin").mkdir()
    script = 'export SEEN="$CONDA_PREFIX" MODE=activated\nset -- other arguments\n'
    (prefix / "etc/conda/activate.d/one.sh").write_text(script)
    (prefix / "bin/told").write_text('#!/bin/sh\nprintf "%s|" "$SEEN" "$MODE" "$ODD" "$CONDA_DEFAULT_ENV" "$@"\n')
    (prefix / "bin/told").chmod(0o755)
    file = tmp_path / "enter.sh"
    file.write_text(entering("sci", str(prefix), {"MODE": "declared", "ODD": 'it\'s "$HOME"'}))
    argv = entering_argv(str(file), ["told", "a b", "$(id)"])
    done = subprocess.run(argv, env={"PATH": "/usr/bin:/bin"}, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout == f'{prefix}|declared|it\'s "$HOME"|sci|a b|$(id)|'
    assert not (tmp_path / "never").exists()


def test_a_shell_reads_no_startup_file_but_the_one_that_enters() -> None:
    assert entering_argv("/enter.sh", []) == ("/bin/bash", "--noprofile", "--rcfile", "/enter.sh", "-i")
