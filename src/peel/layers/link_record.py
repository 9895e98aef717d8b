"""The record of an installed conda package, ``conda-meta/NAME-VERSION-BUILD.json``.

It is made of the archive's content alone: equal archives give equal bytes, whatever channel or cache they came from.
So ``channel`` is unknown, and ``url``, which readers insist on, is the archive's name by RFC 6920. Compiled bytecode
is not listed, although conda lists it: whether a source compiles is not known here, and everything listed exists.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from peel.layers.conda_info import Info
from peel.layers.conda_stream import split_file_name
from peel.layers.forward import CHUNK
from peel.layers.prefix import PrefixRule
from peel.model.values import Digest, canonical_json

_COPIED = 3  # conda's LinkType.copy


@dataclass(frozen=True, slots=True)
class InstalledPath:
    """A path as it is installed; ``sha256`` is the packaged file's, None where there was none; ``size`` in bytes."""

    path: str
    path_type: str
    sha256: str | None
    sha256_in_prefix: str
    size: int
    rule: PrefixRule | None = None


@dataclass(frozen=True, slots=True)
class _Sum:
    md5: str
    size: int


def record_name(info: Info) -> str:
    """The record's path, relative to the prefix."""
    return f"conda-meta/{info.index.name}-{info.index.version}-{info.index.build}.json"


def make_record(
    info: Info, installed: Iterable[InstalledPath], *, archive: Path, file_name: str, digest: Digest
) -> bytes:
    """The record's bytes: canonical JSON and a newline. Reads the archive once, for its MD5."""
    index = info.index
    paths = sorted(installed, key=lambda item: item.path)
    archived = _sum(archive)
    document = {
        **index.model_dump(exclude_none=True),
        "channel": "<unknown>",
        "files": [item.path for item in paths],
        "fn": f"{index.name}-{index.version}-{index.build}{split_file_name(file_name)[1]}",
        "link": {"source": "", "type": _COPIED},
        "md5": archived.md5,
        "paths_data": {"paths": [_path(item) for item in paths], "paths_version": 1},
        "sha256": digest.hex,
        "size": archived.size,
        "subdir": info.subdir,
        "url": content_name(digest),
    }
    return canonical_json(document) + b"\n"


def content_name(digest: Digest) -> str:
    """``ni:///sha-256;…``: a URI that names the content itself (RFC 6920, section 3)."""
    encoded = base64.urlsafe_b64encode(bytes.fromhex(digest.hex)).decode().rstrip("=")
    return f"ni:///sha-256;{encoded}"


def _path(item: InstalledPath) -> dict[str, Any]:
    document: dict[str, Any] = {
        "_path": item.path,
        "path_type": item.path_type,
        "sha256_in_prefix": item.sha256_in_prefix,
        "size_in_bytes": item.size,
    }
    if item.sha256 is not None:
        document["sha256"] = item.sha256
    if item.rule is not None:
        document |= {"file_mode": str(item.rule.mode), "prefix_placeholder": item.rule.placeholder}
    return document


def _sum(archive: Path) -> _Sum:
    md5, size = hashlib.md5(usedforsecurity=False), 0
    with archive.open("rb") as source:
        while block := source.read(CHUNK):
            md5.update(block)
            size += len(block)
    return _Sum(md5.hexdigest(), size)
