"""Reads manifests, indexes and configs that others wrote, in OCI's form or Docker's (image-spec 1.1, schema 2).

Unknown keys are passed over, as the spec demands; everything else is strict. Each function raises ArtifactError naming
``origin``, which is how people call the image or file that the bytes came from.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Final, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic.alias_generators import to_camel, to_pascal

from peel.errors import ArtifactError
from peel.model import oci
from peel.model.oci import Config, Descriptor, History, ImageSettings, Index, IndexEntry, Manifest
from peel.model.values import Digest

_DOCKER: Final = "application/vnd.docker"
_LAYER_TYPES: Final = {
    oci.LAYER: oci.LAYER,
    oci.LAYER_GZIP: oci.LAYER_GZIP,
    oci.LAYER_ZSTD: oci.LAYER_ZSTD,
    f"{_DOCKER}.image.rootfs.diff.tar": oci.LAYER,
    f"{_DOCKER}.image.rootfs.diff.tar.gzip": oci.LAYER_GZIP,
    f"{_DOCKER}.image.rootfs.diff.tar.zstd": oci.LAYER_ZSTD,
}
_CONFIG_TYPES: Final = (oci.CONFIG, f"{_DOCKER}.container.image.v1+json")
_MANIFEST_TYPES: Final = ("", oci.MANIFEST, f"{_DOCKER}.distribution.manifest.v2+json")
_INDEX_TYPES: Final = ("", oci.INDEX, f"{_DOCKER}.distribution.manifest.list.v2+json")

_Sha256 = Annotated[str, Field(pattern=r"^sha256:[0-9a-f]{64}$")]
_Strings = dict[str, str] | None
_Document = TypeVar("_Document", bound=BaseModel)


class _Descriptor(BaseModel):
    model_config = ConfigDict(alias_generator=to_camel)
    media_type: str
    digest: _Sha256
    size: int = Field(ge=0)
    annotations: _Strings = None

    def value(self, media_type: str | None = None) -> Descriptor:
        return Descriptor(media_type or self.media_type, Digest(self.digest), self.size, _pairs(self.annotations))


class _Manifest(BaseModel):
    model_config = ConfigDict(alias_generator=to_camel)
    schema_version: int
    media_type: str = ""
    config: _Descriptor
    layers: list[_Descriptor]
    annotations: _Strings = None


class _Platform(BaseModel):
    os: str = ""
    architecture: str = ""
    variant: str = ""


class _IndexEntry(_Descriptor):
    platform: _Platform | None = None


class _Index(BaseModel):
    model_config = ConfigDict(alias_generator=to_camel)
    schema_version: int
    media_type: str = ""
    manifests: list[_IndexEntry]


class _Settings(BaseModel):
    model_config = ConfigDict(alias_generator=to_pascal)
    env: list[str] | None = None
    cmd: list[str] | None = None
    entrypoint: list[str] | None = None
    user: str | None = None
    working_dir: str | None = None
    stop_signal: str | None = None
    labels: _Strings = None
    exposed_ports: dict[str, Any] | None = None
    volumes: dict[str, Any] | None = None


class _History(BaseModel):
    created: str | None = None
    created_by: str | None = None
    comment: str | None = None
    author: str | None = None
    empty_layer: bool | None = None


class _Rootfs(BaseModel):
    diff_ids: list[_Sha256]


class _Config(BaseModel):
    os: str
    architecture: str
    variant: str | None = None
    config: _Settings | None = None
    rootfs: _Rootfs
    history: list[_History] | None = None


class _Blobs(BaseModel):
    """Just enough of a manifest of whatever kind to see which blobs it names."""

    config: _Descriptor | None = None
    layers: list[_Descriptor] = []
    manifests: list[_Descriptor] = []


class _Said(BaseModel):
    model_config = ConfigDict(alias_generator=to_camel)
    media_type: str = ""


class _Kind(BaseModel):
    """Just enough of a document to see which of the two it is."""

    manifests: Any = None


def parse_manifest_or_index(data: bytes, origin: str) -> Manifest | Index:
    """Whichever of the two a registry answered with."""
    if _read(_Kind, data, origin).manifests is None:
        return parse_manifest(data, origin)
    return parse_index(data, origin)


def parse_manifest(data: bytes, origin: str) -> Manifest:
    """A single image's manifest; its layers get the OCI media types that mean the same bytes."""
    if _read(_Kind, data, origin).manifests is not None:
        raise ArtifactError(
            f"{origin} is an index of several images, not an image", hint="name the digest of one platform's manifest"
        )
    found = _read(_Manifest, data, origin)
    _expect(found.schema_version == 2 and found.media_type in _MANIFEST_TYPES, origin, found.media_type)
    _expect(found.config.media_type in _CONFIG_TYPES, origin, found.config.media_type)
    layers = tuple(layer.value(_layer_type(layer, origin)) for layer in found.layers)
    return Manifest(found.config.value(oci.CONFIG), layers, _pairs(found.annotations))


def manifest_type(data: bytes, origin: str) -> str:
    """The media type that a manifest gives itself; OCI's where it gives none."""
    return _read(_Said, data, origin).media_type or oci.MANIFEST


def parse_index(data: bytes, origin: str) -> Index:
    """Several manifests; also the ``index.json`` of a layout."""
    found = _read(_Index, data, origin)
    _expect(found.schema_version == 2 and found.media_type in _INDEX_TYPES, origin, found.media_type)
    return Index(tuple(_index_entry(entry) for entry in found.manifests))


def parse_blobs(data: bytes, origin: str) -> tuple[Sequence[Descriptor], Sequence[Descriptor]]:
    """The blobs and the manifests that a manifest or index names, whatever their kinds: what it cannot be without."""
    found = _read(_Blobs, data, origin)
    blobs = [*found.layers, *([found.config] if found.config else [])]
    return [blob.value() for blob in blobs], [manifest.value() for manifest in found.manifests]


def parse_config(data: bytes, origin: str) -> Config:
    """A Linux image's config. A history that does not fit the layers is replaced by one that does."""
    found = _read(_Config, data, origin)
    if found.os != "linux":
        raise ArtifactError(f"{origin} is an image for {found.os!r}", hint="only Linux images can be built on")
    diff_ids = tuple(Digest(text) for text in found.rootfs.diff_ids)
    return Config(
        architecture=found.architecture,
        variant=found.variant or "",
        settings=_settings(found.config or _Settings()),
        diff_ids=diff_ids,
        history=_history(found.history or [], len(diff_ids)),
    )


def _read(model: type[_Document], data: bytes, origin: str) -> _Document:
    try:
        return model.model_validate_json(data, strict=True)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(str(part) for part in first["loc"])
        what = f"{place}: {first['msg']}" if place else first["msg"]
    raise ArtifactError(f"{origin} is not a document of an image: {what}")


def _expect(fits: bool, origin: str, media_type: str) -> None:  # noqa: FBT001 - a condition, like an assertion's
    if not fits:
        raise ArtifactError(
            f"{origin} is no image that peel reads: {media_type or 'an old schema'}",
            hint="OCI images and Docker's schema 2 can be used; copy it with skopeo copy --format oci",
        )


def _layer_type(layer: _Descriptor, origin: str) -> str:
    found = _LAYER_TYPES.get(layer.media_type)
    if found is None:
        raise ArtifactError(
            f"{origin} has a layer of a kind that cannot be used: {layer.media_type} ({layer.digest})",
            hint="layers must be tar archives, plain or compressed by gzip or zstd, that the registry itself holds",
        )
    return found


def _index_entry(entry: _IndexEntry) -> IndexEntry:
    platform = entry.platform or _Platform()
    return IndexEntry(entry.value(), platform.os, platform.architecture, platform.variant)


def _settings(found: _Settings) -> ImageSettings:
    env = [variable.partition("=") for variable in found.env or ()]
    return ImageSettings(
        env=tuple((name, value) for name, _, value in env),
        cmd=None if found.cmd is None else tuple(found.cmd),
        entrypoint=None if found.entrypoint is None else tuple(found.entrypoint),
        user=found.user,
        working_dir=found.working_dir,
        stop_signal=found.stop_signal,
        labels=_pairs(found.labels),
        exposed_ports=tuple(sorted(found.exposed_ports or ())),
        volumes=tuple(sorted(found.volumes or ())),
    )


def _history(found: list[_History], layers: int) -> tuple[History, ...]:
    if sum(not entry.empty_layer for entry in found) != layers:
        return (History(comment="a layer of the base; its history is not known"),) * layers
    return tuple(
        History(
            created=entry.created or "",
            created_by=entry.created_by or "",
            comment=entry.comment or "",
            author=entry.author or "",
            empty_layer=bool(entry.empty_layer),
        )
        for entry in found
    )


def _pairs(found: _Strings) -> oci.Pairs:
    return tuple(sorted((found or {}).items()))
