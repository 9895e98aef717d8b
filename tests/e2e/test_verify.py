"""``peel verify`` on real images: identical from an archive alone, and every single change told as what it is."""

from __future__ import annotations

import shutil
import signal
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from e2e.catalogues import DEMO, TINY, Demo, contents_of, declare_channel, forget_artifacts, record_of
from e2e.running import Peel, becomes_true, mounts_beneath, processes_naming, refused
from peel.demo.registry import serve_registry
from rewriting import GZIP, ImageCopy, Piece, packed_gzip, packed_zstd

OFFLINE = ("unshare", "--net", "--")
SITE = "opt/peel/lab/lib/python3.13/site-packages"


def published(peel: Peel, ref: str, place: Path) -> ImageCopy:
    """A built image in a layout of its own, to be changed."""
    tag = ref.partition(":")[2]
    peel.must("build", ref, "--to", f"oci:{place / 'out'}:{tag}")
    return ImageCopy.of(place / "out", tag, place / "copy")


def differences(peel: Peel, ref: str, copy: ImageCopy) -> tuple[str, list[Any]]:
    """At which rung an image differs, and how."""
    done = peel.run("verify", ref, "--against", copy.reference, "--json")
    assert done.status == 1, done.stderr
    told = done.json
    assert (told["identical"], told["against"]) == (False, copy.reference)
    nothing_is_left(peel)
    return told["rung"], told["differences"]


def nothing_is_left(peel: Peel) -> None:
    assert list((peel.store / "tmp").iterdir()) == []
    assert mounts_beneath(peel.store) == []
    becomes_true(lambda: processes_naming(str(peel.store / "tmp")) == [], "no process is left", within=10)


def test_the_demo_is_rebuilt_from_an_archive_alone_after_its_store_is_gone(
    own_demo: Peel, demo: Demo, tmp_path: Path
) -> None:
    own_demo.must("archive", DEMO, "--to", tmp_path / "archive")
    shutil.rmtree(own_demo.store)
    locks = contents_of(own_demo.catalogue)
    cut_off = own_demo.under(*OFFLINE)
    refused(cut_off.run("verify", DEMO), 5, "is in no archive and not in the store")
    done = cut_off.must("verify", DEMO, "--archive", tmp_path / "archive")
    assert done.stdout == f"identical: {demo.manifest}\n"
    assert contents_of(own_demo.catalogue) == locks
    assert list((own_demo.store / "blobs" / "sha256").iterdir()) == []
    nothing_is_left(own_demo)


def test_one_byte_changed_in_the_demo_is_named_with_layer_file_package_and_cause(
    own_demo: Peel, tmp_path: Path
) -> None:
    copy = published(own_demo, DEMO, tmp_path)
    number = copy.layer_with("site-packages/humanize/time.py")
    path = copy.edit_file(
        number, "humanize/time.py", lambda piece: piece.having(piece.data[:99] + b"!" + piece.data[100:])
    )
    rung, (found,) = differences(own_demo, DEMO, copy)
    assert rung == "file tree"
    assert (found["path"], found["kind"], found["cause"]) == (path, "content", "contents changed")
    assert found["package"].startswith("humanize ")
    assert found["layer"] == copy.config["history"][number]["created_by"].removeprefix("peel: ")
    assert found["detail"].startswith("byte 100 of ")
    assert ": 21 " in found["detail"]


def numbered(number: int, change: Callable[[Piece], Piece]) -> Callable[[ImageCopy], object]:
    return lambda copy: copy.edit_file(copy.layer_with("part7.py"), f"jupyterlab/part{number}.py", change)


def lab_layer(copy: ImageCopy) -> int:
    return copy.layer_with("part7.py")


CHANGES: dict[str, tuple[Callable[[ImageCopy], object], str, str, str, str]] = {
    # what is done; then rung, kind, cause, and words of the detail
    "reordered": (
        lambda copy: copy.edit_layer(lab_layer(copy), lambda pieces: pieces[::-1]),
        "diff ids", "order", "order", "should be",
    ),
    "packed by gzip": (
        lambda copy: copy.recompress(lab_layer(copy), GZIP, packed_gzip),
        "blobs", "compression", "other compressor", "gzip instead of zstd",
    ),
    "packed by another level": (
        lambda copy: copy.recompress(
            lab_layer(copy), copy.manifest["layers"][lab_layer(copy)]["mediaType"], lambda tar: packed_zstd(tar, 9)
        ),
        "blobs", "compression", "compressor version", "zstd of another version or level",
    ),
    "labelled": (
        lambda copy: copy.edit_config(lambda config: config["config"]["Labels"].update(more="label")),
        "config", "config", "config changed", '"label" instead of nothing',
    ),
    "annotated": (
        lambda copy: copy.edit_manifest(lambda manifest: manifest["annotations"].update(more="note")),
        "manifest", "manifest", "annotation changed", '"note" instead of nothing',
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", CHANGES)
def test_each_change_above_the_files_is_told_at_its_rung(own_tiny: Peel, tmp_path: Path, name: str) -> None:
    change, *expected, words = CHANGES[name]
    copy = published(own_tiny, TINY, tmp_path)
    change(copy)
    rung, (found,) = differences(own_tiny, TINY, copy)
    assert [rung, found["kind"], found["cause"]] == expected
    assert words in found["detail"]


def test_each_change_of_a_file_is_told_as_what_it_is(own_tiny: Peel, tmp_path: Path) -> None:
    copy = published(own_tiny, TINY, tmp_path)
    for change in (
        numbered(1, lambda piece: piece.having(mtime=1)),
        numbered(2, lambda piece: piece.having(uid=1000, gid=100)),
        numbered(3, lambda piece: piece.having(mode=0o777)),
        numbered(4, lambda piece: piece.having(piece.data.replace(b"4", b"5"))),
    ):
        change(copy)
    gone, compiled = f"{SITE}/jupyterlab/part5.py", f"{SITE}/jupyterlab/__pycache__/part6.cpython-313.pyc"
    copy.edit_layer(lab_layer(copy), lambda pieces: [piece for piece in pieces if piece.path != gone])
    copy.edit_file(lab_layer(copy), compiled, lambda piece: piece.having(piece.data + b"!"))
    rung, found = differences(own_tiny, TINY, copy)
    assert rung == "file tree"
    assert {(d["path"].removeprefix(f"{SITE}/jupyterlab/"), d["kind"], d["cause"]) for d in found} == {
        ("part1.py", "mtime", "mtime"),
        ("part2.py", "owner", "owner"),
        ("part3.py", "mode", "mode"),
        ("part4.py", "content", "contents changed"),
        ("part5.py", "missing", "missing file"),
        ("__pycache__/part6.cpython-313.pyc", "content", "bytecode"),
    }
    assert {d["package"] for d in found} == {"jupyterlab 1.0 0"}
    details = {d["kind"]: d["detail"] for d in found if d["kind"] != "content"}
    assert details["mode"] == "0777 instead of 0644"
    assert details["owner"] == "1000:100 instead of 0:0"
    assert details["mtime"].startswith("1970-01-01T00:00:01Z instead of ")


def test_people_read_what_differs_and_in_what(own_tiny: Peel, tmp_path: Path) -> None:
    copy = published(own_tiny, TINY, tmp_path)
    numbered(4, lambda piece: piece.having(mode=0o600))(copy)
    done = own_tiny.run("verify", TINY, "--against", copy.reference)
    assert done.status == 1
    layer = copy.config["history"][lab_layer(copy)]["created_by"].removeprefix("peel: ")
    assert done.stdout.splitlines() == [
        f"{copy.reference} is not what {TINY} gives for linux-64: its file tree differs",
        f"mode: jupyterlab 1.0 0, in layer {layer!r}",
        f"  {SITE}/jupyterlab/part4.py: 0600 instead of 0644",
    ]


def test_a_registrys_image_is_compared_byte_for_byte(own_tiny: Peel, tiny: Demo, tmp_path: Path) -> None:
    copy = published(own_tiny, TINY, tmp_path)
    with serve_registry(copy.directory, "library/tiny", tag=copy.tag) as served:
        reader = own_tiny.with_env(CONTAINERS_REGISTRIES_CONF=str(served.registries_conf))
        done = reader.must("verify", TINY, "--against", f"docker://{served.reference}")
        assert done.stdout == f"identical: {tiny.manifest}\n"
        refused(reader.run("verify", TINY, "--against", f"docker://{served.reference}0"), 5, f"{served.reference}0")
    nothing_is_left(own_tiny)


def kept(peel: Peel) -> list[dict[str, bytes]]:
    """All that a store has of artifacts, layers and images."""
    names = {"index.json": (peel.store / "index.json").read_bytes()}
    return [names, *(contents_of(peel.store / part) for part in ("blobs", "layers", "containers"))]


def test_nothing_of_the_store_but_blobs_is_used_and_nothing_of_it_changes(own_tiny: Peel, tiny: Demo) -> None:
    for record in (own_tiny.store / "layers").iterdir():
        data = record.read_bytes()
        record.unlink()
        record.write_bytes(data.replace(b'"sha256:', b'"sha256:0', 1))
    before = kept(own_tiny)
    done = (
        own_tiny.under(*OFFLINE)
        .with_env(TZ="Asia/Tokyo", SOURCE_DATE_EPOCH="1", PYTHONHASHSEED="7")
        .must("verify", TINY)
    )
    assert done.stdout == f"identical: {tiny.manifest}\n"
    assert kept(own_tiny) == before
    nothing_is_left(own_tiny)


def test_the_network_brings_what_is_nowhere_else_if_it_may(own_tiny: Peel, tiny: Demo) -> None:
    forget_artifacts(own_tiny)
    refused(own_tiny.run("verify", TINY), 5, "in no archive and not in the store", "python-3.13")
    nothing_is_left(own_tiny)
    assert own_tiny.must("verify", TINY, "--fetch", "--json").json["identical"]
    assert tiny.manifest == own_tiny.must("verify", TINY, "--fetch").stdout.split()[1]


def test_a_lock_set_edited_after_its_record_is_told_at_once(own_tiny: Peel) -> None:
    lock = own_tiny.catalogue / "lockfiles" / "tiny" / "1.0.0" / "image.lock.yaml"
    lock.write_text(lock.read_text().replace("epoch: ", "epoch: 1"))
    before = contents_of(own_tiny.catalogue / "lockfiles")
    refused(own_tiny.run("verify", TINY), 1, "record.json is not of this lock set", "plan sha256:")
    assert contents_of(own_tiny.catalogue / "lockfiles") == before
    record_of(own_tiny, TINY).unlink()
    refused(own_tiny.run("verify", TINY), 2, "has no record", "--against")


def test_a_lock_of_another_compressor_is_rebuilt_and_only_its_label_differs(own_tiny: Peel, tmp_path: Path) -> None:
    copy = published(own_tiny, TINY, tmp_path)
    lock = own_tiny.catalogue / "lockfiles" / "tiny" / "1.0.0" / "image.lock.yaml"
    lock.write_text(lock.read_text().replace("library: libzstd ", "library: libzstd 0."))
    record_of(own_tiny, TINY).unlink()
    rung, (found,) = differences(own_tiny, TINY, copy)
    assert (rung, found["path"]) == ("config", "config.Labels.io.peel-images.plan")


@pytest.mark.parametrize("by", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_verify_leaves_nothing(own_tiny: Peel, by: signal.Signals) -> None:
    for seconds in (1.0, 2.5, 5.0):
        outcome = own_tiny.cut_off("verify", TINY, after=seconds, by=by)
        assert outcome.status in {0, 6, -by}, outcome.stderr
        assert "Traceback" not in outcome.stderr
        nothing_is_left(own_tiny)


def test_what_a_killed_verify_left_is_cleared_away_by_the_next(own_tiny: Peel, tiny: Demo) -> None:
    tmp = str(own_tiny.store / "tmp")
    with own_tiny.start("verify", TINY, "--quiet") as child:
        becomes_true(lambda: any("compile.py" in line for line in processes_naming(tmp)), "it compiles")
        child.kill()
        child.communicate()
    assert mounts_beneath(own_tiny.store) != []
    assert own_tiny.must("verify", TINY).stdout == f"identical: {tiny.manifest}\n"
    nothing_is_left(own_tiny)


def test_a_store_elsewhere_and_a_catalogue_elsewhere_change_nothing(own_tiny: Peel, tiny: Demo, tmp_path: Path) -> None:
    elsewhere = tmp_path / "Another Place, far away"
    shutil.copytree(own_tiny.catalogue, elsewhere)
    moved = replace(own_tiny, catalogue=elsewhere)
    declare_channel(moved, "file:///nowhere")  # what is declared by now has no say
    assert moved.must("verify", TINY).stdout == f"identical: {tiny.manifest}\n"
