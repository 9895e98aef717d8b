"""Floor 5: the command line, a module per verb.

Verbs import their workflows when they run: ``peel --help`` loads nothing else.
"""

from __future__ import annotations

from peel.cli import build, demo, doctor, launch, lock, show
from peel.cli.app import app
from peel.cli.app import run as main

__all__ = ["app", "build", "demo", "doctor", "launch", "lock", "main", "show"]
