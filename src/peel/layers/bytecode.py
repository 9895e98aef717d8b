"""Which sources of an environment are compiled, by which command, and what entries their bytecode becomes.

Bytecode 1: every ``.py`` file beneath ``lib/pythonX.Y`` gets an unchecked-hash pyc (PEP 552), compiled inside the image
by the environment's own Python with :mod:`peel.layers.compile_in_image`, and bears the mtime of its source. A package's
sources are compiled in order, in chunks of a fixed length; other packages have no influence.
"""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from peel.errors import ToolError
from peel.model.entry import Entry, Kind
from peel.model.values import PythonVersion

BYTECODE: Final = 1
"""The number that a lock names; what it stands for never changes."""

SCRIPT: Final = Path(__file__).with_name("compile_in_image.py")
"""The script that the image's Python runs; it needs nothing else of peel."""

ENVIRONMENT: Final[Mapping[str, str]] = {"PYTHONHASHSEED": "0", "LC_ALL": "C.UTF-8", "TZ": "UTC"}
"""The whole environment of that run: nothing else may be set, since ``-I`` or ``-E`` would hide the hash seed, too."""

_CHUNK = 200
_HOSTILE: Final = "a program of the environment made it so: do not use this environment"


@dataclass(frozen=True, slots=True)
class Refused:
    """A source that does not compile, relative to the prefix, and why."""

    path: str
    message: str


@dataclass(frozen=True, slots=True)
class Compiled:
    """What the script left: bytecode beneath ``out``, and none of the ``refused`` sources."""

    out: Path
    refused: Collection[str] = frozenset()


def sources(entries: Iterable[Entry], prefix: str, python: PythonVersion) -> tuple[str, ...]:
    """The files that get bytecode, relative to the prefix, sorted by path components."""
    root = f"{prefix.strip('/')}/"
    home = f"{root}lib/python{python}/"
    found = {
        entry.path.removeprefix(root)
        for entry in entries
        if entry.path.startswith(home) and entry.path.endswith(".py") and entry.kind in {Kind.FILE, Kind.HARDLINK}
    }
    return tuple(sorted(found, key=lambda path: path.split("/")))


def pyc_path(path: str, python: PythonVersion) -> str:
    """Where CPython looks for the bytecode of ``path`` (PEP 3147)."""
    folder, slash, name = path.rpartition("/")
    return f"{folder}{slash}__pycache__/{name.removesuffix('.py')}.cpython-{python.major}{python.minor}.pyc"


def listing(packages: Mapping[str, Iterable[str]]) -> bytes:
    """The list file for the script: the sources of each package, in chunks; the same whatever the order of packages."""
    lines = []
    for name, paths in sorted(packages.items()):
        for number, path in enumerate(sorted(paths)):
            lines.append(f"{name}#{number // _CHUNK}\t{path}\n")
    return "".join(lines).encode()


def argv(*, prefix: str, script: str, out: str, workers: int, listing: str) -> tuple[str, ...]:
    """The command that compiles, with all paths as the image has them; to be run with ``ENVIRONMENT`` alone."""
    return (
        f"{prefix}/bin/python",
        "-s",  # nothing from a home directory
        "-B",  # what the script imports leaves no bytecode behind
        "-S",  # no site: no .pth file of a package runs
        script, out, prefix, str(workers), listing,
    )  # fmt: skip


def refused(stdout: str) -> tuple[Refused, ...]:
    """What the script told: sources without bytecode, sorted. Raises ToolError when it told something else."""
    try:
        told = [Refused(str(line["path"]), str(line["message"])) for line in map(json.loads, stdout.splitlines())]
    except (ValueError, TypeError, KeyError):
        raise ToolError("the bytecode compiler printed what it should not", hint=stdout[:200]) from None
    return tuple(sorted(told, key=lambda item: (item.path, item.message)))


def entries(compiled: Compiled, owned: Iterable[Entry], prefix: str, python: PythonVersion) -> tuple[Entry, ...]:
    """The bytecode of the sources among ``owned``: mode 0644, the source's mtime.

    Raises ToolError when a source that was not refused has none, or when anything but a file lies in its place.
    """
    root = prefix.strip("/")
    by_path = {entry.path: entry for entry in owned}
    paths = [path for path in sources(by_path.values(), prefix, python) if path not in compiled.refused]
    _refuse_links(compiled.out, {pyc_path(path, python).rpartition("/")[0] for path in paths})
    return tuple(_entries(compiled.out, paths, by_path, root, python))


def _refuse_links(out: Path, folders: Iterable[str]) -> None:
    """The image's own programs wrote beneath ``out``, whatever they are: what they link to may be the host's."""
    real = os.path.realpath(out)
    for folder in sorted(folders):
        if os.path.realpath(out / folder) != f"{real}/{folder}":
            raise ToolError(
                f"the bytecode in {folder!r} lies behind a symbolic link",
                hint=_HOSTILE,
            )


def _entries(
    out: Path, paths: Iterable[str], by_path: Mapping[str, Entry], root: str, python: PythonVersion
) -> Iterator[Entry]:
    for path in paths:
        made = pyc_path(path, python)
        try:
            status = os.lstat(out / made)
        except (FileNotFoundError, NotADirectoryError):
            raise ToolError(
                f"the bytecode compiler left no {made!r}, and did not say why",
                hint="is the environment's python a CPython of the version it is locked with? build again",
            ) from None
        if not stat.S_ISREG(status.st_mode):
            raise ToolError(f"the bytecode compiler left {made!r} as something else than a file", hint=_HOSTILE)
        owner = by_path[f"{root}/{path}"]
        yield Entry(f"{root}/{made}", Kind.FILE, mtime=owner.mtime, size=status.st_size, source=out / made)
