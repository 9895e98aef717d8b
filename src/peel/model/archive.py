"""Archives: what they keep of a lock set, and the manifest that lists it.

An OCI artifact (image-spec 1.1, manifest.md, "Guidelines for Artifact Usage"): the empty config, and a layer descriptor
per artifact. Equal lock sets have equal manifests.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated, Any, Final, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic.alias_generators import to_camel

from peel.errors import ArtifactError
from peel.model.oci import MANIFEST, Descriptor, describe
from peel.model.values import Digest, ImageRef, canonical_json

ARCHIVE: Final = "application/vnd.peel-images.archive.v1"
"""The artifact type that says that a manifest is an archive's."""

EMPTY: Final = "application/vnd.oci.empty.v1+json"
EMPTY_CONFIG: Final = b"{}"

_IMAGE: Final = "org.opencontainers.image"
_TITLE: Final = f"{_IMAGE}.title"
_VERSION: Final = f"{_IMAGE}.version"
_MOST_TITLE: Final = 1024
_NAME: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.!+~^=-]*")
_T = TypeVar("_T", bound=BaseModel)


class Kind(StrEnum):
    """What an artifact is; the value is its media type."""

    BASE = "application/vnd.peel-images.base.v1"
    CAPTURED_LAYER = "application/vnd.peel-images.captured-layer.v1"
    CONDA_PACKAGE = "application/vnd.peel-images.conda-package.v1"
    LOCK_SET = "application/vnd.peel-images.lock-set.v1"
    WHEEL = "application/vnd.peel-images.wheel.v1"


@dataclass(frozen=True, slots=True, order=True)
class Content:
    """An artifact that an archive keeps. ``size`` is in bytes.

    ``title`` is a package's file name, a document's path in its lock set, or which part of a base it is.
    """

    kind: Kind
    title: str
    digest: Digest
    size: int

    def as_json(self) -> dict[str, Any]:
        """Its descriptor, as the manifest has it."""
        return Descriptor(self.kind.value, self.digest, self.size, ((_TITLE, self.title),)).as_json()


@dataclass(frozen=True, slots=True)
class ArchiveManifest:
    """What an archive's manifest says: whose lock set it keeps, ``""`` where it does not say, and all that is kept."""

    image: str
    tag: str
    contents: tuple[Content, ...]


def archive_tag(ref: ImageRef) -> str:
    """What a lock set's archive is called beside others: its ``org.opencontainers.image.ref.name``."""
    return f"{ref.image}-{ref.tag}"


def in_order(contents: Iterable[Content]) -> tuple[Content, ...]:
    """Each artifact once, by kind and title."""
    once: dict[Digest, Content] = {}
    for content in sorted(contents):
        once.setdefault(content.digest, content)
    return tuple(once.values())


def make_archive_manifest(ref: ImageRef, contents: Iterable[Content]) -> bytes:
    """The manifest of a lock set's archive: a function of the lock set, and of nothing else."""
    return canonical_json(
        {
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "artifactType": ARCHIVE,
            "config": describe(EMPTY, EMPTY_CONFIG).as_json(),
            "layers": [content.as_json() for content in in_order(contents)],
            "annotations": {_TITLE: ref.image, _VERSION: ref.tag},
        }
    )


class _Foreign(BaseModel):
    model_config = ConfigDict(alias_generator=to_camel)


class _Titled(_Foreign):
    title: Annotated[str, Field(alias=_TITLE, min_length=1, max_length=_MOST_TITLE)]


class _Layer(_Foreign):
    media_type: str
    digest: Annotated[str, Field(pattern=r"^sha256:[0-9a-f]{64}$")]
    size: int = Field(ge=0, lt=1 << 63)
    annotations: _Titled


class _Manifest(_Foreign):
    schema_version: int
    media_type: str = ""
    artifact_type: str
    layers: list[_Layer]
    annotations: dict[str, str] | None = None


class _Kind(_Foreign):
    """Just enough of a document to see whether it is an archive's manifest."""

    media_type: Any = None
    artifact_type: Any = None


def is_archive_manifest(data: bytes, origin: str) -> bool:
    """Whether this manifest says of itself that it is an archive's. Raises ArtifactError for what is no manifest."""
    return bool(_read(_Kind, data, origin).artifact_type == ARCHIVE)


def parse_archive_manifest(data: bytes, origin: str) -> ArchiveManifest:
    """What an archive holds. Raises ArtifactError, naming ``origin``, for anything else than an archive's manifest."""
    _refuse_others(_read(_Kind, data, origin), origin)
    found = _read(_Manifest, data, origin)
    said = found.annotations or {}
    return ArchiveManifest(
        said.get(_TITLE, ""), said.get(_VERSION, ""), tuple(_content(layer, origin) for layer in found.layers)
    )


def _refuse_others(kind: _Kind, origin: str) -> None:
    if (kind.media_type, kind.artifact_type) != (MANIFEST, ARCHIVE):
        shown = kind.artifact_type or kind.media_type or "a document of no media type"
        raise ArtifactError(
            f"{origin} is no archive of lock sets, but {shown!r}", hint="peel archive IMAGE:TAG --to PLACE makes one"
        )


def _content(layer: _Layer, origin: str) -> Content:
    if layer.media_type not in [kind.value for kind in Kind]:
        raise ArtifactError(
            f"{origin} holds {layer.annotations.title!r}, of a kind that this peel does not know: {layer.media_type}",
            hint="a newer peel may know it",
        )
    kind, title = Kind(layer.media_type), layer.annotations.title
    parts = title.split("/")
    if not all(_NAME.fullmatch(part) for part in parts) or (
        len(parts) > 1 and kind in {Kind.CONDA_PACKAGE, Kind.WHEEL}
    ):
        raise ArtifactError(f"{origin} holds what can be no artifact's name: {title!r}")
    return Content(kind, title, Digest(layer.digest), layer.size)


def _read(model: type[_T], data: bytes, origin: str) -> _T:
    try:
        return model.model_validate_json(data, strict=True)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(str(part) for part in first["loc"])
        what = f"{place}: {first['msg']}" if place else first["msg"]
    raise ArtifactError(f"{origin} is not a manifest: {what}")
