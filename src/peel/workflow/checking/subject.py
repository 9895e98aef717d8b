"""The image that is checked, and what is known of it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from peel.layers.layer_stream import ImageLayer
from peel.model.locked import LockSet
from peel.model.oci import Config, Descriptor, Manifest
from peel.model.oci_parse import parse_config, parse_manifest
from peel.model.plan import Plan
from peel.model.values import PythonVersion
from peel.store.store import Store
from peel.workflow.lab import ExpectedKernel
from peel.workflow.launch import expected_kernels


@dataclass(frozen=True, slots=True)
class Subject:
    """A built image with its lock set; ``raw`` is its manifest's descriptor."""

    locks: LockSet
    plan: Plan
    store: Store
    raw: Descriptor
    manifest: Manifest
    config: Config

    @property
    def layers(self) -> Sequence[ImageLayer]:
        """Its layers, lowest first, to be read."""
        blobs = self.store.blobs
        return [
            ImageLayer(blob, lambda blob=blob: blobs.path(blob.digest).open("rb"))  # type: ignore[misc]
            for blob in self.manifest.layers
        ]

    @property
    def kernels(self) -> Sequence[ExpectedKernel]:
        """Every payload's kernel, and where it must run."""
        return expected_kernels(self.plan)

    def pythons(self) -> Iterator[PythonVersion]:
        """The Pythons of lab and payloads, each once."""
        platform = self.plan.platform.subdir
        found = [kernel.python for kernel in self.kernels if kernel.python]
        found += [
            package.version
            for (place, _), packages in self.locks.installed.items()
            for package in packages
            if place == platform and package.name == "python" and package.manager == "conda"
        ]
        yield from sorted(set(map(PythonVersion.parse, found)), key=str)


def subject_of(locks: LockSet, plan: Plan, image: Descriptor, store: Store) -> Subject:
    """An image of the store. Raises ArtifactError when a part of it is damaged."""
    manifest = parse_manifest(store.blobs.read(image.digest), str(plan.ref))
    config = parse_config(store.blobs.read(manifest.config.digest), f"{plan.ref} (its config)")
    return Subject(locks, plan, store, image, manifest, config)
