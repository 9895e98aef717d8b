"""Relative paths as text: ``lib/python3.13/os.py``. Faster than pathlib where there are hundreds of thousands."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator


def above(path: str) -> Iterator[str]:
    """The directories that lead to a path, the nearest first."""
    parent = path.rpartition("/")[0]
    while parent:
        yield parent
        parent = parent.rpartition("/")[0]


def is_covered(path: str, by: Collection[str]) -> bool:
    """Whether a path, or a directory that leads to it, is among these."""
    return path in by or any(parent in by for parent in above(path))


def ancestors(paths: Iterable[str]) -> set[str]:
    """All directories that lead to any of these."""
    found: set[str] = set()
    for path in paths:
        for parent in above(path):
            if parent in found:
                break  # and so are those above it
            found.add(parent)
    return found


def topmost(path: str, living: Collection[str]) -> str:
    """The highest directory that leads to a path, or the path itself, with none of ``living`` at or above it.

    ``living`` holds, with each directory, all that lead to it.
    """
    found = path
    for parent in above(path):
        if parent in living:
            break
        found = parent
    return found
