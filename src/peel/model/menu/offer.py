"""The menu as it is offered: what forms are drawn from, and what a choice must name. ``peel menu --full`` writes it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated, Any

from pydantic import Field

from peel.model.documents import Document, SchemaOne, Strings
from peel.model.menu.declaration import Memory


class OfferedImage(Document):
    """An image that may be chosen: its name in the menu, and what is pulled. ``size`` in bytes, where it is known."""

    name: str
    reference: str
    tag: str
    digest: str | None = None
    category: str = ""
    size: int | None = None


class OfferedPayload(Document):
    """One group: ``menu`` are on every node, ``dropdown`` is everything, ``prepull`` what nodes should fetch."""

    name: str
    title: str
    description: str = ""
    policy: str = "rsp"
    recommended: str | None = None
    menu: Annotated[tuple[OfferedImage, ...], Field(strict=False)] = ()
    dropdown: Annotated[tuple[OfferedImage, ...], Field(strict=False)] = ()
    prepull: Strings = ()
    warnings: Strings = ()


class OfferedSize(Document):
    """A size: ``cpu`` in cores, ``memory`` as Kubernetes writes it, both the most that a lab gets."""

    name: str
    title: str
    cpu: float
    memory: Memory


class Offer(Document):
    """The whole menu."""

    schema_: SchemaOne = Field(alias="schema", default=1)
    title: str
    payloads: Annotated[tuple[OfferedPayload, ...], Field(strict=False)]
    sizes: Annotated[tuple[OfferedSize, ...], Field(strict=False)] = ()

    def images(self) -> Mapping[str, OfferedImage]:
        """All that may be chosen, by reference."""
        return {image.reference: image for payload in self.payloads for image in (*payload.menu, *payload.dropdown)}

    def as_json(self) -> dict[str, Any]:
        """The document."""
        return self.model_dump(mode="json", by_alias=True)


def warnings_of(offer: Offer) -> Iterator[str]:
    """What could not be known, a sentence each."""
    for payload in offer.payloads:
        yield from (f"{payload.title}: {warning}" for warning in payload.warnings)
