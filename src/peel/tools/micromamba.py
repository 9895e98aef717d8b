"""The solver that conda-lock drives: a micromamba, or the ``peel-micromamba`` of this very installation."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from peel.errors import ToolError
from peel.model.values import Digest
from peel.tools import process

OLDEST: Final = (2, 0, 7)
"""The first micromamba whose ``list`` knows ``--no-pip``, which conda-lock asks for."""

EMBEDDED: Final = "peel-micromamba"

_VERSION = re.compile(r"(\d+)\.(\d+)\.(\d+)\S*")
_ASK_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Solver:
    """An executable that speaks micromamba's command line, asked what it is.

    ``version`` is micromamba's own, or for the embedded solver peel's: together with ``program`` it says in a lock
    what solved it.
    """

    path: Path
    program: Literal["micromamba", "peel-micromamba"]
    version: str

    @property
    def title(self) -> str:
        """What people call it."""
        return f"{self.program} {self.version}"


def virtual_packages(platform: str, glibc: str) -> Mapping[str, str]:
    """What a container of this platform and glibc gives a solve, by name."""
    machine = {"linux-64": "x86_64", "linux-aarch64": "aarch64"}.get(platform, platform.removeprefix("linux-"))
    # a container runs on whatever kernel there is: ask for no more than what the oldest supported ones have
    return {"__unix": "0", "__linux": "4.18", "__glibc": glibc, "__archspec": f"1 {machine}"}


def make_environment(
    solver: Solver, lock: Path, prefix: Path, *, platform: str, archives: Mapping[Digest, tuple[str, Path]], work: Path
) -> None:
    """Let a solver link the conda packages of a conda-lock file at a prefix that does not exist yet.

    ``archives`` are their files, by digest with file name, on the disk that ``work`` is on: nothing is downloaded.
    Raises ToolError with what it printed when it fails.
    """
    cache = work / "pkgs"
    for digest, (name, path) in archives.items():
        for place in (cache / name, cache / "archives" / digest.hex / name):  # micromamba's place, and our own solver's
            place.parent.mkdir(parents=True, exist_ok=True)
            place.hardlink_to(path)
    argv = (
        str(solver.path), "create",
        "--prefix", str(prefix),
        "--file", str(lock),
        "--yes", "--no-rc",
    )  # fmt: skip
    variables = {"CONDA_PKGS_DIRS": str(cache), "CONDA_SUBDIR": platform, "MAMBA_ROOT_PREFIX": str(work / "root")}
    process.run(process.Command(argv, process.inherit(variables), cwd=work))


def find_solver(named: Path | None = None, *, variable: str | None = None) -> Solver:
    """The first of: ``named``, the value of ``PEEL_MICROMAMBA``, ``micromamba`` on PATH, the embedded solver.

    A micromamba on PATH that is too old, or does not run, is passed over; a named one is refused.
    Raises ToolError, also when not even the embedded solver is there.
    """
    if named is not None:
        return _named(named, "--micromamba")
    if variable:
        return _named(Path(variable), "PEEL_MICROMAMBA")
    return _on_path() or _embedded()


def _named(path: Path, origin: str) -> Solver:
    absolute = path if path.is_absolute() else path.absolute()
    if not absolute.is_file():
        raise ToolError(f"{origin} names {path}, which is no file", hint="name the micromamba executable itself")
    if not absolute.name.endswith("micromamba"):
        raise ToolError(
            f"{origin} names {path}, whose file name does not end in micromamba",
            hint="conda-lock tells a micromamba by its name: rename or link it",
        )
    solver = _ask(absolute)
    if solver.program == "micromamba" and _too_old(solver.version):
        raise ToolError(
            f"{origin} names {path}, micromamba {solver.version}, which is too old",
            hint=f"peel needs {'.'.join(map(str, OLDEST))} or newer; without one it uses {EMBEDDED}",
        )
    return solver


def _on_path() -> Solver | None:
    found = process.find("micromamba")
    if found is None:
        return None
    try:
        solver = _ask(found.absolute())
    except ToolError:
        return None
    return None if solver.program == "micromamba" and _too_old(solver.version) else solver


def _embedded() -> Solver:
    beside = Path(sys.executable).parent / EMBEDDED
    if not beside.is_file():
        raise ToolError(
            f"no micromamba on PATH, and no {EMBEDDED} beside {sys.executable}",
            hint="install peel-images again, or name a micromamba with --micromamba",
        )
    return _ask(beside)


def _ask(path: Path) -> Solver:
    """What this executable says it is."""
    said = process.run(process.Command((str(path), "--version"), process.inherit()), timeout=_ASK_SECONDS).text.strip()
    if not _VERSION.fullmatch(said):
        raise ToolError(f"{path} --version printed {said[:80]!r}, which is no version", hint="is it a micromamba?")
    own = _embedded_version(path)
    return Solver(path, "micromamba", said) if own is None else Solver(path, "peel-micromamba", own)


def _embedded_version(path: Path) -> str | None:
    command = process.Command((str(path), "info", "--json", "--no-rc"), process.inherit())
    done = process.run(command, check=False, timeout=_ASK_SECONDS)
    try:
        own = json.loads(done.text).get(f"{EMBEDDED} version")
    except (ValueError, AttributeError):
        return None
    return own if isinstance(own, str) else None


def _too_old(version: str) -> bool:
    found = _VERSION.fullmatch(version)
    return found is None or tuple(int(part) for part in found.groups()) < OLDEST
