"""What putting a patch upon a lock set takes."""

from __future__ import annotations

from dataclasses import dataclass, field

from peel.model.plan import BasePin
from peel.model.progress import Progress
from peel.model.values import Digest, Platform
from peel.store.store import Store
from peel.workflow.beneath import Beneath
from peel.workflow.draft import Draft
from peel.workflow.fetching import Sources
from peel.workflow.packages import PackageReader
from peel.workflow.patch_packages import Relock


@dataclass(frozen=True, slots=True)
class Workbench:
    """What patching takes."""

    relock: Relock
    reader: PackageReader
    store: Store
    sources: Sources
    progress: Progress
    _beneath: dict[str, Beneath] = field(default_factory=dict)

    def beneath(self, draft: Draft, platform: str) -> Beneath:
        """The base of a platform; nothing of a patch ever changes it."""
        if platform not in self._beneath:
            lock = draft.lock
            pin = BasePin(lock.declared.base, Digest(lock.base[platform].digest))
            self._beneath[platform] = Beneath(
                pin, Platform(platform), self.store, self.sources, self.progress, imported=bool(lock.imported)
            )
        return self._beneath[platform]
