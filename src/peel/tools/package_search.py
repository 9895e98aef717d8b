"""Looking packages up in a channel, by peel's own solver in a process of its own: nothing is solved."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Final

from pydantic import BaseModel, Field, ValidationError

from peel.errors import ArtifactError, ToolError
from peel.model.secrets import redact
from peel.tools import process
from peel.tools.micromamba import EMBEDDED

_AT_ONCE: Final = 1000  # specs in one command line, which has a limit
_CRITICAL: Final = "critical libmamba "


class Found(BaseModel, frozen=True):
    """A package that a channel has. Hashes are in hexadecimal, "" where the channel gives none."""

    name: str
    version: str
    build: str
    subdir: str
    url: str
    md5: str = ""
    sha256: str = ""


class _Result(BaseModel):
    pkgs: Annotated[list[Found], Field(default_factory=list)]


class _Answer(BaseModel):
    result: _Result


@dataclass(frozen=True, slots=True)
class Exactly:
    """The one build of a package that is looked for."""

    name: str
    version: str
    build: str

    @property
    def spec(self) -> str:
        """The match spec of it."""
        return f"{self.name} =={self.version} {self.build}"


def search(wanted: Sequence[Exactly], channel: str, platform: str, cache: Path) -> Sequence[Found]:
    """What a channel has of these, for a platform or for all; ``cache`` is a directory for its index.

    Raises ArtifactError when the channel cannot be read, ToolError when the solver is missing.
    """
    found: list[Found] = []
    for start in range(0, len(wanted), _AT_ONCE):
        part = wanted[start : start + _AT_ONCE]
        command = process.Command(
            search_argv(_program(), [each.spec for each in part], platform),
            process.inherit({"CONDA_CHANNELS": channel, "CONDA_PKGS_DIRS": str(cache)}),  # a URL may hold a token
        )
        found += _exactly(part, _answer(command, channel))
    return found


def search_argv(program: Path, specs: Sequence[str], platform: str) -> tuple[str, ...]:
    """The argv of a search in the channels that CONDA_CHANNELS names."""
    return (str(program), "search", "--json", "--no-rc", "--platform", platform, "--", *specs)


def _program() -> Path:
    beside = Path(sys.executable).parent / EMBEDDED
    if not beside.is_file():
        raise ToolError(f"no {EMBEDDED} beside {sys.executable}", hint="install peel-images again")
    return beside


def _answer(command: process.Command, channel: str) -> Sequence[Found]:
    done = process.run(command, check=False)
    if done.status != 0:
        raise _failure(channel, done)
    try:
        return _Answer.model_validate_json(done.stdout).result.pkgs
    except ValidationError:
        raise ArtifactError(f"the index of {redact(channel)} holds what describes no package") from None


def _exactly(wanted: Sequence[Exactly], found: Sequence[Found]) -> Iterator[Found]:
    """Versions that only count as equal, as 1.0 and 1.0.0, are other packages."""
    asked = set(wanted)
    yield from (each for each in found if Exactly(each.name, each.version, each.build) in asked)


def _failure(channel: str, done: process.Completed) -> ArtifactError:
    said = done.stderr.decode("utf-8", "replace")
    lines = [line for line in said.splitlines() if line.startswith(_CRITICAL)] or said.splitlines()[-1:] or [""]
    reason = redact(lines[0].removeprefix(_CRITICAL)) or f"the solver ended with status {done.status}"
    if reason.startswith("The index of channel "):
        return ArtifactError(f"the index of {redact(channel)} cannot be read", hint="is its server up?")
    return ArtifactError(f"{redact(channel)} cannot be searched: {reason}")
