"""Mounts that killed programs left behind."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from peel.tools import process

_MOUNTS: Final = Path("/proc/self/mounts")
_ESCAPE: Final = re.compile(rb"\\([0-7]{3})")


def mounts_beneath(place: Path) -> Sequence[Path]:
    """What is mounted at a directory or beneath it, the innermost first (proc(5), ``/proc/pid/mounts``)."""
    points = [_unescaped(line.split(b" ")[1]) for line in _MOUNTS.read_bytes().splitlines()]
    found = [point for point in points if point.is_relative_to(place)]
    return sorted(found, key=lambda point: len(point.parts), reverse=True)


def detach(place: Path) -> None:
    """Unmount what is mounted there, even if a dying program still uses it; what cannot be unmounted stays."""
    for point in mounts_beneath(place):
        command = process.Command(("umount", "--lazy", "--", str(point)), process.inherit())
        process.run(command, check=False)


def _unescaped(point: bytes) -> Path:
    return Path(_ESCAPE.sub(lambda found: bytes((int(found[1], 8),)), point).decode("utf-8", "surrogateescape"))
