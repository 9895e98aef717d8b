"""Links archives in tests, and looks at what came of it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from archives import Item, conda
from oracle import PREFIX
from peel.layers.link import link_conda
from peel.model.entry import Entry
from peel.model.values import Digest, PythonVersion

PYTHON = PythonVersion(3, 13)
DIGEST = Digest.of(b"")


def linked(
    archive: Path,
    stage: Path,
    *,
    prefix: str = PREFIX,
    python: PythonVersion | None = PYTHON,
    omit: Sequence[str] = (),
    locked: tuple[str, str] | None = None,
) -> dict[str, Entry]:
    name, version = locked or names(archive.name)
    entries = link_conda(
        archive, name=name, version=version, file_name=archive.name, digest=DIGEST, prefix=prefix, python=python,
        stage=stage, omit=frozenset(omit),
    )  # fmt: skip
    return {entry.path.removeprefix(prefix.strip("/") + "/"): entry for entry in entries}


def names(file_name: str) -> tuple[str, str]:
    name, version, _ = file_name.rsplit("-", 2)
    return name, version


def bytes_of(entry: Entry) -> bytes:
    assert isinstance(entry.source, Path)
    data = entry.source.read_bytes()
    assert len(data) == entry.size
    return data


def one(tmp_path: Path, item: Item) -> Path:
    return conda(tmp_path / "one-1.0-0.conda", [item])
