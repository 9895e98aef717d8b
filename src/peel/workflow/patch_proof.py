"""Proof that a patched image has the layers of the one it was made from: each by digest, as that one's record says."""

from __future__ import annotations

from dataclasses import dataclass

from peel.errors import DifferenceError
from peel.model.lockset import MadeFrom, RecordedLayer
from peel.model.plan import LayerStep, Plan, layer_key, make_plan
from peel.model.values import Digest, ImageRef
from peel.store.catalogue import Catalogue
from peel.workflow.build import Built, BuiltLayer


@dataclass(frozen=True, slots=True)
class Proof:
    """Which layers are the origin's, and which are new, each lowest first; ``kept`` begins with those of the base.

    ``recorded`` says whether the origin's record was there to compare with. Sizes are in bytes.
    """

    kept: tuple[Digest, ...]
    kept_size: int
    new: tuple[BuiltLayer, ...]
    recorded: bool


def prove_kept(built: Built, made_from: MadeFrom, catalogue: Catalogue) -> Proof:
    """Hold a patched image against its origin's lock set and record.

    Raises DifferenceError naming the layer that is made from the same as the origin's and is another; and one that an
    overlay should have and has not. ``made_from`` is the patched lock's.
    """
    ref, platform = ImageRef(made_from.image, made_from.tag), built.plan.platform
    origin = make_plan(catalogue.lock_set(ref), platform)
    record = catalogue.record(ref)
    recorded = record.platforms.get(platform.subdir) if record else None
    layers = recorded.layers if recorded else ()
    keys = [layer_key(step, origin) for step in origin.layers]
    known = dict(zip(keys, layers, strict=False))
    kept, new = list[BuiltLayer](), list[BuiltLayer]()
    for layer in built.layers:
        key = layer_key(layer.step, built.plan)
        if key in known:
            _refuse_other(layer, known[key], ref)
        (kept if key in keys else new).append(layer)
    if made_from.mode == "overlay" and not made_from.lab:
        _refuse_lost(origin, built)
    blobs = [*built.base.layers, *(layer.record.blob for layer in kept)]
    return Proof(
        tuple(blob.digest for blob in blobs), sum(blob.size for blob in blobs), tuple(new), recorded is not None
    )


def _refuse_other(layer: BuiltLayer, recorded: RecordedLayer, origin: ImageRef) -> None:
    made = layer.record
    if (str(made.diff_id), str(made.blob.digest)) != (recorded.diff_id, recorded.digest):
        raise DifferenceError(
            f"the layer {layer.step.contents!r} is {made.blob.digest}, but {recorded.digest} in the record of {origin}",
            hint=f"peel verify {origin} tells why; the patched image is not recorded",
        )


def _refuse_lost(origin: Plan, built: Built) -> None:
    """Every layer of the origin lies where it lay."""
    beneath = [layer.step for layer in built.layers[: len(origin.layers)]]
    for number, step in enumerate(origin.layers):
        there: LayerStep | None = beneath[number] if number < len(beneath) else None
        if there is None or layer_key(there, built.plan) != layer_key(step, origin):
            raise DifferenceError(
                f"the layer {step.contents!r} of {origin.ref} is not in {built.plan.ref}, where it should lie",
                hint="a lock set was changed by hand: take both from version control",
            )
