"""Floor 5: the command line, a module per verb.

Verbs import their workflows when they run: ``peel --help`` loads nothing else.
"""

from __future__ import annotations

from peel.cli import (
    archive,
    build,
    check,
    demo,
    diff,
    doctor,
    gc,
    import_,
    launch,
    lock,
    menu,
    patch,
    propose,
    push,
    show,
    site,
    tag,
    try_,
    verify,
)
from peel.cli.app import app
from peel.cli.app import run as main

__all__ = [
    "app", "archive", "build", "check", "demo", "diff", "doctor", "gc", "import_", "launch", "lock", "main",
    "menu", "patch", "propose", "push", "show", "site", "tag", "try_", "verify",
]  # fmt: skip
