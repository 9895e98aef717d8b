"""Conda channels small enough to read in a test: real archives, real ``repodata.json``, the same bytes every time.

channel = tmp_path / "channel"
make_package(channel, "libfoo", "1.0", files={"lib/libfoo.txt": "hello"})
make_package(channel, "app", "2.0", depends=["libfoo >=1"], noarch="python", files={"site-packages/app.py": ""})
url = index(channel)
"""

from __future__ import annotations

import bz2
import hashlib
import io
import json
import tarfile
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import zstandard

TIMESTAMP = 1_700_000_000_000
"""2023-11-14T22:13:20Z in milliseconds: when a package was built unless the test says otherwise."""

PLACEHOLDER = "/opt/placeholder" + "_placehold" * 20
"""The build prefix that packages made here carry where a test asks for one."""


@dataclass(frozen=True, slots=True)
class File:
    """A regular file; with ``placeholder`` its bytes hold that prefix, to be replaced as ``file_mode`` says."""

    data: bytes | str = b""
    mode: int = 0o644
    placeholder: str = ""
    file_mode: Literal["text", "binary"] = "text"
    no_link: bool = False

    @property
    def bytes(self) -> bytes:
        return self.data.encode() if isinstance(self.data, str) else self.data


@dataclass(frozen=True, slots=True)
class Symlink:
    """A symbolic link."""

    target: str


Content = File | Symlink | bytes | str


def make_package(
    channel: Path,
    name: str,
    version: str = "1.0",
    *,
    build: str = "0",
    build_number: int = 0,
    depends: Sequence[str] = (),
    constrains: Sequence[str] = (),
    files: Mapping[str, Content] | None = None,
    noarch: Literal["python", "generic"] | None = None,
    entry_points: Sequence[str] = (),
    subdir: str = "linux-64",
    python_site_packages_path: str | None = None,
    timestamp: int = TIMESTAMP,
    license: str = "MIT",  # noqa: A002 - the key's own name
    extension: Literal[".conda", ".tar.bz2"] = ".conda",
    legacy: bool = False,
    index_extra: Mapping[str, Any] | None = None,
    members: Sequence[tarfile.TarInfo] = (),
) -> Path:
    """Write one archive into ``channel/SUBDIR/`` (``noarch/`` for noarch packages) and return its path.

    ``timestamp`` is in milliseconds. With ``noarch="python"`` the files lie under ``site-packages/`` and
    ``python-scripts/``, and ``entry_points`` go to ``info/link.json``. ``legacy`` leaves ``info/paths.json`` out and
    writes ``info/has_prefix`` instead. ``members`` are appended to the payload as they are, for archives nobody should
    make.
    """
    subdir = "noarch" if noarch else subdir
    contents = {path: _content(value) for path, value in sorted((files or {}).items())}
    record: dict[str, Any] = {
        "arch": None, "platform": None, "name": name, "version": version, "build": build, "build_number": build_number,
        "constrains": list(constrains), "depends": list(depends), "license": license, "subdir": subdir,
        "timestamp": timestamp,
    }  # fmt: skip
    if noarch:
        record["noarch"] = noarch
    if python_site_packages_path:
        record["python_site_packages_path"] = python_site_packages_path
    record.update(index_extra or {})
    info = _info(record, contents, entry_points=entry_points, legacy=legacy)
    target = channel / subdir / f"{name}-{version}-{build}{extension}"
    target.parent.mkdir(parents=True, exist_ok=True)
    seconds = timestamp // 1000
    if extension == ".conda":
        target.write_bytes(_conda(target.name.removesuffix(".conda"), info, contents, members, seconds))
    else:
        target.write_bytes(bz2.compress(_tar({**info, **contents}, seconds, members)))
    return target


def index(channel: Path, *, subdirs: Sequence[str] = ("linux-64", "noarch")) -> str:
    """Write ``repodata.json`` for every subdir and return the channel's ``file://`` URL."""
    for subdir in subdirs:
        folder = channel / subdir
        folder.mkdir(parents=True, exist_ok=True)
        document: dict[str, Any] = {
            "info": {"subdir": subdir}, "packages": {}, "packages.conda": {}, "removed": [], "repodata_version": 1,
        }  # fmt: skip
        for archive in sorted([*folder.glob("*.conda"), *folder.glob("*.tar.bz2")]):
            kind = "packages.conda" if archive.suffix == ".conda" else "packages"
            document[kind][archive.name] = repodata_record(archive)
        (folder / "repodata.json").write_text(json.dumps(document, indent=1, sort_keys=True))
    return channel.resolve().as_uri()


def repodata_record(archive: Path) -> dict[str, Any]:
    """What ``repodata.json`` says of an archive: its ``info/index.json``, hashes and size in bytes."""
    data = archive.read_bytes()
    record: dict[str, Any] = json.loads(read_member(archive, "info/index.json"))
    return {
        **{key: value for key, value in record.items() if value is not None},
        "md5": hashlib.md5(data).hexdigest(),  # noqa: S324 - the format has it
        "sha256": hashlib.sha256(data).hexdigest(),
        "size": len(data),
    }


def read_member(archive: Path, member: str) -> bytes:
    """One file of an archive."""
    if archive.suffix == ".conda":
        part = "info" if member.startswith("info/") else "pkg"
        with zipfile.ZipFile(archive) as outer:
            packed = outer.read(f"{part}-{archive.name.removesuffix('.conda')}.tar.zst")
        raw = zstandard.ZstdDecompressor().decompressobj().decompress(packed)
    else:
        raw = bz2.decompress(archive.read_bytes())
    with tarfile.open(fileobj=io.BytesIO(raw)) as tar:
        found = tar.extractfile(member)
        assert found is not None, f"{member} of {archive.name} is not a file"
        return found.read()


def tamper(archive: Path) -> None:
    """Change an archive so that it still unpacks but no longer has the bytes that ``repodata.json`` promises."""
    if archive.suffix == ".conda":
        with zipfile.ZipFile(archive, "a") as outer:
            outer.comment = b"tampered"
    else:
        archive.write_bytes(archive.read_bytes() + bz2.compress(b""))


def _content(value: Content) -> File | Symlink:
    return value if isinstance(value, File | Symlink) else File(value)


def _info(
    record: Mapping[str, Any], contents: Mapping[str, File | Symlink], *, entry_points: Sequence[str], legacy: bool
) -> dict[str, File | Symlink]:
    about = {"license": record["license"], "summary": f"{record['name']} for a test"}
    info: dict[str, File | Symlink] = {
        "info/about.json": _json(about),
        "info/files": File("".join(f"{path}\n" for path in contents)),
        "info/index.json": _json(record),
    }
    if record.get("noarch"):
        noarch: dict[str, Any] = {"type": record["noarch"]}
        if record["noarch"] == "python":
            noarch["entry_points"] = list(entry_points)
        info["info/link.json"] = _json({"noarch": noarch, "package_metadata_version": 1})
    prefixed = {path: item for path, item in contents.items() if isinstance(item, File) and item.placeholder}
    if not legacy:
        info["info/paths.json"] = _json({"paths": [_path(*pair) for pair in contents.items()], "paths_version": 1})
    elif prefixed:
        lines = [f'"{item.placeholder}" "{item.file_mode}" "{path}"\n' for path, item in prefixed.items()]
        info["info/has_prefix"] = File("".join(lines))
    return dict(sorted(info.items()))


def _path(path: str, item: File | Symlink) -> dict[str, Any]:
    if isinstance(item, Symlink):
        empty = hashlib.sha256(b"").hexdigest()
        return {"_path": path, "path_type": "softlink", "sha256": empty, "size_in_bytes": 0}
    data = item.bytes
    entry: dict[str, Any] = {
        "_path": path, "path_type": "hardlink", "sha256": hashlib.sha256(data).hexdigest(), "size_in_bytes": len(data),
    }  # fmt: skip
    if item.no_link:
        entry["no_link"] = True
    if item.placeholder:
        entry |= {"file_mode": item.file_mode, "prefix_placeholder": item.placeholder}
    return entry


def _json(value: Any) -> File:
    return File(json.dumps(value, indent=1, sort_keys=True))


def _conda(
    stem: str,
    info: Mapping[str, File | Symlink],
    contents: Mapping[str, File | Symlink],
    members: Sequence[tarfile.TarInfo],
    seconds: int,
) -> bytes:
    """The ``.conda`` format, version 2: a stored zip with the metadata first (conda docs, "package specification")."""
    packer = zstandard.ZstdCompressor(level=3)
    parts = {
        "metadata.json": json.dumps({"conda_pkg_format_version": 2}).encode(),
        f"pkg-{stem}.tar.zst": packer.compress(_tar(contents, seconds, members)),
        f"info-{stem}.tar.zst": packer.compress(_tar(info, seconds)),
    }
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as outer:
        for name, data in parts.items():
            outer.writestr(zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0)), data)
    return buffer.getvalue()


def _tar(contents: Mapping[str, File | Symlink], seconds: int, members: Sequence[tarfile.TarInfo] = ()) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for path, item in contents.items():
            member = tarfile.TarInfo(path)
            member.mtime = seconds
            if isinstance(item, Symlink):
                member.type, member.linkname, member.mode = tarfile.SYMTYPE, item.target, 0o777
                tar.addfile(member)
            else:
                member.size, member.mode = len(item.bytes), item.mode
                tar.addfile(member, io.BytesIO(item.bytes))
        for member in members:
            tar.addfile(member)
    return buffer.getvalue()
