"""The processes that link and the threads that write, and how they end."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Iterator
from concurrent.futures import BrokenExecutor, Executor, ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import contextmanager
from typing import Final

from peel.errors import ToolError
from peel.interrupts import INTERRUPTS

_MOST_PROCESSES: Final = 4
"""Each takes some 50 MiB while it links, and a whole build is to stay below 512 MiB (docs/benchmarks.md)."""

_WRITERS: Final = 2
"""How many layers are written at once: while one is read, another is compressed."""


def process_count() -> int:
    """How many processes work at once: as many as may run here, but no more than a build has memory for."""
    return min(len(os.sched_getaffinity(0)), _MOST_PROCESSES)


@contextmanager
def linkers() -> Iterator[Executor]:
    """Processes that leave an interrupt to the parent, which then starts nothing more."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["peel.workflow.linking"])
    pool = ProcessPoolExecutor(process_count(), mp_context=context, initializer=_belong_to_parent)
    # an interrupt amid the start of a process would leave one that nobody waits for, and that complains
    before = signal.pthread_sigmask(signal.SIG_BLOCK, INTERRUPTS)
    try:
        pool.submit(os.getpid).result()
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        yield pool
    except BrokenExecutor:
        raise ToolError(
            "a process that was making layers was killed",
            hint="most often by the kernel, for want of memory: dmesg says so; free some, and build again",
        ) from None
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        pool.shutdown(wait=True, cancel_futures=True)


@contextmanager
def writers() -> Iterator[Executor]:
    """Threads that write layers; on an interrupt, none begins another."""
    pool = ThreadPoolExecutor(_WRITERS, thread_name_prefix="writer")
    try:
        yield pool
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _belong_to_parent() -> None:
    """Leave interrupts to the parent; but end with it, even if it is killed: else a worker would wait for ever."""
    for number in (signal.SIGINT, signal.SIGHUP):  # which a terminal sends to all of its processes
        signal.signal(number, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    if (parent := multiprocessing.parent_process()) is not None:
        parent.join()
        os._exit(1)
