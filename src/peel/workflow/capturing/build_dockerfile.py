"""A Dockerfile, built by buildah on the pinned base: what it changes there is what it installs."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Final

from peel.errors import DocumentError
from peel.interrupts import uninterrupted
from peel.layers.layer_stream import ImageLayer
from peel.model.declared import DeclaredEnvironment
from peel.model.dockerfile import Dockerfile, parse_dockerfile
from peel.model.payloads import DockerfileRecipe
from peel.model.plan import BasePin
from peel.model.values import Digest
from peel.tools import buildah_images, mounts, process
from peel.tools.buildah import Buildah, open_storage
from peel.workflow.base import fetch_base
from peel.workflow.capturing.changes import changed_layers
from peel.workflow.capturing.material import Material, origin_of
from peel.workflow.containers import import_base

_LAST_LINES: Final = 20


@contextmanager
def dockerfile_changes(
    environment: DeclaredEnvironment, recipe: DockerfileRecipe, files: Mapping[str, bytes], material: Material
) -> Iterator[Sequence[ImageLayer]]:
    """Build an environment's Dockerfile and lend the layers of what it changed; ``files`` are attached, by sha256.

    Raises DocumentError when it cannot be built, ArtifactError for an image that cannot be had.
    """
    attached = environment.attached["dockerfile"]
    origin = f"{origin_of(environment)}/{attached.name}"
    parsed = parse_dockerfile(files[attached.sha256].decode("utf-8", "replace"), material.reference, origin)
    with material.store.work() as work, _own_storage(material.buildah(), work) as buildah:
        images = _import_images(parsed, material, buildah)
        context = _unpack(files, environment, work / "context")
        (work / "Dockerfile").write_text(parsed.rewritten(images))
        material.progress.step(f"building {attached.name} of {environment.name}")
        try:
            done = buildah_images.build(
                buildah, work / "Dockerfile", context, work, base=images[material.reference],
                network="host" if recipe.network else "none", timeout=recipe.timeout,
            )  # fmt: skip
        except process.OutOfTimeError:
            raise DocumentError(
                f"{origin} was not built within {recipe.timeout} s",
                hint="if it only takes long, raise timeout in payload.yaml",
            ) from None
        if done.status != 0:
            raise _failed(origin, done, recipe)
        yield changed_layers(buildah_images.built_layout(work), material, origin)


@contextmanager
def _own_storage(buildah: Buildah, work: Path) -> Iterator[Buildah]:
    """A container storage that goes with the build: buildah leaves stages mounted that others only copy from."""
    place = work / "containers"
    try:
        yield replace(buildah, storage=open_storage(place))
    finally:
        with uninterrupted():
            mounts.detach(place / "storage")


def _import_images(parsed: Dockerfile, material: Material, buildah: Buildah) -> Mapping[str, str]:
    """By what the file calls them: the images that it is built on, as the storage has them."""
    images = {material.reference: import_base(material.base, material.store, buildah)}
    for reference in parsed.pinned:
        pin = BasePin(reference, Digest(reference.partition("@")[2]))
        found = fetch_base(pin, material.platform, material.store, material.sources, material.progress)
        images[reference] = import_base(found, material.store, buildah)
    return images


def _unpack(files: Mapping[str, bytes], environment: DeclaredEnvironment, context: Path) -> Path:
    """The build context, which peel itself has packed, and a lock set may have brought from elsewhere."""
    context.mkdir()
    if (attached := environment.attached.get("context")) is not None:
        with tarfile.open(fileobj=io.BytesIO(files[attached.sha256])) as tar:
            try:
                tar.extractall(context, filter="data")
            except tarfile.TarError as error:
                raise DocumentError(f"{origin_of(environment)}/{attached.name}: {error}") from None
    return context


def _failed(origin: str, done: process.Completed, recipe: DockerfileRecipe) -> DocumentError:
    said = (done.stdout + done.stderr).decode("utf-8", "replace").strip().splitlines()[-_LAST_LINES:]
    lines = "\n".join(f"  {line}" for line in said)
    hint = "see what buildah said" if recipe.network else "it has no network unless payload.yaml says network: true"
    return DocumentError(f"{origin} cannot be built:\n{lines}".rstrip(), hint=hint)
