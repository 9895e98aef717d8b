"""One side of ``peel diff``: an image of a layout or a registry, by its config and what its layers hold."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass

from peel.errors import DocumentError
from peel.layers.image_files import ImageFiles
from peel.layers.installed import InstalledEnvironment, environments_of
from peel.layers.layer_stream import ImageLayer
from peel.model.contents import (
    BaseContents,
    Contents,
    EnvironmentContents,
    LayerContents,
    Present,
    flatten_settings,
)
from peel.model.progress import Progress
from peel.model.secrets import redact
from peel.model.values import Digest, Platform
from peel.store.store import Store
from peel.workflow.image_records import system_of
from peel.workflow.locked_contents import Manner
from peel.workflow.published import PublishedImage, open_image

_BASE = "org.opencontainers.image.base"
_LONGEST = 80


@dataclass(frozen=True, slots=True)
class PublishedSide:
    """An image of one platform, opened."""

    image: PublishedImage

    @property
    def name(self) -> str:
        """What people call it."""
        return self.image.name

    def readable(self) -> Sequence[ImageLayer]:
        """Its layers, to be read."""
        return self.image.layers

    def contents(self, _manner: Manner, taken: ImageFiles | None) -> Contents:
        """What it consists of; ``taken`` are the records of packages in its layers. Raises ArtifactError."""
        system = system_of(taken) if taken else None
        unknown = () if system is not None else (f"{self.name} has no database of dpkg or rpm that peel reads",)
        return Contents(
            name=self.name,
            environments=tuple(_environment(found) for found in environments_of(taken)) if taken else (),
            base=_base(self.image),
            system=system,
            config=flatten_settings(self.image.config.settings),
            layers=tuple(_layers(self.image)),
            unknown=unknown,
        )


@contextmanager
def open_published(reference: str, platform: Platform, store: Store, progress: Progress) -> Iterator[PublishedSide]:
    """Lend an image to be compared; raises as ``open_image`` does."""
    with open_image(reference, platform, store, progress) as image:
        yield PublishedSide(image)


def _environment(found: InstalledEnvironment) -> EnvironmentContents:
    conda = [Present(p.name, p.version, p.build, "conda", p.sha256) for p in found.packages]
    wheels = [Present(wheel.name, wheel.version, "", "pip", wheel.sha256) for wheel in found.wheels]
    return EnvironmentContents(found.prefix, found.prefix, (*conda, *wheels))


def _base(image: PublishedImage) -> BaseContents | None:
    """What the image says it was built on (OCI annotations.md)."""
    said = {**dict(image.config.settings.labels), **dict(image.parsed.annotations)}
    with suppress(DocumentError):
        return BaseContents(redact(said.get(f"{_BASE}.name", "")), str(Digest(said.get(f"{_BASE}.digest", ""))))
    return None


def _layers(image: PublishedImage) -> Iterator[LayerContents]:
    steps = [entry.created_by or entry.comment for entry in image.config.history if not entry.empty_layer]
    for number, blob in enumerate(image.parsed.layers):
        said = " ".join(redact(steps[number]).split()) if number < len(steps) else ""
        text = said.removeprefix("peel: ")
        short = text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"
        yield LayerContents(frozenset({str(blob.digest)}), blob.size, short or "a layer")
