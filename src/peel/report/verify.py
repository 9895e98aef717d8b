"""``peel verify``: identical, or what differs, the most telling first."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, Final

from peel.console import Console
from peel.model.ladder import Cause, Difference, Rung
from peel.report import SCHEMA

if TYPE_CHECKING:
    from peel.workflow.verify import Verified

_MOST_LINES: Final = 40
_MOST_ALIKE: Final = 5
"""How many differences of one cause in one package are shown one by one."""

_WORDS: Final = {
    Rung.FILE_TREE: "its file tree differs",
    Rung.DIFF_IDS: "its diffIDs differ",
    Rung.CONFIG: "its config differs",
    Rung.BLOBS: "its blobs differ",
    Rung.MANIFEST: "its manifest differs",
}
_OF_PACKAGES: Final = (Cause.OTHER_BUILD, Cause.MISSING_PACKAGE, Cause.EXTRA_PACKAGE, Cause.OTHER_LAYER)
"""Causes that say all of a package's files at once."""


def show_verified(done: Verified, console: Console, *, json: bool) -> bool:
    """``peel verify``: the digest that came out again, or a list of what differs; says whether nothing does."""
    comparison = done.comparison
    if json:
        console.json(verified_json(done))
        return comparison.identical
    if comparison.rung is None:
        console.line(f"identical: {done.manifest}")
    else:
        console.line(f"{_other(done)} is not what {done.ref} gives for {done.platform}: {_WORDS[comparison.rung]}")
        for line in _lines(comparison.differences):
            console.line(line)
    for contents in done.not_remade:
        console.line(f"captured, not re-made: {contents}")
    if done.kept is not None:
        all_of = "" if done.kept.count == done.kept.of else f" of {done.kept.of}"
        console.line(f"{done.kept.count}{all_of} layers as in {done.kept.origin}")
    return comparison.identical


def verified_json(done: Verified) -> dict[str, Any]:
    """``peel verify --json``."""
    rung = done.comparison.rung
    return {
        "schema": SCHEMA,
        "image": done.ref.image,
        "tag": done.ref.tag,
        "platform": done.platform.subdir,
        "against": done.against,
        "identical": done.comparison.identical,
        "rung": rung.value if rung else None,
        "differences": [difference.as_json() for difference in done.comparison.differences],
        "not_remade": list(done.not_remade),
        "kept": done.kept.as_json() if done.kept else None,
    }


def _other(done: Verified) -> str:
    return f"the {done.against}" if done.against in {"record", "pinned base"} else done.against


def _lines(differences: Sequence[Difference]) -> Iterator[str]:
    """The list, cut to what fits a screen; what is left out is counted."""
    lines = list(_grouped(differences))
    yield from (line for line, _ in lines[:_MOST_LINES])
    if left := sum(count for _, count in lines[_MOST_LINES:]):
        yield f"and {left:,} more; --json lists all of them"


def _grouped(differences: Sequence[Difference]) -> Iterator[tuple[str, int]]:
    """Lines, each with how many differences it tells: a heading per cause, layer and package, then what is alike."""
    groups: dict[tuple[str, str, str], list[Difference]] = {}
    for difference in differences:  # causes come in the order of telling, layers in that of the image
        place = (difference.cause.value, difference.layer or "", difference.package or "")
        groups.setdefault(place, []).append(difference)
    for found in groups.values():
        yield _heading(found[0]), 0
        yield from _alike(found)


def _heading(first: Difference) -> str:
    if first.layer is None or first.path is None:
        return f"{first.cause.value}: {first.layer}" if first.layer else first.cause.value
    return f"{first.cause.value}: {first.package or 'of no package'}, in layer {first.layer!r}"


def _alike(found: Sequence[Difference]) -> Iterator[tuple[str, int]]:
    """What one cause did to one package: all of it where that is little, else an example or some."""
    most = 1 if found[0].cause in _OF_PACKAGES else _MOST_ALIKE
    shown = found if len(found) <= most else found[: max(1, most - 2)]
    for difference in shown:
        what = f"{difference.path}: " if difference.path else ""
        yield f"  {what}{difference.detail}", 1
    if left := len(found) - len(shown):
        yield f"  and {left:,} more files of this package" if most == 1 else f"  and {left:,} more like these", left
