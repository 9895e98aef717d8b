"""Files that are there whole or not at all."""

from __future__ import annotations

import errno
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from peel.errors import ToolError

_FULL = (errno.ENOSPC, errno.EDQUOT)


def write_whole(path: Path, data: bytes) -> None:
    """Write a file so that a reader, or a power cut, sees the old bytes or the new ones; its mode is 0644.

    Directories above it are made. Raises ToolError when the disk refuses.
    """
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(data)
                settle(file.fileno(), 0o644)
            os.replace(name, path)  # noqa: PTH105 - the name is a string already
        except BaseException:
            with suppress(OSError):
                Path(name).unlink()
            raise
        sync_directory(path.parent)


def settle(descriptor: int, mode: int) -> None:
    """Give an open file its mode, whatever the umask, and put its bytes on the disk."""
    os.fchmod(descriptor, mode)
    os.fsync(descriptor)


def sync_directory(path: Path) -> None:
    """Put a directory's names on the disk; a rename lasts only then."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def writing(path: Path, *, needed: int | None = None) -> Iterator[None]:
    """Tell people about what the disk refuses: OSError becomes ToolError naming ``path``.

    ``needed`` is how many bytes are still to be written there, where that is known.
    """
    try:
        yield
    except OSError as error:
        raise ToolError(f"cannot write to {path}: {error.strerror or error}", hint=_hint(error, path, needed)) from None


def _hint(error: OSError, path: Path, needed: int | None) -> str:
    if error.errno in _FULL:
        amount = "some space" if needed is None else f"{needed:,} bytes"
        return f"free {amount} on the disk that holds {path}, or choose another place"
    return "see to it that this user may write there, or choose another place"
