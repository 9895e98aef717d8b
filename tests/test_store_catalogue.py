"""A catalogue on disk: what is found, what is missing, and lock sets that are written whole."""

from __future__ import annotations

from pathlib import Path

import pytest

from peel.errors import DocumentError, ToolError, UsageError
from peel.model.values import ImageRef
from peel.store.catalogue import Catalogue
from tiny import REF, Tiny


@pytest.fixture
def tiny(tmp_path: Path) -> Tiny:
    return Tiny(tmp_path)


def test_a_directory_without_declarations_or_locks_is_no_catalogue(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="is no catalogue"):
        Catalogue.open(tmp_path)
    (tmp_path / "lockfiles").mkdir()
    assert list(Catalogue.open(tmp_path).images()) == []


def test_images_are_files_with_an_images_name(tiny: Tiny) -> None:
    for name in ("menu.yaml", "Not A Name.yaml", ".hidden.yaml", "other.yaml"):
        (tiny.root / "envs" / name).touch()
    assert list(tiny.catalogue.images()) == ["lab", "other"]


def test_a_payload_that_is_not_there_is_told_by_its_file(tiny: Tiny) -> None:
    tiny.declare_image(payloads=["science"])
    with pytest.raises(DocumentError, match=r"^envs/science/payload.yaml: no such file$"):
        tiny.catalogue.declared("lab")


def test_an_environment_file_that_is_not_there_is_told(tiny: Tiny) -> None:
    tiny.declare_image(lab={"environment": "lab/other.yml"})
    with pytest.raises(DocumentError, match=r"^envs/lab/other.yml: no such file$"):
        tiny.catalogue.declared("lab")


def test_a_payload_that_stands_twice_is_told(tiny: Tiny) -> None:
    tiny.declare_payload("science", "ipykernel")
    tiny.declare_image(payloads=["science", "science"])
    with pytest.raises(DocumentError, match="stands twice"):
        tiny.catalogue.declared("lab")


def test_payloads_keep_the_order_of_the_declaration(tiny: Tiny) -> None:
    for name in ("zebra", "ant"):
        tiny.declare_payload(name, "ipykernel")
    tiny.declare_image(payloads=["zebra", "ant"])
    assert [payload.name for payload in tiny.catalogue.declared("lab").payloads] == ["zebra", "ant"]


def test_a_lock_set_is_read_back_and_its_record_is_not_part_of_it(tiny: Tiny) -> None:
    tiny.lock_simply()
    tiny.record()
    assert sorted(tiny.catalogue.read_lock_set(REF)) == ["image.lock.yaml", "lab.conda-lock.yml"]
    assert tiny.catalogue.lock_set(REF).ref == REF
    assert list(tiny.catalogue.tags("lab")) == ["r1_0_0"]


def test_a_lock_set_replaces_the_one_before_as_a_whole(tiny: Tiny) -> None:
    tiny.catalogue.write_lock_set(REF, {"image.lock.yaml": b"1", "gone.yml": b"1"})
    tiny.catalogue.write_lock_set(REF, {"image.lock.yaml": b"2"})
    assert tiny.files() == {"image.lock.yaml": b"2"}
    assert [path.name for path in tiny.lock_set.parent.iterdir()] == ["r1_0_0"]
    assert tiny.lock_set.stat().st_mode & 0o777 == 0o755


def test_a_lock_set_that_cannot_be_written_leaves_the_one_before(tiny: Tiny) -> None:
    tiny.catalogue.write_lock_set(REF, {"image.lock.yaml": b"1"})
    with pytest.raises(ToolError, match="too long"):
        tiny.catalogue.write_lock_set(REF, {"image.lock.yaml": b"2", "x" * 300: b""})
    assert tiny.files() == {"image.lock.yaml": b"1"}
    assert [path.name for path in tiny.lock_set.parent.iterdir()] == ["r1_0_0"]


@pytest.mark.parametrize("data", ["", "[]", "schema: 1", "\x00", "{" * 5000])
def test_a_damaged_lock_is_one_error_with_its_file(tiny: Tiny, data: str) -> None:
    tiny.lock_simply()
    (tiny.lock_set / "image.lock.yaml").write_text(data)
    with pytest.raises(DocumentError, match=r"^lockfiles/lab/r1_0_0/image.lock.yaml"):
        tiny.catalogue.lock_set(REF)


@pytest.mark.parametrize("data", ["", "[]", "version: 1", "\x00", "[" * 5000, "version: 1\npackage: [{name: 1}]"])
def test_a_damaged_file_of_conda_locks_is_one_error_with_its_file(tiny: Tiny, data: str) -> None:
    tiny.lock_simply()
    (tiny.lock_set / "lab.conda-lock.yml").write_text(data)
    with pytest.raises(DocumentError, match=r"^lockfiles/lab/r1_0_0/lab.conda-lock.yml"):
        tiny.catalogue.lock_set(REF)


def test_a_tag_that_is_not_locked_is_told_with_the_nearest(tiny: Tiny) -> None:
    tiny.lock_simply()
    with pytest.raises(DocumentError) as raised:
        tiny.catalogue.image_lock(ImageRef("lab", "r1_0_9"))
    assert raised.value.hint == "peel lock lab:r1_0_9, or did you mean lab:r1_0_0?"
