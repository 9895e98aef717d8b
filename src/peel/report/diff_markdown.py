"""``peel diff --markdown``: GitHub's tables, long parts folded."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from peel.model.diff import Difference, EnvironmentDifference, PackagesDifference
from peel.report import NOTHING
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
from peel.report.markdown import code, folded, table

_SHORT = 10


def to_markdown(difference: Difference) -> str:
    """The whole difference as one text."""
    lines = [f"### {code(difference.a)} → {code(difference.b)}", ""]
    lines += [f"**{summary(difference) if difference else 'no difference'}**", ""]
    if difference.base:
        before, after = difference.base
        lines += ["#### Base", "", *table(("from", "to"), [(code(before.text), code(after.text))])]
    lines += _settings("Launch settings", "setting", setting_rows(difference.launch))
    lines += _settings("Files of patches", "path", setting_rows(difference.files))
    for environment in in_order(difference.environments):
        lines += _environment(environment)
    if difference.system:
        packages = list(_packages(difference.system))
        lines += ["#### System packages", "", *folded(f"{counts(difference.system)}", packages)]
    lines += _layers(difference)
    lines += [f"- not known: {code(sentence)}" for sentence in difference.unknown]
    return "\n".join(lines).rstrip("\n")


def _cell(text: str) -> str:
    return NOTHING if text == NOTHING else code(text)


def _settings(title: str, column: str, rows: Sequence[Row]) -> Sequence[str]:
    if not rows:
        return []
    cells = [(code(row.name), _cell(row.before), _cell(row.after)) for row in rows]
    return [f"#### {title}", "", *table((column, "from", "to"), cells)]


def _environment(environment: EnvironmentDifference) -> Sequence[str]:
    packages, place = environment.packages, place_of(environment)
    title = f"#### {code(environment.name)}" + (f" in {code(place)}" if place else "")
    if environment.state == "both":
        said = counts(packages) or "moved, with the same packages"
        return [title, "", said, "", *_packages(packages)]
    count, word = len(packages.added or packages.removed), state_words(environment)
    return [f"{title} {word}", "", *folded(f"{count:,} packages", list(_package_table(_all(packages))))]


def _all(packages: PackagesDifference) -> Sequence[Row]:
    return package_rows(packages, whole=True).shown


def _packages(packages: PackagesDifference) -> Iterator[str]:
    rows = package_rows(packages)
    if rows.shown:
        yield from _package_table(rows.shown)
    for word, hidden in rows.folded.items():
        also = "" if word == "rebuilt" else " more"
        yield from folded(f"{len(hidden):,}{also} {word}", list(_package_table(hidden)))


def _package_table(rows: Sequence[Row]) -> Iterator[str]:
    cells = [(row.word, code(row.name), _cell(row.before), _cell(row.after)) for row in rows]
    yield from table(("change", "package", "from", "to"), cells)


def _layers(difference: Difference) -> Sequence[str]:
    if difference.layers is None or not difference.layers.new:
        return []
    rows, _ = layer_rows(difference.layers, whole=True)
    cells = list(table(("layer", "size"), [(code(contents), size) for contents, size in rows]))
    return ["#### Layers to pull", "", *(cells if len(rows) <= _SHORT else folded(f"{len(rows)} layers", cells))]
