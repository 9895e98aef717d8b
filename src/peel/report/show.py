"""``peel list`` and ``peel show``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from peel.console import Console, human_size
from peel.report import SCHEMA

if TYPE_CHECKING:
    from peel.model.values import ImageRef
    from peel.workflow.show import Listed, Shown


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
