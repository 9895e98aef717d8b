"""Trying a payload without its image: what identifies its files, what it asks of a machine, and how it is entered.

A kernel of the image starts from a clean slate; so does what is tried, whatever Python its caller works with.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from peel.model.conda_version import CondaVersion
from peel.model.condalock import CondaLockPackage
from peel.model.glue.places import LAB_CONFIG
from peel.model.glue.second_texts import ENVIRONMENT, INHERITED
from peel.model.locked import Package
from peel.model.values import Digest, canonical_json

TRIAL: Final = 1
"""Raised when an environment that was made before must be made anew."""

_FOREIGN = re.compile(r"_?(?:PYTHON|CONDA_|MAMBA_|CE_|VIRTUAL_ENV|PIP_|UV_|PYENV_|POETRY_|JUPYTER|IPYTHON)\w*")
_LIBRARIES = frozenset({"LD_LIBRARY_PATH"})
_ACTIVE = re.compile(r"VIRTUAL_ENV|CONDA_PREFIX(?:_\d+)?")
_AT_LEAST = re.compile(r">=?\s*(\d+(?:\.\d+)+)")
_MANYLINUX = re.compile(r"manylinux_(\d+)_(\d+)_\w+?(?=[.-]|$)")
_USUAL_PATH: Final = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

_BEFORE = """\
arguments=("$@")  # what is sourced below may change them
"""
_AFTER = """\
export PYTHONNOUSERSITE=1
if [ "${{#arguments[@]}}" -gt 0 ]; then exec "${{arguments[@]}}"; fi
PS1={prompt}
"""


@dataclass(frozen=True, slots=True)
class GlibcNeed:
    """The newest C library that an environment asks for, and the package that does."""

    version: str
    package: str


def trial_key(packages: Iterable[Package], prefix: str, *, linker: int) -> Digest:
    """What the files of an environment are made from: where they go, and what of. Names and URLs do not count."""
    content = sorted([str(package.digest), *sorted(package.omit)] for package in packages)
    return Digest.of(canonical_json({"trial": TRIAL, "linker": linker, "prefix": prefix, "packages": content}))


def glibc_need(packages: Iterable[CondaLockPackage]) -> GlibcNeed | None:
    """What these packages say they need of a C library; None where none says anything."""
    needs = [GlibcNeed(version, package.name) for package in packages for version in _glibc_of(package)]
    newest = None
    for need in sorted(needs, key=lambda need: need.package):
        if newest is None or is_older(newest.version, need.version):
            newest = need
    return newest


def is_older(version: str, than: str) -> bool:
    """Whether a version comes before another."""
    return CondaVersion(version).compare(CondaVersion(than)) < 0


def _glibc_of(package: CondaLockPackage) -> Sequence[str]:
    if package.manager == "conda":
        return _AT_LEAST.findall(package.dependencies.get("__glibc", ""))
    tags = [(int(major), int(minor)) for major, minor in _MANYLINUX.findall(package.file_name)]
    return [f"{major}.{minor}" for major, minor in sorted(tags)[:1]]  # any one of its tags will do


def without_python(variables: Mapping[str, str]) -> dict[str, str]:
    """The variables of a caller without what would tell an environment of another: and without its programs on PATH.

    Packages that a user installed for herself stay out as well (PEP 370): what is tried is what was locked.
    """
    active = {f"{value.rstrip('/')}/bin" for name, value in variables.items() if _ACTIVE.fullmatch(name) and value}
    path = [place for place in variables.get("PATH", _USUAL_PATH).split(":") if place.rstrip("/") not in active]
    kept = {name: value for name, value in variables.items() if not _FOREIGN.fullmatch(name) and name not in _LIBRARIES}
    return {**kept, "PATH": ":".join(path) or _USUAL_PATH, "PYTHONNOUSERSITE": "1"}


def entering(name: str, prefix: str, variables: Mapping[str, str], setup: str | None = None) -> str:
    """A file for bash that enters an environment as its kernel does, and then becomes the program named after it.

    ``setup`` is where the payload's own script lies, if it has one. Without a program, a shell goes on.
    """
    exports = "".join(f"export {key}={shlex.quote(value)}\n" for key, value in sorted(variables.items()))
    entered = ENVIRONMENT.format(
        name=shlex.quote(name), prefix=shlex.quote(prefix), config=LAB_CONFIG, unset=" ".join(INHERITED),
        variables=exports, setup=f". {shlex.quote(setup)}\n" if setup else "",
    )  # fmt: skip
    return _BEFORE + entered + _AFTER.format(prompt=shlex.quote(f"({name}) \\w \\$ "))


def entering_argv(file: str, command: Sequence[str]) -> tuple[str, ...]:
    """How bash is to be started with such a file: to run a command, or as a shell that reads no other."""
    if command:
        return ("/bin/bash", "--noprofile", "--norc", file, *command)
    return ("/bin/bash", "--noprofile", "--rcfile", file, "-i")
