"""What a container or an image has above its base, read from the layout that buildah or skopeo wrote."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from peel.errors import ToolError
from peel.layers.layer_stream import ImageLayer
from peel.workflow.capturing.material import Material
from peel.workflow.published import image_of_layout


def changed_layers(layout: Path, material: Material, origin: str) -> Sequence[ImageLayer]:
    """The layers above the base's. Raises ToolError when the image is not on the base."""
    image, base = image_of_layout(layout, material.platform), material.base.config.diff_ids
    if image.config.diff_ids[: len(base)] != base:
        raise ToolError(f"{origin}: what buildah made is not on the base that was given to it")
    return image.layers[len(base) :]
