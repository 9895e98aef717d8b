"""Which image is launched: the one that was recorded for a lock set, never one that only has its name."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from peel.errors import UsageError
from peel.model.oci import MANIFEST, describe, make_manifest
from peel.store.store import Store
from peel.workflow.launch import built_image
from peel.workflow.record import accept
from test_workflow_build import build, planned
from tiny import Tiny


@pytest.fixture
def tiny(tmp_path: Path) -> Tiny:
    made = Tiny(tmp_path)
    made.lock_simply()
    return made


def take_the_name(tiny: Tiny) -> None:
    """Let another catalogue's image of this name be built in the same store."""
    plan = planned(tiny)
    other = make_manifest(b"{}", (), {"io.peel-images.plan": "another"})
    tiny.store.blobs.put_bytes(other)
    tiny.store.set_image(plan.ref, plan.platform, describe(MANIFEST, other))


def test_the_recorded_image_is_found_whatever_the_stores_name_stands_for(tiny: Tiny) -> None:
    built = build(tiny)
    accept(built, tiny.catalogue, tiny.store)
    take_the_name(tiny)
    assert built_image(built.plan, tiny.catalogue, tiny.store) == built.manifest


def test_without_a_record_the_stores_name_must_stand_for_the_same_plan(tiny: Tiny) -> None:
    built = build(tiny)
    tiny.store.set_image(built.plan.ref, built.plan.platform, built.manifest)
    assert built_image(built.plan, tiny.catalogue, tiny.store).digest == built.manifest.digest
    take_the_name(tiny)
    with pytest.raises(UsageError, match="was built from another lock"):
        built_image(built.plan, tiny.catalogue, tiny.store)


def test_a_record_of_another_plan_is_not_launched(tiny: Tiny) -> None:
    built = build(tiny)
    accept(built, tiny.catalogue, tiny.store)
    with pytest.raises(UsageError, match="was built from another lock"):
        built_image(replace(built.plan, epoch=built.plan.epoch + 1), tiny.catalogue, tiny.store)


def test_what_is_not_in_the_store_is_told_with_the_command_that_builds_it(tiny: Tiny, tmp_path: Path) -> None:
    built = build(tiny)
    accept(built, tiny.catalogue, tiny.store)
    with pytest.raises(UsageError, match="is not built in this store") as raised:
        built_image(built.plan, tiny.catalogue, Store(tmp_path / "elsewhere"))
    assert raised.value.hint == "peel build lab:r1_0_0"
