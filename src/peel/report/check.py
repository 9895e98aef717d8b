"""``peel check``: a line per check, with what to do where one failed."""

from __future__ import annotations

from collections.abc import Sequence

from peel.console import Console
from peel.model.checks import Check
from peel.model.values import ImageRef
from peel.report import SCHEMA

_WORDS = {(True, False): "ok", (False, False): "FAILED", (False, True): "skipped"}


def show_checks(ref: ImageRef, checks: Sequence[Check], console: Console, *, json: bool) -> bool:
    """All checks; says whether none failed and one at least was made."""
    passed = not any(check.failed for check in checks) and any(check.passed for check in checks)
    if json:
        console.json({"schema": SCHEMA, "image": str(ref), "checks": [check.as_json() for check in checks]})
        return passed
    width = max((len(check.name) for check in checks), default=0)
    for check in checks:
        console.line(f"{_WORDS[check.passed, check.skipped]:<7}  {check.name:<{width}}  {check.detail}")
        if check.hint:
            console.line(f"{'':<7}  {'':<{width}}  hint: {check.hint}")
    return passed
