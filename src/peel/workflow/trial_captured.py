"""An environment that was captured, on the base that it was captured upon: what is tried is the very layer."""

from __future__ import annotations

from dataclasses import replace

from peel.errors import ArtifactError
from peel.model.locked import LockSet
from peel.model.oci import MANIFEST, BaseImage, Descriptor, describe
from peel.model.plan import CapturedLayer, layer_key, make_plan
from peel.model.values import Platform
from peel.store.store import Store
from peel.workflow.build import BuiltLayer, as_needed, assemble, recall
from peel.workflow.fetching import Sources


def captured_upon(
    base: BaseImage, locks: LockSet, environment: str, platform: Platform, store: Store, sources: Sources
) -> Descriptor:
    """An image of the base and this environment's layer alone, in the store.

    Raises ArtifactError when nobody has the layer any more.
    """
    plan = make_plan(locks, platform)
    steps = [step for step in plan.layers if isinstance(step, CapturedLayer) and step.environment == environment]
    alone = replace(plan, layers=tuple(steps))
    recall(alone, store, sources, as_needed)
    layers = []
    for step in steps:
        record = store.layer(layer_key(step, alone))
        if record is None:
            raise ArtifactError(
                f"the layer that was captured of {environment!r} is not in the store: {step.blob}",
                hint=f"peel build {locks.ref} makes it again, if it can be made again",
            )
        layers.append(BuiltLayer(step, record, reused=True))
    config, manifest = assemble(alone, base, layers)
    store.blobs.put_bytes(config)
    store.blobs.put_bytes(manifest)
    return describe(MANIFEST, manifest)
