"""What all policies order by: keys in which what is absent has its place, and the order of menus."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from peel.model.tags.tag import CATEGORIES, Tag

_PLACE: Final = {category: place for place, category in enumerate(CATEGORIES)}


def none_first(value: int | str | None) -> tuple[bool, Any]:
    """A key that puts what is absent before everything."""
    return (value is not None, "" if value is None else value)


def none_last(value: int | str | None) -> tuple[bool, Any]:
    """A key that puts what is absent after everything."""
    return (value is None, "" if value is None else value)


def ascending(
    head: tuple[Any, ...],
    cycle: int | None,
    cycle_build: int | None,
    build: int | None,
    extra: str | None,
    architecture: str | None,
) -> tuple[Any, ...]:
    """How tags of one category follow each other: version, cycle, its build, build, the rest, architecture.

    A number is after none; an architecture is before none, so that newest first shows the image for all of them first.
    """
    middle = (none_first(cycle), none_first(cycle_build), none_first(build), none_first(extra))
    return (head, *middle, none_last(architecture))


def newest_first(tags: Iterable[Tag]) -> list[Tag]:
    """Categories in the order of menus; in each, the newest first; equals by their texts, so that none is chance."""
    by_text = sorted(tags, key=lambda tag: tag.tag)
    by_text.sort(key=lambda tag: tag.order, reverse=True)
    by_text.sort(key=lambda tag: _PLACE[tag.category])
    return by_text
