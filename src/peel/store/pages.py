"""A directory of pages that belongs to peel: nothing else in it is ever touched."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Annotated, Final

from pydantic import AfterValidator, Field

from peel.errors import DocumentError, UsageError
from peel.model.documents import Document, SchemaOne
from peel.store.documents import load, to_json
from peel.store.files import write_whole, writing

INDEX: Final = "site.json"
"""Lists the pages, so that a later run knows its own; a page is listed before it is written."""

_BATCH: Final = 200
"""So many pages are listed at once."""

_PAGE: Final = re.compile(r"(?:[A-Za-z0-9_][A-Za-z0-9._~-]*/)*[A-Za-z0-9_][A-Za-z0-9._~-]*", re.ASCII)


def _plain(text: str) -> str:
    if not _PAGE.fullmatch(text) or text == INDEX:
        raise ValueError("should be a page's path, relative to the site")
    return text


class _Index(Document):
    schema_: SchemaOne = Field(alias="schema")
    pages: Annotated[tuple[Annotated[str, AfterValidator(_plain)], ...], Field(strict=False)]


@dataclass(frozen=True, slots=True)
class Page:
    """A file of a site: its path relative to the site, and its contents."""

    path: str
    text: str


@dataclass(frozen=True, slots=True)
class PagesWritten:
    """What became of a site: its pages by path and size in bytes, how many were new or changed, how many removed."""

    sizes: tuple[tuple[str, int], ...]
    changed: int
    removed: int


def write_pages(directory: Path, pages: Iterable[Page]) -> PagesWritten:
    """Make the directory hold these pages: only what changed is written, and pages of an earlier run are removed.

    Raises UsageError for a directory that holds anything else unless it is such a site, and for a page that lies where
    a file does that is not peel's; ToolError when the disk refuses.
    """
    known = _known(directory)
    sizes: dict[str, int] = {}
    changed = 0
    for batch in _batches(pages):
        for page in batch:
            if _plain(page.path) not in known:
                _refuse_foreign(directory, page.path)
        known.update(page.path for page in batch)
        _write_index(directory, known)  # first: what is broken off from here on is known to the next run
        for page in batch:
            data = page.text.encode()
            sizes[page.path] = len(data)
            changed += _write(directory, page.path, data)
    stale = sorted(known - sizes.keys())
    removed = sum(_remove(directory, path) for path in stale)
    _write_index(directory, set(sizes))
    return PagesWritten(tuple(sorted(sizes.items())), changed, removed)


def _known(directory: Path) -> set[str]:
    """The pages of an earlier run. Raises UsageError for a directory that is another's."""
    if directory.exists() and not directory.is_dir():
        raise UsageError(f"{directory} is not a directory", hint="name a new or empty directory")
    if (directory / INDEX).is_file():
        try:
            return set(load(directory / INDEX, _Index, origin=str(directory / INDEX)).pages)
        except DocumentError as error:
            raise UsageError(error.message, hint="name a new or empty directory") from None
    if directory.is_dir() and any(directory.iterdir()):
        raise UsageError(f"{directory} holds other things than a site of peel's", hint="name a new or empty directory")
    write_whole(directory / INDEX, to_json({"schema": 1, "pages": []}))
    return set()


def _batches(pages: Iterable[Page]) -> Iterator[list[Page]]:
    rest = iter(pages)
    while batch := list(islice(rest, _BATCH)):
        yield batch


def _write_index(directory: Path, pages: set[str]) -> None:
    data = to_json({"schema": 1, "pages": sorted(pages)})
    if (directory / INDEX).read_bytes() != data:
        write_whole(directory / INDEX, data)


def _refuse_foreign(directory: Path, path: str) -> None:
    if os.path.lexists(directory / path):
        raise UsageError(
            f"{directory / path} is not peel's, and a page is to be there", hint="move it away, or name another place"
        )


def _write(directory: Path, path: str, data: bytes) -> bool:
    """Whether anything had to be written. Not kept through a power cut: a site is made again in seconds."""
    place = directory / path
    _refuse_links(directory, place)
    with writing(place):
        if place.is_file() and not place.is_symlink() and place.read_bytes() == data:
            return False
        place.parent.mkdir(parents=True, exist_ok=True)
        fresh = place.with_name(f".{place.name}.new")
        fresh.unlink(missing_ok=True)
        fresh.write_bytes(data)
        fresh.chmod(0o644)
        fresh.replace(place)
    return True


def _refuse_links(directory: Path, place: Path) -> None:
    """Raise UsageError where a link leads out of the site."""
    if any(above.is_symlink() for above in _between(directory, place)):
        raise UsageError(f"{place.parent}: a link leads out of the site", hint="remove the link")


def _remove(directory: Path, path: str) -> bool:
    """Remove a page and the directories that are empty then; whether it was there."""
    place = directory / path
    if any(above.is_symlink() for above in _between(directory, place)) or not place.is_file():
        return False
    with writing(place):
        place.unlink()
        for above in _between(directory, place):
            try:
                above.rmdir()
            except OSError:
                break  # something else is in it
    return True


def _between(directory: Path, place: Path) -> Iterator[Path]:
    """The directories of the site above a page, innermost first."""
    above = place.parent
    while above != directory:
        yield above
        above = above.parent
