"""Records of packages, read from the layers of two images at once."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from peel.layers.image_files import ImageFiles, take_files
from peel.layers.installed import is_record
from peel.layers.layer_stream import ImageLayer
from peel.layers.system_packages import is_system_record, system_packages_of
from peel.model.contents import Present
from peel.model.progress import Progress

NamedLayers = tuple[str, Sequence[ImageLayer] | None]
"""What people call an image, and its layers, lowest first; None where they are not at hand."""


def take_records(
    a: NamedLayers, b: NamedLayers, work: Path, progress: Progress
) -> tuple[ImageFiles | None, ImageFiles | None]:
    """The records of environments and system packages in two images; layers that both begin with are read once.

    ``work`` outlives the answer. Raises ArtifactError naming the image, and the layer or the file at fault.
    """
    layers = [list(found or ()) for _, found in (a, b)]
    pairs = zip(*layers, strict=False)
    common = next((n for n, (one, other) in enumerate(pairs) if one.blob != other.blob), min(map(len, layers)))
    size = sum(layer.blob.size for layer in (*layers[0], *layers[1][common:]))
    with progress.bar("reading layers", size, "bytes") as advance:
        shared = take_files(layers[0][:common], _is_wanted, work, origin=a[0], advance=advance)
        taken = [
            take_files(found[common:], _is_wanted, work, origin=name, beneath=shared, advance=advance)
            for (name, _), found in zip((a, b), layers, strict=True)
        ]
    return taken[0] if a[1] is not None else None, taken[1] if b[1] is not None else None


def _is_wanted(path: str) -> int:
    return is_record(path) or is_system_record(path)


def system_of(taken: ImageFiles) -> tuple[Present, ...] | None:
    """The system packages whose records were taken; None where there is no database that peel reads."""
    found = system_packages_of(taken)
    if found is None:
        return None
    return tuple(Present(package.name, package.version, package.arch, package.manager) for package in found)
