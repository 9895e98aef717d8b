"""Aliases that follow the builds: whether one moves to the tag that is pushed. Only forward, in the policy's order."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from peel.errors import UsageError
from peel.model.tags.policy import TagPolicy
from peel.model.tags.tag import NAMELESS, Category, tag_fault

_FOLLOWED: Final = {
    "latest_release": Category.RELEASE,
    "latest_weekly": Category.WEEKLY,
    "latest_daily": Category.DAILY,
    "latest_release_candidate": Category.CANDIDATE,
    "latest_experimental": Category.EXPERIMENTAL,
}
_PLAIN: Final = (Category.RELEASE, Category.WEEKLY, Category.DAILY)
"""What an alias that names no category follows."""


@dataclass(frozen=True, slots=True)
class Move:
    """Whether an alias moves, and if not, why it stays."""

    moves: bool
    reason: str = ""


def check_alias(policy: TagPolicy, alias: str) -> None:
    """Raise UsageError for a name that no registry takes, or that names a build of its own."""
    fault = tag_fault(alias)
    if fault is None and policy.parse(alias).category not in NAMELESS:
        fault = f"by {policy.name} it is a {policy.parse(alias).category} of its own"
    if fault is not None:
        raise UsageError(f"no alias: {alias[:80]!r}: {fault}", hint="for example latest_release or recommended")


def follows(policy: TagPolicy, alias: str, tag: str) -> bool:
    """Whether an alias is for builds like this one: ``latest_weekly`` for weeklies, ``latest`` for no candidate."""
    read = policy.parse(tag)
    if read.architecture is not None or (policy.name == "rsp" and read.extra is not None):
        return False  # of one machine, or somebody's own
    wanted = _FOLLOWED.get(alias)
    return read.category == wanted if wanted else read.category in _PLAIN


def decide_move(policy: TagPolicy, current: str | None, tag: str) -> Move:
    """Whether an alias that stands at ``current``, None for an image whose tag nobody knows, moves to ``tag``."""
    if current is None:
        return Move(moves=False, reason="it stands for an image whose tag is not known")
    old, new = policy.parse(current), policy.parse(tag)
    unlike = old.category != new.category or (old.version is None) != (new.version is None)
    if unlike or new.category in NAMELESS:
        return Move(moves=False, reason=f"{current} ({old.category}) and {tag} ({new.category}) have no order")
    if new.order < old.order:
        return Move(moves=False, reason=f"it stands at {current}, which is newer")
    return Move(moves=True)
