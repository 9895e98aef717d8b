"""Which layers of a patched image are those of the image that it was made from."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import zip_longest
from typing import Any

from peel.errors import DocumentError
from peel.model.ladder import Cause, Comparison, Difference, Kind, Rung, differing
from peel.model.lockset import MadeFrom, RecordedImage, RecordedLayer
from peel.model.progress import Progress
from peel.model.values import ImageRef
from peel.store.catalogue import Catalogue
from peel.workflow.build import Built


@dataclass(frozen=True, slots=True)
class Kept:
    """Layers that a patched image has from ``origin``, by what people call them; ``lost`` are those it should have.

    The base's are counted only: the lock pins it by digest. ``of`` is how many layers the origin has.
    """

    origin: ImageRef
    base: int
    layers: tuple[str, ...]
    lost: tuple[str, ...]
    of: int

    @property
    def count(self) -> int:
        """How many layers are the origin's."""
        return self.base + len(self.layers)

    def as_json(self) -> dict[str, Any]:
        """``kept`` of ``peel verify --json``."""
        return {"from": str(self.origin), "count": self.count, "of": self.of, "layers": list(self.layers)}


def find_kept(made_from: MadeFrom | None, built: Built, catalogue: Catalogue, progress: Progress) -> Kept | None:
    """The layers that are the origin's, by diffID and digest; None where nothing was patched, or it has no record.

    An overlay patch of packages keeps all of them where they lie; another lab, or new layers in place of old ones, do
    not. Documents of the origin that cannot be read are told of, and nothing more.
    """
    if made_from is None:
        return None
    try:
        origin = ImageRef(made_from.image, made_from.tag)
        recorded, base = _origin(origin, built, catalogue)
    except DocumentError as error:
        progress.warn(f"what {built.plan.ref} was made from cannot be read: {error.message}")
        return None
    if recorded is None:
        return None
    there = {_identity(layer) for layer in built.recorded.layers}
    kept = tuple(layer.contents for layer in recorded.layers if _identity(layer) in there)
    whole = made_from.mode == "overlay" and not made_from.lab
    lost = tuple(layer.contents for layer in _moved(recorded, built)) if whole else ()
    return Kept(origin, base, kept, lost, base + len(recorded.layers))


def with_lost_layers(comparison: Comparison, kept: Kept | None) -> Comparison:
    """The comparison, but that an image which lost a layer of its origin is not what it says it is."""
    if not comparison.identical or kept is None or not kept.lost:
        return comparison
    detail = f"it does not lie where it lies in {kept.origin}, or is another"
    return differing(
        Rung.DIFF_IDS, (Difference(Kind.LAYER, Cause.NOT_KEPT, name, None, None, detail) for name in kept.lost)
    )


def _origin(origin: ImageRef, built: Built, catalogue: Catalogue) -> tuple[RecordedImage | None, int]:
    """The origin's record, if it is still in the catalogue, and how many layers it shares by having the same base."""
    platform = built.plan.platform.subdir
    if not catalogue.has_lock(origin) or (record := catalogue.record(origin)) is None:
        return None, 0
    pinned = catalogue.image_lock(origin).base.get(platform)
    same = pinned is not None and pinned.digest == str(built.plan.base.digest)
    return record.platforms.get(platform), len(built.base.layers) if same else 0


def _moved(recorded: RecordedImage, built: Built) -> list[RecordedLayer]:
    """The origin's layers that do not lie where they lay: a patch puts layers on top and changes none."""
    beneath = built.recorded.layers[: len(recorded.layers)]
    return [
        old for old, new in zip_longest(recorded.layers, beneath) if new is None or _identity(old) != _identity(new)
    ]


def _identity(layer: RecordedLayer) -> tuple[str, str]:
    return layer.diff_id, layer.digest
