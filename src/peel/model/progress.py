"""How work tells what it is at. Nothing below the console knows how it is shown."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Literal, Protocol

Unit = Literal["bytes", "items"]
Advance = Callable[[int], None]


class Progress(Protocol):
    """Where long work reports to."""

    def step(self, text: str) -> None:
        """Say what begins now, in a few words."""

    def warn(self, text: str) -> None:
        """Say what a person should know, though the work goes on."""

    def bar(self, text: str, total: int | None, unit: Unit) -> AbstractContextManager[Advance]:
        """Measure work of a known size; the callable is told how much more of it is done."""


class Silent:
    """Progress that nobody watches."""

    def step(self, text: str) -> None:
        """Say nothing."""

    def warn(self, text: str) -> None:
        """Say nothing."""

    @contextmanager
    def bar(self, text: str, total: int | None, unit: Unit) -> Iterator[Advance]:  # noqa: ARG002
        """Count nothing."""
        yield lambda _: None
