"""Where pages lie, relative to the site. Images, tags and environments are names that hold no ``/`` and no ``~``."""

from __future__ import annotations

import re
from typing import Final

from peel.model.values import Digest, ImageRef

INDEX: Final = "index.html"
PACKAGES: Final = "packages.html"
ALL_PACKAGES: Final = "packages/all.html"
LINEAGE: Final = "lineage.html"
PROBLEMS: Final = "problems.html"

_ANCHOR: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,127}", re.ASCII)


def image_page(image: str) -> str:
    """The first of an image's pages."""
    return f"images/{image}.html"


def tag_page(ref: ImageRef) -> str:
    """A lock set's page."""
    return f"tags/{ref.image}/{ref.tag}/index.html"


def changes_page(ref: ImageRef, platform: str) -> str:
    """What differs between a tag and its neighbour."""
    return f"tags/{ref.image}/{ref.tag}/{platform}/changes.html"


def environment_page(ref: ImageRef, platform: str, environment: str) -> str:
    """The packages of an environment."""
    return f"tags/{ref.image}/{ref.tag}/{platform}/packages-{environment}.html"


def anchor_of(package: str) -> str:
    """What a package's place in the list of all is called: its name, or a digest of one that cannot stand there."""
    return package if _ANCHOR.fullmatch(package) else f"~{Digest.of(package.encode('utf-8', 'replace')).hex[:16]}"
