"""The ``semver`` policy: Semantic Versioning 2.0.0, an optional ``v`` before it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from peel.model.tags.order import ascending, newest_first
from peel.model.tags.tag import Category, Tag

_N: Final = r"(?:0|[1-9][0-9]{0,17})"
_SEMVER: Final = re.compile(
    rf"(?P<v>v?)(?P<major>{_N})\.(?P<minor>{_N})\.(?P<patch>{_N})"
    r"(?:-(?P<pre>[0-9A-Za-z-]+(?:\.[0-9A-Za-z-]+)*))?(?:\+(?P<meta>[0-9A-Za-z-]+(?:\.[0-9A-Za-z-]+)*))?"
)
_LOOSE: Final = re.compile(r"v?\d+(?:\.\d+)*(?:[-+.].*)?")
_COUNTED: Final = re.compile(r"(?P<word>.*?)(?P<number>[0-9]{1,18})")


@dataclass(frozen=True, slots=True)
class SemverPolicy:
    """Parses and orders semantic versions; one with a pre-release is a candidate, anything else is unknown."""

    name: str = "semver"

    def parse(self, text: str) -> Tag:
        """What a tag says; never fails."""
        found = _match(text)
        if found is None:
            return Tag(text, Category.UNKNOWN, text, ascending((1, (), text), None, None, None, None, None), base=text)
        pre, meta = found["pre"], found["meta"]
        numbers = (int(found["major"]), int(found["minor"]), int(found["patch"]))
        version = ".".join(str(part) for part in numbers) + (f"-{pre}" if pre else "")
        category = Category.CANDIDATE if pre else Category.RELEASE
        head = (0, (*numbers, _precedence(pre)), "")
        return Tag(
            text, category, f"{category} {version}" + (f" [{meta}]" if meta else ""),
            ascending(head, None, None, None, None, None),
            version=version, semantic=True, extra=meta, numbers=numbers,
        )  # fmt: skip

    def newest_first(self, tags: Iterable[Tag]) -> list[Tag]:
        """Releases, then candidates, then the rest; in each by precedence (section 11), the highest first."""
        return newest_first(tags)

    def warnings(self, text: str) -> Sequence[str]:
        """What looks like a version and is none."""
        if _match(text) is None and _LOOSE.fullmatch(text):
            return ("it is no semantic version, which is MAJOR.MINOR.PATCH without leading zeros; so it is unknown",)
        return ()

    def next_tag(self, existing: Iterable[str], tag: str) -> str | None:
        """The next patch after all of the same minor version; of a candidate, the next one. None for no version."""
        mine = _match(tag)
        if mine is None:
            return None
        others = [found for each in (*existing, tag) if (found := _match(each)) and _line(found) == _line(mine)]
        stem = f"{mine['v']}{mine['major']}.{mine['minor']}."
        if not mine["pre"]:
            return f"{stem}{max(int(other['patch']) for other in others if not other['pre']) + 1}"
        counted = _COUNTED.fullmatch(mine["pre"])
        if counted is None:
            return f"{stem}{mine['patch']}-{mine['pre']}.1"
        taken = [
            int(found["number"])
            for other in others
            if other["patch"] == mine["patch"] and (found := _COUNTED.fullmatch(other["pre"] or ""))
            if found["word"] == counted["word"]
        ]
        return f"{stem}{mine['patch']}-{counted['word']}{max(taken) + 1}"


def _line(found: re.Match[str]) -> tuple[str, str]:
    return found["major"], found["minor"]


def _match(text: str) -> re.Match[str] | None:
    found = _SEMVER.fullmatch(text)
    words = (found["pre"] or "").split(".") if found else ()
    return None if any(len(w) > 1 and w.isdigit() and w.startswith("0") for w in words) else found


def _precedence(pre: str | None) -> tuple[Any, ...]:
    """Section 11: none is above all; numbers by value and below words; the longer above what it begins with."""
    if pre is None:
        return (1,)
    return (0, *((0, len(w), w) if w.isdigit() else (1, 0, w) for w in pre.split(".")))
