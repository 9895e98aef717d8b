"""Catalogues with a channel of their own, newer builds in it, and patches that ask for them."""

from __future__ import annotations

import io
import json
import shutil
import tarfile
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import yaml
import zstandard

from archives import wheel
from channels import Content, File, Symlink, index, make_package, read_member
from e2e.running import Peel

Edit = Callable[[dict[str, Content]], object]


def own_channel(peel: Peel, source: Path, ref: str) -> Path:
    """Let a cloned catalogue have a channel of its own, and lock and build that under another tag."""
    channel = peel.catalogue / "channel"
    shutil.copytree(source, channel)
    for path in peel.catalogue.glob("envs/*/environment.yml"):
        path.write_text(path.read_text().replace(source.as_uri(), channel.as_uri()))
    peel.must("lock", ref)
    peel.must("build", ref)
    return channel


def declare_patch(peel: Peel, name: str, **patch: Any) -> str:
    """Write ``envs/patches/NAME.yaml``."""
    path = peel.catalogue / "envs" / "patches" / f"{name}.yaml"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(yaml.safe_dump({"schema": 1, "reason": "a test", **patch}))
    return name


def rebuilt(channel: Path, old: Path, version: str, edit: Edit, *, build: str = "patched_1") -> Path:
    """Another build of a package, of its files as ``edit`` leaves them; its metadata directory is named accordingly."""
    record = json.loads(read_member(old, "info/index.json"))
    files = _contents(old)
    edit(files)
    about = f"{record['name'].replace('-', '_')}-{record['version']}.dist-info"
    newer = {path.replace(about, about.replace(record["version"], version)): item for path, item in files.items()}
    made = make_package(
        channel, record["name"], version, build=build, build_number=1, depends=record["depends"], files=newer,
        noarch=record.get("noarch"), subdir=record["subdir"], timestamp=1_790_000_000_000,
        python_site_packages_path=record.get("python_site_packages_path"),
    )  # fmt: skip
    index(channel)
    return made


def replace_text(files: dict[str, Content], path: str, old: str, new: str) -> None:
    """Change a text in a file of a package."""
    item = files[path]
    assert isinstance(item, File)
    assert old.encode() in item.bytes, f"{path} has no {old!r}"
    files[path] = File(item.bytes.replace(old.encode(), new.encode()), item.mode)


def newer_wheel(old: Path, version: str, edits: Mapping[str, Callable[[bytes], bytes | None]]) -> Path:
    """Another version of a wheel beside it; ``edits`` change files, or leave them out."""
    name, before, *tags = old.name.split("-")
    target = old.with_name("-".join([name, version, *tags]))
    about = f"{name}-{before}.dist-info"
    with zipfile.ZipFile(old) as source:
        files = {item.filename: source.read(item) for item in source.infolist() if not item.is_dir()}
    del files[f"{about}/RECORD"]
    for path, edit in edits.items():
        data = edit(files.pop(path))
        if data is not None:
            files[path] = data
    metadata = files[f"{about}/METADATA"].decode().replace(f"\nVersion: {before}\n", f"\nVersion: {version}\n")
    files[f"{about}/METADATA"] = metadata.encode()
    newer = {path.replace(about, f"{name}-{version}.dist-info"): data for path, data in files.items()}
    return wheel(target, newer)


def _contents(archive: Path) -> dict[str, Content]:
    """The files of a ``.conda`` archive."""
    with zipfile.ZipFile(archive) as outer:
        raw = zstandard.ZstdDecompressor().decompressobj().decompress(outer.read(f"pkg-{archive.stem}.tar.zst"))
    files: dict[str, Content] = {}
    with tarfile.open(fileobj=io.BytesIO(raw)) as tar:
        for member in tar:
            data = tar.extractfile(member)
            files[member.name] = Symlink(member.linkname) if data is None else File(data.read(), member.mode & 0o777)
    return files
