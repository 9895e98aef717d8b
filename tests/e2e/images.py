"""What an image consists of, read from an OCI layout with nothing of peel's."""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import zstandard


@dataclass(frozen=True, slots=True)
class Member:
    """One entry of a layer, and the whole of its bytes where it is a file."""

    info: tarfile.TarInfo
    data: bytes

    @property
    def path(self) -> str:
        return self.info.name


@dataclass(frozen=True, slots=True)
class Image:
    """An image of a layout: its manifest, its config and its layers, those of the base first."""

    layout: Path
    manifest: Any
    config: Any

    @classmethod
    def load(cls, layout: Path, digest: str) -> Image:
        manifest = json.loads(_blob(layout, digest).read_bytes())
        return cls(layout, manifest, json.loads(_blob(layout, manifest["config"]["digest"]).read_bytes()))

    def members(self, number: int) -> Iterator[Member]:
        """What a layer holds, in its order; one member at a time is in memory."""
        with _blob(self.layout, self.manifest["layers"][number]["digest"]).open("rb") as packed:
            raw = io.BufferedReader(zstandard.ZstdDecompressor().stream_reader(packed), 1 << 20)
            with tarfile.open(fileobj=raw, mode="r|") as tar:
                for info in tar:
                    file = tar.extractfile(info) if info.isreg() else None
                    yield Member(info, file.read() if file else b"")

    def own_members(self, base_layers: int = 1) -> Iterator[Member]:
        """What all layers but the base's hold."""
        for number in range(base_layers, len(self.manifest["layers"])):
            yield from self.members(number)


def _blob(layout: Path, digest: str) -> Path:
    return layout / "blobs" / "sha256" / digest.removeprefix("sha256:")
