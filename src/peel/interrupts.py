"""What asks peel to end, and how it is put off while something has to be cleared away."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

INTERRUPTS: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
"""What asks peel to end: Ctrl-C, a job's end, a terminal that goes away."""


@contextmanager
def uninterrupted() -> Iterator[None]:
    """Put interrupts off until the block is left: for what must be cleared away, however impatient people are.

    Only the main thread is ever interrupted; elsewhere this does nothing.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    came: list[int] = []
    # handlers instead of a mask: other threads would still let the signal through, and children inherit a mask
    heeded = {
        number: handler
        for number in INTERRUPTS
        if (handler := signal.getsignal(number)) is not None and handler != signal.SIG_IGN
    }
    for number in heeded:
        signal.signal(number, lambda number, _: came.append(number))
    try:
        yield
    finally:
        for number, handler in heeded.items():
            signal.signal(number, handler)
        if came:
            signal.raise_signal(came[0])
