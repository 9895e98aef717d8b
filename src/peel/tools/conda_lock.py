"""conda-lock, driven as a child process and never imported.

It runs in a directory of its own, so that nothing of the catalogue's place gets into the lock it writes.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path
from typing import Any

from peel.errors import ArtifactError, DocumentError, ToolError
from peel.model.declared import DeclaredEnvironment
from peel.model.secrets import redact
from peel.tools import process
from peel.tools.micromamba import Solver, virtual_packages

_ENVIRONMENT = "environment.yml"
_LOCK = "conda-lock.yml"
_NOISE = re.compile(r"\s*$|(INFO|WARNING|DEBUG):|Locking dependencies|The above exception |During handling of ")
_SPEC_NAME = re.compile(r"(?:[^\s:]+::)?([\w.-]+)")
_BAD_SPEC = re.compile(r"InvalidMatchSpec: Invalid spec '([^']*)': (.*)")
_NO_WHEELS = re.compile(
    r"^.*(?:version solving failed|doesn't match any versions|PackageNotFoundError: Package \S+"
    r"|Unable to find installation candidates for).*$",
    re.MULTILINE,
)
_ERROR_NAME = re.compile(r"^(?:[\w.]+\.)?\w*(?:Error|Exception): ")
_EXPLAINED = re.compile(r'"solver_problems":\s*(\[.*?\])\s*[,}]', re.DOTALL)


class NoWheelsError(DocumentError):
    """No wheels satisfy the pip section; ``explanation`` is the solver's own, a line each."""

    def __init__(self, environment: str, explanation: Sequence[str]) -> None:
        told = "".join(f"\n  {line}" for line in explanation)
        super().__init__(
            f"no wheels satisfy the pip section of the environment {environment!r}; conda-lock says:{told}",
            hint="loosen the requirement that it names, or name an index that has the wheel",
        )
        self.explanation = tuple(explanation)


@dataclass(frozen=True, slots=True)
class Request:
    """What is to be locked: an environment, for platforms whose base gives these virtual packages."""

    environment: DeclaredEnvironment
    glibc: Mapping[str, str]
    """By platform."""
    locked: bytes | None = None
    """The lock to start from when only some packages are to move."""
    update: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class CondaLock:
    """A conda-lock and the solver it drives; ``secrets`` are the variables that channels may name."""

    solver: Solver
    secrets: Mapping[str, str]

    def version(self) -> str:
        """Its version, for example ``4.0.3``."""
        done = process.run(process.Command((*_program(), "--version"), process.inherit()))
        return done.text.strip().rsplit(" ", 1)[-1]

    def lock(self, request: Request, directory: Path) -> bytes:
        """Lock in an empty directory and return the bytes that conda-lock wrote.

        Raises DocumentError with the solver's own explanation when nothing satisfies the environment,
        and ToolError when a program failed for another reason.
        """
        write_inputs(request, directory)
        scratch = directory / "scratch"  # what conda-lock leaves when it is stopped goes with the directory
        scratch.mkdir()
        variables = {
            **self.secrets,
            "CONDA_FLAGS": "--no-rc",
            "CONDA_PKGS_DIRS": str(directory / "pkgs"),
            "TMPDIR": str(scratch),
        }
        command = process.Command(lock_argv(self.solver.path, request), process.inherit(variables), cwd=directory)
        done = process.run(command, check=False)
        if done.status != 0:
            raise failure_of(request.environment, command, done)
        return (directory / _LOCK).read_bytes()


def _program() -> tuple[str, ...]:
    beside = Path(sys.executable).parent / "conda-lock"
    if beside.is_file():
        return (str(beside),)
    if (found := process.find("conda-lock")) is None:
        raise ToolError("conda-lock is not installed", hint="pip install 'conda-lock>=4.0.3,<5'")
    return (str(found),)


def lock_argv(solver: Path, request: Request) -> tuple[str, ...]:
    """The argv of ``conda-lock lock`` for a directory that ``write_inputs`` has filled."""
    platforms = [item for platform in sorted(request.glibc) for item in ("--platform", platform)]
    updates = [item for package in request.update for item in ("--update", package)]
    return (
        *_program(), "lock",
        "--conda", str(solver),  # without it, conda-lock looks round and may download one
        "--file", _ENVIRONMENT,
        "--lockfile", _LOCK,
        *platforms,
        "--virtual-package-spec", "virtual-packages.yml",  # the base's, not conda-lock's idea of a machine
        "--without-cuda",
        "--pypi_to_conda_lookup_file", "names.json",  # without it, a name mapping comes from the network
        *updates,
    )  # fmt: skip


def write_inputs(request: Request, directory: Path) -> None:
    """Fill a directory with what conda-lock reads. JSON is YAML, and has no surprises."""
    environment = request.environment
    dependencies: list[Any] = [*environment.dependencies, *_not_asked_for(request)]
    if environment.pip:
        dependencies.append({"pip": list(environment.pip)})
    spec = {
        "channels": list(environment.channels),
        "dependencies": dependencies,
        "platforms": sorted(request.glibc),
        "pip-repositories": list(environment.pip_repositories),
        "allow-pypi-requests": environment.allow_pypi_requests,
    }
    _write(directory / _ENVIRONMENT, spec)
    _write(
        directory / "virtual-packages.yml",
        {"subdirs": {p: {"packages": virtual_packages(p, v)} for p, v in request.glibc.items()}},
    )
    _write(directory / "names.json", {})
    if request.locked is not None:
        (directory / _LOCK).write_bytes(request.locked)


def _not_asked_for(request: Request) -> Sequence[str]:
    """Packages to update that nobody asked for by name: conda-lock updates only what its spec names."""
    named = {found[1].lower() for spec in request.environment.dependencies if (found := _SPEC_NAME.match(spec))}
    return [name for name in request.update if name not in named]


def _write(path: Path, data: Any) -> None:
    path.write_text(json.dumps(data, indent=1, sort_keys=True), encoding="utf-8")


def failure_of(environment: DeclaredEnvironment, command: process.Command, done: process.Completed) -> Exception:
    """What a conda-lock that failed has to say: of what was asked for where it can be, else of the program."""
    said = done.stderr.decode("utf-8", "replace") + done.text
    if problems := explanation(said):
        told = "\n".join(f"  {line}" for problem in problems for line in redact(problem).splitlines())
        return DocumentError(
            f"nothing satisfies the environment {environment.name!r}; the solver says:\n{told}",
            hint="loosen the spec that it names, or add a channel that has the package",
        )
    if refused := _BAD_SPEC.search(said):
        return DocumentError(
            f"environment {environment.name!r}: {refused[1]!r} is no package spec: {refused[2].strip()}",
            hint="write NAME, NAME VERSION or NAME >=VERSION, as conda has them",
        )
    if _NO_WHEELS.search(said):
        return NoWheelsError(environment.name, [redact(line) for line in _about_wheels(reasons(said))])
    if critical := _critical(said):
        message, hint = critical
        return ArtifactError(f"the environment {environment.name!r} cannot be solved: {message}", hint=hint)
    return process.failure(command, process.Completed(done.status, b"", "\n".join(reasons(said)).encode()))


def _about_wheels(lines: Sequence[str]) -> Sequence[str]:
    """The solver's reasons, said once: it prints them with its error, and again for a log."""
    plain = [_ERROR_NAME.sub("", line.strip()) for line in lines if line.strip()]
    return list(dict.fromkeys(plain))


def _critical(said: str) -> tuple[str, str] | None:
    """What the solver itself called critical, and its hint: as a rule, a channel that cannot be read."""
    lines = said.splitlines()
    starts = [number for number, line in enumerate(lines) if line.startswith("critical libmamba ")]
    if not starts:
        return None
    first = lines[starts[-1]].removeprefix("critical libmamba ")
    more = [redact(line.strip()) for line in takewhile(lambda line: line.startswith("    "), lines[starts[-1] + 1 :])]
    hints = [line.removeprefix("hint: ") for line in more if line.startswith("hint: ")]
    details = [f"  {line}" for line in more if not line.startswith("hint: ")]
    return "\n".join([redact(first), *details]), hints[0] if hints else "see that the channel is right and up"


def reasons(said: str) -> Sequence[str]:
    """The lines that conda-lock and its solver printed, without tracebacks; where there are none, how one ended."""
    lines, ending, inside = list[str](), list[str](), False
    for line in said.splitlines():
        if line.startswith("Traceback "):
            inside = True
        elif inside and not line.startswith((" ", "\t")) and line:
            ending, inside = [line], False
        elif not inside and not _NOISE.match(line):
            lines.append(line)
    return lines or ending


def explanation(said: str) -> Sequence[str]:
    """The solver's reasons in what conda-lock printed; empty when it failed for another cause."""
    for found in _EXPLAINED.finditer(said):
        try:
            return [str(problem) for problem in json.loads(found[1])]
        except ValueError:
            continue
    return ()
