"""Which tags a menu shows or a registry keeps: per category, and all conditions together."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from peel.model.tags.order import newest_first
from peel.model.tags.tag import NAMELESS, Category, Tag, Version


@dataclass(frozen=True, slots=True)
class CategoryFilter:
    """What a tag of one category must fulfil; None asks nothing.

    ``number`` is how many of the newest pass, 0 as many as there are. ``age`` and ``cutoff_date`` ask tags with a date,
    ``cutoff_version`` semantic ones, ``cutoff_build`` those that have a build number above 0.
    """

    number: int | None = None
    age: dt.timedelta | None = None
    cutoff_build: int | None = None
    cutoff_date: dt.datetime | None = None
    cutoff_version: Version | None = None

    def passes(self, tag: Tag, now: dt.datetime) -> bool:
        """Whether this tag fulfils all but the number."""
        aged = None if self.age is None else now - self.age
        oldest = [limit for limit in (self.cutoff_date, aged) if limit is not None]
        if tag.date is not None and any(tag.date < limit for limit in oldest):
            return False
        if self.cutoff_build is not None and tag.build and tag.build < self.cutoff_build:
            return False
        if self.cutoff_version is None or not tag.semantic or tag.numbers is None:
            return True
        released = "-" not in (tag.version or "")  # a candidate is before its release
        return (tag.numbers, released) >= (self.cutoff_version, True)


def slot(tag: Tag) -> tuple[object, ...]:
    """What all rebuilds of one version share: everything but the number of the build."""
    return (tag.category, tag.version or tag.base, tag.cycle, tag.cycle_build, tag.extra)


@dataclass(frozen=True, slots=True)
class TagFilter:
    """The filters of all categories, and the cycle that every tag must be of, aliases too.

    Unless ``rebuilds_count``, builds of one version count as one where the number is limited.
    """

    categories: Mapping[Category, CategoryFilter] = field(default_factory=dict)
    cycle: int | None = None
    rebuilds_count: bool = True

    def apply(self, tags: Iterable[Tag], now: dt.datetime) -> list[Tag]:
        """The tags that pass, in menu order."""
        passed, counts, seen = list[Tag](), dict[Category, int](), set[tuple[object, ...]]()
        for tag in newest_first(tags):
            rule = None if tag.category in NAMELESS else self.categories.get(tag.category)
            if self.cycle is not None and tag.cycle != self.cycle:
                continue
            if rule is not None:
                counted = self.rebuilds_count or slot(tag) not in seen
                if not rule.passes(tag, now):
                    continue
                if counted and rule.number and counts.get(tag.category, 0) >= rule.number:
                    continue
                counts[tag.category] = counts.get(tag.category, 0) + counted
                seen.add(slot(tag))
            passed.append(tag)
        return passed
