"""``peel list`` and ``peel show``: what a catalogue holds, from its documents alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from peel.errors import DocumentError
from peel.model.locked import LockSet, Package
from peel.model.lockset import RecordedLayer
from peel.model.plan import make_plan
from peel.model.values import ImageRef, Platform
from peel.store.catalogue import Catalogue


@dataclass(frozen=True, slots=True)
class Listed:
    """A tag of an image, or an image that no tag is locked of yet. ``manifests`` is by platform.

    ``error`` is what is wrong with its documents; little else is known then.
    """

    image: str
    tag: str | None
    platforms: tuple[str, ...] = ()
    manifests: tuple[tuple[str, str], ...] = ()
    error: str | None = None

    @property
    def name(self) -> str:
        """``IMAGE:TAG``, or ``IMAGE`` alone."""
        return f"{self.image}:{self.tag}" if self.tag else self.image

    @property
    def state(self) -> Literal["broken", "built", "locked", "declared"]:
        """How far it has come."""
        if self.error is not None:
            return "broken"
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
    return Listed(ref.image, ref.tag, tuple(sorted(catalogue.image_lock(ref).base)), manifests)


@dataclass(frozen=True, slots=True)
class ShownLayer:
    """A layer as it is planned and, once built, recorded. Sizes are in bytes."""

    contents: str
    packages: int
    archives_size: int
    recorded: RecordedLayer | None


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
            "manifest": self.manifest,
            "environments": {
                environment.name: {
                    "role": environment.role,
                    "prefix": environment.prefix,
                    "kernel": environment.kernel.name if environment.kernel else None,
                    "packages": [_package(p) for p in self.packages(environment.name)],
                }
                for environment in lock.declared.environments
            },
            "layers": [_layer(layer) for layer in self.layers],
        }

    def packages(self, environment: str) -> Sequence[Package]:
        """The packages of an environment, by name."""
        return sorted(self.locks.packages(self.platform, environment), key=lambda package: package.name)


def _package(package: Package) -> dict[str, Any]:
    return {
        "name": package.name, "version": package.version, "manager": package.manager,
        "file": package.file_name, "sha256": package.digest.hex, "size": package.size,
    }  # fmt: skip


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
