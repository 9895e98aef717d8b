"""Results as people and programs read them: one function per verb."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from peel.console import Console, human_size

if TYPE_CHECKING:
    from collections.abc import Collection

    from peel.model.plan import Plan
    from peel.model.values import ImageRef
    from peel.store.store import Store
    from peel.workflow.build import Built
    from peel.workflow.demo import Demo
    from peel.workflow.doctor import Purpose, Report
    from peel.workflow.lab import KernelCheck
    from peel.workflow.show import Listed, Shown

SCHEMA = 1


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


def checks_json(checks: Sequence[KernelCheck]) -> list[dict[str, Any]]:
    """What every kernel said of itself."""
    return [
        {"name": c.name, "passed": c.passed, "version": c.version, "prefix": c.prefix, "detail": c.detail}
        for c in checks
    ]


def show_checks(ref: ImageRef, checks: Sequence[KernelCheck], console: Console, *, json: bool) -> bool:
    """``peel launch --check``: a line per kernel; says whether all passed, and there was one."""
    passed = bool(checks) and all(check.passed for check in checks)
    if json:
        console.json({"schema": SCHEMA, "image": str(ref), "passed": passed, "kernels": checks_json(checks)})
    else:
        for check in checks:
            said = check.detail or f"Python {check.version.partition(' ')[0]} in {check.prefix}"
            console.line(f"{'ok    ' if check.passed else 'FAILED'}  {check.name}: {said}")
        if not checks:
            console.line("FAILED  the image has no payload, so there is no kernel to run")
    return passed


def show_list(listed: Sequence[Listed], console: Console, *, json: bool) -> bool:
    """``peel list``; says whether every document could be read."""
    broken = [image for image in listed if image.error is not None]
    for image in broken:
        console.warn(f"{image.name} is broken: {image.error}")
    if json:
        console.json({"schema": SCHEMA, "images": [image.as_json() for image in listed]})
    elif listed:
        rows = [
            (
                image.name,
                " ".join(image.platforms) or "-",
                image.state,
                image.manifests[0][1] if image.manifests else "-",
            )
            for image in listed
        ]
        console.table(("IMAGE", "PLATFORMS", "STATE", "MANIFEST"), rows)
    else:
        console.line("nothing is declared or locked in this catalogue")
    return not broken


def show_image(ref: ImageRef, shown: Sequence[Shown], console: Console, *, json: bool) -> None:
    """``peel show``."""
    if json:
        platforms = {one.platform.subdir: one.as_json() for one in shown}
        return console.json({"schema": SCHEMA, "image": ref.image, "tag": ref.tag, "platforms": platforms})
    for one in shown:
        lock = one.locks.lock
        pinned = lock.base[one.platform.subdir]
        console.line(f"{ref} for {one.platform}: {one.manifest or 'not built'}")
        console.line(f"base {lock.declared.base.partition('@')[0]} {pinned.digest}, glibc {pinned.glibc}")
        for environment in lock.declared.environments:
            _show_environment(one, environment.name, environment.prefix, console)
        _show_layers(one, console)
    return None


def _show_environment(shown: Shown, name: str, prefix: str, console: Console) -> None:
    packages = shown.packages(name)
    console.line()
    console.line(
        f"{name} in {prefix}: {len(packages)} packages, {human_size(sum(p.size for p in packages))} of archives"
    )
    rows = [(p.name, p.version, human_size(p.size), "wheel" if p.manager == "pip" else "conda") for p in packages]
    console.table(("PACKAGE", "VERSION", "SIZE", "FROM"), rows, right=("SIZE",))


def _show_layers(shown: Shown, console: Console) -> None:
    console.line()
    rows = [
        (
            layer.contents,
            human_size(layer.recorded.size) if layer.recorded else "-",
            layer.recorded.diff_id if layer.recorded else "not built",
        )
        for layer in shown.layers
    ]
    console.table(("LAYER", "SIZE", "DIFF ID"), rows, right=("SIZE",))


def show_doctor(found: Report, purposes: Collection[Purpose], console: Console, *, json: bool) -> bool:
    """``peel doctor``: what is there, what is missing, what installs it; says whether all is well."""
    from peel.workflow.doctor import install_command, missing

    lacking = missing(found, purposes)
    command = " ".join(install_command(found, purposes))
    if json:
        console.json(
            {"schema": SCHEMA, **_doctor_json(found), "missing": [f.tool.program for f in lacking], "install": command}
        )
    else:
        _show_tools(found, console)
        if lacking:
            console.line(
                f"missing for {', '.join(p.value for p in purposes)}: {', '.join(f.tool.program for f in lacking)}"
            )
        if command:
            console.line(f"install with: {command}")
    return not lacking and not found.isolation_problem


def _doctor_json(found: Report) -> dict[str, Any]:
    isolation = found.isolation
    return {
        "machine": found.distribution,
        "root": found.root,
        "store": str(found.store),
        "free": found.free,
        "tools": [
            {
                "name": finding.tool.program,
                "version": finding.version or None,
                "usable": finding.usable,
                "needed": finding.tool.needed,
                "problem": finding.problem or None,
                "purposes": sorted(finding.tool.purposes),
            }
            for finding in found.findings
        ],
        "isolation": isolation.isolation.name if isolation and isolation.isolation else None,
        "refused": {refusal.name: refusal.reason for refusal in isolation.refused} if isolation else {},
    }


def _show_tools(found: Report, console: Console) -> None:
    rows = [
        (
            finding.tool.program,
            finding.version or "-",
            "ok" if finding.usable else finding.problem if finding.tool.needed else f"{finding.problem} (not needed)",
            ", ".join(sorted(finding.tool.purposes)),
        )
        for finding in found.findings
    ]
    console.table(("TOOL", "VERSION", "STATE", "FOR"), rows)
    console.line()
    if found.isolation is not None:
        chosen = found.isolation.isolation
        console.line(f"isolation: {chosen.name if chosen else 'none works'}")
        for refusal in found.isolation.refused:
            console.line(f"  not {refusal.name}: {refusal.reason}")
    if found.isolation_problem:
        console.line(f"isolation: {found.isolation_problem}")
    console.line(f"store: {found.store}, {human_size(found.free)} free{'' if found.roomy else ' (little)'}")
    console.line(f"machine: {found.distribution}, {'root' if found.root else 'not root'}")


def show_demo(done: Demo, console: Console, *, json: bool) -> None:
    """``peel demo``: what was done, and how to go on."""
    if json:
        return console.json(
            {
                "schema": SCHEMA,
                "catalogue": str(done.catalogue),
                "store": str(done.store.root),
                "image": str(done.plan.ref),
                "manifest": done.manifest,
                "identical": True,
                "kernels": checks_json(done.checks),
                "seconds": round(done.seconds, 1),
            }
        )
    for line in done.story(_this_program()):
        console.line(line)
    return None


def _this_program() -> str:
    """How to call this very peel again: from where we are, or by the name it is found under."""
    program = Path(sys.executable).with_name("peel")
    if program.is_relative_to(Path.cwd()):
        return str(program.relative_to(Path.cwd()))
    return "peel" if shutil.which("peel") else str(program)
