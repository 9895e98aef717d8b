"""``peel build``: what was planned, what was built."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from peel.console import Console
from peel.report import SCHEMA

if TYPE_CHECKING:
    from peel.model.plan import Plan
    from peel.store.store import Store
    from peel.workflow.build import Built


def show_plan(plan: Plan, store: Store, console: Console, *, json: bool) -> None:
    """``peel build --dry-run``: every layer, and whether the store has it."""
    from peel.model.plan import layer_key

    keys = [layer_key(step, plan) for step in plan.layers]
    found = [store.layer(key) is not None for key in keys]
    if json:
        layers = [
            {"key": str(key), "contents": step.contents, "reused": there}
            for step, key, there in zip(plan.layers, keys, found, strict=True)
        ]
        head = {"schema": SCHEMA, "image": plan.ref.image, "tag": plan.ref.tag, "platform": plan.platform.subdir}
        return console.json({**head, "plan": str(plan.digest), "base": plan.base.pinned, "layers": layers})
    console.line(f"{plan.ref} for {plan.platform}: plan {plan.digest}")
    console.line(f"base {plan.base.pinned}")
    for step, there in zip(plan.layers, found, strict=True):
        console.line(f"  {'reuse' if there else 'make '}  {step.contents}")
    return None


def show_built(built: Built, console: Console, *, json: bool) -> None:
    """``peel build``: the manifest's digest, alone, on stdout."""
    made = sum(not layer.reused for layer in built.layers)
    console.step(f"{len(built.layers)} layers, {made} of them new, in {built.seconds:.1f} s")
    if json:
        console.json(built_json(built))
    else:
        console.line(str(built.manifest.digest))


def built_json(built: Built) -> dict[str, Any]:
    """``peel build --json``; the layers are all of the image's, those of the base first."""
    base = [
        {"diff_id": str(diff_id), "digest": str(blob.digest), "size": blob.size, "reused": True, "contents": "base"}
        for diff_id, blob in zip(built.base.config.diff_ids, built.base.layers, strict=True)
    ]
    ours = [
        {
            "diff_id": str(layer.record.diff_id),
            "digest": str(layer.record.blob.digest),
            "size": layer.record.blob.size,
            "reused": layer.reused,
            "contents": layer.step.contents,
        }
        for layer in built.layers
    ]
    return {
        "schema": SCHEMA,
        "image": built.plan.ref.image,
        "tag": built.plan.ref.tag,
        "platform": built.plan.platform.subdir,
        "manifest": str(built.manifest.digest),
        "config": str(built.config),
        "layers": [*base, *ours],
        "seconds": round(built.seconds, 3),
    }
