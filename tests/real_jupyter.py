"""A real Jupyter server in an environment of its own, made once per test run."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest


def install_jupyter(factory: pytest.TempPathFactory) -> Path:
    """The Python of an environment that holds jupyter_server and ipykernel (about 15 s the first time)."""
    place = factory.getbasetemp() / "jupyter"
    python = place / "bin" / "python"
    if not place.exists():
        subprocess.run([sys.executable, "-m", "venv", place], check=True)
        install = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "jupyter_server", "ipykernel"]
        subprocess.run([python, *install], check=True)
    return python
