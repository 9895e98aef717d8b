"""Files that a patch brings or removes beside packages: whether they can be what they are to be."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

from peel.errors import DocumentError
from peel.layers.tar import check_path
from peel.model.paths import above, ancestors, is_covered
from peel.workflow.beneath import Beneath
from peel.workflow.surface import Surface


@dataclass(frozen=True, slots=True)
class Lower:
    """What an image of one platform holds: the base, packages' paths by prefix, and what lies above those."""

    surface: Surface
    packaged: Mapping[str, Collection[str]]
    beneath: Beneath


def refuse_swallowed(own: Surface, prefixes: Iterable[str], origin: str) -> None:
    """Raise DocumentError for a patch that removes a whole environment, or whose files are in each other's way.

    Raises ArtifactError for a path that no layer can hold.
    """
    for path in sorted(own.held | own.removed):
        check_path(path)
    for prefix in prefixes:
        if is_covered(prefix.strip("/"), own.removed | own.held):
            raise DocumentError(
                f"{origin}: removes or replaces all of {prefix}",
                hint="a patch changes an environment: remove packages of it",
            )
    for path in sorted(own.held):
        if is_covered(path, own.removed):
            raise DocumentError(
                f"{origin}: files: /{path} lies in what remove_files removes", hint="remove its other files one by one"
            )
        if not own.held.isdisjoint(above(path)):
            raise DocumentError(f"{origin}: files: /{path} lies beneath another file", hint="choose another path")


def check_files(own: Surface, lower: Lower, origin: str) -> None:
    """See that what a patch brings can lie where it is to lie, and that what it removes is there.

    Raises DocumentError and ArtifactError naming the path.
    """
    packaged = {f"{prefix.strip('/')}/{path}" for prefix, paths in lower.packaged.items() for path in paths}
    there = packaged | lower.surface.held
    folders = ancestors(there)
    roots = tuple(f"{prefix.strip('/')}/" for prefix in lower.packaged)
    for path in sorted(own.held | own.removed):
        if not path.startswith(roots):
            lower.beneath.refuse_changed(path, origin)
    for path in sorted(own.held):
        if path in folders or lower.beneath.is_directory(path):
            raise DocumentError(f"{origin}: files: /{path} is a directory in the image", hint="choose another path")
        if not there.isdisjoint(above(path)):
            raise DocumentError(
                f"{origin}: files: /{path} lies beneath what is a file in the image", hint="choose another path"
            )
    for path in sorted(own.removed):
        if not (path in there or path in folders or lower.beneath.holds(path)):
            raise DocumentError(
                f"{origin}: remove_files: the image has no /{path}", hint="is it spelled as it is in the image?"
            )
