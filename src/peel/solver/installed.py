"""What a prefix holds, read from its ``conda-meta``."""

from __future__ import annotations

import json
import re
from pathlib import Path

from peel.errors import DocumentError, ToolError
from peel.solver.package import Package, parse_package, spec_name

_PYTHON_MINOR = re.compile(r"(\d+\.\d+)(?:\..*)?")


def load_installed(prefix: Path) -> tuple[Package, ...]:
    """Every installed package, by name. Raises ToolError for no environment, DocumentError for broken metadata."""
    if not (prefix / "conda-meta").is_dir():
        raise ToolError(f"The environment at {prefix} does not exist", hint="create -p PREFIX makes one")
    found = [_load(path) for path in sorted((prefix / "conda-meta").glob("*.json"))]
    return tuple(sorted(found, key=lambda package: package.name))


def load_pins(prefix: Path) -> tuple[str, ...]:
    """The specs in ``conda-meta/pinned``, which no change of the environment may leave."""
    pinned = prefix / "conda-meta" / "pinned"
    try:
        lines = pinned.read_text(encoding="utf-8").splitlines() if pinned.is_file() else []
    except (OSError, UnicodeDecodeError) as error:
        raise DocumentError(f"{pinned} cannot be read: {error}") from None
    return tuple(bare for line in lines if (bare := line.partition("#")[0].strip()))


def python_pin(installed: tuple[Package, ...], specs: tuple[str, ...]) -> tuple[str, ...]:
    """The minor version of Python that stays unless Python itself is asked for: packages were built for it."""
    if "python" in map(spec_name, specs):
        return ()
    versions = (_PYTHON_MINOR.fullmatch(package.version) for package in installed if package.name == "python")
    return tuple(f"python {version[1]}.*" for version in versions if version)


def _load(path: Path) -> Package:
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DocumentError(f"{path} cannot be read: {error}", hint="make the environment anew") from None
    if not isinstance(record, dict):
        raise DocumentError(f"{path} is not a JSON object", hint="make the environment anew")
    return parse_package(record, str(path))
