"""``peel gc``: what went, or would go."""

from __future__ import annotations

from typing import TYPE_CHECKING

from peel.console import Console, human_size
from peel.report import SCHEMA

if TYPE_CHECKING:
    from peel.workflow.gc import Garbage


def show_garbage(garbage: Garbage, console: Console, *, dry_run: bool, json: bool) -> None:
    """How many bytes were freed, alone, on stdout; for a dry run, a line for everything that would go."""
    for root in garbage.catalogues:
        console.step(f"kept what {root} needs")
    for root in garbage.gone:
        console.warn(f"the catalogue {root} is gone, so nothing is kept for it")
    for name in garbage.strays:
        console.warn(f"the image {name} is kept, though no catalogue has its lock set; --images lets it go")
    if json:
        return console.json(
            {
                "schema": SCHEMA,
                "dry_run": dry_run,
                "freed": garbage.freed,
                "blobs": [
                    {"digest": str(w.digest), "size": w.size, "freed": w.freed} for w in garbage.waste if w.digest
                ],
                "layers": sum(waste.digest is None for waste in garbage.waste),
                "images": list(garbage.names),
                "kept_images": list(garbage.strays),
                "containers": [image._asdict() for image in garbage.containers],
                "environments": [place.name for place in garbage.environments],
                "catalogues": [str(root) for root in garbage.catalogues],
                "gone": [str(root) for root in garbage.gone],
            }
        )
    if dry_run:
        _show_all(garbage, console)
    blobs = sum(waste.digest is not None for waste in garbage.waste)
    console.step(
        f"{'would free' if dry_run else 'freed'} {human_size(garbage.freed)}: {blobs} blobs, "
        f"{len(garbage.waste) - blobs} notes on layers, {len(garbage.names)} names of images, "
        f"{len(garbage.containers)} container images and {len(garbage.environments)} tried environments (not counted)"
    )
    return console.line(str(garbage.freed)) if not dry_run else None


def _show_all(garbage: Garbage, console: Console) -> None:
    rows = [
        *(("image name", "-", name) for name in garbage.names),
        *(("container image", image.size, image.name) for image in garbage.containers),
        *(("tried environment", "-", place.name) for place in garbage.environments),
        *(("note on a layer", str(waste.size), waste.path.stem) for waste in garbage.waste if waste.digest is None),
        *(("blob", str(waste.size), str(waste.digest)) for waste in garbage.waste if waste.digest is not None),
    ]
    if rows:
        console.table(("WHAT", "BYTES", "NAME"), rows, right=("BYTES",))
