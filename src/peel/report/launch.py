"""``peel launch --check``: what every kernel said."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from peel.console import Console
from peel.report import SCHEMA

if TYPE_CHECKING:
    from peel.model.values import ImageRef
    from peel.workflow.lab import KernelCheck


def checks_json(checks: Sequence[KernelCheck]) -> list[dict[str, Any]]:
    """What every kernel said of itself."""
    return [
        {"name": c.name, "passed": c.passed, "version": c.version, "prefix": c.prefix, "detail": c.detail}
        for c in checks
    ]


def show_checks(ref: ImageRef, checks: Sequence[KernelCheck], console: Console, *, json: bool) -> bool:
    """``peel launch --check``: a line per kernel; says whether all passed, and there was one."""
    passed = bool(checks) and all(check.passed for check in checks)
    if json:
        console.json({"schema": SCHEMA, "image": str(ref), "passed": passed, "kernels": checks_json(checks)})
    else:
        for check in checks:
            said = check.detail or f"Python {check.version.partition(' ')[0]} in {check.prefix}"
            console.line(f"{'ok    ' if check.passed else 'FAILED'}  {check.name}: {said}")
        if not checks:
            console.line("FAILED  the image has no payload, so there is no kernel to run")
    return passed
