"""``envs/NAME/payload.yaml``: an environment that a kernel runs in, of one of five kinds."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Final, Literal

from pydantic import AfterValidator, Field

from peel.model.declaration import (
    AbsolutePath,
    HexDigest,
    Kernel,
    Line,
    Lines,
    Menu,
    Name,
    Prefix,
    Reference,
    RelativePath,
    TagPolicy,
    Variable,
)
from peel.model.documents import Document, SchemaOne

Kind = Literal["conda", "pip", "script", "dockerfile", "image"]

CAPTURED: Final = frozenset({"script", "dockerfile", "image"})
"""The kinds whose files are captured as they are; the others are put together from packages."""

_PYTHON: Final = re.compile(r"3\.\d{1,2}(?:\.\d{1,3})?")
_URL: Final = re.compile(r"(?:https?|file)://[^\s@]+")


def _python(text: str) -> str:
    if not _PYTHON.fullmatch(text):
        raise ValueError('should be a version of two or three parts, in quotes, for example "3.12"')
    return text


def _url(text: str) -> str:
    if not _URL.fullmatch(text):
        raise ValueError("should be an https:, http: or file: URL without a user name")
    return text


class PayloadDeclaration(Document):
    """What payloads of all kinds have in common."""

    schema_: SchemaOne = Field(alias="schema")
    kind: Kind
    prefix: Prefix | None = None
    kernel: Kernel
    setup: RelativePath | None = None
    """A script that kernels and terminals of this payload source, a file beside the declaration."""
    terminal: bool | None = None
    """Whether terminals of the lab enter this environment; the first payload's does unless another is named."""
    tags: TagPolicy | None = None
    menu: Menu | None = None
    variables: dict[Variable, Line] = {}


class _Packaged(PayloadDeclaration):
    """A payload that is put together from packages."""

    clobber: dict[str, str] = {}
    """Where two packages bring the same path with other contents: the path, and the package that wins."""
    skip_link_scripts: dict[str, dict[str, HexDigest]] = {}
    """Packages whose post-link scripts may be left out: each script with the sha256 of what was read."""


class CondaPayload(_Packaged):
    """A conda environment file, with a pip section or without."""

    kind: Literal["conda"]
    environment: RelativePath = "environment.yml"


class PipPayload(_Packaged):
    """A requirements file, and the Python that conda brings for it."""

    kind: Literal["pip"]
    requirements: RelativePath = "requirements.txt"
    python: Annotated[str, AfterValidator(_python)]
    channels: Annotated[tuple[Line, ...], Field(strict=False, min_length=1)] = ("conda-forge",)
    index: Lines = ()
    """Package indexes, instead of the usual one."""


class InputFile(Document):
    """A file that a script needs, by address and hash."""

    url: Annotated[str, AfterValidator(_url)]
    sha256: HexDigest


class _Run(PayloadDeclaration):
    """A payload that something has to be run for. ``timeout`` is in seconds."""

    network: bool = False
    timeout: Annotated[int, Field(ge=1, le=86400)] = 1800
    writes: Annotated[tuple[AbsolutePath, ...], Field(strict=False)] = ()
    """Paths beside the prefix that may be written, and become part of the image."""


class ScriptPayload(_Run):
    """An installation script, run by bash in the base."""

    kind: Literal["script"]
    script: RelativePath = "install.sh"
    arguments: Lines = ()
    inputs: dict[Name, InputFile] = {}


class DockerfilePayload(_Run):
    """A Dockerfile and its context, built by buildah on the base."""

    kind: Literal["dockerfile"]
    dockerfile: RelativePath = "Dockerfile"
    context: RelativePath | None = None
    """A directory beside the declaration; without one, nothing can be copied from outside."""


class ImagePayload(PayloadDeclaration):
    """A directory of an image that exists."""

    kind: Literal["image"]
    image: Reference
    directory: AbsolutePath | None = None
    """Where it lies there; the prefix, unless it says otherwise."""


AnyPayload = CondaPayload | PipPayload | ScriptPayload | DockerfilePayload | ImagePayload

KINDS: Final[Mapping[str, type[PayloadDeclaration]]] = {
    "conda": CondaPayload, "pip": PipPayload, "script": ScriptPayload, "dockerfile": DockerfilePayload,
    "image": ImagePayload,
}  # fmt: skip


class PipRecipe(Document):
    """What a requirements file says beyond its requirements: hashes that it allows, and constraints."""

    kind: Literal["pip"]
    hashes: dict[str, Lines] = {}
    """By normalised name: the sha256 of the files that may be taken."""
    constraints: Lines = ()


class ScriptRecipe(Document):
    """What a script is run with; its text is attached."""

    kind: Literal["script"]
    arguments: Lines = ()
    inputs: dict[str, InputFile] = {}
    network: bool
    timeout: int
    writes: Lines = ()


class DockerfileRecipe(Document):
    """What a Dockerfile is built with; it and its context are attached."""

    kind: Literal["dockerfile"]
    network: bool
    timeout: int
    writes: Lines = ()


class ImageRecipe(Document):
    """Which directory of which image is taken over."""

    kind: Literal["image"]
    image: Reference
    directory: str


Recipe = Annotated[PipRecipe | ScriptRecipe | DockerfileRecipe | ImageRecipe, Field(discriminator="kind")]
"""How an environment is made that is more than a conda specification."""
