"""Images as the OCI image-spec has them, and the one way in which peel writes them.

What is written is canonical JSON, so that equal images have equal digests. ``oci_parse`` reads what others wrote.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, Final, TypeVar

from peel.errors import ArtifactError, DocumentError
from peel.model.values import Digest, Platform, canonical_json

INDEX: Final = "application/vnd.oci.image.index.v1+json"
MANIFEST: Final = "application/vnd.oci.image.manifest.v1+json"
CONFIG: Final = "application/vnd.oci.image.config.v1+json"
LAYER: Final = "application/vnd.oci.image.layer.v1.tar"
LAYER_GZIP: Final = f"{LAYER}+gzip"
LAYER_ZSTD: Final = f"{LAYER}+zstd"
REF_NAME: Final = "org.opencontainers.image.ref.name"
TITLE: Final = "org.opencontainers.image.title"
VERSION: Final = "org.opencontainers.image.version"

_T = TypeVar("_T")
Pairs = tuple[tuple[str, str], ...]
"""A mapping of strings that can be hashed: pairs, sorted by name unless said otherwise."""


@dataclass(frozen=True, slots=True)
class Descriptor:
    """What a blob is, by digest; ``size`` in bytes (OCI descriptor.md)."""

    media_type: str
    digest: Digest
    size: int
    annotations: Pairs = ()

    def __post_init__(self) -> None:
        if self.size < 0:
            raise DocumentError(f"a blob of {self.size} bytes: {self.digest}")

    def as_json(self) -> dict[str, Any]:
        """The descriptor as a document holds it."""
        found = {"mediaType": self.media_type, "digest": str(self.digest), "size": self.size}
        return {**found, "annotations": dict(self.annotations)} if self.annotations else found


@dataclass(frozen=True, slots=True)
class Manifest:
    """One platform's image: its config and its layers, lowest first (OCI manifest.md)."""

    config: Descriptor
    layers: tuple[Descriptor, ...]
    annotations: Pairs = ()


@dataclass(frozen=True, slots=True)
class IndexEntry:
    """A manifest that an index names, and what it runs on; ``""`` where the index does not say."""

    manifest: Descriptor
    os: str = ""
    architecture: str = ""
    variant: str = ""

    def __str__(self) -> str:
        return "/".join(part for part in (self.os, self.architecture, self.variant) if part) or "unnamed"


@dataclass(frozen=True, slots=True)
class Index:
    """Manifests side by side, usually one per platform (OCI image-index.md)."""

    entries: tuple[IndexEntry, ...]

    def get(self, platform: Platform) -> Descriptor | None:
        """The manifest for a platform, the plainest variant first; None when there is none."""
        fitting = [e for e in self.entries if (e.os, e.architecture) == ("linux", platform.architecture)]
        return min(fitting, key=lambda entry: entry.variant).manifest if fitting else None

    def find(self, platform: Platform, origin: str) -> Descriptor:
        """The manifest for a platform. Raises ArtifactError, naming ``origin``, when there is none."""
        found = self.get(platform)
        if found is None:
            offered = ", ".join(sorted({str(entry) for entry in self.entries})) or "nothing"
            raise ArtifactError(f"{origin} has no image for {platform}", hint=f"it has: {offered}")
        return found


@dataclass(frozen=True, slots=True)
class History:
    """How a layer, or a change without one, came about (OCI config.md, ``history``)."""

    created: str = ""
    created_by: str = ""
    comment: str = ""
    author: str = ""
    empty_layer: bool = False

    def as_json(self) -> dict[str, Any]:
        """The entry without what is not known."""
        texts = {name: getattr(self, name) for name in ("created", "created_by", "comment", "author")}
        known: dict[str, Any] = {name: text for name, text in texts.items() if text}
        return {**known, "empty_layer": True} if self.empty_layer else known


@dataclass(frozen=True, slots=True)
class ImageSettings:
    """How a container of the image starts (OCI config.md, ``config``); None where nothing is said.

    ``env`` is in the order in which it is written; the other pairs and names have no order.
    """

    env: Pairs = ()
    cmd: tuple[str, ...] | None = None
    entrypoint: tuple[str, ...] | None = None
    user: str | None = None
    working_dir: str | None = None
    stop_signal: str | None = None
    labels: Pairs = ()
    exposed_ports: tuple[str, ...] = ()
    volumes: tuple[str, ...] = ()

    def over(self, base: ImageSettings) -> ImageSettings:
        """These settings on top of a base's: what is not said here is inherited.

        A new entrypoint drops the base's command, which was meant for the old one (as in a Dockerfile).
        """
        cmd = base.cmd if self.cmd is None and self.entrypoint is None else self.cmd
        return ImageSettings(
            env=_merge_env(base.env, self.env),
            cmd=cmd,
            entrypoint=_first(self.entrypoint, base.entrypoint),
            user=_first(self.user, base.user),
            working_dir=_first(self.working_dir, base.working_dir),
            stop_signal=_first(self.stop_signal, base.stop_signal),
            labels=tuple(sorted({**dict(base.labels), **dict(self.labels)}.items())),
            exposed_ports=tuple(sorted({*base.exposed_ports, *self.exposed_ports})),
            volumes=tuple(sorted({*base.volumes, *self.volumes})),
        )

    def as_json(self) -> dict[str, Any]:
        """The object called ``config``, without what is empty."""
        found: dict[str, Any] = {
            "Env": [f"{name}={value}" for name, value in self.env],
            "Cmd": list(self.cmd or ()),
            "Entrypoint": list(self.entrypoint or ()),
            "User": self.user,
            "WorkingDir": self.working_dir,
            "StopSignal": self.stop_signal,
            "Labels": dict(self.labels),
            "ExposedPorts": {port: {} for port in self.exposed_ports},
            "Volumes": {path: {} for path in self.volumes},
        }
        return {key: value for key, value in found.items() if value}


@dataclass(frozen=True, slots=True)
class Config:
    """An image's config: one history entry without ``empty_layer`` per diff id (OCI config.md)."""

    architecture: str
    settings: ImageSettings = ImageSettings()
    diff_ids: tuple[Digest, ...] = ()
    history: tuple[History, ...] = ()
    variant: str = ""
    os: str = "linux"


@dataclass(frozen=True, slots=True)
class BaseImage:
    """An image to build on: its manifest as it came, and what that says; ``layers`` in OCI media types."""

    manifest: bytes
    config: Config
    layers: tuple[Descriptor, ...]
    media_type: str = MANIFEST
    """The manifest's own."""

    @property
    def digest(self) -> Digest:
        """The digest of the manifest as it came."""
        return Digest.of(self.manifest)


@dataclass(frozen=True, slots=True)
class AddedLayer:
    """A layer put on top of a base, and what its history says."""

    blob: Descriptor
    diff_id: Digest
    created_by: str
    comment: str = ""


def make_config(base: Config, layers: Sequence[AddedLayer], settings: ImageSettings, *, epoch: int) -> bytes:
    """The config of an image: the base's, continued; ``epoch`` in seconds is when it says it was created."""
    created = rfc3339(epoch)
    ours = (History(created=created, created_by=layer.created_by, comment=layer.comment) for layer in layers)
    document = {
        "architecture": base.architecture,
        "os": base.os,
        "created": created,
        "config": settings.over(base.settings).as_json(),
        "rootfs": {"type": "layers", "diff_ids": [str(d) for d in (*base.diff_ids, *(x.diff_id for x in layers))]},
        "history": [entry.as_json() for entry in (*base.history, *ours)],
    }
    return canonical_json({**document, "variant": base.variant} if base.variant else document)


def make_manifest(config: bytes, layers: Iterable[Descriptor], annotations: Mapping[str, str]) -> bytes:
    """The manifest of an image; ``layers`` are all of them, lowest first."""
    document = {
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "config": describe(CONFIG, config).as_json(),
        "layers": [replace(layer, annotations=()).as_json() for layer in layers],
    }
    return canonical_json({**document, "annotations": dict(annotations)} if annotations else document)


def make_index(entries: Iterable[IndexEntry], annotations: Mapping[str, str]) -> bytes:
    """An index of one image's manifests, in the order of their platforms (OCI image-index.md)."""
    named = sorted(entries, key=str)
    document = {
        "schemaVersion": 2,
        "mediaType": INDEX,
        "manifests": [
            {**entry.manifest.as_json(), "platform": {"os": entry.os, "architecture": entry.architecture}}
            for entry in named
        ],
    }
    return canonical_json({**document, "annotations": dict(annotations)} if annotations else document)


def describe(media_type: str, data: bytes) -> Descriptor:
    """The descriptor of a document that is at hand."""
    return Descriptor(media_type, Digest.of(data), len(data))


def rfc3339(epoch: int) -> str:
    """Whole seconds since 1970 as OCI writes instants, in UTC. Raises DocumentError outside the years 1970 to 9999."""
    try:
        instant = datetime.fromtimestamp(epoch, UTC)
    except (OverflowError, ValueError, OSError):
        instant = None
    if instant is None or epoch < 0:
        raise DocumentError(f"not an instant in seconds since 1970: {epoch}")
    return instant.isoformat().replace("+00:00", "Z")


def _merge_env(base: Pairs, ours: Pairs) -> Pairs:
    """The base's variables in its order, then the new ones by name; ours win."""
    new = dict(ours)
    kept = {name: new.get(name, value) for name, value in base}
    return (*kept.items(), *sorted((name, value) for name, value in new.items() if name not in kept))


def _first(ours: _T | None, base: _T | None) -> _T | None:
    return base if ours is None else ours
