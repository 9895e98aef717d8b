"""``peel diff`` on a terminal."""

from __future__ import annotations

from collections.abc import Sequence

from peel.console import Console
from peel.model.diff import Difference, EnvironmentDifference, PackagesDifference
from peel.report.diff_rows import (
    Row,
    counts,
    in_order,
    layer_rows,
    package_rows,
    place_of,
    setting_rows,
    state_words,
    summary,
)

_NAMED = 4


def show_text(difference: Difference, console: Console, *, whole: bool) -> None:
    """A summary, then base, settings, each environment and the layers to pull; ``whole`` folds nothing."""
    console.line(f"{difference.a} → {difference.b}")
    console.line(summary(difference) if difference else "no difference")
    if difference.base:
        before, after = difference.base
        _title("base", console)
        console.line(f"  from {before.text}")
        console.line(f"  to   {after.text}")
    _settings("launch settings", "SETTING", setting_rows(difference.launch), console)
    _settings("files of patches", "PATH", setting_rows(difference.files), console)
    for environment in in_order(difference.environments):
        _environment(environment, console, whole=whole)
    if difference.system:
        _title(f"system packages: {counts(difference.system)}", console)
        _packages(difference.system, console, whole=whole)
    _layers(difference, console, whole=whole)
    _rest(difference, console)


def _title(text: str, console: Console) -> None:
    console.line()
    console.line(text)


def _settings(title: str, column: str, rows: Sequence[Row], console: Console) -> None:
    if rows:
        _title(title, console)
        console.table((column, "FROM", "TO"), [(row.name, row.before, row.after) for row in rows])


def _environment(environment: EnvironmentDifference, console: Console, *, whole: bool) -> None:
    packages, place = environment.packages, place_of(environment)
    where = f" in {place}" if place else ""
    if environment.state == "both":
        _title(f"{environment.name}{where}: {counts(packages) or 'moved, with the same packages'}", console)
    else:
        count, word = len(packages.added or packages.removed), state_words(environment)
        _title(f"{environment.name}{where} {word}, with {count:,} packages", console)
    if environment.state == "both" or whole:
        _packages(packages, console, whole=whole)


def _packages(packages: PackagesDifference, console: Console, *, whole: bool) -> None:
    rows = package_rows(packages, whole=whole)
    if rows.shown:
        cells = [(row.word, row.name, row.before, row.after) for row in rows.shown]
        console.table(("CHANGE", "PACKAGE", "FROM", "TO"), cells)
    for word, folded in rows.folded.items():
        names = ", ".join(row.name for row in folded[:_NAMED])
        more = f" and {len(folded) - _NAMED:,} more" if len(folded) > _NAMED else ""
        also = "" if word == "rebuilt" else " more"
        what = " (same version, other build)" if word == "rebuilt" else ""
        console.line(f"{len(folded):,}{also} {word}{what}: {names}{more}; --all lists them")


def _layers(difference: Difference, console: Console, *, whole: bool) -> None:
    if difference.layers is None or not difference.layers.new:
        return
    rows, left = layer_rows(difference.layers, whole=whole)
    _title("layers to pull", console)
    console.table(("LAYER", "SIZE"), rows, right=("SIZE",))
    if left:
        console.line(f"and {left} smaller ones; --all lists them")


def _rest(difference: Difference, console: Console) -> None:
    same = [environment.name for environment in difference.environments if not environment]
    if same and difference:
        _title(f"unchanged: {', '.join(same)}", console)
    if difference.unknown:
        console.line()
        for sentence in difference.unknown:
            console.line(f"not known: {sentence}")
