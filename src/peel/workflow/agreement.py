"""Whether a lock set still is what the declarations ask for, and whether it may change at all.

Kept apart from locking, so that asking is quick.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from peel.errors import DifferenceError, UsageError
from peel.model.declared import differences
from peel.model.values import ImageRef
from peel.store.catalogue import Catalogue


def lock_differences(ref: ImageRef, catalogue: Catalogue) -> Sequence[str]:
    """A line for everything in which declarations and lock do not agree any more. Raises DocumentError."""
    return differences(catalogue.image_lock(ref).declared, catalogue.declared(ref.image))


def check_lock(ref: ImageRef, catalogue: Catalogue) -> None:
    """See that declarations and lock still agree. Raises DifferenceError with a line per difference."""
    if found := lock_differences(ref, catalogue):
        lines = "\n".join(f"  {line}" for line in found)
        raise DifferenceError(
            f"{ref} was locked from other declarations:\n{lines}", hint=f"peel lock {_next(ref, catalogue)}"
        )


def refuse_recorded(ref: ImageRef, catalogue: Catalogue) -> None:
    """A lock set that has been built stays what it is. Raises UsageError."""
    if catalogue.record(ref) is not None:
        raise UsageError(
            f"{ref} has been built: its lock set has a record and is immutable",
            hint=f"lock another tag, for example: peel lock {_next(ref, catalogue)}",
        )


def _next(ref: ImageRef, catalogue: Catalogue) -> ImageRef:
    """The same address if it may still be locked, else one with its last number raised."""
    if catalogue.record(ref) is None:
        return ref
    numbers = list(re.finditer(r"\d+", ref.tag))
    if not numbers:
        return ImageRef(ref.image, f"{ref.tag}_1")
    last = numbers[-1]
    raised = str(int(last[0]) + 1).zfill(len(last[0]))
    return _next(ImageRef(ref.image, ref.tag[: last.start()] + raised + ref.tag[last.end() :]), catalogue)
