"""``peel import``: what was read, and what is missing of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from peel.console import Console
from peel.report import SCHEMA

if TYPE_CHECKING:
    from peel.workflow.import_result import Imported, Missing

_SHOWN: Final = 20


def show_imported(imported: Imported, console: Console, *, json: bool) -> None:
    """``peel import``: counts of each environment, what is missing by reason, and where the lock set lies."""
    if json:
        return console.json(imported_json(imported))
    rows = [(each.name, str(each.conda), str(each.pip), str(each.missing)) for each in imported.environments]
    numbers = ("CONDA", "PIP", "MISSING")
    console.table(("ENVIRONMENT", *numbers), rows, right=numbers)
    for why, missing in _by_reason(imported.missing).items():
        console.line()
        console.line(f"{len(missing)} {why}")
        for each in missing[:_SHOWN]:
            console.line(f"  {each.title}")
        if len(missing) > _SHOWN:
            console.line(f"  and {len(missing) - _SHOWN} more; --json lists them all")
    console.line()
    if not imported.written:
        return console.line(f"nothing was written to {imported.lock_set}")
    return console.line(f"{'incomplete: ' if imported.missing else ''}{imported.lock_set}")


def imported_json(imported: Imported) -> dict[str, Any]:
    """``peel import --json``."""
    return {
        "schema": SCHEMA,
        "image": imported.ref.image,
        "tag": imported.ref.tag,
        "format": imported.format,
        "environments": {
            each.name: {"conda": each.conda, "pip": each.pip, "missing": each.missing} for each in imported.environments
        },
        "missing": [_missing_json(each) for each in imported.missing],
        "written": imported.written,
        "lock_set": str(imported.lock_set),
    }


def _missing_json(missing: Missing) -> dict[str, Any]:
    found = missing.artifact
    return {
        "platform": missing.platform, "environment": missing.environment, "line": missing.line or None,
        "name": found.name, "version": found.version, "build": found.build, "manager": found.manager,
        "channel": found.channel, "url": found.url, "md5": found.md5, "sha256": found.sha256, "why": found.why,
    }  # fmt: skip


def _by_reason(missing: Sequence[Missing]) -> Mapping[str, Sequence[Missing]]:
    reasons: dict[str, list[Missing]] = {}
    for each in missing:
        reasons.setdefault(each.artifact.why, []).append(each)
    return dict(sorted(reasons.items()))
