"""Building, with layers so small that a fake can make them: order, reuse, and the bytes of config and manifest."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from locksets import FORMATS
from peel.errors import ArtifactError, DocumentError, PeelError, ToolError
from peel.layers.compress import compression_here
from peel.model.oci import LAYER_ZSTD, BaseImage, Config, describe
from peel.model.plan import LayerStep, Plan, layer_key, make_plan
from peel.model.progress import Silent
from peel.model.values import Digest, Platform
from peel.store.layout import needed_blobs
from peel.store.store import LayerRecord, Store
from peel.workflow.build import Built, build_image, refuse_other_formats
from peel.workflow.fetching import Sources
from peel.workflow.lock import FORMATS as HERE
from tiny import REF, Tiny


class SmallLayers:
    """A LayerMaker whose layers are the names of what they hold."""

    def __init__(self, store: Store) -> None:
        self.store, self.made = store, list[str]()

    def __call__(self, plan: Plan, missing: Sequence[LayerStep], base: BaseImage) -> None:  # noqa: ARG002
        for step in missing:
            data = step.contents.encode()
            self.store.blobs.put_bytes(data)
            blob = describe(LAYER_ZSTD, data)
            self.store.remember_layer(layer_key(step, plan), LayerRecord(blob, Digest.of(b"tar of " + data)))
            self.made.append(step.contents)


@pytest.fixture
def tiny(tmp_path: Path) -> Tiny:
    made = Tiny(tmp_path)
    made.lock_simply()
    return made


def planned(tiny: Tiny) -> Plan:
    return make_plan(tiny.catalogue.lock_set(REF), Platform("linux-64"))


def build(tiny: Tiny, maker: SmallLayers | None = None) -> Built:
    found = maker or SmallLayers(tiny.store)
    return build_image(
        planned(tiny), store=tiny.store, sources=Sources(), make_layers=found, formats=HERE, progress=Silent()
    )


def test_layers_lie_on_the_base_in_the_order_of_the_plan(tiny: Tiny) -> None:
    maker = SmallLayers(tiny.store)
    built = build(tiny, maker)
    assert maker.made == [step.contents for step in planned(tiny).layers]
    manifest = json.loads(tiny.store.blobs.read(built.manifest.digest))
    ours = [Digest.of(text.encode()) for text in maker.made]
    assert [layer["digest"] for layer in manifest["layers"][1:]] == [str(digest) for digest in ours]
    config = json.loads(tiny.store.blobs.read(built.config))
    assert len(config["rootfs"]["diff_ids"]) == len(manifest["layers"])
    assert [entry["created_by"] for entry in config["history"][1:]] == [f"peel: {text}" for text in maker.made]


def test_the_image_is_whole_in_the_store(tiny: Tiny) -> None:
    built = build(tiny)
    assert all(tiny.store.blobs.has(blob.digest) for blob in needed_blobs(tiny.store.blobs, built.manifest))


def test_a_second_build_makes_nothing_and_gives_the_same(tiny: Tiny) -> None:
    first, maker = build(tiny), SmallLayers(tiny.store)
    second = build(tiny, maker)
    assert maker.made == []
    assert (second.manifest, second.recorded) == (first.manifest, first.recorded)
    assert [layer.reused for layer in first.layers] == [False] * len(first.layers)
    assert all(layer.reused for layer in second.layers)


def test_a_layer_whose_blob_is_gone_is_made_again_and_no_other(tiny: Tiny) -> None:
    first = build(tiny)
    tiny.store.blobs.path(first.layers[1].record.blob.digest).unlink()
    maker = SmallLayers(tiny.store)
    assert build(tiny, maker).manifest == first.manifest
    assert maker.made == [first.layers[1].step.contents]


def test_config_and_manifest_say_when_it_was_built_from_the_lock_and_what_it_is(tiny: Tiny) -> None:
    built = build(tiny)
    config = json.loads(tiny.store.blobs.read(built.config))
    manifest = json.loads(tiny.store.blobs.read(built.manifest.digest))
    assert config["created"] == "2023-11-14T22:13:20Z"
    assert {entry["created"] for entry in config["history"][1:]} == {"2023-11-14T22:13:20Z"}
    assert manifest["annotations"]["org.opencontainers.image.version"] == "r1_0_0"
    assert manifest["annotations"]["org.opencontainers.image.base.digest"] == str(planned(tiny).base.digest)
    assert config["config"]["Labels"]["io.peel-images.plan"] == str(built.plan.digest)
    assert config["config"]["User"] == "65534:65534"
    assert "GREETING=from the image" in config["config"]["Env"]


def test_nothing_of_this_machine_is_in_config_or_manifest(tiny: Tiny) -> None:
    built = build(tiny)
    for digest in (built.config, built.manifest.digest):
        assert str(tiny.root).encode() not in tiny.store.blobs.read(digest)


def test_a_catalogue_elsewhere_gives_the_same_image(tiny: Tiny, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    other = Tiny(tmp_path / "elsewhere")
    other.lock_simply()
    assert build(other).manifest == build(tiny).manifest


def test_a_base_for_another_architecture_is_refused(tiny: Tiny) -> None:
    plan = replace(planned(tiny), platform=Platform("linux-aarch64"))
    with pytest.raises(ArtifactError, match="is made for amd64, not for linux-aarch64"):
        build_image(
            plan, store=tiny.store, sources=Sources(), make_layers=SmallLayers(tiny.store), formats=HERE,
            progress=Silent(),
        )  # fmt: skip


@pytest.mark.parametrize("number", [1, 2])
def test_a_lock_of_every_glue_that_there_was_is_built(tiny: Tiny, number: int) -> None:
    plan = planned(tiny)
    plan = replace(plan, formats=plan.formats.model_copy(update={"glue": number}))
    refuse_other_formats(plan, HERE)


def test_a_lock_of_a_glue_that_is_not_known_yet_is_refused(tiny: Tiny) -> None:
    plan = planned(tiny)
    plan = replace(plan, formats=plan.formats.model_copy(update={"glue": 3}))
    with pytest.raises(DocumentError, match=r"locked for other formats: glue 3"):
        refuse_other_formats(plan, HERE)


def test_a_lock_of_other_formats_is_refused_with_their_numbers(tiny: Tiny) -> None:
    other = FORMATS.model_copy(update={"linker": 7})
    with pytest.raises(DocumentError, match="was locked for other formats: linker") as raised:
        build_image(
            planned(tiny),
            store=tiny.store,
            sources=Sources(),
            make_layers=SmallLayers(tiny.store),
            formats=other,
            progress=Silent(),
        )
    assert "this peel writes 7" in raised.value.message


def test_another_compressors_version_is_refused_unless_there_is_nothing_to_compress(tiny: Tiny) -> None:
    here, lock = compression_here("zstd", 3).library, tiny.lock_set / "image.lock.yaml"
    lock.write_text(lock.read_text().replace(f"library: {here}", "library: zstd 0.0.1"))
    with pytest.raises(ToolError, match=r"was locked with zstd 0\.0\.1"):
        build(tiny)
    plan = planned(tiny)
    SmallLayers(tiny.store)(plan, plan.layers, BaseImage(b"", Config("amd64"), ()))
    assert all(layer.reused for layer in build(tiny).layers)


def test_a_build_that_fails_leaves_the_store_good_and_keeps_what_was_made(tiny: Tiny) -> None:
    class Failing(SmallLayers):
        def __call__(self, plan: Plan, missing: Sequence[LayerStep], base: BaseImage) -> None:
            super().__call__(plan, missing[:1], base)
            raise ToolError("the disk is full")

    with pytest.raises(ToolError, match="full"):
        build(tiny, Failing(tiny.store))
    maker = SmallLayers(tiny.store)
    build(tiny, maker)
    assert len(maker.made) == len(planned(tiny).layers) - 1


def test_a_layer_that_was_not_made_after_all_is_told(tiny: Tiny) -> None:
    class Idle(SmallLayers):
        def __call__(self, plan: Plan, missing: Sequence[LayerStep], base: BaseImage) -> None:
            pass

    with pytest.raises(PeelError, match="lost layer"):
        build(tiny, Idle(tiny.store))
