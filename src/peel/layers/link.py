"""Linker 1: a conda archive becomes the files of one final prefix.

The result equals what rattler installs, file by file, but that all may read its files, and run those that their owner
may; and that bytecode is left out where the environment's own Python makes it. It depends on the archive's content, the
prefix, the Python version and the paths left out; on nothing else. A change of any byte it writes needs another number.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Final

from peel.errors import ArtifactError
from peel.layers.archive import PackageFacts
from peel.layers.conda_info import parse_entry_point, read_info
from peel.layers.identity import refuse_other_package
from peel.layers.link_payload import Linked, Package, link_payload
from peel.layers.link_python import SCRIPT_MODE, is_replaced_bytecode, place, script
from peel.layers.link_record import InstalledPath, make_record, record_name
from peel.layers.link_stage import Stage
from peel.model.entry import Entry, Kind, directory, symlink
from peel.model.values import MTIME_CONSTANT, Digest, PythonVersion

LINKER: Final = 1
"""The number that a lock names; what it stands for never changes."""


def link_conda(
    archive: Path,
    *,
    name: str,
    version: str,
    file_name: str,
    digest: Digest,
    prefix: str,
    python: PythonVersion | None,
    stage: Path,
    omit: frozenset[str] = frozenset(),
) -> tuple[Entry, ...]:
    """Write a package's final files beneath ``stage``, which stands for ``prefix``, and describe them.

    ``name`` and ``version`` are the lock's. ``archive`` is read as what ``file_name`` says; ``digest`` is its sha256,
    already verified. ``python`` is the environment's; ``noarch: python`` needs one. ``omit`` are paths relative to the
    prefix that another package wins. Entries are files, links and listed directories in path order, with the package's
    build time as mtime. Of a file with several names the first in path order is the file, the others are hard links.

    Raises ArtifactError naming the package, and the member where there is one, for everything an archive must not hold,
    and for an archive of another package.
    """
    package = Package(file_name, read_info(archive, file_name), prefix, python, omit)
    index = package.info.index
    refuse_other_package(file_name, found=(index.name, index.version), locked=(name, version))
    if package.info.noarch == "python" and python is None:
        raise ArtifactError(f"{file_name}: needs a Python in its environment", hint="add python to the environment")
    with Stage(stage, file_name) as staged:
        linked = [*link_payload(archive, package, staged), *_write_scripts(package, staged)]
        linked.append(_write_record(linked, package, staged, archive, digest))
    return tuple(_entry(item, package, stage) for item in sorted(linked, key=lambda item: _order(item.path)))


def installed_paths(facts: PackageFacts, python: PythonVersion | None) -> Mapping[str, str | None]:
    """Where the paths of a package end up, relative to the prefix; its record and scripts are among them.

    Each with what identifies its final content, as of ``PathFact.identity``; listed directories are there, too.
    Raises ArtifactError when a ``noarch: python`` package is placed without a Python.
    """
    label = f"{facts.name}-{facts.version}-{facts.build}"
    found = {fact.path: fact.identity for fact in facts.paths}
    if facts.noarch == "python":
        if python is None:
            raise ArtifactError(f"{label}: needs a Python in its environment", hint="add python to the environment")
        scripts = {f"bin/{parse_entry_point(text, label).command}": text for text in facts.entry_points}
        placed = {place(path, python): identity for path, identity in found.items()}
        found = {**placed, **{path: hashlib.sha256(text.encode()).hexdigest() for path, text in scripts.items()}}
    kept = {path: identity for path, identity in found.items() if not is_replaced_bytecode(path, python)}
    return {**kept, f"conda-meta/{label}.json": None}


def _write_scripts(package: Package, staged: Stage) -> Iterator[Linked]:
    for point in package.info.entry_points:
        path = f"bin/{point.command}"
        if package.python and path not in package.omit:
            data = script(point, package.prefix, package.python)
            staged.write(path, data)
            yield _written(path, data, mode=SCRIPT_MODE)


def _write_record(linked: list[Linked], package: Package, staged: Stage, archive: Path, digest: Digest) -> Linked:
    scripts = {f"bin/{point.command}" for point in package.info.entry_points}
    installed = [_installed(item, scripts) for item in linked if item.kind is not Kind.DIRECTORY]
    record = make_record(package.info, installed, archive=archive, file_name=package.file_name, digest=digest)
    path = record_name(package.info)
    staged.write(path, record)
    return _written(path, record, mode=0o644)


def _written(path: str, data: bytes, *, mode: int) -> Linked:
    return Linked(path, Kind.FILE, mode, len(data), None, hashlib.sha256(data).hexdigest())


def _installed(item: Linked, scripts: Collection[str]) -> InstalledPath:
    kind = "softlink" if item.kind is Kind.SYMLINK else "hardlink"
    if item.path in scripts and item.sha256 is None:
        kind = "unix_python_entry_point"
    return InstalledPath(item.path, kind, item.sha256, item.sha256_in_prefix, item.size, item.rule)


def _entry(item: Linked, package: Package, stage: Path) -> Entry:
    root = package.prefix.strip("/")
    path = f"{root}/{item.path}"
    stamp = package.info.timestamp
    mtime = MTIME_CONSTANT if stamp is None else stamp
    if item.kind is Kind.SYMLINK:
        return symlink(path, item.target, mtime=mtime)
    if item.kind is Kind.DIRECTORY:
        return directory(path, mode=item.mode, mtime=mtime)
    leader = min(item.same, key=_order, default=item.path)
    if leader != item.path:
        return Entry(path, Kind.HARDLINK, item.mode, mtime, target=f"{root}/{leader}")
    return Entry(path, Kind.FILE, item.mode, mtime, item.size, stage / item.path)


def _order(path: str) -> list[str]:
    """The order of a canonical layer: by path components."""
    return path.split("/")
