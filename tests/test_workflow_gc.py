"""Freeing a store: what is needed stays, to the byte; what is not goes; and on doubt nothing does."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from peel.cli import app
from peel.errors import ArtifactError, DocumentError, PeelError, ToolError, UsageError
from peel.model.lockset import MissingArtifact
from peel.model.oci import LAYER_ZSTD, BaseImage, describe
from peel.model.plan import LayerStep, Plan, layer_key, make_plan
from peel.model.progress import Silent
from peel.model.values import Digest, ImageRef, Platform
from peel.store.documents import to_yaml
from peel.store.store import LayerRecord, Store
from peel.workflow.build import Built, build_image
from peel.workflow.fetching import Sources
from peel.workflow.gc import Garbage, find_garbage, free
from peel.workflow.lock import FORMATS
from peel.workflow.record import accept
from tiny import REF, Tiny

NEXT = ImageRef("lab", "r1_0_1")
needs_buildah = pytest.mark.skipif(
    shutil.which("buildah") is None or os.geteuid() != 0, reason="buildah is not installed, or this is not root"
)


@pytest.fixture
def tiny(tmp_path: Path) -> Tiny:
    made = Tiny(tmp_path)
    made.lock_simply()
    made.store.remember_catalogue(made.root)
    return made


def build(tiny: Tiny, ref: ImageRef = REF) -> Built:
    """Build an image whose layers are the names of what they hold, and let it stand for its address."""
    plan = make_plan(tiny.catalogue.lock_set(ref), Platform("linux-64"))

    def make_layers(plan: Plan, missing: Sequence[LayerStep], _: BaseImage) -> None:
        for step in missing:
            data = step.contents.encode()
            tiny.store.blobs.put_bytes(data)
            made = LayerRecord(describe(LAYER_ZSTD, data), Digest.of(b"tar of " + data))
            tiny.store.remember_layer(layer_key(step, plan), made)

    built = build_image(
        plan, store=tiny.store, sources=Sources(), make_layers=make_layers, formats=FORMATS, progress=Silent()
    )
    accept(built, tiny.catalogue, tiny.store)
    return built


def garbage(tiny: Tiny, *, images: bool = False, own: Path | None = None) -> Garbage:
    return find_garbage(own or tiny.root, tiny.store, images=images, progress=Silent())


def collect(tiny: Tiny, *, images: bool = False) -> Garbage:
    found = garbage(tiny, images=images)
    free(found, tiny.store, Silent())
    return found


def blobs(store: Store) -> set[str]:
    return {path.name for path in (store.root / "blobs" / "sha256").iterdir()}


def everything(store: Store) -> dict[str, bytes]:
    return {str(path.relative_to(store.root)): path.read_bytes() for path in store.root.rglob("*") if path.is_file()}


def peel(tiny: Tiny, *argv: str) -> Result:
    return CliRunner().invoke(app, ["-C", str(tiny.root), "--store", str(tiny.store.root), *argv])


def relock(tiny: Tiny) -> None:
    """Lock the next tag with a newer python, so that the two tags share jupyterlab's archive and nothing else."""
    for path in tiny.channel.glob("*/python-*"):
        path.unlink()
    tiny.add("python", "3.13.2", files={"bin/python": "newer"})
    from tiny import ChannelLock  # noqa: PLC0415

    tiny.lock(ChannelLock(tiny.channel), ref=NEXT)


def test_a_store_whose_catalogue_needs_all_of_it_stays_to_the_byte(tiny: Tiny) -> None:
    build(tiny)
    before = everything(tiny.store)
    found = collect(tiny)
    assert (found.waste, found.freed, found.names, found.containers) == ((), 0, (), ())
    assert everything(tiny.store) == before


def test_what_was_put_there_in_vain_goes_and_is_counted(tiny: Tiny) -> None:
    built = build(tiny)
    before = blobs(tiny.store)
    vain = {tiny.store.blobs.put_bytes(data).hex for data in (b"one", b"three")}
    (tiny.store.root / "layers" / ".half.written").write_bytes(b"xy")
    orphan = Digest.of(b"no plan has this key")
    tiny.store.remember_layer(orphan, LayerRecord(describe(LAYER_ZSTD, b"one"), orphan))
    found = collect(tiny)
    assert found.freed == sum(item.size for item in found.waste)
    assert {item.digest.hex: item.size for item in found.waste if item.digest} == {
        digest: len(data) for digest, data in zip(sorted(vain), sorted([b"one", b"three"], key=_hex), strict=True)
    }
    assert blobs(tiny.store) == before
    assert tiny.store.layer(orphan) is None
    assert not list((tiny.store.root / "layers").glob(".*"))
    kept = tiny.store.image(REF, Platform("linux-64"))
    assert kept is not None
    assert kept.digest == built.manifest.digest


def _hex(data: bytes) -> str:
    return Digest.of(data).hex


def test_what_only_a_lock_set_that_is_gone_needed_goes(tiny: Tiny) -> None:
    before = blobs(tiny.store)
    relock(tiny)
    assert garbage(tiny).waste == ()
    shutil.rmtree(tiny.catalogue.lock_directory(NEXT))
    found = collect(tiny)
    assert len(found.waste) == 1
    assert blobs(tiny.store) == before


def test_after_freeing_a_build_needs_neither_channel_nor_registry(tiny: Tiny) -> None:
    first = build(tiny)
    collect(tiny)
    shutil.rmtree(tiny.channel)
    assert all(layer.reused for layer in build(tiny).layers)
    for key in (tiny.store.root / "layers").iterdir():
        key.unlink()
    assert build(tiny).manifest == first.manifest


def test_a_layer_is_kept_for_the_record_even_where_no_key_leads_to_it(tiny: Tiny) -> None:
    built = build(tiny)
    for note in (tiny.store.root / "layers").iterdir():
        note.unlink()
    assert garbage(tiny).waste == ()
    assert all(tiny.store.blobs.has(layer.record.blob.digest) for layer in built.layers)


def test_a_layer_is_kept_for_its_key_even_without_record_and_image(tiny: Tiny) -> None:
    build(tiny)
    (tiny.lock_set / "record.json").unlink()
    (tiny.store.root / "index.json").write_text('{"manifests": [], "schemaVersion": 2}')
    gone = {item.digest for item in garbage(tiny).waste}
    kept = [tiny.store.layer(Digest.from_hex(p.stem)) for p in (tiny.store.root / "layers").iterdir()]
    assert len(gone) == 2  # config and manifest of the image
    assert kept
    assert not gone & {record.blob.digest for record in kept if record}


def test_an_image_whose_lock_set_is_gone_is_kept_until_images_may_go(tiny: Tiny) -> None:
    built = build(tiny)
    shutil.rmtree(tiny.lock_set)
    kept = garbage(tiny)
    assert kept.strays == (str(REF),)
    assert not {item.digest for item in kept.waste} & {built.manifest.digest, built.config}
    found = collect(tiny, images=True)
    assert (found.names, found.strays) == ((str(REF),), ())
    assert blobs(tiny.store) == set()
    assert tiny.store.image(REF, Platform("linux-64")) is None


def test_what_others_named_in_the_index_is_kept_whatever_it_is(tiny: Tiny) -> None:
    index = json.loads((tiny.store.root / "index.json").read_text())
    config, inner = b"{}", b""
    inner = json.dumps({"schemaVersion": 2, "config": entry(config), "layers": [entry(b"a layer")]}).encode()
    outer = json.dumps({"schemaVersion": 2, "manifests": [entry(inner)]}).encode()
    for data in (config, b"a layer", inner, outer):
        tiny.store.blobs.put_bytes(data)
    index["manifests"].append({**entry(outer), "annotations": {"org.opencontainers.image.ref.name": "no/peel.name"}})
    (tiny.store.root / "index.json").write_text(json.dumps(index))
    assert collect(tiny, images=True).waste == ()


def entry(data: bytes) -> dict[str, Any]:
    return {"mediaType": "application/vnd.strange", "digest": str(Digest.of(data)), "size": len(data)}


def test_every_catalogue_that_used_the_store_is_considered(tiny: Tiny, tmp_path: Path) -> None:
    relock(tiny)
    other = tmp_path / "other"
    place = other / "lockfiles" / NEXT.image / NEXT.tag
    shutil.copytree(tiny.catalogue.lock_directory(NEXT), place)
    shutil.rmtree(tiny.catalogue.lock_directory(NEXT))
    assert len(garbage(tiny).waste) == 1
    tiny.store.remember_catalogue(other)
    found = garbage(tiny)
    assert found.waste == ()
    assert found.catalogues == tuple(sorted([other, tiny.root]))


def test_a_catalogue_that_is_gone_counts_no_longer_and_is_forgotten(tiny: Tiny, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    tiny.store.remember_catalogue(other)
    assert garbage(tiny).gone == (other,)
    assert tiny.store.catalogues() == sorted([other, tiny.root])
    collect(tiny)
    assert tiny.store.catalogues() == [tiny.root]


def test_without_any_catalogue_nothing_is_freed(tiny: Tiny, tmp_path: Path) -> None:
    tiny.store.forget_catalogue(tiny.root)
    with pytest.raises(UsageError, match="no catalogue is known that uses the store"):
        garbage(tiny, own=tmp_path / "nowhere")
    assert garbage(tiny, own=tiny.root).catalogues == (tiny.root,)


def _break_lock(tiny: Tiny) -> None:
    (tiny.lock_set / "image.lock.yaml").write_text("schema: 1\n")


def _tear(tiny: Tiny) -> None:
    (tiny.lock_set / "lab.conda-lock.yml").unlink()


def _break_record(tiny: Tiny) -> None:
    (tiny.lock_set / "record.json").write_text("{")


def _leave_a_dangling_link(tiny: Tiny) -> None:
    (tiny.lock_set / "image.lock.yaml").unlink()
    (tiny.lock_set / "image.lock.yaml").symlink_to("elsewhere")


def _copy_under_a_bad_name(tiny: Tiny) -> None:
    shutil.copytree(tiny.lock_set, tiny.lock_set.with_name("r1 0 0"))


@pytest.mark.parametrize(
    ("damage", "named"),
    [
        (_break_lock, "lockfiles/lab/r1_0_0/image.lock.yaml"),
        (_tear, "lockfiles/lab/r1_0_0/lab.conda-lock.yml"),
        (_break_record, "lockfiles/lab/r1_0_0/record.json"),
        (_leave_a_dangling_link, "lab:r1_0_0"),
        (_copy_under_a_bad_name, "lockfiles/lab/r1 0 0"),
    ],
)
def test_a_lock_set_that_cannot_be_read_stops_everything_and_is_named(tiny: Tiny, damage: Any, named: str) -> None:
    tiny.store.blobs.put_bytes(b"in vain")
    damage(tiny)
    before = everything(tiny.store)
    with pytest.raises(DocumentError) as raised:
        garbage(tiny)
    assert str(tiny.root) in raised.value.message
    assert named in raised.value.message
    assert "nothing was freed" in str(raised.value.hint)
    done = peel(tiny, "gc")
    assert (done.exit_code, done.stdout) == (3, "")
    assert everything(tiny.store) == before


def test_a_damaged_manifest_stops_everything(tiny: Tiny) -> None:
    built = build(tiny)
    path = tiny.store.blobs.path(built.manifest.digest)
    path.chmod(0o644)
    path.write_bytes(b"{}")
    with pytest.raises(ArtifactError, match=f"{built.manifest.digest} is damaged"):
        garbage(tiny)


def test_what_an_incomplete_import_has_so_far_is_kept(tiny: Tiny) -> None:
    lock = tiny.catalogue.image_lock(REF)
    missing = {"linux-64": {"lab": (MissingArtifact(name="gone", version="1.0"),)}}
    partial = lock.model_copy(update={"missing": missing})
    (tiny.lock_set / "image.lock.yaml").write_bytes(to_yaml(partial.as_document()))
    with pytest.raises(DocumentError, match="is incomplete"):
        tiny.catalogue.lock_set(REF)
    assert garbage(tiny).waste == ()


def test_a_blob_that_an_archive_shares_frees_nothing_but_its_name(tiny: Tiny, tmp_path: Path) -> None:
    digest = tiny.store.blobs.put_bytes(b"shared")
    (tmp_path / "archived").hardlink_to(tiny.store.blobs.path(digest))
    found = collect(tiny)
    assert [(item.size, item.freed) for item in found.waste] == [(6, 0)]
    assert not tiny.store.blobs.has(digest)
    assert (tmp_path / "archived").read_bytes() == b"shared"


# among several runs


def test_nothing_is_freed_while_another_run_uses_the_store(tiny: Tiny) -> None:
    tiny.store.blobs.put_bytes(b"in vain")
    with Store(tiny.store.root).using():
        done = peel(tiny, "gc")
        assert (done.exit_code, done.stdout) == (ToolError.exit_code, "")
        assert "is in use by another run of peel" in done.stderr
        assert "hint: " in done.stderr
        assert peel(tiny, "gc", "--dry-run").exit_code == 0
    assert peel(tiny, "gc").exit_code == 0


def test_runs_share_the_store_and_a_killed_one_leaves_it_free(tiny: Tiny) -> None:
    script = (
        "import sys, time; from pathlib import Path; from peel.store.store import Store\n"
        "with Store(Path(sys.argv[1])).using():\n    print('using', flush=True); time.sleep(60)"
    )
    argv = [sys.executable, "-c", script, str(tiny.store.root)]
    with tiny.store.using(), subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout
        assert child.stdout.readline() == "using\n"
        child.kill()
        child.wait()
    with tiny.store.alone():
        pass


def test_a_run_waits_for_one_that_frees(tiny: Tiny) -> None:
    class WaitedError(Exception):
        pass

    def waiting() -> None:
        raise WaitedError

    with tiny.store.alone(), pytest.raises(WaitedError), Store(tiny.store.root).using(waiting):
        pass
    with tiny.store.alone(), pytest.raises(ToolError), Store(tiny.store.root).alone():
        pass


def test_every_verb_that_opens_the_store_remembers_its_catalogue_and_lets_go_of_it(tiny: Tiny) -> None:
    tiny.store.forget_catalogue(tiny.root)
    assert tiny.store.catalogues() == []
    assert peel(tiny, "archive", str(REF), "--to", str(tiny.root / "kept"), "-q").exit_code == 0
    assert tiny.store.catalogues() == [tiny.root]
    with tiny.store.alone():
        pass


# containers


@needs_buildah
def test_container_images_that_nothing_stands_behind_go(tiny: Tiny) -> None:
    from peel.tools.isolation import open_buildah  # noqa: PLC0415
    from peel.workflow.base import fetch_base  # noqa: PLC0415
    from peel.workflow.containers import import_base, import_image  # noqa: PLC0415

    plan = make_plan(tiny.catalogue.lock_set(REF), Platform("linux-64"))
    base = fetch_base(plan.base, plan.platform, tiny.store, Sources(), Silent())
    engine = open_buildah(tiny.store.root / "containers")
    import_base(base, tiny.store, engine)
    other = tiny.store.blobs.put_bytes(json.dumps(json.loads(base.manifest)).encode())
    vain = replace(describe("application/vnd.oci.image.manifest.v1+json", base.manifest), digest=other, size=1)
    vain = replace(vain, size=tiny.store.blobs.path(other).stat().st_size)
    import_image(vain, tiny.store, engine)
    found = garbage(tiny)
    assert [image.name for image in found.containers] == [f"localhost/peel:{other.hex}"]
    collect(tiny)
    assert garbage(tiny).containers == ()
    assert engine.find_image(f"localhost/peel:{other.hex}") is None
    import_base(base, tiny.store, engine)


def test_container_images_are_left_alone_where_there_is_no_buildah(tiny: Tiny, monkeypatch: pytest.MonkeyPatch) -> None:
    said = list[str]()

    class Told(Silent):
        def warn(self, text: str) -> None:
            said.append(text)

    (tiny.store.root / "containers" / "storage").mkdir(parents=True)
    monkeypatch.setenv("PATH", str(tiny.root))
    assert find_garbage(tiny.root, tiny.store, images=False, progress=Told()).containers == ()
    assert "buildah is not installed" in said[0]


# the verb


def test_a_dry_run_lists_what_would_go_and_frees_nothing(tiny: Tiny) -> None:
    digest = tiny.store.blobs.put_bytes(b"in vain")
    before = everything(tiny.store)
    done = peel(tiny, "gc", "--dry-run")
    assert done.exit_code == 0, done.stderr
    assert [line.split() for line in done.stdout.splitlines()] == [
        ["WHAT", "BYTES", "NAME"], ["blob", "7", str(digest)],
    ]  # fmt: skip
    told = json.loads(peel(tiny, "gc", "--dry-run", "--json").stdout)
    assert told == {
        "schema": 1, "dry_run": True, "freed": 7, "blobs": [{"digest": str(digest), "size": 7, "freed": 7}],
        "layers": 0, "images": [], "kept_images": [], "containers": [], "environments": [],
        "catalogues": [str(tiny.root)], "gone": [],
    }  # fmt: skip
    assert everything(tiny.store) == before


def test_freeing_prints_the_bytes_and_says_for_whom_it_kept_the_rest(tiny: Tiny) -> None:
    tiny.store.blobs.put_bytes(b"in vain")
    done = peel(tiny, "gc")
    assert (done.exit_code, done.stdout) == (0, "7\n")
    assert f"kept what {tiny.root} needs" in done.stderr
    again = peel(tiny, "gc", "--json", "-q")
    assert (json.loads(again.stdout)["freed"], again.stderr) == (0, "")


def test_a_place_that_is_no_store_is_told_and_stays_as_it_is(tiny: Tiny, tmp_path: Path) -> None:
    done = CliRunner().invoke(app, ["-C", str(tiny.root), "--store", str(tmp_path / "typo"), "gc"])
    assert (done.exit_code, done.stdout) == (2, "")
    assert "is no store" in done.stderr
    assert not (tmp_path / "typo").exists()


def test_broken_off_it_leaves_a_store_that_is_whole(tiny: Tiny, monkeypatch: pytest.MonkeyPatch) -> None:
    build(tiny)
    for n in range(5):
        tiny.store.blobs.put_bytes(f"in vain {n}".encode())
    found, removed = garbage(tiny), list[Path]()
    unlink = Path.unlink

    def failing(path: Path, **more: Any) -> None:
        if len(removed) == 2:
            raise OSError(5, "Input/output error")
        removed.append(path)
        unlink(path, **more)

    with monkeypatch.context() as patched:
        patched.setattr(Path, "unlink", failing)
        with pytest.raises(PeelError, match="Input/output error"):
            free(found, tiny.store, Silent())
    assert len(garbage(tiny).waste) == 3
    assert all(layer.reused for layer in build(tiny).layers)
