"""A tag as a policy reads it, and the categories that a menu lists tags by."""

from __future__ import annotations

import datetime as dt
import re
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final, TypeAlias

Version: TypeAlias = tuple[int, int, int]
"""Major, minor and patch, or what orders like them: year and week, year, month and day."""

_LONGEST: Final = 128
_WRITABLE: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]*", re.ASCII)


class Category(StrEnum):
    """What kind of build a tag names, in the order of menus."""

    ALIAS = "Alias"
    RELEASE = "Release"
    WEEKLY = "Weekly"
    DAILY = "Daily"
    CANDIDATE = "Release Candidate"
    EXPERIMENTAL = "Experimental"
    UNKNOWN = "Unknown"


NAMELESS: Final = (Category.ALIAS, Category.UNKNOWN)
"""What names no build of its own."""

CATEGORIES: Final = tuple(Category)
"""All of them, in the order of menus."""


@dataclass(frozen=True, slots=True)
class Tag:
    """What a policy read in a tag; None where there is nothing.

    ``base`` is the name of a tag without a version, bare of cycle and architecture. ``order`` is how this tag stands
    among others of its category and policy, ascending; it says nothing across categories.
    """

    tag: str
    category: Category
    display_name: str
    order: tuple[Any, ...]
    version: str | None = None
    semantic: bool = False
    cycle: int | None = None
    cycle_build: int | None = None
    build: int | None = None
    architecture: str | None = None
    extra: str | None = None
    date: dt.datetime | None = None
    base: str | None = None
    numbers: Version | None = None
    """The numbers of the version, to compare by."""


def tag_fault(text: str) -> str | None:
    """Why no registry can hold such a tag (distribution-spec, "Pulling manifests"); None when one can."""
    if not text:
        return "it is empty"
    if len(text) > _LONGEST:
        return f"it has {len(text):,} characters, and a registry takes {_LONGEST}"
    if not _WRITABLE.fullmatch(text):
        return "a tag is made of letters, digits, '_', '.' and '-', and begins with none of the last two"
    return None
