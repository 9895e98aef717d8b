"""What a catalogue is said to hold."""

from __future__ import annotations

from pathlib import Path

import pytest

from peel.errors import DocumentError
from peel.workflow.record import accept
from peel.workflow.show import list_images, show_image
from test_workflow_build import build
from tiny import REF, Tiny


@pytest.fixture
def tiny(tmp_path: Path) -> Tiny:
    return Tiny(tmp_path)


def test_an_image_without_a_lock_is_listed_as_declared(tiny: Tiny) -> None:
    (listed,) = list_images(tiny.catalogue)
    assert (listed.tag, listed.platforms, listed.as_json()["locked"]) == (None, ("linux-64",), False)


def test_every_tag_is_listed_and_a_built_one_with_its_manifest(tiny: Tiny) -> None:
    tiny.lock_simply()
    built = build(tiny)
    accept(built, tiny.catalogue, tiny.store)
    (listed,) = list_images(tiny.catalogue)
    assert listed.as_json()["manifest"] == str(built.manifest.digest)


def test_an_image_whose_declaration_is_gone_is_listed_as_long_as_it_is_locked(tiny: Tiny) -> None:
    tiny.lock_simply()
    (tiny.root / "envs" / "lab.yaml").unlink()
    assert [listed.tag for listed in list_images(tiny.catalogue)] == ["r1_0_0"]


def test_what_is_locked_is_shown_before_and_after_it_is_built(tiny: Tiny) -> None:
    tiny.lock_simply()
    (before,) = show_image(REF, tiny.catalogue)
    assert before.manifest is None
    assert [package.name for package in before.packages("lab")] == ["jupyterlab", "python"]
    assert all(layer.recorded is None for layer in before.layers)
    built = build(tiny)
    accept(built, tiny.catalogue, tiny.store)
    (after,) = show_image(REF, tiny.catalogue)
    assert after.manifest == str(built.manifest.digest)
    assert [layer.recorded.contents for layer in after.layers if layer.recorded] == [
        layer.contents for layer in before.layers
    ]


def test_a_tag_that_is_not_locked_is_told_with_the_nearest(tiny: Tiny) -> None:
    tiny.lock_simply()
    with pytest.raises(DocumentError, match=r"lab:r1_0_1 is not locked") as raised:
        show_image(type(REF)("lab", "r1_0_1"), tiny.catalogue)
    assert raised.value.hint == "peel lock lab:r1_0_1, or did you mean lab:r1_0_0?"
