"""npm: programs that only it brings."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

from peel.tools import process

_OWN: Final = ("npm_config_", "node_extra_ca_certs")


def install(package: str, program: str, place: Path) -> Path:
    """A program of a package, beneath ``place``, which keeps it from one call to the next.

    ``package`` may have a version, as ``name@5``. Raises ToolError when npm is missing or fails.
    """
    found = place / "node_modules" / ".bin" / program
    if not found.exists():
        place.mkdir(parents=True, exist_ok=True)
        argv = ("npm", "install", "--silent", "--no-fund", "--no-audit", "--prefix", str(place), package)
        process.run(process.Command(argv, _environment()))
    return found


def _environment() -> dict[str, str]:
    """npm's own settings come in the environment, too, and so do the certificates it trusts."""
    own = {name: value for name, value in os.environ.items() if name.lower().startswith(_OWN)}
    return process.inherit(own)
