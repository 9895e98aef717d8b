"""What lies above all packages of an image: the glue, and files that patches brought or removed."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from peel.model.entry import Kind
from peel.model.locked import LockSet
from peel.model.paths import is_covered
from peel.model.plan import GlueLayer, make_plan
from peel.model.values import Platform
from peel.workflow.patched_environment import Above


@dataclass(frozen=True, slots=True)
class Surface:
    """Paths of an image, without a leading slash: what is ``held``, and what was ``removed``."""

    held: frozenset[str] = frozenset()
    removed: frozenset[str] = frozenset()

    def under(self, files: Iterable[str], removed: Iterable[str]) -> Surface:
        """The same beneath a patch of these files, which have a slash in front."""
        gone = frozenset(path.strip("/") for path in removed)
        brought = frozenset(path.strip("/") for path in files)
        held = {path for path in self.held if not is_covered(path, gone)}
        return Surface(frozenset(held | brought), (self.removed - brought) | gone)

    def within(self, prefix: str) -> Above:
        """The part of it that lies beneath a prefix."""
        root = f"{prefix.strip('/')}/"
        held, removed = (
            [p.removeprefix(root) for p in paths if p.startswith(root)] for paths in (self.held, self.removed)
        )
        return Above(frozenset(held), frozenset(removed))

    def touches(self, prefix: str) -> bool:
        """Whether any of it lies beneath a prefix."""
        return bool(self.within(prefix).held or self.within(prefix).removed)


def surface_of(locks: LockSet, platform: Platform) -> Surface:
    """What lies above the packages of a locked image."""
    glue = [layer for layer in make_plan(locks, platform).layers if isinstance(layer, GlueLayer)]
    entries = [entry.path for layer in glue for entry in layer.entries if entry.kind is not Kind.DIRECTORY]
    found = Surface(frozenset(entries))
    for patch in locks.lock.patches:
        found = found.under((file.path for file in patch.files), patch.removed_files)
    return found
