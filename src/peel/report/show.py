"""``peel list`` and ``peel show``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from peel.console import Console, human_size
from peel.report import SCHEMA

if TYPE_CHECKING:
    from peel.model.values import ImageRef
    from peel.workflow.show import Incomplete, Listed, Shown


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
                f"incomplete: {_artifacts(image.missing)} missing" if image.missing else image.state,
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
        what = f"imported from {lock.imported}:" if lock.imported else f"base {lock.declared.base.partition('@')[0]}"
        console.line(f"{what} {pinned.digest}, glibc {pinned.glibc}")
        for environment in lock.declared.environments:
            _show_environment(one, environment.name, environment.prefix, console)
        _show_layers(one, console)
    return None


def show_incomplete(found: Incomplete, console: Console, *, json: bool) -> None:
    """``peel show`` of a lock set that nothing can be built from."""
    if json:
        head = {"schema": SCHEMA, "image": found.ref.image, "tag": found.ref.tag, "platforms": {}}
        return console.json({**head, **found.as_json()})
    console.line(f"{found.ref} is incomplete: {_artifacts(len(found.missing))} missing")
    console.line()
    rows = [(each.name, each.version, each.build, environment, each.why) for _, environment, each in found.missing]
    console.table(("PACKAGE", "VERSION", "BUILD", "ENVIRONMENT", "WHY"), rows)
    return None


def _show_environment(shown: Shown, name: str, prefix: str, console: Console) -> None:
    packages = shown.packages(name)
    known = [package.size for package in packages if package.size is not None]
    archives = f", {human_size(sum(known))} of archives" if known else ""
    console.line()
    console.line(f"{name} in {prefix}: {len(packages)} packages{archives}")
    rows = [
        (p.name, p.version, "-" if p.size is None else human_size(p.size), "wheel" if p.manager == "pip" else "conda")
        for p in packages
    ]
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


def _artifacts(count: int) -> str:
    return "1 artifact" if count == 1 else f"{count} artifacts"
