"""Patching: what the new lock set says, what it leaves alone, and what is refused before anything is written."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from channels import index, make_package
from peel.errors import ArtifactError, DocumentError, PeelError, UsageError
from peel.model.lockset import PatchedEnvironment
from peel.model.plan import Plan, layer_key, make_plan
from peel.model.progress import Silent
from peel.model.values import ImageRef, Platform
from peel.tools.micromamba import find_solver
from peel.workflow.patch import Order, Patched, Patcher
from tiny import EMBEDDED, REF, Tiny

LINUX = Platform("linux-64")
SITE = "lib/python3.13/site-packages"


@pytest.fixture
def tiny(tmp_path: Path) -> Tiny:
    """A locked image whose lab has packages to patch."""
    made = Tiny(tmp_path)
    make_package(
        made.channel, "tool", "1.0", depends=["python"],
        files={f"{SITE}/tool/__init__.py": "old", f"{SITE}/tool/same.py": "same", "share/tool/old.txt": "old"},
    )  # fmt: skip
    make_package(made.channel, "other", "1.0", files={"share/other.txt": "other"})
    made.declare_lab("jupyterlab", "tool", "other")
    made.lock_simply()
    return made


def newer(tiny: Tiny, **files: str) -> None:
    contents = files or {f"{SITE}/tool/__init__.py": "new", f"{SITE}/tool/same.py": "same"}
    tiny.add("tool", "2.0", depends=["python"], files=contents)


def declare(tiny: Tiny, name: str = "fix", **patch: Any) -> str:
    tiny.write(f"patches/{name}.yaml", {"schema": 1, "reason": "a test", **patch})
    return name


def patcher(tiny: Tiny) -> Patcher:
    return Patcher(tiny.catalogue, tiny.store, find_solver(EMBEDDED), {}, (), Silent())


def patch(tiny: Tiny, *patches: str, origin: ImageRef = REF, **more: Any) -> Patched:
    return patcher(tiny).patch(Order(origin, patches or ("fix",), **more))


def planned(tiny: Tiny, ref: ImageRef) -> Plan:
    return make_plan(tiny.catalogue.lock_set(ref), LINUX)


def keys(tiny: Tiny, ref: ImageRef) -> list[str]:
    plan = planned(tiny, ref)
    return [str(layer_key(step, plan)) for step in plan.layers]


def change_of(done: Patched, environment: str = "lab", number: int = -1) -> PatchedEnvironment:
    return done.lock.patches[number].environments["linux-64"][environment]


def raised(tiny: Tiny, **more: Any) -> Patched:
    newer(tiny)
    declare(tiny, packages={"raise": ["tool"]})
    return patch(tiny, **more)


def test_a_raised_package_is_one_more_layer_on_the_same_others(tiny: Tiny) -> None:
    done = raised(tiny)
    assert done.ref == ImageRef("lab", "r1_0_0_rsp1")
    assert keys(tiny, done.ref)[:-1] == keys(tiny, REF)
    assert planned(tiny, done.ref).layers[-1].contents == "patch: fix"
    assert [(m.environment, m.move.name, m.move.before, m.move.after) for m in done.moves] == [
        ("lab", "tool", "1.0 0", "2.0 0")
    ]
