"""A catalogue on disk: what is found, what is missing, and lock sets that are written whole."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
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


def test_a_lock_set_replaces_the_one_before_and_leaves_what_people_put_beside_it(tiny: Tiny) -> None:
    tiny.catalogue.write_lock_set(REF, {"image.lock.yaml": b"1", "gone.conda-lock.yml": b"1"})
    before = tiny.lock_set.stat().st_ino
    (tiny.lock_set / "notes.md").write_bytes(b"mine")
    tiny.catalogue.write_lock_set(REF, {"image.lock.yaml": b"2"})
    assert tiny.files() == {"image.lock.yaml": b"2", "notes.md": b"mine"}
    assert tiny.lock_set.stat().st_ino == before
    assert list(tiny.catalogue.read_lock_set(REF)) == ["image.lock.yaml"]


def test_a_lock_set_that_cannot_be_written_leaves_the_one_before(tiny: Tiny) -> None:
    tiny.catalogue.write_lock_set(REF, {"image.lock.yaml": b"1"})
    with pytest.raises(ToolError, match="too long"):
        tiny.catalogue.write_lock_set(REF, {"image.lock.yaml": b"2", "x" * 300: b""})
    assert tiny.files() == {"image.lock.yaml": b"1"}
    assert [path.name for path in tiny.lock_set.parent.iterdir()] == ["r1_0_0"]


def test_a_lock_that_was_broken_off_is_told_as_torn_and_locked_again(tiny: Tiny) -> None:
    tiny.lock_simply()
    files = tiny.catalogue.read_lock_set(REF)
    (tiny.lock_set / "lab.conda-lock.yml").write_bytes(files["lab.conda-lock.yml"].replace(b"4.6.0", b"4.6.1"))
    with pytest.raises(DocumentError, match=r"jupyterlab-4.6.0-0.conda is in image.lock.yaml but not in"):
        tiny.catalogue.lock_set(REF)
    tiny.lock_simply()
    assert tiny.catalogue.read_lock_set(REF) == files


def test_a_lock_set_that_was_built_meanwhile_is_not_written(tiny: Tiny) -> None:
    tiny.lock_simply()
    before = tiny.catalogue.read_lock_set(REF)
    tiny.record()
    with pytest.raises(UsageError, match="has been built meanwhile"):
        tiny.catalogue.write_lock_set(REF, {"image.lock.yaml": b"2"})
    assert tiny.catalogue.read_lock_set(REF) == before


def test_a_lock_set_is_held_by_one_at_a_time_and_holding_leaves_no_file(tiny: Tiny) -> None:
    order: list[str] = []
    with ThreadPoolExecutor(1) as pool:
        with tiny.catalogue.hold(REF):
            writing = pool.submit(
                lambda: (tiny.catalogue.write_lock_set(REF, {"image.lock.yaml": b"1"}), order.append("written"))
            )
            with pytest.raises(TimeoutError):
                writing.result(timeout=0.2)
            order.append("let go")
        writing.result(timeout=30)
    assert order == ["let go", "written"]
    assert list(tiny.files()) == ["image.lock.yaml"]


def test_a_link_may_lead_to_another_document_but_not_out_of_the_catalogue(tiny: Tiny, tmp_path: Path) -> None:
    (tiny.root / "envs" / "lab" / "other.yml").symlink_to("environment.yml")
    tiny.declare_image(lab={"environment": "lab/other.yml"})
    assert tiny.catalogue.declared("lab").environments
    tiny.lock_simply()
    outside = tmp_path.parent / "outside.yml"
    outside.write_text("secret: 1\n")
    for place in ("envs/lab/other.yml", "lockfiles/lab/r1_0_0/image.lock.yaml"):
        (tiny.root / place).unlink()
        (tiny.root / place).symlink_to(outside)
    for read in (lambda: tiny.catalogue.declared("lab"), lambda: tiny.catalogue.lock_set(REF)):
        with pytest.raises(DocumentError, match=r"^(envs|lockfiles)/.*: a link leads out of the catalogue$"):
            read()


def test_a_link_to_itself_is_one_error(tiny: Tiny) -> None:
    (tiny.root / "envs" / "lab" / "environment.yml").unlink()
    (tiny.root / "envs" / "lab" / "environment.yml").symlink_to("environment.yml")
    with pytest.raises(DocumentError, match=r"^envs/lab/environment.yml: "):
        tiny.catalogue.declared("lab")


def test_a_lock_is_never_written_through_a_link_out_of_the_catalogue(tiny: Tiny, tmp_path: Path) -> None:
    (tmp_path.parent / "elsewhere").mkdir(exist_ok=True)
    tiny.lock_set.parent.mkdir(parents=True)
    tiny.lock_set.symlink_to(tmp_path.parent / "elsewhere")
    with pytest.raises(DocumentError, match="a link leads out of the catalogue"):
        tiny.catalogue.write_lock_set(REF, {"image.lock.yaml": b"1"})


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
