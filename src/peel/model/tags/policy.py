"""What every tag policy can do, and the policies by their names."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final, Protocol

from peel.errors import DocumentError
from peel.model.tags.calver import DEFAULT_PATTERN, CalverPolicy
from peel.model.tags.rsp import RspPolicy
from peel.model.tags.semver import SemverPolicy
from peel.model.tags.tag import Tag

POLICIES: Final = ("rsp", "semver", "calver")


class TagPolicy(Protocol):
    """How tags are read, ordered and counted on. Reading never fails: what is not understood is Unknown."""

    @property
    def name(self) -> str:
        """What declarations call it."""

    def parse(self, text: str) -> Tag:
        """What a tag says."""

    def newest_first(self, tags: Iterable[Tag]) -> list[Tag]:
        """Categories in the order of menus, the newest first in each."""

    def warnings(self, text: str) -> Sequence[str]:
        """The traps a tag walks into, where it is read strictly."""

    def next_tag(self, existing: Iterable[str], tag: str) -> str | None:
        """The tag that the next build of ``tag`` should get; None for one that cannot be counted on."""


def policy_of(text: str) -> TagPolicy:
    """The policy as declarations write it: its name, for calver followed by a pattern, as ``calver YYYY.0M.MICRO``.

    Raises DocumentError.
    """
    name, _, pattern = text.partition(" ")
    return policy_named(name, pattern.strip() or None)


def policy_named(name: str, pattern: str | None = None) -> TagPolicy:
    """The policy by this name; ``pattern`` is calver's. Raises DocumentError for another name or a bad pattern."""
    if pattern is not None and name != "calver":
        raise DocumentError(f"the policy {name!r} has no pattern", hint="a pattern goes with calver")
    match name:
        case "rsp":
            return RspPolicy()
        case "semver":
            return SemverPolicy()
        case "calver":
            return CalverPolicy(pattern or DEFAULT_PATTERN)
    raise DocumentError(f"there is no tag policy {name!r}", hint=f"the policies are {', '.join(POLICIES)}")
