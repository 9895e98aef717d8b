"""Times as medians of runs that alternate, and peaks of memory of whole process trees."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

SAMPLING_SECONDS = 0.05


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the result: ``value`` is a ratio, seconds or MiB, and should be at most ``target``."""

    what: str
    against: str
    value: float
    unit: str
    target: float | None
    detail: str = ""

    @property
    def verdict(self) -> str:
        if self.target is None:
            return ""
        return "met" if self.value <= self.target else "MISSED"


Action = Callable[[], object]


@dataclass(frozen=True, slots=True)
class Contender:
    """Something to time; ``prepare`` comes before every run and is not timed."""

    run: Action
    prepare: Action = lambda: None


def alternate(rounds: int, *contenders: Contender) -> list[float]:
    """The median seconds of each contender; they take turns, so that a change of the machine's load meets them all."""
    taken: list[list[float]] = [[] for _ in contenders]
    for _ in range(rounds):
        for times, contender in zip(taken, contenders, strict=True):
            contender.prepare()
            os.sync()  # what an earlier run has still to write is not this one's
            began = time.monotonic()
            contender.run()
            times.append(time.monotonic() - began)
    told = "; ".join(" ".join(f"{seconds:.2f}" for seconds in times) for times in taken)
    sys.stderr.write(f"  runs: {told}\n")
    return [statistics.median(times) for times in taken]


def call(argv: Sequence[str | Path], **options: object) -> bytes:
    """Run a program; its standard output. Its standard error is shown when it fails."""
    done = subprocess.run([str(part) for part in argv], capture_output=True, check=False, **options)  # type: ignore[call-overload]
    if done.returncode:
        sys.stderr.write(done.stderr.decode(errors="replace"))
        raise SystemExit(f"{argv[0]} failed with status {done.returncode}")
    return bytes(done.stdout)


@dataclass(slots=True)
class Peak:
    """The most memory seen, in bytes: of all processes together (shared pages once), and of the largest alone."""

    together: int = 0
    largest: int = 0

    def see(self, sizes: Sequence[int]) -> None:
        self.together = max(self.together, sum(sizes))
        self.largest = max(self.largest, max(sizes, default=0))


def peak_of(argv: Sequence[str | Path]) -> Peak:
    """Run a program and watch it with all its descendants."""
    peak = Peak()
    child = subprocess.Popen([str(part) for part in argv], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    drain = threading.Thread(target=child.stderr.read if child.stderr else lambda: None)
    drain.start()
    while child.poll() is None:
        peak.see([_proportional(pid) for pid in _tree(child.pid)])
        time.sleep(SAMPLING_SECONDS)
    drain.join()
    if child.returncode:
        raise SystemExit(f"{argv[0]} failed with status {child.returncode}")
    return peak


def _tree(root: int) -> list[int]:
    below: dict[int, list[int]] = {}
    for entry in os.scandir("/proc"):
        if entry.name.isdigit() and (parent := _parent(entry.name)) is not None:
            below.setdefault(parent, []).append(int(entry.name))
    found = [root]
    for pid in found:
        found.extend(below.get(pid, ()))  # grows while it is walked
    return found


def _parent(pid: str) -> int | None:
    try:
        return int(Path("/proc", pid, "stat").read_bytes().rpartition(b")")[2].split()[1])
    except (OSError, IndexError):
        return None


def _proportional(pid: int) -> int:
    """The proportional set size (proc(5), smaps_rollup) in bytes, 0 for a process that is gone."""
    try:
        for line in Path("/proc", str(pid), "smaps_rollup").read_bytes().splitlines():
            if line.startswith(b"Pss:"):
                return int(line.split()[1]) * 1024
    except OSError:
        pass
    return 0
