"""``peel diff --markdown``: GitHub's tables, long parts folded.

Whatever comes from a document is a code span: there, nothing is a link, a mention or markup. Of what could end the span
or the cell of a table, only an escape is written (GitHub Flavored Markdown, "Code spans" and "Tables").
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from peel.model.diff import Difference, EnvironmentDifference, PackagesDifference
from peel.report.diff_rows import (
    NOTHING,
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

_SHORT = 10


def to_markdown(difference: Difference) -> str:
    """The whole difference as one text."""
    lines = [f"### {code(difference.a)} → {code(difference.b)}", ""]
    lines += [f"**{summary(difference) if difference else 'no difference'}**", ""]
    if difference.base:
        before, after = difference.base
        lines += ["#### Base", "", *_table(("from", "to"), [(code(before.text), code(after.text))])]
    lines += _settings("Launch settings", "setting", setting_rows(difference.launch))
    lines += _settings("Files of patches", "path", setting_rows(difference.files))
    for environment in in_order(difference.environments):
        lines += _environment(environment)
    if difference.system:
        folded = list(_packages(difference.system))
        lines += ["#### System packages", "", *_folded(f"{counts(difference.system)}", folded)]
    lines += _layers(difference)
    lines += [f"- not known: {code(sentence)}" for sentence in difference.unknown]
    return "\n".join(lines).rstrip("\n")


def code(text: str) -> str:
    """A text from outside as a code span that nothing in it can end."""
    safe = "".join(c if c.isprintable() and c not in "`|" else f"\\x{ord(c):02x}" for c in text)
    return f"`{safe}`" if safe.strip() else NOTHING


def _cell(text: str) -> str:
    return NOTHING if text == NOTHING else code(text)


def _table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    yield f"| {' | '.join(columns)} |"
    yield f"|{'---|' * len(columns)}"
    yield from (f"| {' | '.join(row)} |" for row in rows)
    yield ""


def _folded(title: str, lines: Sequence[str]) -> Sequence[str]:
    return [f"<details><summary>{title}</summary>", "", *lines, "</details>", ""] if lines else []


def _settings(title: str, column: str, rows: Sequence[Row]) -> Sequence[str]:
    if not rows:
        return []
    cells = [(code(row.name), _cell(row.before), _cell(row.after)) for row in rows]
    return [f"#### {title}", "", *_table((column, "from", "to"), cells)]


def _environment(environment: EnvironmentDifference) -> Sequence[str]:
    packages, place = environment.packages, place_of(environment)
    title = f"#### {code(environment.name)}" + (f" in {code(place)}" if place else "")
    if environment.state == "both":
        said = counts(packages) or "moved, with the same packages"
        return [title, "", said, "", *_packages(packages)]
    count, word = len(packages.added or packages.removed), state_words(environment)
    return [f"{title} {word}", "", *_folded(f"{count:,} packages", list(_package_table(_all(packages))))]


def _all(packages: PackagesDifference) -> Sequence[Row]:
    return package_rows(packages, whole=True).shown


def _packages(packages: PackagesDifference) -> Iterator[str]:
    rows = package_rows(packages)
    if rows.shown:
        yield from _package_table(rows.shown)
    for word, folded in rows.folded.items():
        also = "" if word == "rebuilt" else " more"
        yield from _folded(f"{len(folded):,}{also} {word}", list(_package_table(folded)))


def _package_table(rows: Sequence[Row]) -> Iterator[str]:
    cells = [(row.word, code(row.name), _cell(row.before), _cell(row.after)) for row in rows]
    yield from _table(("change", "package", "from", "to"), cells)


def _layers(difference: Difference) -> Sequence[str]:
    if difference.layers is None or not difference.layers.new:
        return []
    rows, _ = layer_rows(difference.layers, whole=True)
    table = list(_table(("layer", "size"), [(code(contents), size) for contents, size in rows]))
    return ["#### Layers to pull", "", *(table if len(rows) <= _SHORT else _folded(f"{len(rows)} layers", table))]
