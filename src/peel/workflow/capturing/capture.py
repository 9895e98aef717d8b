"""Capturing an environment: made, judged, and written as one canonical layer into the store."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from peel.errors import ArtifactError, DocumentError
from peel.layers.blob import LayerBlob, write_blob
from peel.layers.captured import Taken, python_of, take
from peel.layers.compress import Compression
from peel.layers.layer_stream import ImageLayer
from peel.layers.tar import canonical
from peel.model.declared import DeclaredEnvironment
from peel.model.entry import Entry
from peel.model.payloads import DockerfileRecipe, ImageRecipe, ScriptRecipe
from peel.model.plan import BasePin
from peel.model.values import Digest
from peel.workflow.base import fetch_base, pin_base
from peel.workflow.capturing.build_dockerfile import dockerfile_changes
from peel.workflow.capturing.compiled import compile_captured
from peel.workflow.capturing.judge import Judged, judge
from peel.workflow.capturing.material import Material, origin_of
from peel.workflow.capturing.run_script import script_changes


@dataclass(frozen=True, slots=True)
class Captured:
    """The layer of an environment, in the store; ``files`` is how many paths it has that are no directories.

    ``python`` is the version that was found, "" for none; ``source`` the manifest's digest of an image, "" otherwise.
    """

    blob: LayerBlob
    files: int
    python: str
    source: str


def capture(
    environment: DeclaredEnvironment,
    files: Mapping[str, bytes],
    compression: Compression,
    material: Material,
    *,
    source: str = "",
) -> Captured:
    """Make an environment, and have it as a layer in the store; ``files`` are its attachments by sha256.

    ``source`` pins the image that a directory is taken from. What points out of the environment is told as a warning.
    Raises DocumentError for what fails or may not become part of an image, ArtifactError for what cannot be had.
    """
    recipe, origin = environment.recipe, origin_of(environment)
    allowed = recipe.writes if isinstance(recipe, ScriptRecipe | DockerfileRecipe) else ()
    with material.store.work() as work, _layers(environment, files, material, source) as (layers, pinned):
        taken = _take(environment, layers, work, origin)
        judged = judge(
            taken, environment.prefix, allowed=allowed, own_launcher="launcher" in environment.attached,
            origin=origin, material=material,
        )  # fmt: skip
        _tell(judged, environment, material)
        python = python_of([entry.path for entry in judged.entries], environment.prefix)
        files_alone = canonical(judged.entries)
        entries = (*files_alone, *_bytecode(environment, files_alone, python, work, material))
        blob = write_blob(canonical(entries), compression, work / "layer")
        material.store.blobs.adopt(blob.path, blob.digest)
    return Captured(blob, sum(entry.kind != "directory" for entry in entries), python, pinned)


def _bytecode(
    environment: DeclaredEnvironment, entries: Sequence[Entry], python: str, work: Path, material: Material
) -> Sequence[Entry]:
    """What its own Python compiles, where that is what a kernel is started with."""
    if not python or "launcher" in environment.attached:
        return ()
    return compile_captured(environment.name, entries, environment.prefix, python, work, material)


@contextmanager
def _layers(
    environment: DeclaredEnvironment, files: Mapping[str, bytes], material: Material, source: str
) -> Iterator[tuple[Sequence[ImageLayer], str]]:
    """The layers to take an environment from, and the digest that pins them, if one does."""
    match environment.recipe:
        case ScriptRecipe() as script:
            with script_changes(environment, script, files, material) as layers:
                yield layers, ""
        case DockerfileRecipe() as dockerfile:
            with dockerfile_changes(environment, dockerfile, files, material) as layers:
                yield layers, ""
        case ImageRecipe() as directory:
            yield _image_layers(directory, material, source)
        case _:
            raise DocumentError(f"{origin_of(environment)}: is not captured")


def _image_layers(recipe: ImageRecipe, material: Material, source: str) -> tuple[Sequence[ImageLayer], str]:
    reference, platform, store = recipe.image, material.platform, material.store
    pin = BasePin(reference, Digest(source)) if source else pin_base(reference, platform, store, material.sources)
    image = fetch_base(pin, platform, store, material.sources, material.progress)

    def opened(digest: Digest) -> Path:
        return store.blobs.path(digest)

    layers = [ImageLayer(blob, lambda blob=blob: opened(blob.digest).open("rb")) for blob in image.layers]  # type: ignore[misc]
    return layers, str(pin.digest)


def _take(environment: DeclaredEnvironment, layers: Sequence[ImageLayer], work: Path, origin: str) -> Taken:
    """What there is to take: all that changed, or the directory of an image under the prefix."""
    recipe, prefix = environment.recipe, environment.prefix.strip("/")
    if not isinstance(recipe, ImageRecipe):
        return take(layers, lambda path: path, work, origin=origin)
    root = recipe.directory.strip("/")

    def rename(path: str) -> str | None:
        if path == root or path.startswith(f"{root}/"):
            return prefix + path.removeprefix(root)
        return None

    taken = take(layers, rename, work, origin=f"{origin}: {recipe.image}")
    if not taken.entries:
        raise ArtifactError(
            f"{origin}: {recipe.image} has no directory {recipe.directory}", hint="is it spelled as it is in the image?"
        )
    return taken


def _tell(judged: Judged, environment: DeclaredEnvironment, material: Material) -> None:
    recipe = environment.recipe
    for notice in judged.notices:
        material.progress.warn(f"{environment.name}: {notice}")
    if isinstance(recipe, ImageRecipe) and recipe.directory != environment.prefix:
        material.progress.warn(
            f"{environment.name}: {recipe.directory} becomes {environment.prefix}; what names it still does"
        )
