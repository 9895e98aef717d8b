"""Another lab under the same payloads: taken from another lock set, with whatever patches made of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from compiling import build_without_images, tree_of
from patching import Newest, declare
from peel.errors import DocumentError, UsageError
from peel.model.lockset import ImageLock
from peel.model.plan import EnvironmentLayer, Plan, layer_key, make_plan
from peel.model.progress import Silent
from peel.model.values import ImageRef, Platform
from peel.store.documents import to_yaml
from peel.tools.micromamba import Solver
from peel.workflow.patch import Order, Patched, Patcher
from tiny import REF, ChannelLock, Tiny

LINUX = Platform("linux-64")
OTHER = ImageRef("lab", "r2_0_0")


@pytest.fixture
def tiny(tmp_path: Path) -> Tiny:
    """An image with a payload, and a newer lock set of it whose lab is newer."""
    made = Tiny(tmp_path)
    made.add("tool", "1.0", files={"share/tool.txt": "old"})
    made.declare_payload("calm", "ipykernel", "tool")
    made.declare_image(payloads=["calm"])
    made.lock_simply()
    made.add("jupyterlab", "4.7.0", depends=["python"], files={"share/lab": "newer"}, timestamp=1_800_000_000_000)
    made.add("tool", "2.0", files={"share/tool.txt": "new"})
    made.lock(ChannelLock(made.channel), ref=OTHER)
    return made


def patch(tiny: Tiny, *patches: str, **more: Any) -> Patched:
    solver, solve = Solver(Path("none"), "micromamba", "2.0.0"), Newest(tiny.channel)
    order = Order(more.pop("origin", REF), patches, **{"lab": str(OTHER), **more})
    return Patcher(tiny.catalogue, tiny.store, solver, {}, (), Silent(), solve=solve).patch(order)


def planned(tiny: Tiny, ref: ImageRef) -> Plan:
    return make_plan(tiny.catalogue.lock_set(ref), LINUX)


def keys(tiny: Tiny, ref: ImageRef, environment: str) -> list[str]:
    plan = planned(tiny, ref)
    layers = [step for step in plan.layers if isinstance(step, EnvironmentLayer) and step.environment == environment]
    return [str(layer_key(step, plan)) for step in layers]


def test_the_labs_layers_are_those_of_the_other_lock_set_and_the_payloads_are_untouched(tiny: Tiny) -> None:
    done = patch(tiny)
    assert keys(tiny, done.ref, "lab") == keys(tiny, OTHER, "lab") != keys(tiny, REF, "lab")
    assert keys(tiny, done.ref, "calm") == keys(tiny, REF, "calm") != keys(tiny, OTHER, "calm")
    assert done.made_from.lab == str(OTHER)
    assert done.lock.epoch == 1_800_000_000
    (move,) = done.moves
    assert (move.environment, move.move.name, move.move.kind) == ("lab", "jupyterlab", "raised")
    assert "r2_0_0" in move.move.reason


def test_patches_of_payloads_stay_and_those_of_the_old_lab_are_dropped(tiny: Tiny) -> None:
    declare(tiny, "both", packages={"raise": ["jupyterlab", "tool"]})
    first = patch(tiny, "both", lab=None)
    done = patch(tiny, origin=first.ref)
    (left,) = done.lock.patches
    assert left.environments["linux-64"].keys() == {"calm"}
    assert done.lock.superseded["linux-64"].keys() == {"calm"}
    tree = tree_of(build_without_images(planned(tiny, done.ref), tiny.store), tiny.store)
    assert tree["opt/peel/envs/calm/share/tool.txt"].data == b"new"
    assert tree["opt/peel/lab/share/lab"].data == b"newer"


def test_a_patched_lab_comes_with_its_patches(tiny: Tiny) -> None:
    tiny.add("extra", files={"share/extra.txt": "extra"})
    declare(tiny, "extra", environments=["lab"], packages={"add": ["extra"]})
    patched = patch(tiny, "extra", origin=OTHER, lab=None)
    done = patch(tiny, lab=str(patched.ref))
    assert [each.name for each in done.lock.patches] == ["extra"]
    tree = tree_of(build_without_images(planned(tiny, done.ref), tiny.store), tiny.store)
    assert tree["opt/peel/lab/share/extra.txt"].data == b"extra"
    assert tree["opt/peel/envs/calm/share/tool.txt"].data == b"old"


def test_a_patch_can_go_upon_the_new_lab_at_once(tiny: Tiny) -> None:
    declare(tiny, packages={"raise": ["tool"]})
    done = patch(tiny, "fix")
    assert {move.move.name for move in done.moves} == {"jupyterlab", "tool"}
    assert keys(tiny, done.ref, "calm") == keys(tiny, REF, "calm")


def rewrite(tiny: Tiny, ref: ImageRef, **fields: Any) -> None:
    """Change a lock set by hand."""
    lock = tiny.catalogue.image_lock(ref)
    changed = ImageLock.model_validate({**lock.as_document(), **fields})
    (tiny.catalogue.lock_directory(ref) / "image.lock.yaml").write_bytes(to_yaml(changed.as_document()))


def test_a_lab_that_needs_a_newer_c_library_than_the_base_has_is_refused(tiny: Tiny) -> None:
    lock = tiny.catalogue.lock_directory(OTHER) / "lab.conda-lock.yml"
    lock.write_text(lock.read_text().replace("python: ''", "__glibc: '>=2.38'\n    python: ''"))
    with pytest.raises(
        DocumentError, match=r"jupyterlab 4\.7\.0 of the lab needs glibc >=2\.38, and the base of .* 2\.34"
    ):
        patch(tiny)
    assert tiny.catalogue.tags("lab") == [REF.tag, OTHER.tag]


def test_a_lab_of_other_platforms_is_refused(tiny: Tiny) -> None:
    document = tiny.catalogue.image_lock(OTHER).as_document()
    declared = {**document["declared"], "platforms": ["linux-aarch64"]}
    rewrite(
        tiny, OTHER, declared=declared, base={"linux-aarch64": document["base"]["linux-64"]},
        layers={"linux-aarch64": document["layers"]["linux-64"]},
    )  # fmt: skip
    for name in ("lab", "calm"):
        lock = tiny.catalogue.lock_directory(OTHER) / f"{name}.conda-lock.yml"
        lock.write_text(lock.read_text().replace("platform: linux-64", "platform: linux-aarch64"))
    with pytest.raises(DocumentError, match="lab:r2_0_0 is not locked for linux-64"):
        patch(tiny)


def test_a_lab_in_a_payloads_way_is_refused(tiny: Tiny) -> None:
    document = tiny.catalogue.image_lock(OTHER).as_document()
    environments = [
        {**each, "prefix": "/opt/peel/envs/calm/lab" if each["name"] == "lab" else "/opt/elsewhere"}
        for each in document["declared"]["environments"]
    ]
    rewrite(tiny, OTHER, declared={**document["declared"], "environments": environments})
    with pytest.raises(DocumentError, match="lies inside prefix /opt/peel/envs/calm"):
        patch(tiny)


@pytest.mark.parametrize("lab", ["nowhere", "nowhere/environment.yml", "Not a name:1"])
def test_a_lab_that_is_nowhere_is_refused(tiny: Tiny, lab: str) -> None:
    with pytest.raises(UsageError):
        patch(tiny, lab=lab)


def test_a_file_that_is_no_environment_is_refused_by_name(tiny: Tiny) -> None:
    with pytest.raises(DocumentError, match=r"lab\.yaml"):
        patch(tiny, lab="lab.yaml")
