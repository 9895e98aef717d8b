"""Copies of images in which one thing is changed, everything above it made to fit: layer, diffID, config, manifest.

Written with nothing of peel's, so that what peel says of such a copy is held against something else.
"""

from __future__ import annotations

import copy
import gzip
import hashlib
import io
import json
import os
import shutil
import tarfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import zstandard

_OCI = "application/vnd.oci.image"
ZSTD = f"{_OCI}.layer.v1.tar+zstd"
GZIP = f"{_OCI}.layer.v1.tar+gzip"

Edit = Callable[[list["Piece"]], Sequence["Piece"]]


@dataclass(frozen=True)
class Piece:
    """A member of a layer: its header, and its bytes where it is a file."""

    info: tarfile.TarInfo
    data: bytes = b""

    @property
    def path(self) -> str:
        return self.info.name

    def having(self, data: bytes | None = None, **header: Any) -> Piece:
        """The same with other bytes, or another header."""
        info = copy.copy(self.info)
        for name, value in header.items():
            setattr(info, name, value)
        changed = self.data if data is None else data
        info.size = len(changed)
        return replace(self, info=info, data=changed)


@dataclass(frozen=True)
class ImageCopy:
    """An OCI layout that holds one image, under one tag, to be changed in place."""

    directory: Path
    tag: str

    @classmethod
    def of(cls, layout: Path, tag: str, directory: Path) -> ImageCopy:
        """A copy of one image of a layout; its blobs are shared, and never written to."""
        shutil.copytree(layout / "blobs", directory / "blobs", copy_function=os.link)
        shutil.copy(layout / "oci-layout", directory)
        named = [entry for entry in json.loads((layout / "index.json").read_text())["manifests"] if _name(entry) == tag]
        made = cls(directory, tag)
        made._write_index(named[0])
        return made

    @classmethod
    def make(cls, directory: Path, tag: str, *layers: Sequence[Piece], architecture: str = "amd64") -> ImageCopy:
        """An image of these layers, lowest first."""
        (directory / "blobs" / "sha256").mkdir(parents=True)
        (directory / "oci-layout").write_text(json.dumps({"imageLayoutVersion": "1.0.0"}))
        made, tars = cls(directory, tag), [packed_tar(pieces) for pieces in layers]
        config = {
            "architecture": architecture, "os": "linux", "config": {"Labels": {"title": "small"}},
            "rootfs": {"type": "layers", "diff_ids": [_digest(tar) for tar in tars]},
            "history": [{"created_by": f"peel: layer {number}"} for number in range(len(tars))],
        }  # fmt: skip
        manifest = {
            "schemaVersion": 2, "mediaType": f"{_OCI}.manifest.v1+json",
            "config": {"mediaType": f"{_OCI}.config.v1+json"},
            "layers": [made._put(ZSTD, packed_zstd(tar)) for tar in tars], "annotations": {"made": "small"},
        }  # fmt: skip
        made.put(config, manifest)
        return made

    @property
    def reference(self) -> str:
        return f"oci:{self.directory}:{self.tag}"

    @property
    def manifest(self) -> Any:
        return json.loads(self.blob(self._entry["digest"]))

    @property
    def config(self) -> Any:
        return json.loads(self.blob(self.manifest["config"]["digest"]))

    def blob(self, digest: str) -> bytes:
        return self.path(digest).read_bytes()

    def path(self, digest: str) -> Path:
        return self.directory / "blobs" / "sha256" / digest.removeprefix("sha256:")

    def layer_with(self, ending: str) -> int:
        """The number of the layer that holds a path with this ending."""
        count = len(self.manifest["layers"])
        return next(n for n in range(count) if any(p.path.endswith(ending) for p in self.pieces(n)))

    def tar(self, number: int) -> bytes:
        return unpacked(self.blob(self.manifest["layers"][number]["digest"]))

    def pieces(self, number: int) -> list[Piece]:
        with tarfile.open(fileobj=io.BytesIO(self.tar(number))) as tar:
            return [Piece(info, _bytes_of(tar, info)) for info in tar]

    def edit_layer(self, number: int, edit: Edit, **how: Any) -> None:
        """Change what a layer holds; ``how`` is what ``packed_tar`` takes."""
        self.put_tar(number, packed_tar(edit(self.pieces(number)), **how))

    def edit_file(self, number: int, ending: str, change: Callable[[Piece], Piece]) -> str:
        """Change the one member whose path ends so; returns the path."""
        (path,) = [piece.path for piece in self.pieces(number) if piece.path.endswith(ending)]
        self.edit_layer(number, lambda pieces: [change(p) if p.path == path else p for p in pieces])
        return path

    def put_tar(self, number: int, tar: bytes, pack: Callable[[bytes], bytes] | None = None) -> None:
        """Let a layer be this tar, compressed as it was unless said otherwise."""
        config, manifest = self.config, self.manifest
        config["rootfs"]["diff_ids"][number] = _digest(tar)
        media_type = manifest["layers"][number]["mediaType"]
        packed = pack or (packed_gzip if media_type == GZIP else packed_zstd)
        manifest["layers"][number] = self._put(media_type, packed(tar))
        self.put(config, manifest)

    def recompress(self, number: int, media_type: str, pack: Callable[[bytes], bytes]) -> None:
        """The same tar in another blob."""
        manifest = self.manifest
        manifest["layers"][number] = self._put(media_type, pack(self.tar(number)))
        self.put(self.config, manifest)

    def edit_config(self, change: Callable[[Any], object]) -> None:
        config = self.config
        change(config)
        self.put(config, self.manifest)

    def edit_manifest(self, change: Callable[[Any], object]) -> None:
        manifest = self.manifest
        change(manifest)
        self.put(None, manifest)

    def put(self, config: Any | None, manifest: Any) -> None:
        """Write both, and let the tag stand for them; without a config the manifest's is left as it is."""
        if config is not None:
            manifest["config"] = self._put(manifest["config"]["mediaType"], _canonical(config))
        entry = self._put(manifest.get("mediaType", f"{_OCI}.manifest.v1+json"), _canonical(manifest))
        self._write_index({**entry, "annotations": {"org.opencontainers.image.ref.name": self.tag}})

    def _put(self, media_type: str, data: bytes) -> dict[str, Any]:
        digest = _digest(data)
        if not self.path(digest).exists():
            self.path(digest).write_bytes(data)
        return {"mediaType": media_type, "digest": digest, "size": len(data)}

    @property
    def _entry(self) -> Any:
        return json.loads((self.directory / "index.json").read_text())["manifests"][0]

    def _write_index(self, entry: Any) -> None:
        (self.directory / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": [entry]}))


def file(path: str, data: bytes | str = b"", *, mode: int = 0o644, mtime: int = 1_600_000_000) -> Piece:
    raw = data.encode() if isinstance(data, str) else data
    info = tarfile.TarInfo(path)
    info.size, info.mode, info.mtime = len(raw), mode, mtime
    return Piece(info, raw)


def conda_package(
    prefix: str, name: str, files: dict[str, bytes | str], *, build: str = "0", **more: str
) -> list[Piece]:
    """A package as it is installed: its files, and the record that says that they are its own."""
    version = more.get("version", "1.0")
    record = {"name": name, "version": version, "build": build, "files": sorted(files), **more}
    meta = file(f"{prefix}/conda-meta/{name}-{version}-{build}.json", json.dumps(record))
    return [meta, *(file(f"{prefix}/{path}", data) for path, data in files.items())]


def packed_tar(pieces: Sequence[Piece], *, format: int = tarfile.PAX_FORMAT) -> bytes:  # noqa: A002 - tarfile's word
    """A tar of these members, as Python's tarfile writes it."""
    written = io.BytesIO()
    with tarfile.open(fileobj=written, mode="w", format=format) as tar:
        for piece in pieces:
            tar.addfile(piece.info, io.BytesIO(piece.data))
    return written.getvalue()


def packed_zstd(data: bytes, level: int = 3) -> bytes:
    return zstandard.ZstdCompressor(level=level, threads=1, write_content_size=False).compress(data)


def packed_gzip(data: bytes) -> bytes:
    return gzip.compress(data, mtime=0)


def unpacked(data: bytes) -> bytes:
    if data[:2] == b"\x1f\x8b":
        return gzip.decompress(data)
    if data[:4] == b"\x28\xb5\x2f\xfd":
        return zstandard.ZstdDecompressor().decompressobj().decompress(data)
    return data


def _bytes_of(tar: tarfile.TarFile, info: tarfile.TarInfo) -> bytes:
    file = tar.extractfile(info) if info.isreg() else None
    return file.read() if file else b""


def _name(entry: Any) -> str | None:
    found: str | None = entry.get("annotations", {}).get("org.opencontainers.image.ref.name")
    return found


def _canonical(document: Any) -> bytes:
    return json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def _digest(data: bytes) -> str:
    return f"sha256:{hashlib.sha256(data).hexdigest()}"
