"""Environments made to be tried: beneath the store, each under the digest of what it is made from, made once."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from peel.model.values import Digest
from peel.store.files import write_whole, writing
from peel.store.store import Store

DIRECTORY: Final = "environments"
_MADE: Final = ".made"
"""What is appended to a directory's name for the file that says that all of it is there."""


def place_of(store: Store, key: Digest) -> Path:
    """Where the environment of this key lies, or would lie."""
    return store.root / DIRECTORY / key.hex


def is_made(store: Store, key: Digest) -> bool:
    """Whether it is there, whole."""
    place = place_of(store, key)
    return place.is_dir() and _mark(place).is_file()


def make_once(store: Store, key: Digest, make: Callable[[Path], None], waiting: Callable[[], None]) -> Path:
    """The directory of this key, which ``make`` fills where nobody has yet; it does not exist when that begins.

    What fails, is interrupted or was killed leaves nothing that is taken for an environment. Raises ToolError when the
    disk refuses, and whatever ``make`` does.
    """
    place = place_of(store, key)
    with store.lock(f"environment {key.hex}", waiting):
        if is_made(store, key):
            return place
        with writing(store.root):
            place.parent.mkdir(exist_ok=True)
        discard(place)
        try:
            make(place)
            write_whole(_mark(place), b"")
        except BaseException:
            discard(place)
            raise
    return place


def all_made(store: Store) -> Sequence[Path]:
    """Every environment, sorted, also what a killed run has left of one."""
    directory = store.root / DIRECTORY
    return sorted(path for path in directory.iterdir() if path.is_dir()) if directory.is_dir() else ()


def discard(place: Path) -> None:
    """Remove an environment, whole or not."""
    with writing(place):
        _mark(place).unlink(missing_ok=True)
        if os.path.lexists(place):
            shutil.rmtree(place)


def _mark(place: Path) -> Path:
    return place.with_name(place.name + _MADE)
