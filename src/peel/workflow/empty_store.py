"""An empty store to build in, gone afterwards with its container storage, however the run ends."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from peel.interrupts import uninterrupted
from peel.store.locks import hold_if_free
from peel.store.store import Store
from peel.tools import mounts, process

_NAME: Final = "store"
_STORAGE: Final = Path(_NAME, "containers", "storage")


@contextmanager
def empty_store(store: Store) -> Iterator[Store]:
    """Lend an empty store on the disk of another one; what killed runs left of theirs is cleared away first."""
    _clear_killed(store)
    with store.work() as work:
        try:
            yield Store(work / _NAME)
        finally:
            with uninterrupted():
                process.end_left(str(work / _STORAGE))  # a buildah that was interrupted
                mounts.detach(work / _STORAGE)


def _clear_killed(store: Store) -> None:
    """A container storage has mounts of its own, which keep a sweep from removing it after a run was killed."""
    for lock in sorted((store.root / "tmp").glob("*.lock")):
        storage = lock.with_suffix("") / _STORAGE
        if storage.is_dir():
            with hold_if_free(lock) as abandoned:
                if abandoned:
                    process.end_left(str(storage))
                    mounts.detach(storage)
    store.sweep()
