"""Layers of images for tests, each from what it holds: files, links, whiteouts, and whatever nobody should make."""

from __future__ import annotations

import gzip
import io
import json
import tarfile
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import zstandard

from peel.layers.layer_stream import ImageLayer
from peel.model import oci
from peel.model.values import Digest

WHITEOUT = b"\0whiteout"
"""In place of a file's bytes: the path is removed."""

_PACKED = {
    oci.LAYER: bytes,
    oci.LAYER_GZIP: lambda data: gzip.compress(data, mtime=0),
    oci.LAYER_ZSTD: zstandard.ZstdCompressor().compress,
}


def make_layer(
    place: Path,
    files: Mapping[str, bytes],
    *,
    more: Sequence[tarfile.TarInfo] = (),
    media_type: str = oci.LAYER_GZIP,
    lies: Mapping[str, Any] | None = None,
) -> ImageLayer:
    """A layer of these files, then of ``more`` members without bytes; ``lies`` goes over its true descriptor."""
    return layer_of_bytes(place, tar_of(files, more), media_type, **(lies or {}))


def layer_of_bytes(place: Path, tar: bytes, media_type: str = oci.LAYER_GZIP, **lies: Any) -> ImageLayer:
    data = _PACKED.get(media_type, bytes)(tar)
    blob = replace(oci.describe(media_type, data), **lies)
    path = place / Digest.of(data).hex
    path.write_bytes(data)
    return ImageLayer(blob, lambda: path.open("rb"))


def tar_of(files: Mapping[str, bytes], more: Sequence[tarfile.TarInfo] = ()) -> bytes:
    written = io.BytesIO()
    with tarfile.open(fileobj=written, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for path, data in files.items():
            folder, _, name = path.rpartition("/")
            gone = data == WHITEOUT
            entry = tarfile.TarInfo(f"{folder}/.wh.{name}".lstrip("/") if gone else path)
            entry.size = 0 if gone else len(data)
            tar.addfile(entry, io.BytesIO(b"" if gone else data))
        for entry in more:
            tar.addfile(entry)
    return written.getvalue()


def member(path: str, kind: bytes = tarfile.REGTYPE, target: str = "") -> tarfile.TarInfo:
    entry = tarfile.TarInfo(path)
    entry.type, entry.linkname = kind, target
    return entry


def conda_meta(prefix: str, name: str, version: str = "1.0", build: str = "0", **more: Any) -> dict[str, bytes]:
    """The record of an installed package, at its path."""
    document = {
        "name": name, "version": version, "build": build, "build_number": 0, "subdir": "linux-64", "files": [],
        "depends": [], **more,
    }  # fmt: skip
    return {f"{prefix.lstrip('/')}/conda-meta/{name}-{version}-{build}.json": json.dumps(document).encode()}


def dist_info(
    prefix: str, name: str, version: str = "1.0", *, python: str = "3.11", installer: str = "pip", record: str = ""
) -> dict[str, bytes]:
    """The records of an installed wheel, at their paths."""
    about = f"{prefix.lstrip('/')}/lib/python{python}/site-packages/{name}-{version}.dist-info"
    return {
        f"{about}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n\nName: not this\n".encode(),
        f"{about}/INSTALLER": f"{installer}\n".encode(),
        f"{about}/RECORD": (record or f"{name}.py,,\n").encode(),
    }
