"""``peel list`` and ``peel show``: what a catalogue holds, from its documents alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

from peel.errors import DocumentError
from peel.model.locked import LockSet
from peel.model.lockset import ImageLock, MissingArtifact, RecordedLayer
from peel.model.plan import make_plan
from peel.model.values import ImageRef, Platform
from peel.store.catalogue import Catalogue


@dataclass(frozen=True, slots=True)
class Listed:
    """A tag of an image, or an image that no tag is locked of yet. ``manifests`` is by platform.

    ``missing`` is how many artifacts an import could not have; ``error`` is what is wrong with its documents, and
    little else is known then.
    """

    image: str
    tag: str | None
    platforms: tuple[str, ...] = ()
    manifests: tuple[tuple[str, str], ...] = ()
    error: str | None = None
    missing: int = 0

    @property
    def name(self) -> str:
        """``IMAGE:TAG``, or ``IMAGE`` alone."""
        return f"{self.image}:{self.tag}" if self.tag else self.image

    @property
    def state(self) -> Literal["broken", "incomplete", "built", "locked", "declared"]:
        """How far it has come."""
        if self.error is not None:
            return "broken"
        if self.missing:
            return "incomplete"
        return "built" if self.manifests else "locked" if self.tag else "declared"

    def as_json(self) -> dict[str, Any]:
        """One entry of ``peel list --json``; ``manifest`` is null where there is not exactly one."""
        return {
            "image": self.image,
            "tag": self.tag,
            "platforms": list(self.platforms),
            "locked": self.tag is not None,
            "built": bool(self.manifests),
            "manifest": self.manifests[0][1] if len(self.manifests) == 1 else None,
            "manifests": dict(self.manifests),
            "missing": self.missing,
            "error": self.error,
        }


def list_images(catalogue: Catalogue) -> Sequence[Listed]:
    """Every tag of every image, by name; what has a bad document is told of among the others."""
    return [_listed(image, tag, catalogue) for image in catalogue.images() for tag in catalogue.tags(image) or (None,)]


def _listed(image: str, tag: str | None, catalogue: Catalogue) -> Listed:
    try:
        if tag is None:
            return Listed(image, None, catalogue.declared(image).platforms)
        return _locked(ImageRef(image, tag), catalogue)
    except DocumentError as error:
        return Listed(image, tag, error=error.message)


def _locked(ref: ImageRef, catalogue: Catalogue) -> Listed:
    record = catalogue.record(ref)
    built = record.platforms if record else {}
    manifests = tuple((platform, found.manifest) for platform, found in sorted(built.items()))
    lock = catalogue.image_lock(ref)
    platforms = tuple(sorted(lock.base or lock.declared.platforms))
    return Listed(ref.image, ref.tag, platforms, manifests, missing=len(missing_of(lock)))


@dataclass(frozen=True, slots=True)
class ShownLayer:
    """A layer as it is planned and, once built, recorded. Sizes are in bytes."""

    contents: str
    packages: int
    archives_size: int
    recorded: RecordedLayer | None


@dataclass(frozen=True, slots=True)
class ShownPackage:
    """A package of an environment; ``size`` in bytes. Of what an imported image holds, neither may be known."""

    name: str
    version: str
    manager: Literal["conda", "pip"]
    file: str
    sha256: str | None
    size: int | None

    def as_json(self) -> dict[str, Any]:
        """One package of ``peel show --json``."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Shown:
    """One platform of a locked image."""

    locks: LockSet
    platform: Platform
    layers: tuple[ShownLayer, ...]
    manifest: str | None

    def as_json(self) -> dict[str, Any]:
        """One platform of ``peel show --json``."""
        lock = self.locks.lock
        pinned = lock.base[self.platform.subdir]
        return {
            "base": {"reference": lock.declared.base, "digest": pinned.digest, "glibc": pinned.glibc},
            "imported": lock.imported or None,
            "manifest": self.manifest,
            "environments": {
                environment.name: {
                    "role": environment.role,
                    "prefix": environment.prefix,
                    "kernel": environment.kernel.name if environment.kernel else None,
                    "packages": [package.as_json() for package in self.packages(environment.name)],
                }
                for environment in lock.declared.environments
            },
            "layers": [_layer(layer) for layer in self.layers],
        }

    def packages(self, environment: str) -> Sequence[ShownPackage]:
        """The packages of an environment, by name."""
        sizes = {package.file_name: package.size for package in self.locks.packages(self.platform, environment)}
        return sorted(
            (
                ShownPackage(p.name, p.version, p.manager, p.file_name, p.hash.sha256, sizes.get(p.file_name))
                for p in self.locks.installed[self.platform.subdir, environment]
            ),
            key=lambda package: package.name,
        )


@dataclass(frozen=True, slots=True)
class Incomplete:
    """A lock set of an import that could not have everything, and by platform and environment what it has not."""

    ref: ImageRef
    lock: ImageLock

    @property
    def missing(self) -> Sequence[tuple[str, str, MissingArtifact]]:
        """Platform, environment and artifact."""
        return missing_of(self.lock)

    def as_json(self) -> dict[str, Any]:
        """What ``peel show --json`` has instead of platforms."""
        return {
            "incomplete": len(self.missing),
            "missing": [
                {"platform": platform, "environment": environment, **artifact.model_dump(mode="json")}
                for platform, environment, artifact in self.missing
            ],
        }


def missing_of(lock: ImageLock) -> Sequence[tuple[str, str, MissingArtifact]]:
    """Platform, environment and artifact of all that an import could not have."""
    return [
        (platform, environment, artifact)
        for platform, environments in sorted(lock.missing.items())
        for environment, artifacts in sorted(environments.items())
        for artifact in artifacts
    ]


def find_incomplete(ref: ImageRef, catalogue: Catalogue) -> Incomplete | None:
    """The lock set, if it is incomplete. Raises DocumentError."""
    lock = catalogue.image_lock(ref)
    return Incomplete(ref, lock) if lock.missing else None


def _layer(layer: ShownLayer) -> dict[str, Any]:
    recorded = layer.recorded
    return {
        "contents": layer.contents,
        "packages": layer.packages,
        "diff_id": recorded.diff_id if recorded else None,
        "digest": recorded.digest if recorded else None,
        "size": recorded.size if recorded else None,
    }


def show_image(ref: ImageRef, catalogue: Catalogue) -> Sequence[Shown]:
    """What is locked, and where there is a record, built, of every platform. Raises DocumentError."""
    locks = catalogue.lock_set(ref)
    record = catalogue.record(ref)
    shown = []
    for name in sorted(locks.lock.base):
        recorded = record.platforms.get(name) if record else None
        shown.append(
            _shown(locks, Platform(name), recorded.layers if recorded else (), recorded.manifest if recorded else None)
        )
    return shown


def _shown(locks: LockSet, platform: Platform, recorded: Sequence[RecordedLayer], manifest: str | None) -> Shown:
    steps = make_plan(locks, platform).layers
    layers = tuple(
        ShownLayer(
            step.contents,
            packages=len(packages := getattr(step, "packages", ())),
            archives_size=sum(package.size for package in packages),
            recorded=recorded[number] if number < len(recorded) else None,
        )
        for number, step in enumerate(steps)
    )
    return Shown(locks, platform, layers, manifest)
