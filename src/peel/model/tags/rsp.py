"""The ``rsp`` policy: the tags of the Rubin Science Platform, as its spawner Nublado reads them (SQR-059 and since).

A tag reads: what was built, then optional, in this order, SAL cycle and its build (``_c0042.003``), RSP build
(``_rsp19``), anything else (``_extra``), architecture (``-arm64``). The alternatives are tried in a fixed order, and
the first that fits wins. Whatever fits none is Unknown, so that every text is some tag.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Final

from peel.model.tags.next_rsp import next_rsp_tag
from peel.model.tags.order import ascending, newest_first
from peel.model.tags.tag import Category, Tag, Version

_SUFFIX: Final = (
    r"(?:_c(?P<cycle>\d+)\.(?P<cycle_build>\d+))?(?:_rsp(?P<build>\d+))?(?:_(?P<extra>.+?))?(?:-(?P<arch>[a-z0-9]+))?"
)
_CANDIDATE: Final = re.compile(r"r(\d+)_(\d+)_(\d+)_rc(?P<rc>\d+)" + _SUFFIX, re.ASCII)
_RELEASE: Final = re.compile(r"r(\d+)_(\d+)_(\d+)" + _SUFFIX, re.ASCII)
_OLD_RELEASE: Final = re.compile(r"r(\d\d)(\d)", re.ASCII)
_WEEKLY: Final = re.compile(r"w_(\d+)_(\d+)" + _SUFFIX, re.ASCII)
_DAILY: Final = re.compile(r"d_(\d+)_(\d+)_(\d+)" + _SUFFIX, re.ASCII)
_NAMED: Final = re.compile(r"(?P<base>.*?)_c(?P<cycle>\d+)(?:-(?P<arch>[a-z0-9]+))?", re.ASCII | re.DOTALL)
_BARE: Final = re.compile(r"(?P<base>.*?)(?:-(?P<arch>[a-z0-9]+))?", re.ASCII | re.DOTALL)

_NO_CANDIDATE: Final = 1
_LONGEST: Final = 4000
_EXPERIMENTAL: Final = "exp_"
_THURSDAY: Final = 4
_ARCHITECTURES: Final = frozenset({"amd64", "arm64", "ppc64le", "s390x", "riscv64"})


@dataclass(frozen=True, slots=True)
class RspPolicy:
    """Parses and orders tags as the spawner does."""

    name: str = "rsp"

    def parse(self, text: str) -> Tag:
        """What a tag says; never fails. The empty text is ``latest``."""
        return _parse(text or "latest")

    def newest_first(self, tags: Iterable[Tag]) -> list[Tag]:
        """Categories in menu order, newest first in each, the one without architecture before its own kind."""
        return newest_first(tags)

    def warnings(self, text: str) -> Sequence[str]:
        """What a reader of this tag would be misled by, for who wants tags read strictly."""
        return tuple(_traps(text))

    def next_tag(self, existing: Iterable[str], tag: str) -> str | None:
        """The tag that the next build of ``tag`` should get; None for one that takes no build number."""
        return next_rsp_tag(tag, existing)


def alias(text: str) -> Tag:
    """A tag that is known to be an alias: shown as a title, ``recommended_c0046`` as Recommended (SAL Cycle 0046)."""
    return replace(_unknown(text, title=True), category=Category.ALIAS)


def _parse(text: str) -> Tag:
    """Experimental tags nest; a registry's longest tag nests 31 times, and anything nests so without recursion."""
    if len(text) > _LONGEST:  # int() refuses more digits than Python's limit, and no registry holds such a tag
        return _unknown(text)
    depth, rest = 0, text
    while rest.startswith(_EXPERIMENTAL) and len(rest) > len(_EXPERIMENTAL):
        rest, depth = rest[len(_EXPERIMENTAL) :], depth + 1
    if depth and "\n" in rest:  # the grammar's "anything" stops at a line's end
        return _unknown(text)
    inner = _plain(rest)
    if not depth:
        return inner
    display = f"{'Experimental ' * depth}{inner.display_name}"
    return replace(inner, tag=text, category=Category.EXPERIMENTAL, display_name=display)


def _plain(text: str) -> Tag:
    for read in _READERS:
        if (tag := read(text)) is not None:
            return tag
    return _unknown(text)


def _semantic(text: str, grammar: re.Pattern[str], category: Category) -> Tag | None:
    found = grammar.fullmatch(text)
    if found is None:
        return None
    numbers = (int(found[1]), int(found[2]), int(found[3] if grammar is not _OLD_RELEASE else 0))
    groups = found.groupdict()
    rc = int(groups["rc"]) if groups.get("rc") else None
    version = _dotted(numbers) + (f"-rc{groups['rc']}" if groups.get("rc") else "")
    # A candidate stands before its release; among candidates "rc10" is before "rc9", as SemVer orders words.
    last = (0, f"rc{groups['rc']}") if rc is not None else (_NO_CANDIDATE, "")
    return _built(
        text, category, f"{category} r{version}", groups,
        version=version, numbers=numbers, last=last, semantic=True, date=None,
    )  # fmt: skip


def _dated(text: str, grammar: re.Pattern[str], category: Category, day: Callable[..., dt.datetime]) -> Tag | None:
    found = grammar.fullmatch(text)
    if found is None:
        return None
    written = [part for part in found.groups()[: 2 if category is Category.WEEKLY else 3] if part]
    try:
        date = day(*(int(part) for part in written))
    except (ValueError, OverflowError):
        return None  # no such day, so no such tag: it falls on to Unknown
    year, month, *rest = (int(part) for part in written)
    numbers = (year, month, rest[0] if rest else 0)
    return _built(
        text, category, f"{category} {'_'.join(written)}", found.groupdict(),
        version=_dotted(numbers), numbers=numbers, last=(_NO_CANDIDATE, ""), semantic=False, date=date,
    )  # fmt: skip


def _week(year: int, week: int) -> dt.datetime:
    """Its Thursday, the day that decides to which year a week belongs (ISO 8601)."""
    day = dt.date.fromisocalendar(year, week, _THURSDAY)
    return dt.datetime(day.year, day.month, day.day, tzinfo=dt.UTC)


_day: Final = partial(dt.datetime, tzinfo=dt.UTC)

_READERS: Final[Sequence[Callable[[str], Tag | None]]] = (
    partial(_semantic, grammar=_CANDIDATE, category=Category.CANDIDATE),
    partial(_semantic, grammar=_RELEASE, category=Category.RELEASE),
    partial(_semantic, grammar=_OLD_RELEASE, category=Category.RELEASE),
    partial(_dated, grammar=_WEEKLY, category=Category.WEEKLY, day=_week),
    partial(_dated, grammar=_DAILY, category=Category.DAILY, day=_day),
)


def _built(
    text: str,
    category: Category,
    display: str,
    groups: dict[str, str | None],
    *,
    version: str,
    numbers: Version,
    last: tuple[int, str],
    semantic: bool,
    date: dt.datetime | None,
) -> Tag:
    cycle, cycle_build, build = (_int(groups.get(name)) for name in ("cycle", "cycle_build", "build"))
    extra, architecture = groups.get("extra"), groups.get("arch")
    if cycle is not None:
        display += f" (SAL Cycle {groups['cycle']}, Build {groups['cycle_build']})"
    if build is not None:
        display += f" (RSP Build {groups['build']})"
    display += "".join(f" [{part}]" for part in (extra, architecture) if part)
    order = ascending((0, (*numbers, *last), ""), cycle, cycle_build, build, extra, architecture)
    return Tag(
        text, category, display, order,
        version=version, semantic=semantic, cycle=cycle, cycle_build=cycle_build, build=build,
        architecture=architecture, extra=extra, date=date, numbers=numbers,
    )  # fmt: skip


def _unknown(text: str, *, title: bool = False) -> Tag:
    found = _NAMED.fullmatch(text) or _BARE.fullmatch(text)
    groups: dict[str, Any] = found.groupdict() if found else {"base": text}
    base, cycle, architecture = groups["base"], groups.get("cycle"), groups.get("arch")
    display = base.replace("_", " ").title() if title else base
    display += f" (SAL Cycle {cycle})" if cycle else ""
    display += f" [{architecture}]" if architecture else ""
    # Among experimentals, what has no version stands above what has one: the menu's own order
    order = ascending((1, (), base), _int(cycle), None, None, None, architecture)
    return Tag(text, Category.UNKNOWN, display, order, cycle=_int(cycle), architecture=architecture, base=base)


def _int(text: str | None) -> int | None:
    return int(text) if text else None


def _dotted(numbers: Version) -> str:
    return ".".join(str(part) for part in numbers)


def _traps(text: str) -> Iterator[str]:
    """The traps of this grammar that a tag walks into."""
    if not text:
        yield "the empty tag reads as latest"
    tag = _parse(text or "latest")
    yield from _dashes(text, tag)
    yield from _suffixes(tag)
    yield from _nameless(text, tag)


def _dashes(text: str, tag: Tag) -> Iterator[str]:
    """A dash means an architecture, whatever stands behind it."""
    if tag.architecture and tag.architecture not in _ARCHITECTURES:
        yield f"the dash makes {tag.architecture!r} an architecture, which it is not; write '_' or nothing"
    if found := re.search(r"-([A-Z][A-Za-z0-9]*)$", text, re.ASCII):
        yield f"{found[1]!r} is no architecture: one is written in lower case"


def _suffixes(tag: Tag) -> Iterator[str]:
    """What looks like a suffix and is read as anything else."""
    extra = tag.extra or ""
    if tag.category is not Category.UNKNOWN and re.match(r"rc(?!\d+(?:_|$))", extra):
        yield f"{extra!r} is not the number of a candidate, so this counts as a full release"
    if re.match(r"c\d+(?:_|$)", extra):
        yield f"{extra!r} is a cycle without its build, so it is no cycle; write _cNNNN.NNN"
    if re.match(r"c\d+\.\d+", extra) and tag.cycle is None:
        yield f"{extra!r} stands after the RSP build or another word, so it is no cycle; the cycle comes first"
    if re.search(r"(?:^|_)rsp\d+", extra):
        yield f"{extra!r} holds a build number that does not count; it stands right after version and cycle"


def _nameless(text: str, tag: Tag) -> Iterator[str]:
    """What looks like a version and is none."""
    inner = text
    while inner.startswith(_EXPERIMENTAL):
        inner = inner[len(_EXPERIMENTAL) :]
    if tag.base is not None and re.fullmatch(r"[wd]_\d+_\d+.*", inner):
        yield "there is no such day or week, so it is unknown and has no place in the order"
    if re.fullmatch(r"v\d+_\d+_\d+.*", inner):
        yield "an EUPS tag begins with 'v', an image's with 'r'"
    if tag.base is not None and re.search(r"_c\d+\.\d+", inner):
        yield "a name without a version takes a cycle without build: _cNNNN"
