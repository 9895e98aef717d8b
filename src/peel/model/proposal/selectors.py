"""Platform selectors of environment files: ``- numpy  # [linux]`` and ``- sel(linux): numpy``, as people write them.

conda itself knows neither; conda-build's recipes had the first, conda-lock took both over.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Final

from peel.model.values import Platform

_COMMENTED = re.compile(r"(?P<line>\s*-.*?)\s+#\s*\[(?P<selector>[^\]]*)\].*")
_KEYED = re.compile(r"sel\((?P<selector>[^)]*)\)")
_NEVER: Final = frozenset(
    {"osx", "osx64", "osx-64", "osx-arm64", "mac", "macos", "darwin", "win", "win32", "win64", "win-64", "windows",
     "armv6l", "armv7l", "linux32", "x86", "arm64"}
)  # fmt: skip
_ALWAYS: Final = frozenset({"linux", "unix"})
_BY_PLATFORM: Final = {
    "linux64": "linux-64", "linux-64": "linux-64", "x86_64": "linux-64", "x86-64": "linux-64",
    "aarch64": "linux-aarch64", "linux-aarch64": "linux-aarch64", "ppc64le": "linux-ppc64le",
    "linux-ppc64le": "linux-ppc64le",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Selected:
    """A text whose selectors were followed, and what of it: by selector the lines that are gone, and those not read."""

    text: str
    dropped: tuple[str, ...] = ()
    unknown: tuple[str, ...] = ()
    differing: tuple[str, ...] = ()
    """Lines that one platform has and another has not."""


def holds(selector: str, platform: Platform) -> bool | None:
    """Whether a selector is true for a platform; None when it is not understood. ``or`` binds weaker than ``and``."""
    either = [_all([_term(term, platform) for term in part.split(" and ")]) for part in selector.split(" or ")]
    if True in either:
        return True
    return None if None in either else False


def key_selector(key: str) -> str | None:
    """The selector of a key such as ``sel(linux)``; None for another key."""
    found = _KEYED.fullmatch(key.strip())
    return found["selector"].strip() if found else None


def follow(text: str, platform: Platform, others: Collection[Platform] = ()) -> Selected:
    """Follow the selectors in remarks: lines of other platforms are blanked, so that numbers of lines stay."""
    lines, dropped, unknown, differing = list[str](), list[str](), list[str](), list[str]()
    for line in text.split("\n"):
        found = _COMMENTED.fullmatch(line)
        true = holds(found["selector"].strip(), platform) if found else True
        if found and true is None:
            unknown.append(_item(line))
        if found and any(holds(found["selector"].strip(), other) != true for other in others):
            differing.append(_item(line))
        if true is False:
            dropped.append(_item(line))
        lines.append("" if true is False else line)
    return Selected("\n".join(lines), tuple(dropped), tuple(unknown), tuple(differing))


def _item(line: str) -> str:
    return line.strip().removeprefix("-").strip()


def _all(terms: Sequence[bool | None]) -> bool | None:
    if False in terms:
        return False
    return None if None in terms else True


def _term(term: str, platform: Platform) -> bool | None:
    word = term.strip().lower()
    if word.startswith("not "):
        inner = _term(word.removeprefix("not "), platform)
        return None if inner is None else not inner
    if word in _ALWAYS:
        return True
    if word in _NEVER:
        return False
    named = _BY_PLATFORM.get(word)
    return None if named is None else named == platform.subdir
