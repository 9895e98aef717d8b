"""What a conda package says about itself in ``info/``: identity, files, and what to do with them.

Read are ``index.json``, ``paths.json`` (version 1) and ``link.json``; in archives older than paths.json the plain lists
``files`` and ``has_prefix``. ``no_link`` and ``no_softlink`` forbid links into a package cache; linker 1 makes none.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from peel.errors import ArtifactError
from peel.layers.conda_stream import Part, check_path, members
from peel.layers.prefix import FileMode, PrefixRule

_DEFAULT_PLACEHOLDER: Final = "/opt/" + "".join(f"anaconda{number}" for number in (1, 2, 3))
_INFO_LIMIT = 64 << 20
_LAST_SECOND = 253402300799  # the year 9999: whatever is larger counts milliseconds
_WORD = r'(?:"((?:\\.|[^"\\])*)"|(\S+))'
_HAS_PREFIX = re.compile(rf'{_WORD}(?:\s+"?(text|binary)"?\s+{_WORD})?', re.IGNORECASE)
_ENTRY_POINT = re.compile(r"([\w.+-]+)\s*=\s*([A-Za-z_][\w.]*)\s*:\s*([A-Za-z_][\w.]*)")
_SUBDIRS = {("linux", "x86_64"): "linux-64", ("linux", "aarch64"): "linux-aarch64"}
_FREE_THREADED = re.compile(r".*cp\d+t(?:_.*)?")
_READ = frozenset({"index.json", "paths.json", "link.json", "files", "has_prefix"})

PathType = Literal["hardlink", "softlink", "directory"]


class _Document(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")

    @model_validator(mode="before")
    @classmethod
    def _without_null(cls, data: Any) -> Any:
        """Builds differ in whether they leave a key out or write null."""
        return {key: value for key, value in data.items() if value is not None} if isinstance(data, dict) else data


class Index(_Document):
    """``info/index.json``: who the package is and what it needs."""

    name: str = Field(pattern=r"^[a-z0-9_.-]+$")
    version: str = Field(pattern=r"^[^/\s]+$")
    build: str = Field(pattern=r"^[^/\s]+$")
    build_number: int = 0
    arch: str | None = None
    platform: str | None = None
    subdir: str | None = None
    noarch: str | bool | None = None
    depends: list[str] = []
    constrains: list[str] = []
    license: str | None = None
    license_family: str | None = None
    timestamp: int | float | None = Field(default=None, ge=0, le=_LAST_SECOND * 1000)
    track_features: str | list[str] | None = None
    features: str | None = None
    python_site_packages_path: str | None = None

    @field_validator("license", "license_family", mode="before")
    @classmethod
    def _one_text(cls, value: Any) -> Any:
        return ", ".join(map(str, value)) if isinstance(value, list) else value


class _Path(_Document):
    path: str = Field(alias="_path")
    path_type: PathType = "hardlink"
    sha256: str | None = Field(default=None, pattern=r"^[0-9a-f]{64}$")
    size_in_bytes: int | None = Field(default=None, ge=0)
    prefix_placeholder: str | None = None
    file_mode: FileMode | None = None


class _Paths(_Document):
    paths: list[_Path]
    paths_version: Literal[1] = 1


class _Noarch(_Document):
    type: str = ""
    entry_points: list[str] = []


class _Link(_Document):
    noarch: _Noarch = _Noarch()


@dataclass(frozen=True, slots=True)
class Listed:
    """One file as the package lists it, ``path`` still as in the archive; None where an old package says nothing."""

    path: str
    type: PathType | None = None
    sha256: str | None = None
    size: int | None = None
    rule: PrefixRule | None = None


@dataclass(frozen=True, slots=True)
class EntryPoint:
    """A command that calls a Python function."""

    command: str
    module: str
    function: str


@dataclass(frozen=True, slots=True)
class Info:
    """All that ``info/`` says."""

    index: Index
    listed: Mapping[str, Listed]
    entry_points: tuple[EntryPoint, ...]
    complete: bool  # whether types, sizes and hashes are given: paths.json is there

    @property
    def noarch(self) -> str:
        """``python``, ``generic`` or nothing; old packages say ``true`` for generic."""
        noarch = self.index.noarch
        return "generic" if noarch is True else noarch or ""

    @property
    def subdir(self) -> str:
        """The channel's subdirectory the package belongs to."""
        if self.noarch or self.index.subdir:
            return self.index.subdir or "noarch"
        return _SUBDIRS.get((self.index.platform or "", self.index.arch or ""), "noarch")

    @property
    def timestamp(self) -> int | None:
        """When the package was built, in seconds; index.json has seconds or milliseconds."""
        stamp = self.index.timestamp
        if not stamp:
            return None
        return int(stamp if stamp <= _LAST_SECOND else stamp / 1000)


def read_info(archive: Path, file_name: str) -> Info:
    """Read a package's ``info/``. Raises ArtifactError when something of it is missing, malformed or hostile."""
    texts = _texts(archive, file_name)
    if "index.json" not in texts:
        raise ArtifactError(f"{file_name}: info/index.json is missing", hint="this is not a conda package")
    index = _parse(Index, texts["index.json"], f"{file_name}: info/index.json")
    _refuse_free_threaded(index, file_name)
    if "paths.json" in texts:
        listed = _listed(_parse(_Paths, texts["paths.json"], f"{file_name}: info/paths.json"))
    else:
        listed = _listed_of_old(texts, file_name)
    link = _parse(_Link, texts.get("link.json", b"{}"), f"{file_name}: info/link.json")
    points = link.noarch.entry_points if index.noarch == "python" else []
    return Info(
        index=index,
        listed=_by_path(listed, file_name),
        entry_points=tuple(parse_entry_point(text, file_name) for text in points),
        complete="paths.json" in texts,
    )


def read_index(archive: Path, file_name: str) -> Index:
    """Read ``info/index.json`` alone. Raises ArtifactError when it is missing, malformed or the archive hostile."""
    for member, content in members(archive, file_name, Part.INFO):
        if member.path == "info/index.json":
            if member.size > _INFO_LIMIT:
                raise ArtifactError(f"{file_name}: {member.path} has {member.size} bytes, more than a package needs")
            return _parse(Index, b"".join(content.chunks()), f"{file_name}: info/index.json")
    raise ArtifactError(f"{file_name}: info/index.json is missing", hint="this is not a conda package")


def parse_entry_point(text: str, label: str) -> EntryPoint:
    """Read ``command = module:function``. Raises ArtifactError; nothing else may get into a script."""
    found = _ENTRY_POINT.fullmatch(text.strip())
    if found is None or found[1] in {".", ".."}:
        raise ArtifactError(f"{label}: not an entry point: {text!r}")
    return EntryPoint(*found.groups())


def _refuse_free_threaded(index: Index, file_name: str) -> None:
    """Refuse a Python that has its packages elsewhere than linker 1 puts them (CEP 17)."""
    if index.name != "python":
        return
    usual = f"lib/python{'.'.join(index.version.split('.')[:2])}/site-packages"
    if index.python_site_packages_path not in {None, usual} or _FREE_THREADED.fullmatch(index.build):
        raise ArtifactError(
            f"{file_name}: this Python does not have its packages in {usual!r}",
            hint="free-threaded builds are not supported yet: ask for a usual one, as in python=*=*_cp*",
        )


def _texts(archive: Path, file_name: str) -> dict[str, bytes]:
    texts = {}
    for member, content in members(archive, file_name, Part.INFO):
        name = member.path.removeprefix("info/")
        if name in _READ:
            if member.size > _INFO_LIMIT:
                raise ArtifactError(f"{file_name}: {member.path} has {member.size} bytes, more than a package needs")
            texts[name] = b"".join(content.chunks())
    return texts


_Model = TypeVar("_Model", bound=_Document)


def _parse(model: type[_Model], data: bytes, label: str) -> _Model:
    try:
        return model.model_validate_json(data)
    except ValidationError as error:
        first: Any = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        raise ArtifactError(f"{label}: {where + ': ' if where else ''}{first['msg']}") from None


def _listed(document: _Paths) -> list[Listed]:
    return [
        Listed(
            path.path, path.path_type, path.sha256, path.size_in_bytes, _rule(path.prefix_placeholder, path.file_mode)
        )
        for path in document.paths
    ]


def _rule(placeholder: str | None, mode: FileMode | None) -> PrefixRule | None:
    return PrefixRule(placeholder, mode) if placeholder and mode else None


def _listed_of_old(texts: Mapping[str, bytes], file_name: str) -> list[Listed]:
    if "files" not in texts:
        raise ArtifactError(f"{file_name}: neither info/paths.json nor info/files is there")
    rules = dict(_has_prefix(line, file_name) for line in _lines(texts.get("has_prefix", b""), file_name))
    return [Listed(path, rule=rules.get(path)) for path in _lines(texts["files"], file_name)]


def _lines(data: bytes, file_name: str) -> list[str]:
    try:
        lines = data.decode().split("\n")
    except UnicodeDecodeError:
        raise ArtifactError(f"{file_name}: a list in info/ is not UTF-8") from None
    return [line.removesuffix("\r") for line in lines if line.strip()]


def _has_prefix(line: str, file_name: str) -> tuple[str, PrefixRule]:
    """A line of ``has_prefix``: ``PLACEHOLDER MODE PATH``, or a path alone; words may be quoted."""
    found = _HAS_PREFIX.fullmatch(line.strip())
    if found is None:
        raise ArtifactError(f"{file_name}: not a line of info/has_prefix: {line!r}")
    first, mode, last = _word(found[1], found[2]), found[3], _word(found[4], found[5])
    if mode is None:
        return first, PrefixRule(_DEFAULT_PLACEHOLDER, FileMode.TEXT)
    return last, PrefixRule(first, FileMode(mode.lower()))


def _word(quoted: str | None, plain: str | None) -> str:
    return re.sub(r"\\(.)", r"\1", quoted) if quoted is not None else plain or ""


def _by_path(listed: list[Listed], file_name: str) -> dict[str, Listed]:
    by_path: dict[str, Listed] = {}
    for item in listed:
        check_path(item.path, file_name)
        if item.path in by_path:
            raise ArtifactError(f"{file_name}: lists {item.path!r} twice")
        if item.path.split("/")[0] == "conda-meta":
            raise ArtifactError(f"{file_name}: {item.path!r} would pass for a record of the installer")
        by_path[item.path] = item
    return by_path
