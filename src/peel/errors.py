"""Everything that can go wrong, by kind; each kind carries its exit code.

Nothing below the command line prints or exits: it raises one of these.
"""

from __future__ import annotations

from typing import ClassVar


class PeelError(Exception):
    """What is wrong (``message``) and what to do about it (``hint``)."""

    exit_code: ClassVar[int] = 4
    usual_hint: ClassVar[str | None] = None  # where nothing better is known

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint or self.usual_hint


class DifferenceError(PeelError):
    """Two things that must agree do not, or a check failed."""

    exit_code = 1


class UsageError(PeelError):
    """The command line asks for something that makes no sense."""

    exit_code = 2


class DocumentError(PeelError):
    """A declaration, lock or record cannot be read as what it should be."""

    exit_code = 3


class ToolError(PeelError):
    """A program is missing, too old, or failed."""

    exit_code = 4


class ArtifactError(PeelError):
    """A pinned artifact cannot be had, fails its hash, or holds what no archive may hold."""

    exit_code = 5
    usual_hint = "do not use what is named here: fetch it again, or lock another, and tell whoever made it"
