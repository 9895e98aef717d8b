"""The plan: what it depends on, and what it must not depend on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import pytest

from locksets import FORMATS, REF, group, locked, make_declared, make_lock
from peel.errors import DocumentError
from peel.model.locked import join
from peel.model.lockset import Group, ImageLock
from peel.model.plan import EnvironmentLayer, GlueLayer, Plan, layer_key, make_plan
from peel.model.values import Digest, ImageRef, Platform

LINUX = Platform("linux-64")
PYTHON = locked("python", "3.13.1", depends=["openssl", "__glibc"])
OPENSSL = locked("openssl", "3.5")
LAB = locked("jupyterlab", "4.6.0", depends=["python"])
PAYLOAD_PYTHON = locked("python", "3.11.9")
KERNEL = locked("ipykernel", "7.0", depends=["python"])
PACKAGES = {"lab": [PYTHON, OPENSSL, LAB], "science": [PAYLOAD_PYTHON, KERNEL]}
LAYERS = {
    "lab": [group("python", PYTHON), group("shared/0", LAB, OPENSSL)],
    "science": [group("python", PAYLOAD_PYTHON), group("shared/3", KERNEL)],
}


def planned(
    ref: ImageRef = REF,
    *,
    declared: dict[str, Any] | None = None,
    layers: Mapping[str, Sequence[Group]] = LAYERS,
    **lock: Any,
) -> Plan:
    made = make_lock(make_declared("science", **(declared or {})), layers, **lock)
    return make_plan(join(ref, made, PACKAGES, "x"), LINUX)


def keys(plan: Plan) -> list[Digest]:
    return [layer_key(step, plan) for step in plan.layers]


def test_the_plans_digest_is_a_promise_across_releases() -> None:
    # A change here changes what every lock means: raise the number of the plan's format on purpose.
    plan = planned()
    without_glue = replace(plan, layers=plan.layers[:-1])  # the glue has goldens of its own
    assert str(without_glue.digest) == "sha256:4f8f7494d0da71e216e6508c6f2f9d977a44d25b247d0f609cc269ddf04b0abc"


def test_the_layers_keys_are_a_promise_across_releases() -> None:
    # A change here makes every layer of every image anew: raise the number of a format on purpose.
    assert [str(key) for key in keys(planned())[:2]] == [
        "sha256:e74e2f36d48ecbc0b1f1c5aae8318839d63495747bc3d904ec0bef4acb1e93a9",
        "sha256:110108566ab6e1097d2244ed30ba9ea0fdbbaab3725c0091da76787a8bd708a2",
    ]


def test_the_lab_comes_first_then_payloads_then_the_glue() -> None:
    plan = planned()
    assert [step.contents for step in plan.layers] == [
        "lab: python 3.13.1", "lab: jupyterlab, openssl", "science: python 3.11.9", "science: ipykernel",
        "glue: kernels, start scripts, links",
    ]  # fmt: skip
    assert plan.kernels == (("science", "science"),)


def test_bytecode_is_compiled_by_the_environments_own_python_and_what_it_needs() -> None:
    first, _, third, *_ = planned().layers
    assert isinstance(first, EnvironmentLayer)
    assert isinstance(third, EnvironmentLayer)
    assert first.interpreter is not None
    assert third.interpreter is not None
    assert (str(first.interpreter.version), str(third.interpreter.version)) == ("3.13", "3.11")
    assert [package.name for package in first.interpreter.closure] == ["python", "openssl"]


def test_another_image_with_the_same_packages_has_the_same_layer_keys() -> None:
    other = ImageRef("other", "w_2026_47")
    same = planned(other, image="other", tag="w_2026_47", epoch=5)
    assert keys(same) == keys(planned())
    assert same.digest != planned().digest


def test_where_a_package_came_from_does_not_count() -> None:
    mirrored = [
        package.model_copy(update={"url": f"file:///mirror/{package.file_name}"}) for package in PACKAGES["lab"]
    ]
    lock = make_lock(make_declared("science"), LAYERS)
    moved = make_plan(join(REF, lock, {**PACKAGES, "lab": mirrored}, "x"), LINUX)
    assert (moved.digest, keys(moved)) == (planned().digest, keys(planned()))


def test_channels_and_specs_do_not_count_once_locked() -> None:
    declared = make_declared("science")
    environments = [e.model_copy(update={"channels": ("elsewhere",)}) for e in declared.environments]
    assert planned(declared={"environments": environments}).digest == planned().digest


@pytest.mark.parametrize("number", ["linker", "bytecode", "layer"])
def test_another_linker_compiler_or_writer_makes_other_layers(number: str) -> None:
    raised = FORMATS.model_copy(update={number: 2})
    differs = [old != new for old, new in zip(keys(planned()), keys(planned(formats=raised)), strict=True)]
    assert all(differs[:4])


def test_the_glue_does_not_depend_on_the_linker() -> None:
    assert keys(planned(formats=FORMATS.model_copy(update={"linker": 2})))[-1] == keys(planned())[-1]


def test_another_prefix_makes_other_layers_of_that_environment_only() -> None:
    declared = make_declared("science")
    moved = [e.model_copy(update={"prefix": "/opt/b"}) if e.name == "science" else e for e in declared.environments]
    old, new = keys(planned()), keys(planned(declared={"environments": moved}))
    assert [before == after for before, after in zip(old, new, strict=True)] == [True, True, False, False, False]


def test_another_python_makes_other_layers_of_everything_it_compiles() -> None:
    newer = locked("python", "3.11.10")
    layers = {**LAYERS, "science": [group("python", newer), group("shared/3", KERNEL)]}
    lock = make_lock(make_declared("science"), layers)
    plan = make_plan(join(REF, lock, {**PACKAGES, "science": [newer, KERNEL]}, "x"), LINUX)
    assert [a == b for a, b in zip(keys(plan), keys(planned()), strict=True)] == [True, True, False, False, True]


def test_another_platform_makes_other_layers() -> None:
    packages = {
        name: [package.model_copy(update={"platform": "linux-aarch64"}) for package in found]
        for name, found in PACKAGES.items()
    }
    declared = make_declared("science", platforms=["linux-aarch64"])
    lock = make_lock(declared, LAYERS, platform="linux-aarch64")
    plan = make_plan(join(REF, lock, packages, "x"), Platform("linux-aarch64"))
    assert not set(keys(plan)[:4]) & set(keys(planned()))


def test_what_a_package_leaves_to_another_counts() -> None:
    packages = LAYERS["lab"][1].packages
    omitting = LAYERS["lab"][1].model_copy(
        update={"packages": (packages[0].model_copy(update={"omit": ("bin/x",)}), packages[1])}
    )
    changed = planned(layers={**LAYERS, "lab": [LAYERS["lab"][0], omitting]})
    assert [a == b for a, b in zip(keys(changed), keys(planned()), strict=True)] == [True, False, True, True, True]


def test_how_the_lab_is_started_changes_the_glue_and_no_other_layer() -> None:
    changed = planned(declared={"launch": {"arguments": ["--debug"]}})
    assert [a == b for a, b in zip(keys(changed), keys(planned()), strict=True)] == [True] * 4 + [False]


@pytest.mark.parametrize("more", [{"epoch": 1}, {"declared": {"launch": {"user": "1:1"}}}])
def test_epoch_and_settings_change_the_plan_and_no_layer(more: dict[str, Any]) -> None:
    changed = planned(**more)
    assert changed.digest != planned().digest
    assert keys(changed) == keys(planned())


def test_a_platform_that_is_not_locked_is_told_with_those_that_are() -> None:
    lock: ImageLock = make_lock(make_declared("science"), LAYERS)
    with pytest.raises(DocumentError, match="is not locked for linux-aarch64") as raised:
        make_plan(join(REF, lock, PACKAGES, "x"), Platform("linux-aarch64"))
    assert raised.value.hint == "locked platforms: linux-64"


def test_the_base_is_pulled_by_digest_alone() -> None:
    assert planned().base.pinned == f"docker.io/library/base@sha256:{'b' * 64}"
    by_port = planned(declared={"base": f"localhost:5000/base:9@sha256:{'c' * 64}"})
    assert by_port.base.pinned == f"localhost:5000/base@sha256:{'b' * 64}"


def test_an_environment_without_python_has_no_interpreter_and_no_kernel() -> None:
    layers = {**LAYERS, "science": [group("shared/3", KERNEL)]}
    lock = make_lock(make_declared("science"), layers)
    plan = make_plan(join(REF, lock, {**PACKAGES, "science": [KERNEL]}, "x"), LINUX)
    glue = plan.layers[-1]
    assert isinstance(glue, GlueLayer)
    assert not [entry.path for entry in glue.entries if "kernels" in entry.path]
