"""The solvers that tests run as programs: ``peel-micromamba``, and a real micromamba when one is on PATH."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

EMBEDDED = Path(sys.executable).parent / "peel-micromamba"
REAL = shutil.which("micromamba")

BOTH = [
    pytest.param(str(EMBEDDED), id="peel-micromamba"),
    pytest.param(
        REAL or "", id="micromamba",
        marks=pytest.mark.skipif(REAL is None, reason="no real micromamba on PATH to run the same test against"),
    ),
]  # fmt: skip
"""Parameters for tests that every solver has to pass."""


@dataclass(frozen=True)
class Solver:
    """One solver with a home and a package cache of its own beneath ``home``."""

    path: str
    home: Path
    env: dict[str, str] = field(default_factory=dict)

    @property
    def environment(self) -> dict[str, str]:
        own = {
            "PATH": os.environ["PATH"], "HOME": str(self.home), "CONDA_PKGS_DIRS": str(self.home / "pkgs"),
            "MAMBA_ROOT_PREFIX": str(self.home / "root"), "CONDA_SUBDIR": "linux-64", "CONDA_FLAGS": "--no-rc",
        }  # fmt: skip
        return {**own, **self.env}

    def run(self, *argv: str | Path, **env: str) -> subprocess.CompletedProcess[str]:
        self.home.mkdir(parents=True, exist_ok=True)
        command = [self.path, *map(str, argv)]
        environment = {**self.environment, **env}
        return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=False)

    def json(self, *argv: str | Path, **env: str) -> Any:
        done = self.run(*argv, "--json", **env)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)


def embedded(home: Path, **env: str) -> Solver:
    return Solver(str(EMBEDDED), home, env)
