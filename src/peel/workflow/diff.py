"""``peel diff``: what it takes to come from one lock set or image to another."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from peel.errors import UsageError
from peel.model.contents import Contents
from peel.model.diff import Difference, compare
from peel.model.progress import Progress
from peel.model.values import ImageRef, Platform
from peel.store.catalogue import Catalogue
from peel.store.store import Store
from peel.workflow.locked_contents import LockedSide, Manner, open_locked

if TYPE_CHECKING:
    from peel.workflow.published_contents import PublishedSide


@dataclass(frozen=True, slots=True)
class Published:
    """An image elsewhere, as the command line names it: ``oci:DIR[:TAG]`` or ``docker://REF``."""

    reference: str


Place = ImageRef | Published


def parse_places(a: str, b: str) -> tuple[Place, Place]:
    """Read both sides; a bare tag for B is another one of A's image.

    Raises DocumentError for what is no address, UsageError for a bare tag where A is no lock set.
    """
    one = _place(a)
    if ":" in b or not b:
        return one, _place(b)
    if not isinstance(one, ImageRef):
        raise UsageError(f"{b!r} is a tag of no image", hint="write IMAGE:TAG, oci:DIR[:TAG] or docker://REF")
    return one, ImageRef(one.image, b)


def _place(text: str) -> Place:
    return Published(text) if text.startswith(("oci:", "docker://")) else ImageRef.parse(text)


def diff(
    a: Place, b: Place, platform: Platform, *, catalogue: Catalogue | None, store: Store | None, progress: Progress
) -> Difference:
    """Compare two lock sets or images of a platform; nothing is fetched but images that a registry was named for.

    ``catalogue`` is where lock sets are; ``store`` may know layers and bases, and has room for images. What a side
    needs of them must be given. Raises DocumentError for a bad or missing lock set, ArtifactError for an image that
    cannot be had or read.
    """
    with ExitStack() as opened:
        one = opened.enter_context(_opened(a, platform, catalogue, store, progress))
        other = opened.enter_context(_opened(b, platform, catalogue, store, progress))
        return compare(*_contents(one, other, store, progress))


@contextmanager
def _opened(
    place: Place, platform: Platform, catalogue: Catalogue | None, store: Store | None, progress: Progress
) -> Iterator[LockedSide | PublishedSide]:
    if isinstance(place, ImageRef):
        if catalogue is None:
            raise UsageError(f"{place} is in no catalogue", hint="name one with -C DIR")
        yield open_locked(place, platform, catalogue, store)
    elif store is not None:
        from peel.workflow.published_contents import open_published  # noqa: PLC0415 - most diffs are of lock sets

        with open_published(place.reference, platform, store, progress) as side:
            yield side
    else:
        raise UsageError(f"no store to read {place.reference} into", hint="name one with --store DIR")


def _contents(
    one: LockedSide | PublishedSide, other: LockedSide | PublishedSide, store: Store | None, progress: Progress
) -> tuple[Contents, Contents]:
    locked = [side for side in (one, other) if isinstance(side, LockedSide)]
    both = len(locked) == 2
    bases = {side.pinned.digest if side.pinned else None for side in locked}
    same_base = both and len(bases) == 1 and None not in bases
    manner = Manner(
        declared=both and all(side.lock.declared.has_lab for side in locked),
        keys=both and not all(side.recorded for side in locked),
        same_base=same_base,
    )
    layers = [None if same_base else side.readable() for side in (one, other)]
    if store is None or (both and None in layers):
        return one.contents(manner, None), other.contents(manner, None)
    from peel.workflow.image_records import take_records  # noqa: PLC0415 - as above

    with store.work() as work:
        before, after = take_records((one.name, layers[0]), (other.name, layers[1]), work, progress)
        return one.contents(manner, before), other.contents(manner, after)
