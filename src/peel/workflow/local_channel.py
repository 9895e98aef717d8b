"""A channel on disk for one solve: what is locked, and what archives hold, whatever became of it elsewhere."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote, unquote, urlsplit

from peel.errors import ArtifactError
from peel.layers.conda_info import Index, read_index
from peel.model.conda_record import Record
from peel.model.conda_spec import build_number_in, build_of
from peel.model.values import Digest
from peel.store.blobs import Blobs

WITHOUT: Final = "peel-without-"
"""How the packages are called that stand in the way of one that must not come back."""

_NOARCH: Final = "noarch"


def locked_record(entry: Mapping[str, Any], blobs: Blobs) -> Record:
    """A record of a package as conda-lock's entry and, where the store has it, its archive have it.

    conda-lock writes neither the builds that a package depends on nor what it constrains: only the archive knows.
    """
    url = str(entry["url"])
    file_name, subdir = _last_parts(url)
    build = build_of(file_name)
    sha256, md5 = (str(entry["hash"].get(kind) or "") for kind in ("sha256", "md5"))
    written = [f"{name} {version}".strip() for name, version in sorted(entry.get("dependencies", {}).items())]
    known = Record(
        name=str(entry["name"]), version=str(entry["version"]), build=build, build_number=build_number_in(build),
        subdir=subdir, file_name=file_name, url=url, depends=tuple(written), md5=md5, sha256=sha256,
    )  # fmt: skip
    if not sha256 or not blobs.has(digest := Digest.from_hex(sha256)):
        return known
    found = described(read_index(blobs.path(digest), file_name), known)
    if (found.name, found.version) != (known.name, known.version):
        raise ArtifactError(
            f"{file_name} is locked as {known.name} {known.version}, and says it is {found.name} {found.version}"
        )
    return found


def described(index: Index, known: Record) -> Record:
    """What an archive says of itself, with the hashes and the place that are known of it."""
    features = index.track_features or ""
    noarch = "generic" if index.noarch is True else index.noarch or ""
    return Record(
        name=index.name, version=index.version, build=index.build, build_number=index.build_number,
        subdir=known.subdir or _subdir(index), file_name=known.file_name, url=known.url,
        depends=tuple(index.depends), constrains=tuple(index.constrains), md5=known.md5, sha256=known.sha256,
        size=known.size, timestamp=int(index.timestamp or 0), noarch=noarch,
        track_features=features if isinstance(features, str) else " ".join(features),
    )  # fmt: skip


def _subdir(index: Index) -> str:
    return _NOARCH if index.noarch else index.subdir or _NOARCH


def stand_in_the_way(name: str) -> Record:
    """A record of a package that goes with no version of another: who asks for it says that the other must not come."""
    own = f"{WITHOUT}{name}"
    # no build is named so, and no version is older: libmamba and rattler both know constrains, and nothing stronger
    return Record(
        name=own, version="1", build="0", build_number=0, subdir=_NOARCH, file_name=f"{own}-1-0.conda",
        constrains=(f"{name} <0.0.dev0",), sha256="0" * 64, md5="0" * 32, noarch="generic",
    )  # fmt: skip


def write_channel(directory: Path, records: Iterable[Record], platform: str) -> str:
    """Write a channel that lists these for a platform, in an order of their own, and return its URL."""
    listed: dict[str, dict[str, Any]] = {platform: {}, _NOARCH: {}}
    for record in sorted(records, key=lambda record: (record.subdir, record.file_name, record.sha256)):
        if record.subdir in listed:
            listed[record.subdir].setdefault(record.file_name, record.as_repodata())
    for subdir, packages in listed.items():
        folder = directory / subdir
        folder.mkdir(parents=True)
        (folder / "repodata.json").write_bytes(_repodata(subdir, packages))
    return directory.resolve().as_uri()


def _repodata(subdir: str, packages: Mapping[str, Any]) -> bytes:
    new = {name: each for name, each in packages.items() if name.endswith(".conda")}
    old = {name: each for name, each in packages.items() if not name.endswith(".conda")}
    document = {
        "info": {"subdir": subdir}, "packages": old, "packages.conda": new, "removed": [], "repodata_version": 1,
    }  # fmt: skip
    return json.dumps(document, sort_keys=True).encode()


def write_prefix(prefix: Path, records: Iterable[Record], channel: str) -> None:
    """Write what a solver reads of an environment. All of it counts as coming from ``channel``: no URL tells more."""
    folder = prefix / "conda-meta"
    folder.mkdir(parents=True)
    (folder / "history").touch()
    for record in records:
        where = f"{channel}/{record.subdir}/{quote(record.file_name)}"
        document = {**record.as_repodata(), "fn": record.file_name, "url": where, "channel": channel, "files": []}
        document.setdefault("size", 0)
        name = f"{record.name}-{record.version}-{record.build}.json"
        (folder / name).write_text(json.dumps(document, sort_keys=True), encoding="utf-8")


def file_name_of(url: str) -> str:
    """The last part of a URL's path."""
    return _last_parts(url)[0]


def _last_parts(url: str) -> tuple[str, str]:
    """The file name and the subdirectory of a channel that a URL ends in."""
    folder, _, last = urlsplit(url).path.rpartition("/")
    return unquote(last), unquote(folder.rpartition("/")[2]) or _NOARCH
