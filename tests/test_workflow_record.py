"""The record of a first build, and every later build that must agree with it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from peel.errors import DifferenceError, DocumentError
from peel.model.lockset import RecordedImage, RecordedLayer
from peel.model.oci import MANIFEST, describe
from peel.model.values import Digest, Platform
from peel.workflow.record import accept, refuse_differences
from test_workflow_build import build, planned
from tiny import REF, Tiny


@pytest.fixture
def tiny(tmp_path: Path) -> Tiny:
    made = Tiny(tmp_path)
    made.lock_simply()
    return made


def digest(text: str) -> str:
    return str(Digest.of(text.encode()))


def layer(contents: str, text: str = "", blob: str = "") -> RecordedLayer:
    return RecordedLayer(diff_id=digest(text or contents), digest=digest(blob or contents), size=1, contents=contents)


def image(*layers: RecordedLayer, manifest: str = "m", config: str = "c", plan: str = "p") -> RecordedImage:
    return RecordedImage(manifest=digest(manifest), config=digest(config), plan=digest(plan), layers=layers)


def differences(tiny: Tiny, old: RecordedImage, new: RecordedImage) -> list[str]:
    with pytest.raises(DifferenceError) as raised:
        refuse_differences(planned(tiny), old, new)
    first, *lines = raised.value.message.splitlines()
    assert first == "lab:r1_0_0 for linux-64 is not what its record says:"
    return [line.strip() for line in lines]


def test_the_first_build_is_recorded_and_the_second_agrees(tiny: Tiny) -> None:
    built = build(tiny)
    assert accept(built, tiny.catalogue, tiny.store)
    record = (tiny.lock_set / "record.json").read_bytes()
    assert not accept(build(tiny), tiny.catalogue, tiny.store)
    assert (tiny.lock_set / "record.json").read_bytes() == record
    found = tiny.catalogue.record(REF)
    assert found is not None
    assert found.platforms == {"linux-64": built.recorded}


def test_a_build_that_differs_is_told_and_the_record_stays(tiny: Tiny) -> None:
    built = build(tiny)
    accept(built, tiny.catalogue, tiny.store)
    record = (tiny.lock_set / "record.json").read_bytes()
    with pytest.raises(DifferenceError, match="config"):
        accept(replace(built, config=Digest.of(b"other")), tiny.catalogue, tiny.store)
    assert (tiny.lock_set / "record.json").read_bytes() == record


def test_a_build_of_a_lock_set_that_was_locked_anew_meanwhile_is_not_recorded(tiny: Tiny) -> None:
    built = build(tiny)
    tiny.add("ipykernel", "8.0")
    tiny.declare_lab("jupyterlab", "ipykernel")
    tiny.lock_simply()
    with pytest.raises(DifferenceError, match="was locked anew while it was built"):
        accept(built, tiny.catalogue, tiny.store)
    assert tiny.catalogue.record(REF) is None
    assert tiny.store.image(REF, Platform("linux-64")) is None


def test_an_address_stands_for_a_build_only_once_it_agrees(tiny: Tiny) -> None:
    built = build(tiny)
    assert tiny.store.image(REF, Platform("linux-64")) is None
    accept(built, tiny.catalogue, tiny.store)
    other = describe(MANIFEST, b"another build")
    with pytest.raises(DifferenceError, match="manifest"):
        accept(replace(built, manifest=other), tiny.catalogue, tiny.store)
    found = tiny.store.image(REF, Platform("linux-64"))
    assert found is not None
    assert found.digest == built.manifest.digest


def test_a_layer_with_other_contents_is_named(tiny: Tiny) -> None:
    (line,) = differences(tiny, image(layer("a"), layer("b")), image(layer("a"), layer("b", "x"), manifest="n"))
    assert line == f"layer 'b': contents differ, diffID {digest('x')} instead of {digest('b')}"


def test_a_layer_that_was_only_compressed_otherwise_is_named_as_that(tiny: Tiny) -> None:
    (line,) = differences(tiny, image(layer("a")), image(layer("a", blob="x"), manifest="n"))
    assert line == "layer 'a': equal contents, other compressed bytes: another compressor's version"


def test_layers_that_came_and_went_are_named(tiny: Tiny) -> None:
    assert differences(tiny, image(layer("a")), image(layer("a"), layer("b"))) == ["layer 'b' is new"]
    assert differences(tiny, image(layer("a"), layer("b")), image(layer("a"))) == ["layer 'b' is gone"]


def test_where_no_layer_differs_the_documents_are_named(tiny: Tiny) -> None:
    lines = differences(tiny, image(layer("a")), image(layer("a"), manifest="n", config="d", plan="q"))
    assert [line.partition(" ")[0] for line in lines] == ["plan", "config", "manifest"]


def test_a_damaged_record_is_one_error(tiny: Tiny) -> None:
    (tiny.lock_set / "record.json").write_text('{"schema": 1, "platforms": {"linux-64": {}}}')
    with pytest.raises(
        DocumentError, match=r"lockfiles/lab/r1_0_0/record.json:1: platforms.linux-64.manifest: missing"
    ):
        accept(build(tiny), tiny.catalogue, tiny.store)
