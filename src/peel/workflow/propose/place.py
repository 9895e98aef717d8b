"""Putting a declaration into the catalogue: at the end, whole, and never over what somebody wrote."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import mkdtemp

from peel.errors import UsageError
from peel.store.files import write_whole, writing
from peel.workflow.propose.given import DECLARATION


def refuse_overwriting(place: Path, files: Mapping[str, bytes], *, force: bool) -> None:
    """Raise UsageError when a file would take the place of another one, unless that is wished for."""
    other = [name for name, data in sorted(files.items()) if _differs(place / name, data)]
    if other and not force:
        raise UsageError(
            f"{place / other[0]} is there already, and says something else",
            hint="choose another --name, or let it be overwritten with --force",
        )


def put_in_place(place: Path, files: Mapping[str, bytes]) -> Sequence[Path]:
    """Write the files of a payload; those that changed. Into a new directory, all come at once.

    Raises ToolError when the disk refuses.
    """
    changed = [place / name for name, data in sorted(files.items()) if not _same(place / name, data)]
    if place.exists():
        for path in sorted(changed, key=lambda path: path.name == DECLARATION):  # what names the others comes last
            write_whole(path, files[str(path.relative_to(place))])
        return changed
    with writing(place):
        place.parent.mkdir(parents=True, exist_ok=True)
        fresh = Path(mkdtemp(prefix=f".{place.name}.", dir=place.parent))
    try:
        for name, data in files.items():
            write_whole(fresh / name, data)
        with writing(place):
            fresh.chmod(0o755)
            fresh.rename(place)
    except BaseException:
        shutil.rmtree(fresh, ignore_errors=True)
        raise
    return changed


def _same(path: Path, data: bytes) -> bool:
    return path.is_file() and path.read_bytes() == data


def _differs(path: Path, data: bytes) -> bool:
    return path.exists() and not _same(path, data)
