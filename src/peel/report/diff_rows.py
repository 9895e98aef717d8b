"""A difference in words and rows, the important first; how tables for people and for pull requests come by them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from peel.console import human_size
from peel.model.diff import Changed, Difference, EnvironmentDifference, LayersDifference, PackagesDifference, Setting
from peel.report import NOTHING

_ORDER: Final = ("lowered", "removed", "replaced", "raised, major", "raised", "rebuilt", "added")
"""What became of a package, in the order in which people should hear of it."""

_FEW: Final = 5
"""How many rebuilt packages are worth a row each."""

_MANY: Final = 40
"""How many rows of one kind fit a screen."""

_LONGEST: Final = 200


@dataclass(frozen=True, slots=True)
class Row:
    """A package or setting that differs; ``before`` and ``after`` are ``NOTHING`` where it is not."""

    word: str
    name: str
    before: str
    after: str


@dataclass(frozen=True, slots=True)
class Rows:
    """Rows to be read, and those of less interest by their word."""

    shown: tuple[Row, ...]
    folded: Mapping[str, tuple[Row, ...]]


def package_rows(packages: PackagesDifference, *, whole: bool = False) -> Rows:
    """All packages that differ. Unless ``whole``, what is rebuilt is folded, and of what is many, most."""
    rows = [
        *(Row("removed", package.name, package.text, NOTHING) for package in packages.removed),
        *(Row(_word(change), change.name, change.before.text, change.after.text) for change in packages.changed),
        *(Row("added", package.name, NOTHING, package.text) for package in packages.added),
    ]
    by_word = {word: tuple(row for row in rows if row.word == word) for word in _ORDER}
    kept = {word: len(found) if whole else _kept(word, len(found)) for word, found in by_word.items()}
    return Rows(
        tuple(row for word, found in by_word.items() for row in found[: kept[word]]),
        {word: found[kept[word] :] for word, found in by_word.items() if len(found) > kept[word]},
    )


def _kept(word: str, count: int) -> int:
    if word == "rebuilt":
        return count if count <= _FEW else 0
    if word in {"raised", "added"}:
        return count if count <= _MANY + _FEW else _MANY
    return count


def _word(change: Changed) -> str:
    return "raised, major" if change.is_major else change.kind


def setting_rows(settings: Sequence[Setting]) -> list[Row]:
    """Settings that differ, long values cut."""
    return [Row("", setting.key, _short(setting.before), _short(setting.after)) for setting in settings]


def _short(text: str | None) -> str:
    if text is None:
        return NOTHING
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"


def counts(packages: PackagesDifference) -> str:
    """``1 lowered, 3 raised``; "" where nothing differs."""
    numbers = {
        "lowered": len(packages.of_kind("lowered")), "removed": len(packages.removed),
        "replaced": len(packages.of_kind("replaced")), "raised": len(packages.of_kind("raised")),
        "rebuilt": len(packages.of_kind("rebuilt")), "added": len(packages.added),
    }  # fmt: skip
    return join_counts(numbers)


def join_counts(numbers: Mapping[str, int]) -> str:
    """What there is at all, in words."""
    return ", ".join(f"{number:,} {word}" for word, number in numbers.items() if number)


def summary(difference: Difference) -> str:
    """The whole difference in one line."""
    parts = [join_counts(difference.totals) or "all packages the same"]
    if difference.base:
        parts.append("another base")
    parts.append(layers_line(difference.layers))
    return "; ".join(parts)


def layers_line(layers: LayersDifference | None) -> str:
    """``2 of 41 layers new, 12.3 MiB to pull``."""
    if layers is None:
        return "layers not known"
    count = layers.shared + len(layers.new)
    if not layers.new:
        return f"all {_layers(count)} shared, nothing to pull"
    if layers.new_unknown == len(layers.new):
        return f"{len(layers.new)} of {_layers(count)} new, of unknown size"
    least = "at least " if layers.new_unknown else ""
    return f"{len(layers.new)} of {_layers(count)} new, {least}{human_size(layers.new_bytes)} to pull"


def _layers(count: int) -> str:
    return "1 layer" if count == 1 else f"{count} layers"


def layer_rows(layers: LayersDifference, *, whole: bool) -> tuple[Sequence[tuple[str, str]], int]:
    """The layers to be pulled with their sizes, the largest first, and how many are left out."""
    ordered = sorted(layers.new, key=lambda layer: (-(layer.size or 0), layer.contents))
    rows = [(_short(layer.contents), "?" if layer.size is None else human_size(layer.size)) for layer in ordered]
    kept = len(rows) if whole or len(rows) <= 2 * _FEW else _FEW
    return rows[:kept], len(rows) - kept


def place_of(environment: EnvironmentDifference) -> str:
    """Where an environment lies, "" where its name says it."""
    prefixes = [prefix for prefix in (environment.before, environment.after) if prefix is not None]
    if len(set(prefixes)) == 2:
        return " → ".join(prefixes)
    return prefixes[-1] if prefixes[-1] != environment.name else ""


def state_words(environment: EnvironmentDifference) -> str:
    """What became of an environment that is on one side only."""
    return "is new" if environment.state == "added" else "is gone"


def in_order(environments: Sequence[EnvironmentDifference]) -> Iterator[EnvironmentDifference]:
    """Environments that differ: those on both sides, then those that are gone, then new ones."""
    for state in ("both", "removed", "added"):
        yield from (environment for environment in environments if environment.state == state and environment)
