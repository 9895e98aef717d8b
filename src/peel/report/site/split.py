"""Long tables, split into pages of a bounded size."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from html import escape
from typing import Final, Generic, TypeVar

MOST_BYTES: Final = 150_000
"""What the rows of one page may take; with all around them a page stays under 200 kB."""

LONGEST: Final = 200
"""How many characters of a name from outside are shown."""

_Row = TypeVar("_Row")


@dataclass(frozen=True, slots=True)
class Part(Generic[_Row]):
    """The rows of one page, and its place among the others, from 1; ``paths`` are those of all of them."""

    rows: Sequence[_Row]
    number: int
    paths: tuple[str, ...]

    @property
    def path(self) -> str:
        """Where this page lies."""
        return self.paths[self.number - 1]


def split(
    rows: Iterable[_Row], path: str, *, weigh: Callable[[_Row], int], most: int = MOST_BYTES, longest: int | None = None
) -> Sequence[Part[_Row]]:
    """One page at least. ``weigh`` gives a row's bytes; ``longest`` is how many rows may stand on one page.

    The first page has the path, for example ``a.html``, the others ``a~2.html`` and so on: no name has a ``~``.
    """
    parts = list(_parts(rows, weigh, most, longest)) or [[]]
    stem, dot, ending = path.rpartition(".")
    paths = (path, *(f"{stem}~{number}{dot}{ending}" for number in range(2, len(parts) + 1)))
    return [Part(found, number, paths) for number, found in enumerate(parts, 1)]


def _parts(rows: Iterable[_Row], weigh: Callable[[_Row], int], most: int, longest: int | None) -> Iterator[list[_Row]]:
    part: list[_Row] = []
    size = 0
    for row in rows:
        weight = weigh(row)
        if part and (size + weight > most or len(part) == longest):
            yield part
            part, size = [], 0
        part.append(row)
        size += weight
    if part:
        yield part


def weight_of(*texts: str, markup: int) -> int:
    """The bytes of texts as they stand on a page, and of the ``markup`` around them."""
    return markup + sum(len(escape(text).encode()) for text in texts)


def shortened(text: str, most: int = LONGEST) -> str:
    """A text from outside, without what cannot be seen, and not longer than this."""
    seen = "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text[: most + 1])
    return seen if len(seen) <= most else f"{seen[: most - 1]}…"
