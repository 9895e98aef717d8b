"""What a first build gave, and whether a later one gives the same."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import zip_longest

from peel.errors import DifferenceError
from peel.model.lockset import Record, RecordedImage
from peel.model.plan import Plan, make_plan
from peel.store.catalogue import Catalogue
from peel.store.store import Store
from peel.workflow.build import Built


def accept(built: Built, catalogue: Catalogue, store: Store) -> bool:
    """Let a build stand for its address: recorded if it is its platform's first, else only if the record agrees.

    Says whether it was the first. Raises DifferenceError naming what differs, or when the lock set was locked anew
    meanwhile; the address stands for what it did then.
    """
    first = _keep_record(built, catalogue)
    store.set_image(built.plan.ref, built.plan.platform, built.manifest)
    return first


def _keep_record(built: Built, catalogue: Catalogue) -> bool:
    plan = built.plan
    with catalogue.hold(plan.ref):
        record = catalogue.record(plan.ref)
        recorded = record.platforms.get(plan.platform.subdir) if record else None
        if recorded is not None:
            refuse_differences(plan, recorded, built.recorded)
            return False
        _refuse_relocked(plan, catalogue)
        platforms = {**(record.platforms if record else {}), plan.platform.subdir: built.recorded}
        catalogue.write_record(plan.ref, Record(schema=1, platforms=platforms))
        return True


def _refuse_relocked(plan: Plan, catalogue: Catalogue) -> None:
    """A record must never stand beside another lock set than the one that was built."""
    if make_plan(catalogue.lock_set(plan.ref), plan.platform).digest != plan.digest:
        raise DifferenceError(
            f"{plan.ref} was locked anew while it was built, so this build is not recorded",
            hint=f"build what is locked now: peel build {plan.ref}",
        )


def refuse_differences(plan: Plan, recorded: RecordedImage, built: RecordedImage) -> None:
    """Raise DifferenceError with a line per layer that differs, or for config and manifest where no layer does."""
    if recorded == built:
        return
    lines = list(_layer_differences(recorded, built)) or list(_document_differences(recorded, built))
    shown = "\n".join(f"  {line}" for line in lines)
    raise DifferenceError(
        f"{plan.ref} for {plan.platform} is not what its record says:\n{shown}",
        hint="the lock set was changed after it was built, or this peel makes other bytes; the record stays as it is",
    )


def _layer_differences(recorded: RecordedImage, built: RecordedImage) -> Iterator[str]:
    for old, new in zip_longest(recorded.layers, built.layers):
        if old is None:
            yield f"layer {new.contents!r} is new"
        elif new is None:
            yield f"layer {old.contents!r} is gone"
        elif old.diff_id != new.diff_id:
            yield f"layer {new.contents!r}: contents differ, diffID {new.diff_id} instead of {old.diff_id}"
        elif old.digest != new.digest:
            yield f"layer {new.contents!r}: equal contents, other compressed bytes: another compressor's version"


def _document_differences(recorded: RecordedImage, built: RecordedImage) -> Iterator[str]:
    for what in ("plan", "config", "manifest"):
        old, new = getattr(recorded, what), getattr(built, what)
        if old != new:
            yield f"{what} {new} instead of {old}"
