"""``envs/settings.yaml``: what holds for all images of a catalogue."""

from __future__ import annotations

from typing import Final

from pydantic import Field

from peel.model.documents import Document, SchemaOne, Strings

SETTINGS: Final = "settings"
"""What the document is called, without its suffix; so no image can be called that."""


class CatalogueSettings(Document):
    """What a catalogue says once for all of its images.

    ``archives`` are places that are asked, in their order, before the network is.
    """

    schema_: SchemaOne = Field(alias="schema")
    archives: Strings = ()
