"""conda-lock itself, driving each solver: the same lock twice, little moved by an update, failures explained."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from channels import index, make_package
from solving import BOTH, Solver

CONDA_LOCK = Path(sys.executable).parent / "conda-lock"
VIRTUAL = 'subdirs: {linux-64: {packages: {__unix: "0", __linux: "5.14", __glibc: "2.34", __archspec: "1 x86_64"}}}\n'


class Locked:
    """A folder with an environment.yml and a channel, locked by conda-lock with one solver."""

    def __init__(self, solver: Solver, folder: Path) -> None:
        self.solver, self.folder, self.channel = solver, folder, folder / "channel"
        (folder / "virtual.yml").write_text(VIRTUAL)

    def ask(self, *specs: str) -> None:
        environment = {"channels": [index(self.channel)], "dependencies": list(specs), "platforms": ["linux-64"]}
        (self.folder / "environment.yml").write_text(yaml.safe_dump(environment))

    def run(self, *options: str) -> subprocess.CompletedProcess[str]:
        index(self.channel)
        self.solver.home.mkdir(exist_ok=True)
        argv = [
            CONDA_LOCK, "lock", "--conda", self.solver.path, "-f", "environment.yml", "-p", "linux-64",
            "--virtual-package-spec", "virtual.yml", "--lockfile", "lock.yml", *options,
        ]  # fmt: skip
        return subprocess.run(
            argv, cwd=self.folder, env=self.solver.environment, capture_output=True, text=True, timeout=120, check=False
        )

    def lock(self, *options: str) -> bytes:
        done = self.run(*options)
        assert done.returncode == 0, done.stderr
        return (self.folder / "lock.yml").read_bytes()

    def versions(self) -> dict[str, str]:
        document: Any = yaml.safe_load((self.folder / "lock.yml").read_text())
        return {package["name"]: package["version"] for package in document["package"]}


@pytest.fixture(params=BOTH)
def locked(request: pytest.FixtureRequest, tmp_path: Path) -> Locked:
    made = Locked(Solver(request.param, tmp_path / "home"), tmp_path)
    for version in ("1.0", "1.1"):
        make_package(made.channel, "libfoo", version, noarch="generic")
        make_package(made.channel, "libbar", version, depends=["libfoo >=1.0,<2", "__glibc >=2.17,<3.0.a0"])
    return made


def test_locking_twice_writes_the_same_bytes(locked: Locked) -> None:
    locked.ask("libbar")
    first = locked.lock()
    (locked.folder / "lock.yml").unlink()
    assert locked.lock() == first
    assert locked.versions() == {"libbar": "1.1", "libfoo": "1.1"}


def test_the_virtual_packages_of_the_target_decide_and_not_this_machines(locked: Locked) -> None:
    make_package(locked.channel, "libbar", "2.0", depends=["__glibc >=2.35"])
    make_package(locked.channel, "libbar", "3.0", depends=["__cuda >=11"])
    locked.ask("libbar")
    locked.lock()
    assert locked.versions()["libbar"] == "1.1"


def test_an_update_moves_the_package_and_leaves_the_rest(locked: Locked) -> None:
    locked.ask("libbar", "libfoo")
    locked.lock()
    for name in ("libfoo", "libbar"):
        make_package(locked.channel, name, "1.2", depends=["libfoo >=1.0,<2"] if name == "libbar" else [])
    locked.lock("--update", "libbar")
    assert locked.versions() == {"libbar": "1.2", "libfoo": "1.1"}


def test_an_update_without_anything_newer_changes_no_byte(locked: Locked) -> None:
    locked.ask("libbar")
    first = locked.lock()
    assert locked.lock("--update", "libbar") == first


def test_a_user_of_conda_lock_sees_why_nothing_satisfies_the_environment(tmp_path: Path) -> None:
    locked = Locked(Solver(str(Path(sys.executable).parent / "peel-micromamba"), tmp_path / "home"), tmp_path)
    make_package(locked.channel, "app", depends=["libfoo >=2"])
    make_package(locked.channel, "libfoo", "1.0")
    locked.ask("app")
    done = locked.run()
    assert done.returncode != 0
    assert "critical libmamba Could not solve for environment specs" in done.stderr
    assert "libfoo >=2, for which no candidates were found" in done.stderr


def test_a_user_of_conda_lock_sees_why_an_update_fails(tmp_path: Path) -> None:
    locked = Locked(Solver(str(Path(sys.executable).parent / "peel-micromamba"), tmp_path / "home"), tmp_path)
    make_package(locked.channel, "app")
    locked.ask("app")
    locked.lock()
    locked.ask("app >=2")
    done = locked.run("--update", "app")
    assert done.returncode != 0
    assert "No candidates were found for app >=2" in done.stderr
