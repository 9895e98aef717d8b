"""What people see: progress and errors on stderr, results on stdout.

Rich is slow to load, so it is loaded where something is drawn.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from peel.model.progress import Advance, Unit

if TYPE_CHECKING:
    from rich.console import Console as RichConsole

    from peel.errors import PeelError

_KIB = 1024


class Console:
    """A terminal, or what stands in for one; ``quiet`` leaves errors and warnings only."""

    def __init__(self, *, quiet: bool = False) -> None:
        self._quiet = quiet
        self._rich: RichConsole | None = None

    @property
    def _stderr(self) -> RichConsole:
        if self._rich is None:
            from rich.console import Console as RichConsole

            self._rich = RichConsole(stderr=True, highlight=False, soft_wrap=True)
        return self._rich

    def step(self, text: str) -> None:
        """A line about what begins now."""
        if not self._quiet:
            self._say("→ ", text, "cyan")

    def warn(self, text: str) -> None:
        """A line that begins with ``warning:``."""
        self._say("warning: ", text, "yellow")

    def error(self, error: PeelError) -> None:
        """``error:``, then ``hint:`` where there is one."""
        self._say("error: ", error.message, "bold red")
        if error.hint:
            self._say("hint: ", error.hint, "bold")

    def _say(self, mark: str, text: str, style: str) -> None:
        from rich.text import Text

        # Text is never read as markup: names from outside may hold brackets
        self._stderr.print(Text.assemble((mark, style), _printable(text)))

    @contextmanager
    def bar(self, text: str, total: int | None, unit: Unit) -> Iterator[Advance]:
        """A progress bar on a terminal; a plain line elsewhere."""
        if self._quiet or total == 0:
            yield lambda _: None
        elif not self._stderr.is_terminal:
            self.step(text)
            yield lambda _: None
        else:
            with self._bar(text, total, unit) as advance:
                yield advance

    @contextmanager
    def _bar(self, text: str, total: int | None, unit: Unit) -> Iterator[Advance]:
        from rich.progress import (
            BarColumn,
            DownloadColumn,
            MofNCompleteColumn,
            Progress,
            TextColumn,
            TimeRemainingColumn,
        )

        amount = DownloadColumn(binary_units=True) if unit == "bytes" else MofNCompleteColumn()
        columns = (TextColumn("{task.description}", markup=False), BarColumn(), amount, TimeRemainingColumn())
        with Progress(*columns, console=self._stderr, transient=True) as progress:
            task = progress.add_task(_printable(text), total=total)
            yield lambda more: progress.advance(task, more)

    def table(self, columns: Sequence[str], rows: Sequence[Sequence[str]], *, right: Sequence[str] = ()) -> None:
        """A table on stdout; digests and paths are never wrapped or cut. ``right`` names the columns of numbers."""
        widths = [max(len(row[i]) for row in (columns, *rows)) for i in range(len(columns))]
        for row in (columns, *rows):
            cells = [c.rjust(w) if n in right else c.ljust(w) for c, w, n in zip(row, widths, columns, strict=True)]
            self.line("  ".join(cells).rstrip())

    def line(self, text: str = "") -> None:
        """A line of the result, on stdout, at once: who reads a lab's URL from a pipe waits for it."""
        sys.stdout.write(f"{_printable(text)}\n")
        sys.stdout.flush()

    def json(self, value: Mapping[str, Any]) -> None:
        """The result for programs, on stdout: all ASCII, so that it drives no terminal either."""
        sys.stdout.write(json.dumps(value, indent=2) + "\n")


def _printable(text: str) -> str:
    """Text from outside without what would drive a terminal."""
    return "".join(c if c.isprintable() or c == "\n" else f"\\x{ord(c):02x}" for c in text)


def human_size(size: float) -> str:
    """A number of bytes as people read it, for example ``12.3 MiB``."""
    for unit in ("B", "KiB", "MiB"):
        if size < _KIB:
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= _KIB
    return f"{size:.2f} GiB"
