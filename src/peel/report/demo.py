"""``peel demo``: what was done, and how to go on."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from peel.console import Console
from peel.report import SCHEMA
from peel.report.launch import checks_json

if TYPE_CHECKING:
    from peel.workflow.demo import Demo


def show_demo(done: Demo, console: Console, *, json: bool) -> None:
    """``peel demo``: what was done, and how to go on."""
    if json:
        return console.json(
            {
                "schema": SCHEMA,
                "catalogue": str(done.catalogue),
                "store": str(done.store.root),
                "image": str(done.plan.ref),
                "manifest": done.manifest,
                "identical": True,
                "kernels": checks_json(done.checks),
                "seconds": round(done.seconds, 1),
            }
        )
    for line in done.story(_this_program()):
        console.line(line)
    return None


def _this_program() -> str:
    """How to call this very peel again: from where we are, or by the name it is found under."""
    program = Path(sys.executable).with_name("peel")
    if program.is_relative_to(Path.cwd()):
        return str(program.relative_to(Path.cwd()))
    return "peel" if shutil.which("peel") else str(program)
