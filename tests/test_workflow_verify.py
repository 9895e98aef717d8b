"""Verifying, with layers so small that a fake can make them: what is used, what is compared, what is refused."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from peel.errors import ArtifactError, DifferenceError, PeelError, UsageError
from peel.layers.blob import write_blob
from peel.layers.compress import compression_here
from peel.layers.tar import canonical
from peel.model.entry import file_of_bytes
from peel.model.lockset import ImageLock, LockedPatch, MadeFrom, PatchedFile, Record, RecordedImage
from peel.model.oci import BaseImage, Descriptor
from peel.model.plan import LayerStep, Plan, layer_key, make_plan
from peel.model.progress import Progress, Silent
from peel.model.values import Digest, ImageRef, Platform
from peel.store.archives import Archive
from peel.store.documents import to_yaml
from peel.store.layout import export_layout
from peel.store.store import LayerRecord, Store
from peel.workflow.build import Built, Remake, as_needed, build_image
from peel.workflow.fetching import Sources
from peel.workflow.lock import FORMATS
from peel.workflow.record import accept
from peel.workflow.verify import Verified, verify_image
from rewriting import ImageCopy, packed_zstd
from tiny import REF, Tiny

LINUX = Platform("linux-64")
CONTENTS = b"answer = 42\n"


@dataclass
class Builder:
    """Builds as peel does, but for layers of one file each, which says what the layer is; ``texts`` go over that."""

    texts: Mapping[str, str] = field(default_factory=dict)
    made: list[str] = field(default_factory=list)
    stores: list[Path] = field(default_factory=list)
    sources: list[Sources] = field(default_factory=list)

    def __call__(self, plan: Plan, store: Store, progress: Progress, sources: Sources, remake: Remake) -> Built:
        self.stores.append(store.root)
        self.sources.append(sources)

        def make_layers(plan: Plan, missing: Sequence[LayerStep], base: BaseImage) -> None:  # noqa: ARG001
            for step in missing:
                self.made.append(step.contents)
                name = "".join(c if c.isalnum() else "-" for c in step.contents)
                data = self.texts.get(step.contents, step.contents).encode()
                with store.work() as work:
                    blob = write_blob(canonical([file_of_bytes(name, data)]), compression_here(), work / "layer")
                    store.blobs.adopt(blob.path, blob.digest)
                record = LayerRecord(Descriptor(blob.media_type, blob.digest, blob.size), blob.diff_id)
                store.remember_layer(layer_key(step, plan), record)

        return build_image(
            plan, store=store, sources=sources, make_layers=make_layers, formats=FORMATS, progress=progress,
            any_compressor=True, remake=remake,
        )  # fmt: skip


@pytest.fixture
def tiny(tmp_path: Path) -> Tiny:
    """A catalogue whose one image is locked, built and recorded."""
    made = Tiny(tmp_path)
    made.lock_simply()
    record(made)
    return made


def planned(tiny: Tiny, ref: ImageRef = REF) -> Plan:
    return make_plan(tiny.catalogue.lock_set(ref), LINUX)


def record(tiny: Tiny, ref: ImageRef = REF, builder: Builder | None = None) -> Built:
    built = (builder or Builder())(planned(tiny, ref), tiny.store, Silent(), Sources(), as_needed)
    accept(built, tiny.catalogue, tiny.store)
    return built


def verify(
    tiny: Tiny, builder: Builder | None = None, *, ref: ImageRef = REF, against: str | None = None,
    archives: tuple[Archive, ...] = (), network: bool = False,
) -> Verified:  # fmt: skip
    return verify_image(
        ref, LINUX, against=against, catalogue=tiny.catalogue, store=tiny.store,
        sources=Sources(archives=archives, network=network), build=builder or Builder(), progress=Silent(),
    )  # fmt: skip


def refused(tiny: Tiny, kind: type[PeelError], builder: Builder | None = None, **more: Any) -> PeelError:
    """What verifying raises; nothing is left in the store."""
    with pytest.raises(kind) as raised:
        verify(tiny, builder, **more)
    assert list((tiny.store.root / "tmp").iterdir()) == []
    assert raised.value.hint
    return raised.value


def edit_record(tiny: Tiny, change: Mapping[str, Any], *, layer: int | None = None) -> None:
    path = tiny.lock_set / "record.json"
    document = json.loads(path.read_text())
    image = document["platforms"]["linux-64"]
    (image if layer is None else image["layers"][layer]).update(change)
    path.write_text(json.dumps(document))


def published(tiny: Tiny, tmp_path: Path) -> ImageCopy:
    """The recorded image as a layout of its own."""
    image = tiny.store.image(REF, LINUX)
    assert image is not None
    export_layout(tiny.store.blobs, image, tmp_path / "out", "x")
    return ImageCopy.of(tmp_path / "out", "x", tmp_path / "copy")


def snapshot(tiny: Tiny) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in sorted(tiny.root.rglob("*")) if path.is_file()}


def test_an_image_that_rebuilds_to_its_record_is_identical_and_nothing_changes(tiny: Tiny) -> None:
    before, builder = snapshot(tiny), Builder()
    done = verify(tiny, builder)
    assert (done.comparison.identical, done.against, done.kept) == (True, "record", None)
    assert done.manifest == Digest(
        json.loads(before[str(tiny.lock_set / "record.json")])["platforms"]["linux-64"]["manifest"]
    )
    assert snapshot(tiny) == before
    assert builder.stores[0] != tiny.store.root
    assert not builder.stores[0].exists()


def test_no_layer_of_the_store_is_used(tiny: Tiny) -> None:
    plan, poison = planned(tiny), b"poison"
    tiny.store.blobs.put_bytes(poison)
    for step in plan.layers:
        blob = Descriptor("application/vnd.oci.image.layer.v1.tar", Digest.of(poison), len(poison))
        tiny.store.remember_layer(layer_key(step, plan), LayerRecord(blob, Digest.of(poison)))
    builder = Builder()
    assert verify(tiny, builder).comparison.identical
    assert builder.made == [step.contents for step in plan.layers]


def test_the_network_is_asked_only_if_that_is_wanted(tiny: Tiny) -> None:
    base = planned(tiny).base.digest
    tiny.store.blobs.path(base).unlink()
    error = refused(tiny, ArtifactError)
    assert f"{base} is in no archive and not in the store" in error.message
    builder = Builder()
    with pytest.raises(PeelError):  # there is no such registry
        verify(tiny, builder, network=True)
    assert builder.sources[0].network


def test_archives_come_before_the_store_which_is_the_last(tiny: Tiny, tmp_path: Path) -> None:
    kept = tmp_path / "kept"
    shutil.copytree(tiny.store.root / "blobs", kept / "blobs")
    shutil.rmtree(tiny.store.root / "blobs")
    builder = Builder()
    assert verify(tiny, builder, archives=(Archive("the shelf", kept),)).comparison.identical
    assert [archive.name for archive in builder.sources[0].archives] == ["the shelf", "the store"]


def test_a_damaged_blob_of_the_base_is_named(tiny: Tiny) -> None:
    base = planned(tiny).base.digest
    path = tiny.store.blobs.path(base)
    data = path.read_bytes()
    path.unlink()
    path.write_bytes(data + b" ")
    assert str(base) in refused(tiny, ArtifactError).message


def test_without_a_record_there_is_nothing_to_compare_with(tiny: Tiny) -> None:
    (tiny.lock_set / "record.json").unlink()
    builder = Builder()
    error = refused(tiny, UsageError, builder)
    assert error.message == "lab:r1_0_0 has no record for linux-64, so there is nothing to compare with"
    assert "--against" in str(error.hint)
    assert builder.made == []


def test_a_lock_set_edited_after_its_record_is_told_before_anything_is_built(tiny: Tiny) -> None:
    lock = tiny.lock_set / "image.lock.yaml"
    lock.write_text(lock.read_text().replace("epoch: ", "epoch: 1"))
    builder = Builder()
    error = refused(tiny, DifferenceError, builder)
    first, *lines = error.message.splitlines()
    assert first == "lockfiles/lab/r1_0_0/record.json is not of this lock set:"
    assert [line.split()[:5] for line in lines] == [["it", "is", "of", "plan", lines[0].split()[4]]]
    assert str(planned(tiny).digest) in error.message
    assert builder.made == []


def test_a_record_of_another_number_of_layers_is_told_as_that(tiny: Tiny) -> None:
    path = tiny.lock_set / "record.json"
    document = json.loads(path.read_text())
    gone = document["platforms"]["linux-64"]["layers"].pop(0)
    path.write_text(json.dumps(document))
    message = refused(tiny, DifferenceError).message
    count = len(planned(tiny).layers)
    assert f"it lists {count - 1} layers, and the lock set gives {count}" in message
    assert f"the lock set gives layer {gone['contents']!r}, which it does not list" in message


def test_a_record_whose_layers_are_in_another_order_is_told_as_that(tiny: Tiny) -> None:
    path = tiny.lock_set / "record.json"
    document = json.loads(path.read_text())
    document["platforms"]["linux-64"]["layers"].reverse()
    path.write_text(json.dumps(document))
    assert "it lists the layers in another order" in refused(tiny, DifferenceError).message


@pytest.mark.parametrize(
    ("layer", "change", "words"),
    [
        (0, {"size": 1}, "has another size than in its manifest"),
        (0, {"diff_id": f"sha256:{'1' * 64}"}, "has another diff_id than in its manifest"),
        (None, {"config": f"sha256:{'1' * 64}"}, f"config sha256:{'1' * 64}, and its manifest has sha256:"),
    ],
)
def test_a_record_that_contradicts_its_own_manifest_is_told_as_that(
    tiny: Tiny, layer: int | None, change: dict[str, Any], words: str
) -> None:
    edit_record(tiny, change, layer=layer)
    message = refused(tiny, DifferenceError).message
    assert "record.json contradicts itself:" in message
    assert words in message


def test_a_rebuild_that_differs_from_the_record_is_explained_with_the_blobs_of_the_store(tiny: Tiny) -> None:
    changed = planned(tiny).layers[0].contents
    done = verify(tiny, Builder({changed: changed.upper()}))
    assert done.comparison.rung == "file tree"
    (found,) = done.comparison.differences
    assert (found.layer, found.kind, found.cause) == (changed, "content", "contents changed")
    assert found.detail.startswith("byte 1 of ")


def test_a_recorded_blob_that_is_not_at_hand_is_told_so(tiny: Tiny) -> None:
    changed, recorded = planned(tiny).layers[0].contents, tiny.catalogue.record(REF)
    assert recorded is not None
    tiny.store.blobs.path(Digest(recorded.platforms["linux-64"].layers[0].digest)).unlink()
    done = verify(tiny, Builder({changed: changed.upper()}))
    assert done.comparison.rung == "diff ids"
    (found,) = done.comparison.differences
    assert (found.layer, found.kind, found.cause) == (changed, "layer", "layer not at hand")
    assert recorded.platforms["linux-64"].layers[0].digest in found.detail


@pytest.mark.parametrize("part", ["config", "manifest"])
def test_documents_that_a_record_only_knows_by_digest_are_told_as_not_at_hand(tiny: Tiny, part: str) -> None:
    edit_record(tiny, {"manifest": f"sha256:{'2' * 64}", part: f"sha256:{'1' * 64}"})
    done = verify(tiny)
    assert done.comparison.rung == part
    assert [(d.kind, d.cause) for d in done.comparison.differences] == [(part, f"{part} not at hand")]


def test_a_published_image_that_is_the_same_is_identical_whatever_the_record_says(tiny: Tiny, tmp_path: Path) -> None:
    copy = published(tiny, tmp_path)
    (tiny.lock_set / "record.json").unlink()
    done = verify(tiny, against=copy.reference)
    assert (done.comparison.identical, done.against) == (True, copy.reference)


def test_a_published_image_that_differs_is_told_by_layer(tiny: Tiny, tmp_path: Path) -> None:
    copy = published(tiny, tmp_path)
    count = len(copy.manifest["layers"])
    copy.edit_layer(count - 1, lambda pieces: [piece.having(mode=0o600) for piece in pieces])
    (found,) = verify(tiny, against=copy.reference).comparison.differences
    assert (found.layer, found.kind, found.detail) == (
        planned(tiny).layers[-1].contents,
        "mode",
        "0600 instead of 0644",
    )


def test_a_change_in_the_base_is_called_by_that_name(tiny: Tiny, tmp_path: Path) -> None:
    copy = published(tiny, tmp_path)
    copy.edit_layer(0, lambda pieces: [piece.having(uid=1) for piece in pieces])
    (found,) = verify(tiny, against=copy.reference).comparison.differences
    assert (found.layer, found.kind) == ("base", "owner")


def test_a_published_image_that_lacks_a_blob_is_refused_before_anything_is_built(tiny: Tiny, tmp_path: Path) -> None:
    copy, builder = published(tiny, tmp_path), Builder()
    digest = copy.manifest["layers"][1]["digest"]
    copy.path(digest).unlink()
    assert digest in refused(tiny, ArtifactError, builder, against=copy.reference).message
    assert builder.stores == []


def test_a_lock_of_another_compressor_is_rebuilt_all_the_same_and_blobs_that_differ_name_both(
    tiny: Tiny, tmp_path: Path
) -> None:
    here, lock = compression_here().library, tiny.lock_set / "image.lock.yaml"
    lock.write_text(lock.read_text().replace(f"library: {here}", "library: zstd 0.0.1"))
    (tiny.lock_set / "record.json").unlink()
    record(tiny)
    assert verify(tiny).comparison.identical
    copy = published(tiny, tmp_path)
    last = len(copy.manifest["layers"]) - 1
    copy.recompress(last, copy.manifest["layers"][last]["mediaType"], lambda tar: packed_zstd(tar, 19))
    done = verify(tiny, against=copy.reference)
    (found,) = done.comparison.differences
    assert (done.comparison.rung, found.kind, found.cause) == ("blobs", "compression", "compressor version")
    assert found.detail.endswith(f"; it was locked with zstd 0.0.1, and this peel has {here}")


def test_a_bad_reference_is_refused_before_anything_is_built(tiny: Tiny) -> None:
    builder = Builder()
    refused(tiny, UsageError, builder, against="somewhere")
    assert builder.stores == []


def write_derived(tiny: Tiny, tag: str, change: Mapping[str, Any], files: Sequence[bytes] = ()) -> ImageRef:
    """A lock set made from the recorded one."""
    ref, lock = ImageRef("lab", tag), tiny.catalogue.image_lock(REF)
    made: ImageLock = lock.model_copy(update={"tag": tag, **change})
    documents = {
        "image.lock.yaml": to_yaml(made.as_document()),
        "lab.conda-lock.yml": (tiny.lock_set / "lab.conda-lock.yml").read_bytes(),
        **{f"files/{Digest.of(data).hex}": data for data in files},
    }
    tiny.catalogue.write_lock_set(ref, documents)
    return ref


def overlay(tiny: Tiny, **more: Any) -> ImageRef:
    """The recorded image with one file laid on top."""
    lock, recorded = tiny.catalogue.image_lock(REF), tiny.catalogue.record(REF)
    assert recorded is not None
    manifests = {name: found.manifest for name, found in recorded.platforms.items()}
    origin = MadeFrom(image="lab", tag=REF.tag, manifests=manifests, mode="overlay", patches=(), **more)
    file = PatchedFile(path="/etc/answer", sha256=Digest.of(CONTENTS).hex, size=len(CONTENTS), mode=0o644)
    patch = LockedPatch(
        name="answer", formats=FORMATS, compression=lock.compression, environments={"linux-64": {}}, files=(file,)
    )
    return write_derived(tiny, "r1_0_0_rsp1", {"made_from": origin, "patches": (patch,)}, [CONTENTS])


def test_a_patched_image_names_the_layers_that_it_kept(tiny: Tiny) -> None:
    ref = overlay(tiny)
    record(tiny, ref)
    done = verify(tiny, ref=ref)
    assert done.comparison.identical
    assert done.kept is not None
    contents = tuple(step.contents for step in planned(tiny).layers)
    assert (done.kept.origin, done.kept.layers, done.kept.lost) == (REF, contents, ())
    assert (done.kept.count, done.kept.of) == (len(contents) + 1, len(contents) + 1)  # the base is one


def test_a_patched_image_whose_lower_layers_are_not_the_old_ones_is_not_what_it_says(tiny: Tiny) -> None:
    ref, changed = overlay(tiny), planned(tiny).layers[0].contents
    shutil.rmtree(tiny.store.root / "layers")
    (tiny.store.root / "layers").mkdir()
    other = Builder({changed: changed.upper()})
    record(tiny, ref, other)
    done = verify(tiny, other, ref=ref)
    assert not done.comparison.identical
    assert [(d.layer, d.kind, d.cause) for d in done.comparison.differences] == [
        (changed, "layer", "historical layer not kept")
    ]


def test_an_origin_that_is_gone_or_broken_keeps_nobody_from_verifying(tiny: Tiny) -> None:
    ref = overlay(tiny)
    record(tiny, ref)
    (tiny.lock_set / "record.json").write_text("{")
    done = verify(tiny, ref=ref)
    assert (done.comparison.identical, done.kept) == (True, None)
    shutil.rmtree(tiny.lock_set)
    done = verify(tiny, ref=ref)
    assert (done.comparison.identical, done.kept) == (True, None)


def imported(tiny: Tiny) -> ImageRef:
    """A lock set of an image that is its own base: nothing is built on top."""
    declared = tiny.catalogue.image_lock(REF).declared
    lab = declared.lab.model_copy(update={"role": "environment"})
    change = {
        "declared": declared.model_copy(update={"environments": (lab,)}), "imported": "docker://host/old:1",
        "layers": {"linux-64": {"lab": ()}},
    }  # fmt: skip
    return write_derived(tiny, "old", change)


def test_an_imported_image_is_the_pinned_one_blob_by_blob(tiny: Tiny) -> None:
    ref, builder = imported(tiny), Builder()
    done = verify(tiny, builder, ref=ref)
    assert (done.comparison.identical, done.against) == (True, "pinned base")
    assert done.manifest == planned(tiny, ref).base.digest
    assert builder.made == []
    record(tiny, ref)
    assert verify(tiny, ref=ref).against == "record"


@pytest.mark.parametrize("part", ["layer", "config"])
def test_an_imported_image_with_a_damaged_blob_is_refused_by_its_digest(tiny: Tiny, part: str) -> None:
    ref = imported(tiny)
    manifest = json.loads(tiny.store.blobs.read(planned(tiny, ref).base.digest))
    named = manifest["layers"][0] if part == "layer" else manifest["config"]
    path = tiny.store.blobs.path(Digest(named["digest"]))
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.unlink()
    path.write_bytes(data)
    assert named["digest"] in refused(tiny, ArtifactError, ref=ref).message


def test_a_record_of_another_platform_is_none_of_this_one(tiny: Tiny) -> None:
    recorded = tiny.catalogue.record(REF)
    assert recorded is not None
    image: RecordedImage = recorded.platforms["linux-64"]
    tiny.catalogue.write_record(REF, Record(schema=1, platforms={"linux-aarch64": image}))
    assert "no record for linux-64" in refused(tiny, UsageError).message
