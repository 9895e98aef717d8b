"""Names that are taken only as long as the process that took them lives.

A name is an empty file beneath a directory, under ``flock``: the kernel drops the lock when its holder ends, however it
ends. The file stays, so that whoever comes later can tell what was left behind.
"""

from __future__ import annotations

import fcntl
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from peel.errors import ToolError


@contextmanager
def claim(directory: Path) -> Iterator[str]:
    """Take a fresh name until the block is left; ``release`` forgets it. Raises ToolError when the disk refuses."""
    try:
        directory.mkdir(parents=True, exist_ok=True)
        name, descriptor = _claim(directory)
    except OSError as error:
        hint = "see to it that this user may write there, or name another store with --store"
        raise ToolError(f"cannot write to {directory}: {error.strerror}", hint=hint) from None
    try:
        yield name
    finally:
        os.close(descriptor)


def abandoned(directory: Path) -> Iterator[str]:
    """The names that nobody holds any more, each taken while the loop is at it."""
    for path in sorted(directory.glob("*")):
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
        except OSError:
            continue  # its owner was faster
        try:
            if _try(descriptor):
                yield path.name
        finally:
            os.close(descriptor)


def release(directory: Path, name: str) -> None:
    """Forget a name: nothing is left that goes by it."""
    directory.joinpath(name).unlink(missing_ok=True)


def _claim(directory: Path) -> tuple[str, int]:
    while True:
        name = f"peel-{secrets.token_hex(6)}"
        descriptor = os.open(directory / name, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        if _try(descriptor) and os.fstat(descriptor).st_nlink:  # else a sweep came between the two
            return name, descriptor
        os.close(descriptor)


def _try(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True
