"""Directories that are there whole or not at all."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from peel.errors import ToolError


@contextmanager
def replacing(target: Path) -> Iterator[Path]:
    """A new directory beside ``target`` that takes its place on leaving; after an exception the old one stays.

    Raises ToolError when the disk refuses.
    """
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        unfinished = Path(tempfile.mkdtemp(prefix=f".{target.name}.", dir=target.parent))
        try:
            yield unfinished
            unfinished.chmod(0o755)
            shutil.rmtree(target, ignore_errors=True)
            unfinished.rename(target)
        finally:
            shutil.rmtree(unfinished, ignore_errors=True)
    except OSError as error:
        place = error.filename or target
        raise ToolError(f"cannot write {place}: {error.strerror or error}", hint="choose another place") from error
