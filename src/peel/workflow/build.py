"""``peel build``: a plan, performed. What the store has is not made again."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from time import monotonic
from typing import Final

from peel.errors import DocumentError, ToolError
from peel.layers.compress import compression_here, media_type
from peel.model.glue import GLUES
from peel.model.lockset import Formats, RecordedImage, RecordedLayer
from peel.model.oci import (
    MANIFEST,
    TITLE,
    VERSION,
    AddedLayer,
    BaseImage,
    Descriptor,
    ImageSettings,
    describe,
    make_config,
    make_manifest,
    rfc3339,
)
from peel.model.oci_parse import parse_manifest
from peel.model.plan import CapturedLayer, LayerStep, PatchLayer, Plan, compression_of, layer_key
from peel.model.progress import Progress
from peel.model.values import Digest
from peel.store.archives import take_from
from peel.store.store import LayerRecord, Store
from peel.workflow.base import fetch_base
from peel.workflow.fetching import Sources
from peel.workflow.layers import LayerMaker

PLAN_ANNOTATION: Final = "io.peel-images.plan"
"""Where an image's manifest and labels say which plan it is."""

MADE_FROM_ANNOTATION: Final = "io.peel-images.made-from"
"""Where a patched image says which one it was made from."""


Remake = Callable[[CapturedLayer], bool]
"""Whether a captured layer is made again, instead of taken from where its blob is kept."""


def as_needed(_: CapturedLayer) -> bool:
    """Make none again whose blob can be had."""
    return False


@dataclass(frozen=True, slots=True)
class BuiltLayer:
    """A layer of the image, whether made now or found in the store."""

    step: LayerStep
    record: LayerRecord
    reused: bool


@dataclass(frozen=True, slots=True)
class Built:
    """What a build gave; ``seconds`` is how long it took."""

    plan: Plan
    manifest: Descriptor
    config: Digest
    layers: tuple[BuiltLayer, ...]
    base: BaseImage
    seconds: float

    @property
    def recorded(self) -> RecordedImage:
        """The part of it that every later build must give again."""
        return RecordedImage(
            manifest=str(self.manifest.digest), config=str(self.config), plan=str(self.plan.digest),
            layers=tuple(
                RecordedLayer(
                    diff_id=str(layer.record.diff_id), digest=str(layer.record.blob.digest),
                    size=layer.record.blob.size, contents=layer.step.contents,
                )
                for layer in self.layers
            ),
        )  # fmt: skip


def build_image(
    plan: Plan,
    *,
    store: Store,
    sources: Sources,
    make_layers: LayerMaker,
    formats: Formats,
    progress: Progress,
    any_compressor: bool = False,
    remake: Remake = as_needed,
) -> Built:
    """Make what the store lacks, then config and manifest; all of it is in the store afterwards, under no name yet.

    With ``any_compressor``, blobs may be others than the lock's: equal contents, compressed by what is here. Captured
    layers that ``remake`` chooses are made again, though the blob that was captured may be at hand.

    Raises DocumentError for a lock of formats that this peel does not write, ArtifactError for what cannot be had or
    is not what the lock says, ToolError when a program fails.
    """
    began = monotonic()
    refuse_other_formats(plan, formats)
    base = fetch_base(plan.base, plan.platform, store, sources, progress)
    keys = [layer_key(step, plan) for step in plan.layers]
    recall(plan, store, sources, remake)
    before = [store.layer(key) for key in keys]
    missing = [step for step, found in zip(plan.layers, before, strict=True) if found is None]
    if missing:
        if not any_compressor:
            refuse_other_compressor(plan, missing)
        make_layers(plan, missing, base)
    layers = tuple(
        BuiltLayer(step, found or _made(store, key), reused=found is not None)
        for step, key, found in zip(plan.layers, keys, before, strict=True)
    )
    config, manifest = assemble(plan, base, layers) if layers else as_it_came(base, store)
    store.blobs.put_bytes(config)
    store.blobs.put_bytes(manifest)
    descriptor = describe(base.media_type if plan.is_base else MANIFEST, manifest)
    return Built(plan, descriptor, Digest.of(config), layers, base, monotonic() - began)


def recall(plan: Plan, store: Store, sources: Sources, remake: Remake) -> None:
    """Let the store know the captured layers whose blobs it has, or archives have.

    Raises ArtifactError for an archive that holds other bytes.
    """
    for step in plan.layers:
        if not isinstance(step, CapturedLayer) or remake(step):
            continue
        key = layer_key(step, plan)
        if store.layer(key) is None:
            take_from(sources.archives, [(step.blob, step.contents)], store.blobs)
            if store.blobs.has(step.blob):
                kind = media_type(plan.compression.codec)
                store.remember_layer(key, LayerRecord(Descriptor(kind, step.blob, step.size), step.diff_id))


def as_it_came(base: BaseImage, store: Store) -> tuple[bytes, bytes]:
    """Config and manifest of an imported image that nothing was put upon: its own."""
    config = parse_manifest(base.manifest, str(base.digest)).config
    return store.blobs.read(config.digest), base.manifest


def _made(store: Store, key: Digest) -> LayerRecord:
    found = store.layer(key)
    if found is None:
        raise ToolError(
            f"the store lost layer {key} while it was used", hint="is another program clearing it? build again"
        )
    return found


def refuse_other_formats(plan: Plan, formats: Formats) -> None:
    """A lock says which linker and writer it was made for; another would give other bytes. Raises DocumentError."""
    for locked in (plan.formats, *(step.formats for step in plan.layers if isinstance(step, PatchLayer))):
        _refuse_other_formats(plan, locked, formats)


def _refuse_other_formats(plan: Plan, locked: Formats, formats: Formats) -> None:
    if locked.glue in GLUES:  # of the glue, this peel writes every number that there was
        formats = formats.model_copy(update={"glue": locked.glue})
    if locked != formats:
        asked, here = locked.model_dump(), formats.model_dump()
        wrong = ", ".join(
            f"{name} {asked[name]} (this peel writes {here[name]})" for name in asked if asked[name] != here[name]
        )
        raise DocumentError(
            f"{plan.ref} was locked for other formats: {wrong}", hint="use the peel that it was locked with"
        )


def refuse_other_compressor(plan: Plan, missing: Sequence[LayerStep]) -> None:
    """Another library would write other blobs for the same contents, so the digest could not be the lock's.

    Raises ToolError.
    """
    for step in missing:
        locked = compression_of(step, plan)
        here = compression_here(locked.codec, locked.level)
        if here.library != locked.library:
            raise ToolError(
                f"{plan.ref} was locked with {locked.library}, and this peel compresses with {here.library}",
                hint="use the peel that it was locked with, or lock another tag",
            )


def assemble(plan: Plan, base: BaseImage, layers: Sequence[BuiltLayer]) -> tuple[bytes, bytes]:
    """The bytes of config and manifest: functions of the plan and its layers, and of nothing else."""
    added = [
        AddedLayer(layer.record.blob, layer.record.diff_id, created_by=f"peel: {layer.step.contents}")
        for layer in layers
    ]
    settings = _labelled(plan)
    config = make_config(base.config, added, settings, epoch=plan.epoch)
    blobs = [*base.layers, *(layer.record.blob for layer in layers)]
    return config, make_manifest(config, blobs, _annotations(plan))


def _labelled(plan: Plan) -> ImageSettings:
    return replace(plan.settings, labels=tuple(sorted(_annotations(plan).items())))


def _annotations(plan: Plan) -> dict[str, str]:
    """What the image says of itself (OCI annotations.md)."""
    return {
        "org.opencontainers.image.created": rfc3339(plan.epoch),
        TITLE: plan.ref.image,
        VERSION: plan.ref.tag,
        "org.opencontainers.image.base.name": plan.base.reference,
        "org.opencontainers.image.base.digest": str(plan.base.digest),
        PLAN_ANNOTATION: str(plan.digest),
        **({MADE_FROM_ANNOTATION: plan.made_from} if plan.made_from else {}),
    }
