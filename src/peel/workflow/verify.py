"""``peel verify``: an image, rebuilt from its lock set alone, and compared with its record or with a published one."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from typing import Final

from peel.errors import DifferenceError, UsageError
from peel.layers.compress import compression_here
from peel.model.ladder import Comparison, Rung
from peel.model.lockset import RECORD_FILE, RecordedImage
from peel.model.plan import CapturedLayer, EnvironmentLayer, PatchLayer, Plan, compression_of, make_plan
from peel.model.progress import Progress
from peel.model.values import Digest, ImageRef, Platform
from peel.store.archives import Archive
from peel.store.catalogue import Catalogue
from peel.store.store import Store
from peel.workflow.build import Built, Remake
from peel.workflow.compare import compare_images
from peel.workflow.compare_layers import prefixes_of
from peel.workflow.compared_images import of_build, of_pin, of_published, of_record
from peel.workflow.empty_store import empty_store
from peel.workflow.fetching import Sources
from peel.workflow.kept import Kept, find_kept, with_lost_layers
from peel.workflow.published import PublishedImage, open_image

RECORD: Final = "record"
"""What an image is compared with where nothing else is named."""

PINNED: Final = "pinned base"
"""What an imported image without a record is compared with: its own digest."""

Build = Callable[[Plan, Store, Progress, Sources, Remake], Built]
"""Performs a plan; blobs may be compressed by what is here, and the captured layers that are chosen are made again."""


def what_is_the_same_again(step: CapturedLayer) -> bool:
    """Make again what ran without a network; what came from elsewhere is taken as it was captured."""
    return step.is_remade


def everything(_: CapturedLayer) -> bool:
    """Make all captured layers again, whatever they come from."""
    return True


@dataclass(frozen=True, slots=True)
class Verified:
    """What came of verifying. ``against`` is what the rebuilt image, ``manifest``, was compared with."""

    ref: ImageRef
    platform: Platform
    against: str
    manifest: Digest
    comparison: Comparison
    kept: Kept | None
    not_remade: tuple[str, ...] = ()
    """Captured layers that were taken as they are kept, by what people call them."""


def verify_image(
    ref: ImageRef,
    platform: Platform,
    *,
    against: str | None,
    catalogue: Catalogue,
    store: Store,
    sources: Sources,
    build: Build,
    progress: Progress,
    remake: Remake = what_is_the_same_again,
) -> Verified:
    """Rebuild an image in an empty store and compare it; nothing of the catalogue or of the store changes.

    Artifacts come from the archives of ``sources``, then from the store's own blobs, whose layers are not used; then
    from the network if ``sources`` allow. Captured layers that ``remake`` chooses are made again. Raises UsageError if
    there is nothing to compare with, DifferenceError for a record that is not of this lock set, ArtifactError for what
    cannot be had or read, and whatever a build raises.
    """
    locks = catalogue.lock_set(ref)
    plan = make_plan(locks, platform)
    with ExitStack() as stack:
        published = (
            stack.enter_context(_published(against, ref, platform, store, progress)) if against is not None else None
        )
        recorded = None if published else _recorded(plan, catalogue)
        fresh, work = stack.enter_context(empty_store(store)), stack.enter_context(store.work())
        progress.step(f"rebuilding {ref} in an empty store")
        built = build(plan, fresh, progress, _with_store(sources, store), remake)
        theirs = (
            of_published(published) if published else of_record(recorded, built, store) if recorded else of_pin(built)
        )
        comparison = compare_images(
            of_build(built, fresh), theirs, prefixes=_prefixes(plan), work=work, progress=progress
        )
    if recorded is not None and comparison.identical:
        _refuse_contradiction(ref, recorded, built.recorded)
    kept = find_kept(locks.lock.made_from, built, catalogue, progress)
    told = published.name if published else RECORD if recorded else PINNED
    comparison = with_lost_layers(_with_compressors(comparison, plan), kept)
    return Verified(ref, platform, told, built.manifest.digest, comparison, kept, _not_remade(plan, remake))


def _not_remade(plan: Plan, remake: Remake) -> tuple[str, ...]:
    captured = (step for step in plan.layers if isinstance(step, CapturedLayer))
    return tuple(step.contents for step in captured if not remake(step))


@contextmanager
def _published(
    against: str, ref: ImageRef, platform: Platform, store: Store, progress: Progress
) -> Iterator[PublishedImage]:
    """The image to compare with, checked before anything is built."""
    with open_image(against, platform, store, progress, tag=ref.tag) as image:
        image.check(progress)
        yield image


def _with_store(sources: Sources, store: Store) -> Sources:
    """The user's store as one more archive: its blobs are checked on the way, its layers are not among them."""
    return replace(sources, archives=(*sources.archives, Archive("the store", store.root)))


def _recorded(plan: Plan, catalogue: Catalogue) -> RecordedImage | None:
    """What the lock set's record says of the platform; None only for an imported image, whose digest is in its lock.

    Raises UsageError where there is no record, DifferenceError for one of another lock set.
    """
    record = catalogue.record(plan.ref)
    recorded = record.platforms.get(plan.platform.subdir) if record else None
    if recorded is None and not plan.is_base:
        raise UsageError(
            f"{plan.ref} has no record for {plan.platform}, so there is nothing to compare with",
            hint=f"name a published image with --against, or record a first build: peel build {plan.ref}",
        )
    if recorded is not None:
        _refuse_other_record(plan, recorded)
    return recorded


def _refuse_other_record(plan: Plan, recorded: RecordedImage) -> None:
    """A record of another lock set tells nothing of this one: the one or the other was changed afterwards."""
    planned, listed = [step.contents for step in plan.layers], [layer.contents for layer in recorded.layers]
    lines = []
    if len(planned) != len(listed):
        lines.append(f"it lists {len(listed)} layers, and the lock set gives {len(planned)}")
    lines += [f"the lock set gives layer {name!r}, which it does not list" for name in planned if name not in listed]
    lines += [f"it lists layer {name!r}, which the lock set does not give" for name in listed if name not in planned]
    if not lines and planned != listed:
        lines.append("it lists the layers in another order")
    if str(plan.digest) != recorded.plan:
        lines.append(f"it is of plan {recorded.plan}, and the lock set is plan {plan.digest}")
    if lines:
        shown = "\n".join(f"  {line}" for line in lines)
        raise DifferenceError(
            f"lockfiles/{plan.ref.image}/{plan.ref.tag}/{RECORD_FILE} is not of this lock set:\n{shown}",
            hint="one of them was changed after the image was built: take both from version control, or compare with a "
            "published image by --against",
        )


def _refuse_contradiction(ref: ImageRef, recorded: RecordedImage, built: RecordedImage) -> None:
    """A record whose manifest is right may still say other things beside it."""
    lines = [
        f"{name} {getattr(recorded, name)}, and its manifest has {getattr(built, name)}"
        for name in ("config", "plan")
        if getattr(recorded, name) != getattr(built, name)
    ]
    lines += [
        f"layer {mine.contents!r} has another {', '.join(wrong)} than in its manifest"
        for theirs, mine in zip(recorded.layers, built.layers, strict=False)
        if (wrong := [name for name in ("diff_id", "digest", "size") if getattr(theirs, name) != getattr(mine, name)])
    ]
    if lines:
        shown = "\n".join(f"  {line}" for line in lines)
        raise DifferenceError(
            f"lockfiles/{ref.image}/{ref.tag}/{RECORD_FILE} contradicts itself:\n{shown}",
            hint="the image is the recorded one, and its record was changed: take it from version control",
        )


def _with_compressors(comparison: Comparison, plan: Plan) -> Comparison:
    """Where blobs differ, say of each layer whether this machine's compressor is the one that it was locked with."""
    if comparison.rung is not Rung.BLOBS:
        return comparison
    locked = {step.contents: compression_of(step, plan) for step in plan.layers}
    others = {
        name: f"it was locked with {one.library}, and this peel has {here}"
        for name, one in locked.items()
        if one.library != (here := compression_here(one.codec, one.level).library)
    }
    return Comparison(
        comparison.rung,
        tuple(
            replace(found, detail=f"{found.detail}; {others[found.layer]}") if found.layer in others else found
            for found in comparison.differences
        ),
    )


def _prefixes(plan: Plan) -> Sequence[str]:
    environments = [step.prefix for step in plan.layers if isinstance(step, EnvironmentLayer)]
    patched = [one.prefix for step in plan.layers if isinstance(step, PatchLayer) for one in step.prefixes]
    return prefixes_of([*environments, *patched])
