"""Locks between processes, and directories that are cleared away once their process is gone.

All are ``flock`` locks: the kernel drops them when their holder ends, however it ends.
"""

from __future__ import annotations

import errno
import fcntl
import os
import secrets
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from peel.interrupts import uninterrupted
from peel.store.files import writing

_LOCK = ".lock"
_PATIENCE_SECONDS = 3.0
_POLL_SECONDS = 0.05
_UNLOCKABLE = (errno.EBADF, errno.ENOLCK, errno.EOPNOTSUPP)


@contextmanager
def hold(path: Path, waiting: Callable[[], None] | None = None) -> Iterator[None]:
    """Hold a file's lock, alone among threads and processes; the file is made when missing and stays.

    ``waiting`` is called once when another holds it. The wait has no end but an interrupt.
    """
    with _lock_file(path) as descriptor:
        if not _try(descriptor):
            if waiting is not None:
                waiting()
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield


@contextmanager
def _lock_file(path: Path) -> Iterator[int]:
    with writing(path):
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


@contextmanager
def share(path: Path, waiting: Callable[[], None] | None = None) -> Iterator[None]:
    """Hold a file's lock beside others that share it; wait, as ``hold`` does, for one who holds it alone."""
    with _lock_file(path) as descriptor:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            if waiting is not None:
                waiting()
            fcntl.flock(descriptor, fcntl.LOCK_SH)
        yield


@contextmanager
def hold_if_free(path: Path) -> Iterator[bool]:
    """Hold a file's lock alone, unless another holds or shares it; says whether it is held."""
    with _lock_file(path) as descriptor:
        yield _try(descriptor)


@contextmanager
def hold_directory(path: Path) -> Iterator[None]:
    """Hold a directory's own lock, alone among threads and processes: no file appears in it; it is made when missing.

    Where the disk locks no directories, as NFS does not, nothing is held.
    """
    with writing(path):
        path.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        with writing(path):
            _lock_where_possible(descriptor)
        yield
    finally:
        os.close(descriptor)


def _lock_where_possible(descriptor: int) -> None:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
    except OSError as error:
        if error.errno not in _UNLOCKABLE:
            raise


@contextmanager
def fresh_directory(root: Path) -> Iterator[Path]:
    """Lend an empty directory beneath ``root``; it is gone afterwards, with all that is in it."""
    lock, descriptor = _claim(root)
    path = lock.with_suffix("")
    try:
        with writing(path):
            path.mkdir(mode=0o700)
        yield path
    finally:
        with uninterrupted():
            _remove_patiently(path, lock)
            os.close(descriptor)


def sweep(root: Path) -> int:
    """Clear away the directories that killed processes left beneath ``root``; says how many."""
    return sum(_sweep_one(lock) for lock in sorted(root.glob(f"*{_LOCK}")))


def _sweep_one(lock: Path) -> bool:
    try:
        descriptor = os.open(lock, os.O_RDWR | os.O_CLOEXEC)
    except OSError:
        return False  # its owner was faster
    try:
        free = _try(descriptor)
        if free:
            _remove(lock.with_suffix(""), lock)
        return free
    finally:
        os.close(descriptor)


def _claim(root: Path) -> tuple[Path, int]:
    """Make and hold a new lock file; again, should a sweep take it between the two."""
    with writing(root):
        root.mkdir(parents=True, exist_ok=True)
        while True:
            lock = root / f"{secrets.token_hex(8)}{_LOCK}"
            descriptor = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            if _try(descriptor) and os.fstat(descriptor).st_nlink:
                return lock, descriptor
            os.close(descriptor)


def _remove_patiently(path: Path, lock: Path) -> None:
    """Remove what a program that is just ending may still write to; what stays nevertheless, a sweep finds."""
    deadline = time.monotonic() + _PATIENCE_SECONDS
    _remove(path, lock)
    while path.exists() and time.monotonic() < deadline:
        time.sleep(_POLL_SECONDS)
        _remove(path, lock)


def _remove(path: Path, lock: Path) -> None:
    """The directory first: while it is there, so is the lock by which a sweep finds it."""
    shutil.rmtree(path, ignore_errors=True)
    if not path.exists():
        lock.unlink(missing_ok=True)


def _try(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
