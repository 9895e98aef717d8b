"""Bytecode for what was captured: compiled as in any other environment, so that a kernel starts as fast."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from peel.layers import bytecode
from peel.layers.bytecode import Compiled
from peel.model.entry import Entry, Kind
from peel.model.values import PythonVersion
from peel.workflow.capturing.material import Material
from peel.workflow.compiling import run_compiler, warn_of


def compile_captured(
    environment: str, entries: Sequence[Entry], prefix: str, python: str, work: Path, material: Material
) -> Sequence[Entry]:
    """The bytecode of an environment's sources, but for those that brought some; ``python`` is a version as ``3.11``.

    ``entries`` are canonical, so that nothing lies beneath a link. Raises ToolError when the environment's own Python
    does not run in the base.
    """
    version, there = PythonVersion.parse(python), {entry.path for entry in entries}
    root = prefix.strip("/")
    sources = [
        path
        for path in bytecode.sources(entries, prefix, version)
        if f"{root}/{bytecode.pyc_path(path, version)}" not in there
    ]
    if not sources:
        return ()
    material.progress.step(f"compiling {len(sources)} files with {environment}'s own Python {python}")
    _stage(entries, root, work / "stage")
    (work / "bytecode").mkdir()
    (work / "sources").write_bytes(bytecode.listing({environment: sources}))
    refused = run_compiler(
        prefix, work, base=material.base, store=material.store, buildah=material.buildah
    )  # fmt: skip
    warn_of(refused, environment, material.progress)
    left_out = {source.path for source in refused} | (set(bytecode.sources(entries, prefix, version)) - set(sources))
    return bytecode.entries(Compiled(work / "bytecode", left_out), entries, prefix, version)


def _stage(entries: Sequence[Entry], root: str, stage: Path) -> None:
    """Lay the environment out as its Python will find it. Nothing is written through a link: each comes last."""
    stage.mkdir()
    inside = [entry for entry in entries if entry.path.startswith(f"{root}/")]
    by_path = {entry.path: entry for entry in entries}
    for entry in sorted(inside, key=lambda entry: entry.kind is Kind.SYMLINK):
        place = stage / entry.path.removeprefix(f"{root}/")
        match entry.kind:
            case Kind.DIRECTORY:
                place.mkdir(parents=True, exist_ok=True)
            case Kind.SYMLINK:
                place.parent.mkdir(parents=True, exist_ok=True)
                place.symlink_to(entry.target)
            case _:
                place.parent.mkdir(parents=True, exist_ok=True)
                os.link(_source_of(entry, by_path), place)
                place.chmod(0o755)


def _source_of(entry: Entry, by_path: Mapping[str, Entry]) -> Path:
    """Where a file's bytes lie; a hard link's, in the file that it repeats."""
    while entry.kind is Kind.HARDLINK:
        entry = by_path[entry.target]
    if not isinstance(entry.source, Path):
        raise TypeError(f"what is captured lies on disk: {entry.path}")
    return entry.source
