"""``peel try --json``: where an environment is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from peel.report import SCHEMA

if TYPE_CHECKING:
    from peel.workflow.trial import Trial


def trial_json(trial: Trial, *, in_base: bool) -> dict[str, Any]:
    """The lock set, the files on this machine, and the prefix that they say they are at."""
    return {
        "schema": SCHEMA,
        "image": str(trial.ref),
        "payload": trial.environment.name,
        "python": trial.python or None,
        "directory": str(trial.place) if trial.place else None,
        "prefix": trial.prefix,
        "in_base": in_base,
    }
