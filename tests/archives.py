"""Archives that nobody should make, and plain ones: every member and every promise about it is the test's own."""

from __future__ import annotations

import base64
import bz2
import hashlib
import io
import json
import tarfile
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import zstandard

MTIME = 1_700_000_000
PLACEHOLDER = "/opt/placeholder" + "_placehold" * 20


@dataclass(frozen=True, slots=True)
class Item:
    """A member; ``rule`` is its file mode (text or binary) if it has the placeholder, ``says`` overrides paths.json."""

    path: str
    data: bytes = b""
    mode: int = 0o644
    type: bytes = tarfile.REGTYPE
    target: str = ""
    rule: str = ""
    says: Mapping[str, Any] = field(default_factory=dict)
    size: int | None = None


def link(path: str, target: str) -> Item:
    return Item(path, type=tarfile.SYMTYPE, target=target, mode=0o777)


def conda(
    path: Path,
    items: Sequence[Item],
    *,
    index: Mapping[str, Any] | None = None,
    listed: Sequence[Item] | None = None,
    entry_points: Sequence[str] = (),
    legacy: bool = False,
    info: Mapping[str, bytes] | None = None,
) -> Path:
    """Write ``NAME-VERSION-BUILD.conda`` or ``.tar.bz2``. ``listed`` are the items its list names, all if not given."""
    name, version, build = path.name.removesuffix(".conda").removesuffix(".tar.bz2").rsplit("-", 2)
    listed = items if listed is None else listed
    document = {
        "name": name, "version": version, "build": build, "build_number": 0, "depends": [], "subdir": "linux-64",
        "timestamp": MTIME * 1000, "license": "MIT", **(index or {}),
    }  # fmt: skip
    texts = {"index.json": _json(document)}
    if legacy:
        texts["files"] = "".join(f"{item.path}\n" for item in listed).encode()
        rules = [f"{PLACEHOLDER} {item.rule} {item.path}\n" for item in listed if item.rule]
        texts["has_prefix"] = "".join(rules).encode()
    else:
        texts["paths.json"] = _json({"paths": [_promise(item) for item in listed], "paths_version": 1})
    if entry_points:
        noarch = {"type": "python", "entry_points": list(entry_points)}
        texts["link.json"] = _json({"noarch": noarch, "package_metadata_version": 1})
    about = [Item(f"info/{name}", data) for name, data in {**texts, **(info or {})}.items()]
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".conda":
        path.write_bytes(_zip(path.name.removesuffix(".conda"), tar(about), tar(items)))
    else:
        path.write_bytes(bz2.compress(tar([*about, *items])))
    return path


def wheel(
    path: Path, files: Mapping[str, bytes], *, record: bytes | None = None, modes: Mapping[str, int] | None = None
) -> Path:
    """Write a wheel: WHEEL and METADATA are made where ``files`` have none, RECORD unless ``record`` is given."""
    name, version, *_ = path.name.split("-")
    about = f"{name}-{version}.dist-info"
    made = {
        f"{about}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\nLicense: MIT\n".encode(),
        f"{about}/WHEEL": b"Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        **files,
    }
    rows = "".join(f"{file},{_record_hash(data)},{len(data)}\n" for file, data in made.items())
    made[f"{about}/RECORD"] = record if record is not None else f"{rows}{about}/RECORD,,\n".encode()
    with zipfile.ZipFile(path, "w") as outer:
        for file, data in made.items():
            item = zipfile.ZipInfo(file)
            item.external_attr = (modes or {}).get(file, 0o100644) << 16
            outer.writestr(item, data)
    return path


def tar(items: Sequence[Item]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as out:
        for item in items:
            member = tarfile.TarInfo(item.path)
            member.type, member.mode, member.mtime, member.linkname = item.type, item.mode, MTIME, item.target
            member.size = len(item.data) if item.size is None else item.size
            out.addfile(member, io.BytesIO(item.data + bytes(member.size - len(item.data))))
    return buffer.getvalue()


def _zip(stem: str, info: bytes, payload: bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as outer:
        outer.writestr(zipfile.ZipInfo("metadata.json"), '{"conda_pkg_format_version": 2}')
        for part, data in (("info", info), ("pkg", payload)):
            outer.writestr(zipfile.ZipInfo(f"{part}-{stem}.tar.zst"), zstandard.ZstdCompressor().compress(data))
    return buffer.getvalue()


def _promise(item: Item) -> dict[str, Any]:
    kinds = {tarfile.SYMTYPE: "softlink", tarfile.DIRTYPE: "directory"}
    promise: dict[str, Any] = {
        "_path": item.path, "path_type": kinds.get(item.type, "hardlink"),
        "sha256": hashlib.sha256(item.data).hexdigest(), "size_in_bytes": len(item.data),
    }  # fmt: skip
    if item.rule:
        promise |= {"file_mode": item.rule, "prefix_placeholder": PLACEHOLDER}
    return {**promise, **item.says}


def _json(document: object) -> bytes:
    return json.dumps(document).encode()


def _record_hash(data: bytes) -> str:
    return "sha256=" + base64.urlsafe_b64encode(hashlib.sha256(data).digest()).decode().rstrip("=")
