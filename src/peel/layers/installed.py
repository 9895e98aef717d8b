"""The conda environments and wheels in an image, wherever they lie, from the records that installers leave.

A conda environment is a directory with ``conda-meta/*.json``; a wheel is a ``*.dist-info`` in a ``site-packages`` that
no conda package brought (PyPA, "Recording installed projects"). Records may say anything: what is used is checked.
"""

from __future__ import annotations

import csv
import json
import posixpath
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Final

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from peel.errors import ArtifactError
from peel.layers.conda_stream import check_path
from peel.layers.image_files import ImageFiles, take_files
from peel.layers.layer_stream import ImageLayer

_META: Final = re.compile(r"(?:(?P<prefix>.+)/)?conda-meta/[^/]+\.json")
_ABOUT: Final = re.compile(
    r"(?:(?P<prefix>.+)/)?(?P<site>lib(?:64)?/python(?P<python>\d+\.\d+)t?/site-packages)"
    r"/(?P<about>[^/~][^/]*)\.dist-info/(?P<file>METADATA|RECORD|INSTALLER|direct_url\.json)"
)
_MOST: Final = {"METADATA": 16 << 20, "RECORD": 16 << 20, "INSTALLER": 1 << 10, "direct_url.json": 1 << 16}
_MOST_META: Final = 32 << 20
_HEADER: Final = 1 << 16
_FIELD: Final = re.compile(r"^(Name|Version):[ \t]*([A-Za-z0-9_.!+*~^-]{1,200})[ \t]*\r?$", re.MULTILINE)
_OF_OTHERS: Final = frozenset({"conda", "rpm", "debian", "dpkg"})
"""Installers whose packages are recorded elsewhere."""
_HINT: Final = "the environment in the image is damaged; peel can read it only once that record is mended"


class _Record(BaseModel):
    """What is read of a record in ``conda-meta``; older ones lack keys, or have null."""

    model_config = ConfigDict(extra="ignore")
    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9_][A-Za-z0-9_.-]{0,199}$")]
    version: Annotated[str, Field(pattern=r"^[A-Za-z0-9_.!+*~^-]{1,200}$")]
    build: Annotated[str, Field(pattern=r"^[A-Za-z0-9_.+-]{0,200}$")] = ""
    build_number: int = 0
    subdir: Annotated[str, Field(pattern=r"^[a-z0-9-]{0,50}$")] = ""
    channel: str = ""
    url: str = ""
    md5: str = ""
    sha256: str = ""
    fn: str = ""
    depends: tuple[str, ...] = ()

    @model_validator(mode="before")
    @classmethod
    def _without_null(cls, data: Any) -> Any:
        return {key: value for key, value in data.items() if value is not None} if isinstance(data, dict) else data


@dataclass(frozen=True, slots=True)
class InstalledPackage:
    """A conda package as its record in ``conda-meta`` has it; "" where that says nothing.

    ``md5`` and ``sha256`` are in hexadecimal, ``record`` is the record's path in the image.
    """

    name: str
    version: str
    build: str
    build_number: int
    subdir: str
    channel: str
    url: str
    md5: str
    sha256: str
    file_name: str
    depends: tuple[str, ...]
    record: str
    _kept: Path

    def files(self) -> tuple[str, ...]:
        """The paths that it installed, relative to the prefix. Raises ArtifactError for one that leads out of it."""
        listed = _files(_json(self._kept, self.record))
        return tuple(sorted({check_path(path, f"/{self.record}") for path in listed}))


@dataclass(frozen=True, slots=True)
class InstalledWheel:
    """A wheel that pip or its like installed. ``name`` is as the wheel spells it.

    ``url`` and ``sha256`` (hexadecimal) are known where its ``direct_url.json`` has them, "" elsewhere; ``python``
    reads ``3.11``; ``about`` is the path of its ``.dist-info`` directory, relative to the prefix.
    """

    name: str
    version: str
    python: str
    url: str
    sha256: str
    about: str
    record: str
    """Its RECORD's path in the image, "" where it has none."""
    _kept: Path | None

    def files(self) -> tuple[str, ...]:
        """The paths of its RECORD, relative to the prefix. Raises ArtifactError for one that leads out of it."""
        if self._kept is None:
            return ()
        site = posixpath.dirname(self.about)
        rows = csv.reader(_text(self._kept).splitlines())
        try:
            paths = {posixpath.normpath(posixpath.join(site, row[0])) for row in rows if row and row[0]}
        except csv.Error as error:
            raise ArtifactError(f"/{self.record} is no RECORD: {error}", hint=_HINT) from None
        return tuple(sorted(check_path(path, f"/{self.record}") for path in paths))


@dataclass(frozen=True, slots=True)
class InstalledEnvironment:
    """An environment: its packages and wheels, each by name. Without packages it is no conda environment."""

    prefix: str
    packages: tuple[InstalledPackage, ...]
    wheels: tuple[InstalledWheel, ...]


def find_environments(layers: Sequence[ImageLayer], work: Path, *, origin: str) -> tuple[InstalledEnvironment, ...]:
    """The environments of an image, by prefix; ``layers`` are all of its, lowest first.

    ``work`` is an empty directory that is kept for as long as lists of files are asked for. Raises ArtifactError naming
    ``origin``, and the record or the layer that cannot be used.
    """
    return environments_of(take_files(layers, is_record, work, origin=origin))


def is_record(path: str) -> int:
    """How many bytes the file at this path may have, if it is one that environments are known by; else 0."""
    if path.endswith(".json") and _META.fullmatch(path):
        return _MOST_META
    if ".dist-info/" in path and (found := _ABOUT.fullmatch(path)):
        return _MOST[found["file"]]
    return 0


def environments_of(taken: ImageFiles) -> tuple[InstalledEnvironment, ...]:
    """The environments whose records were taken, as ``find_environments`` has it."""
    packages: dict[str, list[InstalledPackage]] = {}
    owned: set[str] = set()
    for path, kept in sorted(taken.files.items()):
        if path.endswith(".json") and (found := _META.fullmatch(path)):
            prefix = found["prefix"] or ""
            package, listed = _package(path, kept, taken.origin)
            packages.setdefault(prefix, []).append(package)
            owned.update(posixpath.join(prefix, file) for file in listed if ".dist-info/" in file)
    caches = {posixpath.join(prefix, "pkgs") for prefix in packages}
    wheels: dict[str, list[InstalledWheel]] = {}
    for prefix, wheel in _wheels(taken, owned):
        if not any(prefix.startswith(f"{cache}/") for cache in caches):
            wheels.setdefault(prefix, []).append(wheel)
    return tuple(
        InstalledEnvironment(f"/{prefix}", _by_name(packages.get(prefix, ())), _by_name(wheels.get(prefix, ())))
        for prefix in sorted(packages.keys() | wheels.keys())
    )


def _by_name(found: Sequence[Any]) -> tuple[Any, ...]:
    return tuple(sorted(found, key=lambda item: (item.name, item.version)))


def _package(path: str, kept: Path, origin: str) -> tuple[InstalledPackage, Sequence[str]]:
    """A package and the paths it lists."""
    where = f"{origin}: /{path}"
    document = _json(kept, path, where)
    try:
        record = _Record.model_validate(document)
    except ValidationError as error:
        fault = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(str(part) for part in fault["loc"])
        raise ArtifactError(f"{where} is no record of a conda package: {place}: {fault['msg']}", hint=_HINT) from None
    return (
        InstalledPackage(
            name=record.name, version=record.version, build=record.build, build_number=record.build_number,
            subdir=record.subdir, channel=record.channel, url=record.url, md5=record.md5, sha256=record.sha256,
            file_name=record.fn, depends=record.depends, record=path, _kept=kept,
        ),
        _files(document),
    )  # fmt: skip


def _files(document: Any) -> Sequence[str]:
    """The paths that a record lists, in ``files`` or, where that is missing, in ``paths_data``."""
    listed = document.get("files")
    if not isinstance(listed, list):
        data = document.get("paths_data")
        paths = data.get("paths") if isinstance(data, dict) else None
        listed = [item.get("_path") for item in paths if isinstance(item, dict)] if isinstance(paths, list) else []
    return [path for path in listed if isinstance(path, str)]


def _json(kept: Path, path: str, where: str = "") -> Any:
    try:
        document = json.loads(kept.read_bytes())
    except (ValueError, RecursionError) as error:
        raise ArtifactError(f"{where or f'/{path}'} is not JSON: {error}", hint=_HINT) from None
    if not isinstance(document, dict):
        raise ArtifactError(f"{where or f'/{path}'} is no record of a conda package", hint=_HINT)
    return document


def _wheels(taken: ImageFiles, owned: set[str]) -> Iterator[tuple[str, InstalledWheel]]:
    """Every wheel with its prefix; not what conda or the system's packages brought."""
    found: dict[str, dict[str, Path]] = {}
    for path, kept in taken.files.items():
        folder, _, name = path.rpartition("/")
        if folder.endswith(".dist-info"):
            found.setdefault(folder, {})[name] = kept
    for folder, files in sorted(found.items()):
        of_conda = any(f"{folder}/{name}" in owned for name in files)
        if not of_conda and "METADATA" in files and _installer(files) not in _OF_OTHERS:
            yield _wheel(folder, files, taken.origin)


def _installer(files: Mapping[str, Path]) -> str:
    return _text(files["INSTALLER"]).strip().lower() if "INSTALLER" in files else ""


def _wheel(folder: str, files: Mapping[str, Path], origin: str) -> tuple[str, InstalledWheel]:
    place = _ABOUT.fullmatch(f"{folder}/METADATA")
    with files["METADATA"].open("rb") as file:
        header = file.read(_HEADER).decode("utf-8", "replace").replace("\r\n", "\n").partition("\n\n")[0]
    said: dict[str, str] = dict(reversed(_FIELD.findall(header)))  # the first of each counts
    if place is None or said.keys() != {"Name", "Version"}:
        raise ArtifactError(f"{origin}: /{folder}/METADATA does not say which wheel it is of", hint=_HINT)
    prefix, (url, sha256) = place["prefix"] or "", _direct_url(files.get("direct_url.json"))
    wheel = InstalledWheel(
        name=said["Name"], version=said["Version"], python=place["python"], url=url, sha256=sha256,
        about=folder.removeprefix(f"{prefix}/" if prefix else ""),
        record=f"{folder}/RECORD" if "RECORD" in files else "", _kept=files.get("RECORD"),
    )  # fmt: skip
    return prefix, wheel


def _direct_url(kept: Path | None) -> tuple[str, str]:
    """URL and sha256 (PyPA, "Recording the Direct URL Origin"); what is no archive's says nothing of a wheel."""
    try:
        document = json.loads(kept.read_bytes()) if kept else {}
    except (ValueError, RecursionError):
        return "", ""
    archive = document.get("archive_info") if isinstance(document, dict) else None
    if not isinstance(archive, dict) or not isinstance(document.get("url"), str):
        return "", ""
    hashes = archive.get("hashes")
    sha256 = hashes.get("sha256") if isinstance(hashes, dict) else None
    older = str(archive.get("hash", ""))
    found = sha256 if isinstance(sha256, str) else older.removeprefix("sha256=") if older.startswith("sha256=") else ""
    return document["url"], found if re.fullmatch(r"[0-9a-f]{64}", found) else ""


def _text(path: Path) -> str:
    return path.read_bytes().decode("utf-8", "replace")
