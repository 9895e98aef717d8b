"""What a solver would do to an environment, asked without doing it: micromamba's ``install`` and ``create``.

Only what real micromamba and ``peel-micromamba`` mean alike is used: what is to stay is asked for by its exact version
and build, since ``--freeze-installed`` holds, with the real one, even what is to change.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from pydantic import BaseModel, ConfigDict, ValidationError

from peel.errors import ArtifactError
from peel.model.conda_record import Record
from peel.model.secrets import name_secrets, redact
from peel.tools import process
from peel.tools.micromamba import Solver, virtual_packages

_CRITICAL: Final = "critical libmamba "
_BOILERPLATE: Final = re.compile(r"Could not solve for environment specs|If you |Please try |https://github\.com|$")


@dataclass(frozen=True, slots=True)
class DryRun:
    """What is asked: ``specs`` of an environment in ``prefix``, from ``channels``, the first of them preferred.

    ``alone``: what would be there of the specs themselves, in an environment of their own. ``secrets`` are variables
    with values that channels' URLs name, as ``$NAME`` or ``${NAME}``.
    """

    prefix: Path
    channels: tuple[str, ...]
    specs: tuple[str, ...]
    platform: str
    glibc: str
    cache: Path
    alone: bool = False
    secrets: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Solution:
    """What would be linked; of what is installed, all else stays."""

    link: tuple[Record, ...]


@dataclass(frozen=True, slots=True)
class NoSolution:
    """Nothing satisfies the specs; the solver's own explanation, a line each."""

    explanation: tuple[str, ...]


class _Linked(BaseModel):
    """A package as micromamba 2 prints it in FETCH and LINK."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    name: str
    version: str
    build: str
    build_number: int = 0
    subdir: str
    fn: str
    url: str
    depends: tuple[str, ...] = ()
    constrains: tuple[str, ...] = ()
    md5: str = ""
    sha256: str = ""
    size: int = 0


class _Actions(BaseModel):
    LINK: tuple[_Linked, ...] = ()
    FETCH: tuple[_Linked, ...] = ()


class _Answer(BaseModel):
    success: bool = False
    actions: _Actions = _Actions()
    solver_problems: tuple[str, ...] = ()


def dry_run(solver: Solver, asked: DryRun) -> Solution | NoSolution:
    """Ask a solver. Raises ArtifactError when a channel cannot be read, ToolError when the solver cannot be used."""
    argv = dry_run_argv(solver.path, asked)
    done = _run(argv, asked)
    answer = _parse(done.stdout)
    if answer is not None and answer.success and done.status == 0:
        fetched = {each.url: each for each in answer.actions.FETCH}
        return Solution(tuple(_record(fetched.get(each.url, each), asked) for each in answer.actions.LINK))
    if answer is None or not answer.solver_problems:
        raise _failure(done, asked.secrets)
    if any(map(_is_explaining, answer.solver_problems)):
        return NoSolution(tuple(_redacted(answer.solver_problems, asked.secrets)))
    # where JSON is asked for, a real micromamba only names the kind of problem: what it says to people tells more
    said = _run([part for part in argv if part != "--json"], asked).stderr.decode("utf-8", "replace")
    told = [line.strip() for line in said.splitlines() if _is_explaining(line)]
    return NoSolution(tuple(_redacted(told or answer.solver_problems, asked.secrets)))


def _run(argv: Sequence[str], asked: DryRun) -> process.Completed:
    return process.run(process.Command(tuple(argv), process.inherit(_variables(asked))), check=False)


def _is_explaining(line: str) -> bool:
    """Whether this is a line of the tree that a solver draws of what does not go together."""
    return line.strip().startswith(("├", "└", "│", "The following "))


def _redacted(lines: Iterable[str], secrets: Mapping[str, str]) -> Iterator[str]:
    yield from (redact(name_secrets(line.rstrip(), secrets)) for line in lines)


def dry_run_argv(program: Path, asked: DryRun) -> tuple[str, ...]:
    """The argv of ``install`` in a prefix, or of ``create`` in an empty one."""
    channels = [item for channel in asked.channels for item in ("-c", _with_values(channel, asked.secrets))]
    # python is asked for as everything else is: nothing else may hold it
    how = ("create", "--no-deps") if asked.alone else ("install", "--allow-downgrade", "--no-py-pin")
    return (
        str(program), *how,
        "-p", str(asked.prefix),
        "--dry-run", "--json", "--yes",
        "--no-rc", "--override-channels", *channels,
        "--channel-priority", "flexible",  # strictly, the first channel would hide what only a later one has
        *asked.specs,
    )  # fmt: skip


def _variables(asked: DryRun) -> Mapping[str, str]:
    given = {name.strip("_").upper(): value for name, value in virtual_packages(asked.platform, asked.glibc).items()}
    overrides = {f"CONDA_OVERRIDE_{name}": given[name].removeprefix("1 ") for name in ("LINUX", "GLIBC", "ARCHSPEC")}
    return {
        **overrides,
        "CONDA_OVERRIDE_CUDA": "",
        "CONDA_SUBDIR": asked.platform,
        "CONDA_PKGS_DIRS": str(asked.cache),
        "MAMBA_ROOT_PREFIX": str(asked.cache),  # else a real micromamba looks into the one at home
    }


def _with_values(channel: str, secrets: Mapping[str, str]) -> str:
    """A channel's URL as its server takes it."""
    return re.sub(r"\$\{?(\w+)\}?", lambda found: secrets.get(found[1], found[0]), channel)


def _with_names(url: str, asked: DryRun) -> str:
    """An artifact's URL with the names of variables, whether the solver printed their values or left them out."""
    for channel in asked.channels:
        base = _without_credentials(_with_values(channel, asked.secrets)).rstrip("/")
        if "$" in channel and _without_credentials(url).startswith(f"{base}/"):
            rest = _without_credentials(url).removeprefix(base)
            return re.sub(r"\$\{?(\w+)\}?", r"${\1}", channel).rstrip("/") + rest
    return name_secrets(url, asked.secrets)


def _without_credentials(url: str) -> str:
    return re.sub(r"/t/[^/]+", "", re.sub(r"(?<=://)[^/@]+@", "", url), count=1)


def _parse(stdout: bytes) -> _Answer | None:
    try:
        return _Answer.model_validate(json.loads(stdout))
    except (ValueError, ValidationError):
        return None


def _record(found: _Linked, asked: DryRun) -> Record:
    return Record(
        name=found.name, version=found.version, build=found.build, build_number=found.build_number,
        subdir=found.subdir, file_name=found.fn, url=_with_names(found.url, asked),
        depends=found.depends, constrains=found.constrains, md5=found.md5, sha256=found.sha256, size=found.size,
    )  # fmt: skip


def _failure(done: process.Completed, secrets: Mapping[str, str]) -> ArtifactError:
    said = done.stderr.decode("utf-8", "replace").splitlines()
    starts = [number for number, line in enumerate(said) if line.startswith(_CRITICAL)]
    first, *more = said[starts[-1] :] if starts else said[-3:] or [f"the solver ended with status {done.status}"]
    lines = [redact(name_secrets(line.strip(), secrets)) for line in (first.removeprefix(_CRITICAL), *more)]
    hints = [line.removeprefix("hint: ") for line in lines if line.startswith("hint: ")]
    told = [line for line in lines if not line.startswith("hint: ") and not _BOILERPLATE.match(line)]
    return ArtifactError(
        "\n  ".join(told) or f"the solver ended with status {done.status}",
        hint=hints[0] if hints else "see that the channel is right and up",
    )
