"""The ``calver`` policy: versions by the calendar, of a declared pattern (calver.org's tokens)."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from peel.errors import DocumentError
from peel.model.tags.order import ascending, newest_first
from peel.model.tags.tag import Category, Tag

_TOKENS: Final = {
    "YYYY": r"[0-9]{4}", "YY": r"[0-9]{1,3}", "0Y": r"[0-9]{2,3}",
    "MM": r"[1-9]|1[0-2]", "0M": r"0[1-9]|1[0-2]",
    "WW": r"[1-9]|[1-4][0-9]|5[0-3]", "0W": r"0[1-9]|[1-4][0-9]|5[0-3]",
    "DD": r"[1-9]|[12][0-9]|3[01]", "0D": r"0[1-9]|[12][0-9]|3[01]",
    "MAJOR": r"[0-9]{1,18}", "MINOR": r"[0-9]{1,18}", "MICRO": r"[0-9]{1,18}", "MODIFIER": r"[A-Za-z][0-9A-Za-z.]*",
}  # fmt: skip
_SPLIT: Final = re.compile("(" + "|".join(sorted(_TOKENS, key=len, reverse=True)) + ")")
_KINDS: Final = {"YYYY": "Y", "YY": "Y", "0Y": "Y", "MM": "M", "0M": "M", "WW": "W", "0W": "W", "DD": "D", "0D": "D"}
_COUNTERS: Final = ("MICRO", "MINOR", "MAJOR")
_CENTURY: Final = 2000
_THURSDAY: Final = 4
DEFAULT_PATTERN: Final = "YYYY.0M.MICRO"


@dataclass(frozen=True, slots=True)
class CalverPolicy:
    """Parses and orders tags of one pattern, an optional ``v`` before it; anything else is unknown.

    A modifier makes a candidate. Raises DocumentError for a pattern that is none.
    """

    pattern: str = DEFAULT_PATTERN
    name: str = "calver"
    _grammar: re.Pattern[str] = field(init=False, repr=False)
    _tokens: tuple[str, ...] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        parts = _SPLIT.split(self.pattern)
        tokens = parts[1::2]
        kinds = [_KINDS.get(token, token) for token in tokens]
        if "Y" not in kinds or len(set(kinds)) != len(kinds) or any(re.search(r"[^._-]", p) for p in parts[::2]):
            raise DocumentError(
                f"not a calendar pattern: {self.pattern!r}",
                hint=f"join each of these at most once with '.', '_' or '-', a year among them: {', '.join(_TOKENS)}",
            )
        object.__setattr__(self, "_tokens", tuple(tokens))
        object.__setattr__(self, "_grammar", re.compile(_grammar_of(parts), re.ASCII))

    def parse(self, text: str) -> Tag:
        """What a tag says; never fails. An impossible date makes it unknown."""
        parts = self._read(text)
        date = _date(parts) if parts else None
        if parts is None or (date is None and len({"M", "W", "D"} & parts.keys())):
            return Tag(text, Category.UNKNOWN, text, ascending((1, (), text), None, None, None, None, None), base=text)
        modifier = parts.get("MODIFIER")
        category = Category.CANDIDATE if modifier else Category.RELEASE
        version = text.removeprefix("v")
        numbers = [int(parts[_kind(token)]) for token in self._tokens if token != "MODIFIER"]  # noqa: S105 - no secret
        major, minor, patch, *_ = (*numbers, 0, 0, 0)
        head = (0, (*numbers, (modifier is None, modifier or "")), "")
        return Tag(
            text, category, f"{category} {version}", ascending(head, None, None, None, None, None),
            version=version, semantic=False, extra=modifier, date=date, numbers=(major, minor, patch),
        )  # fmt: skip

    def newest_first(self, tags: Iterable[Tag]) -> list[Tag]:
        """Releases, then candidates, then the rest; the newest first in each."""
        return newest_first(tags)

    def warnings(self, text: str) -> Sequence[str]:
        """Says when a tag is of the pattern and its date is none."""
        if self._read(text) is not None and self.parse(text).category is Category.UNKNOWN:
            return ("there is no such date, so it is unknown and has no place in the order",)
        return ()

    def next_tag(self, existing: Iterable[str], tag: str) -> str | None:
        """The tag with its last counter after the highest of the same date; None where the pattern counts nothing."""
        mine = self._grammar.fullmatch(tag)
        counter = next((name for name in _COUNTERS if name in self._tokens), None)
        if mine is None or counter is None:
            return None
        place = mine.span(counter)
        around = (tag[: place[0]], tag[place[1] :])
        same = [found for each in (*existing, tag) if (found := self._grammar.fullmatch(each))]
        taken = [int(s[counter]) for s in same if (s.string[: s.start(counter)], s.string[s.end(counter) :]) == around]
        return f"{around[0]}{max(taken) + 1}{around[1]}"

    def _read(self, text: str) -> dict[str, str] | None:
        found = self._grammar.fullmatch(text)
        return {name: value for name, value in found.groupdict().items() if value} if found else None


def _kind(token: str) -> str:
    return _KINDS.get(token, token)


def _grammar_of(parts: Sequence[str]) -> str:
    made, optional = "v?", ""
    for separator, token in zip(parts[::2], (*parts[1::2], None), strict=True):
        text = re.escape(separator)
        if token is not None:
            text += f"(?P<{_kind(token)}>{_TOKENS[token]})"
        optional = "?" if token == "MODIFIER" else ""  # noqa: S105 - no secret
        made += f"(?:{text}){optional}"
    return made


def _date(parts: dict[str, Any]) -> dt.datetime | None:
    """The day that the version names, a week by its Thursday, a month by its first; None where there is no such."""
    year = int(parts["Y"]) + (_CENTURY if len(parts["Y"]) < len("2000") else 0)
    try:
        if "W" in parts:
            day = dt.date.fromisocalendar(year, int(parts["W"]), _THURSDAY)
        elif "M" in parts:
            day = dt.date(year, int(parts["M"]), int(parts.get("D", 1)))
        else:
            return None
    except ValueError:
        return None
    return dt.datetime(day.year, day.month, day.day, tzinfo=dt.UTC)
