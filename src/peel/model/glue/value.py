"""What every glue consists of."""

from __future__ import annotations

from dataclasses import dataclass

from peel.model.entry import Entry
from peel.model.oci import ImageSettings


@dataclass(frozen=True, slots=True)
class Glue:
    """The glue's files, and the settings of the image's config."""

    entries: tuple[Entry, ...]
    settings: ImageSettings
