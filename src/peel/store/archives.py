"""Archives: artifacts kept by digest, which are asked before the network is."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from peel.model.values import Digest
from peel.store.blobs import Blobs


@dataclass(frozen=True, slots=True)
class Archive:
    """A directory that keeps blobs by digest, as an OCI layout does; ``name`` is what people call it."""

    name: str
    root: Path


def take_from(archives: Sequence[Archive], wanted: Iterable[tuple[Digest, str]], blobs: Blobs) -> None:
    """Have in ``blobs`` what archives hold of these, each checked; ``wanted`` are digests with names for messages.

    Raises ArtifactError for a blob that is not what its digest says, naming archive and artifact.
    """
