"""What people write under ``envs/``: images, payloads, plain conda environment files."""

from __future__ import annotations

import re
from pathlib import PurePosixPath
from typing import Annotated, Literal

from pydantic import AfterValidator, ConfigDict, Field

from peel.errors import DocumentError, UsageError
from peel.model.documents import Document, SchemaOne, Strings
from peel.model.repository import Repository
from peel.model.tags.policy import POLICIES, policy_of
from peel.model.tags.tag import tag_fault
from peel.model.values import Platform, is_name

_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_REFERENCE = re.compile(
    r"[a-z0-9][a-z0-9.-]*(?::\d+)?(?:/[a-z0-9._-]+)+(?::[A-Za-z0-9_][A-Za-z0-9._-]*)?(?:@sha256:[0-9a-f]{64})?"
)
_USER = re.compile(r"\d+:\d+")
_PATH = re.compile(r"/[\w.@%+~-]+(?:/[\w.@%+~-]+)*", re.ASCII)
_SYSTEM = frozenset({"bin", "boot", "dev", "etc", "lib", "lib64", "proc", "root", "run", "sbin", "sys", "tmp", "var"})
_FRAGILE = _SYSTEM - {"etc"}  # links of the base, or directories with a mode of their own: a layer must not name them
_RESERVED = ("/usr/local/share/jupyterlab", "/usr/local/share/jupyter", "/usr/local/share/peel")


def _absolute(text: str) -> str:
    if not _PATH.fullmatch(text) or ".." in PurePosixPath(text).parts or str(PurePosixPath(text)) != text:
        raise ValueError("should be a plain absolute path of letters, digits and . _ - + @ %")
    return text


def check_prefix(text: str) -> str:
    """The text, if it may be a prefix: a directory of its own, since elsewhere it would hide files of the base.

    Raises ValueError saying what it should be.
    """
    path = PurePosixPath(_absolute(text))
    if path.parts[1] in _SYSTEM or len(path.parts) < 3 or (path.parts[1] == "usr" and path.parts[2] != "local"):
        raise ValueError("should lie beneath /opt, /usr/local, /srv or another directory that the base does not use")
    if any(path == PurePosixPath(taken) or PurePosixPath(taken) in path.parents for taken in _RESERVED):
        raise ValueError("is where peel puts kernels and start scripts; choose another prefix")
    return text


def _link(text: str) -> str:
    if PurePosixPath(_absolute(text)).parts[1] in _FRAGILE:
        raise ValueError("should not lie in a directory that the base has as a link or with a mode of its own")
    return text


def _name(text: str) -> str:
    if not is_name(text):
        raise ValueError("should be lower-case letters and digits, parted by . _ or -")
    return text


def _platform(text: str) -> str:
    try:
        return str(Platform(text))
    except DocumentError as error:
        raise ValueError(f"is not a platform ({error.hint})") from None


def _tag_policy(text: str) -> str:
    name, _, pattern = text.partition(" ")
    if name not in POLICIES or (pattern and name != "calver"):
        raise ValueError("should be 'rsp', 'semver' or 'calver'")
    try:
        policy_of(text)
    except DocumentError as error:
        raise ValueError(f"has no calendar pattern behind its name ({error.hint})") from None
    return text


def _alias(text: str) -> str:
    if fault := tag_fault(text):
        raise ValueError(f"can be no alias: {fault}")
    return text


def _repository(text: str) -> str:
    try:
        return str(Repository.parse(text))
    except UsageError as error:
        raise ValueError(f"is no repository ({error.hint})") from None


def _matches(pattern: re.Pattern[str], what: str) -> AfterValidator:
    def check(text: str) -> str:
        if not pattern.fullmatch(text):
            raise ValueError(f"should be {what}")
        return text

    return AfterValidator(check)


def _inside(text: str) -> str:
    path = PurePosixPath(text)
    if path.is_absolute() or ".." in path.parts or not path.name:
        raise ValueError("should be a path beneath the directory this file lies in")
    return text


def _one_line(text: str) -> str:
    if any(ord(character) < 32 or ord(character) == 127 for character in text):
        raise ValueError("should be one line without control characters")
    return text


def _logo(text: str) -> str:
    if PurePosixPath(text).suffix not in {".svg", ".png"}:
        raise ValueError("should be an .svg or .png file")
    return text


Name = Annotated[str, AfterValidator(_name)]
Prefix = Annotated[str, AfterValidator(check_prefix)]
LinkPath = Annotated[str, AfterValidator(_link)]
AbsolutePath = Annotated[str, AfterValidator(_absolute)]
RelativePath = Annotated[str, AfterValidator(_inside)]
PlatformName = Annotated[str, AfterValidator(_platform)]
Variable = Annotated[str, _matches(_VARIABLE, "a variable's name")]
Line = Annotated[str, AfterValidator(_one_line)]
Lines = Annotated[tuple[Line, ...], Field(strict=False)]
TagPolicy = Annotated[str, AfterValidator(_tag_policy)]
CompatName = Literal["nublado", "sciplat-2024", "sciplat-2025", "sciplat-2026"]
Reference = Annotated[str, _matches(_REFERENCE, "a full image reference, for example docker.io/library/almalinux:9")]
User = Annotated[str, _matches(_USER, "UID:GID in numbers, for example 65534:65534")]
AliasName = Annotated[str, AfterValidator(_alias)]
RepositoryName = Annotated[str, AfterValidator(_repository)]
HexDigest = Annotated[str, _matches(re.compile(r"[0-9a-f]{64}"), "a sha256 in hexadecimal")]


class Kernel(Document):
    """How Jupyter names and starts a payload's kernel; ``logo`` and ``launcher`` are files beside the declaration."""

    name: Name
    display_name: Annotated[Line, Field(min_length=1)]
    language: Line = "python"
    logo: Annotated[RelativePath, AfterValidator(_logo)] | None = None
    launcher: RelativePath | None = None


class Menu(Document):
    """What a spawner's menu says of a payload."""

    title: Annotated[Line, Field(min_length=1)]
    description: Line = ""


class LabDeclaration(Document):
    """JupyterLab's own environment, as an image declares it."""

    environment: RelativePath = "lab/environment.yml"
    prefix: Prefix = "/opt/peel/lab"
    variables: dict[Variable, Line] = {}
    clobber: dict[str, str] = {}
    """Where two packages bring the same path with other contents: the path, and the package that wins."""
    skip_link_scripts: dict[str, dict[str, HexDigest]] = {}
    """Packages whose post-link scripts may be left out: each script with the sha256 of what was read."""


class Launch(Document):
    """How the image starts its lab."""

    user: User = "65534:65534"
    working_dir: AbsolutePath = "/tmp"  # noqa: S108  (in the image: what the spawners' contract names)
    port: Annotated[int, Field(ge=1, le=65535)] = 8888
    arguments: Strings = ()
    variables: dict[Variable, Line] = {}


class CompressionChoice(Document):
    """How layer blobs are compressed; the library's version is added when locking."""

    codec: Literal["zstd", "gzip"] = "zstd"
    level: Annotated[int, Field(ge=1, le=19)] = 3


class Publish(Document):
    """Where an image is published, and which aliases follow; no part of any lock, since it changes no image."""

    to: Annotated[tuple[RepositoryName, ...], Field(strict=False)] = ()
    aliases: Annotated[tuple[AliasName, ...], Field(strict=False)] = ()


class ImageDeclaration(Document):
    """``envs/IMAGE.yaml``: a base, a lab, payloads."""

    schema_: SchemaOne = Field(alias="schema")
    base: Reference
    platforms: Annotated[tuple[PlatformName, ...], Field(strict=False, min_length=1)] = ("linux-64",)
    lab: LabDeclaration = LabDeclaration()
    payloads: Annotated[tuple[Name, ...], Field(strict=False)] = ()
    tags: TagPolicy = "rsp"
    launch: Launch = Launch()
    compat: Annotated[tuple[CompatName, ...], Field(strict=False)] = ()
    links: dict[LinkPath, AbsolutePath] = {}
    compression: CompressionChoice = CompressionChoice()
    publish: Publish = Publish()


class PipSection(Document):
    """The ``pip:`` entry among an environment file's dependencies."""

    pip: Strings


class EnvironmentSpec(Document):
    """A plain conda ``environment.yml``, with the keys that conda-lock understands."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, populate_by_name=True)

    name: Line = ""
    channels: Annotated[tuple[Line, ...], Field(strict=False, min_length=1)]
    dependencies: Annotated[tuple[Line | PipSection, ...], Field(strict=False, min_length=1)]
    platforms: Strings = ()
    pip_repositories: Strings = Field(default=(), alias="pip-repositories")
    allow_pypi_requests: bool = Field(default=True, alias="allow-pypi-requests")
