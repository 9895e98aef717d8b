"""``peel import`` of a whole image: its layers stay what they are, its environments are told from ``conda-meta``."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from pydantic import ValidationError

from peel.errors import ArtifactError, UsageError
from peel.layers.installed import InstalledEnvironment, find_environments
from peel.model.condalock import parse_conda_lock
from peel.model.declared import Declared, DeclaredEnvironment
from peel.model.history.channels import channel_names
from peel.model.history.lock_file import make_lock_document
from peel.model.lockset import LOCK_FILE, ImageLock, LockedBase, environment_lock_file
from peel.model.oci import BaseImage
from peel.model.progress import Progress
from peel.model.values import ImageRef, Platform
from peel.store.archives import Archive, take_from
from peel.store.base import import_directory, load_base
from peel.store.catalogue import Catalogue
from peel.store.documents import to_yaml
from peel.store.store import Store
from peel.workflow.base import glibc_of
from peel.workflow.import_installed import Told, can_be_held, make_name, tell_environment
from peel.workflow.import_result import Imported, ImportedEnvironment
from peel.workflow.lock import FORMATS, NOTHING_SOLVED, locked_compression
from peel.workflow.published import LayoutImage, PublishedImage, RegistryImage, open_image, parse_published

IMAGE: Final = "image"
"""What the result of such an import says that it read."""

LAYOUT: Final = "oci layout"
"""What a lock says that an image of a layout was imported from: a path means nothing on another machine."""

_MOST_LAYERS: Final = 127
_CREATED: Final = re.compile(r"(\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d)(?:\.\d+)?([Zz]|[+-]\d\d:\d\d)")


@dataclass(frozen=True, slots=True)
class ImageImport:
    """An import of one image for one platform: what it works with."""

    source: str
    ref: ImageRef
    platform: Platform
    epoch: int | None
    channels: tuple[str, ...]
    catalogue: Catalogue
    store: Store
    progress: Progress

    def run(self, *, dry_run: bool = False) -> Imported:
        """Take the image over into the store, and write the lock set of an image that is made of nothing else.

        Raises ArtifactError for an image that cannot be had or read, or that holds no conda environment; UsageError
        for what names no image. With ``dry_run``, nothing is written and nothing kept.
        """
        with open_image(self.source, self.platform, self.store, self.progress, tag=self.ref.tag) as image:
            if len(image.parsed.layers) > _MOST_LAYERS:
                raise ArtifactError(
                    f"{image.name} has {len(image.parsed.layers)} layers, and {_MOST_LAYERS} run everywhere",
                    hint="such an image can be run in few places, and not be patched",
                )
            told = self._environments(image)
            if not dry_run:
                base = self._take_over(image)
                self._write(told, base, _created(image) if self.epoch is None else self.epoch)
        counts = tuple(ImportedEnvironment(each.name, each.count("conda"), each.count("pip")) for each in told)
        return Imported(self.ref, IMAGE, counts, self.catalogue.lock_directory(self.ref), written=not dry_run)

    def _environments(self, image: PublishedImage) -> Sequence[Told]:
        """The conda environments of the image, wherever they lie, each by a name of its own."""
        with self.store.work() as work:
            self.progress.step(f"reading what is installed in {image.name}")
            found = find_environments(image.layers, work, origin=image.name)
        told: list[Told] = []
        for each in (each for each in found if each.packages and can_be_held(each.prefix)):
            name = make_name(each.prefix, [other.name for other in told])
            told.append(tell_environment(name, each, self.platform))
        self._say_what_is_odd(found, image)
        if not told:
            raise ArtifactError(
                f"{image.name} holds no conda environment: no directory of it has conda-meta",
                hint="only what conda, mamba or peel installed can be imported and patched",
            )
        return told

    def _say_what_is_odd(self, found: Sequence[InstalledEnvironment], image: PublishedImage) -> None:
        for each in found:
            if not each.packages:
                wheels = "1 wheel" if len(each.wheels) == 1 else f"{len(each.wheels)} wheels"
                self.progress.warn(f"{image.name}: {wheels} in {each.prefix}, of no conda environment: left as found")
            elif not can_be_held(each.prefix):
                self.progress.warn(
                    f"{image.name}: the environment in {each.prefix!r} is left as it is: a lock holds paths of "
                    "letters, digits and . _ - + @ % only"
                )
            names = Counter(package.name for package in each.packages)
            if twice := sorted(name for name, count in names.items() if count > 1):
                self.progress.warn(f"{image.name}: {each.prefix} has two records of {', '.join(twice)}")

    def _take_over(self, image: PublishedImage) -> BaseImage:
        """The image with every blob in the store, checked."""
        digest = image.manifest.digest
        match parse_published(self.source):
            case RegistryImage():
                return import_directory(image.directory, digest, self.store.blobs, origin=image.name)
            case LayoutImage() as place:
                wanted = [(blob.digest, f"blob {blob.digest}") for blob in (*image.parsed.layers, image.parsed.config)]
                total = sum(blob.size for blob in image.parsed.layers)
                with self.progress.bar(f"taking over {image.name}", total, "bytes") as advance:
                    take_from([Archive(str(place), place.directory)], wanted, self.store.blobs, advance=advance)
                self.store.blobs.put_bytes(image.raw_manifest)
        base = load_base(self.store.blobs, digest, origin=image.name)
        if base is None:
            raise ArtifactError(f"{image.name} lacks some of its blobs", hint="copy the image again")
        return base

    def _write(self, told: Sequence[Told], base: BaseImage, epoch: int) -> None:
        reference, imported = self._references(base)
        pinned = LockedBase(
            digest=str(base.digest), glibc=glibc_of(base, self.store, imported), layers=len(base.layers)
        )
        declared = _declared(reference, self.platform, told, self.channels)
        lock = ImageLock(
            schema=1, image=self.ref.image, tag=self.ref.tag, epoch=epoch, formats=FORMATS,
            compression=locked_compression(declared), locked_with=NOTHING_SOLVED, declared=declared,
            base={self.platform.subdir: pinned}, layers={self.platform.subdir: {each.name: () for each in told}},
            imported=imported,
        )  # fmt: skip
        files = {environment_lock_file(each.name): to_yaml(_document(each, self.platform)) for each in told}
        self.catalogue.write_lock_set(self.ref, {**files, LOCK_FILE: to_yaml(lock.as_document())})

    def _references(self, base: BaseImage) -> tuple[str, str]:
        """What the lock calls the image as a base, and where it says that it is from."""
        match parse_published(self.source):
            case LayoutImage():
                return f"localhost/{self.ref.image}@{base.digest}", LAYOUT
            case RegistryImage() as place:
                return f"{_full_name(place.reference)}@{base.digest}", str(place)


def _full_name(reference: str) -> str:
    """A repository with its registry, as skopeo completes a short name; without tag and digest."""
    head, slash, last = reference.partition("@")[0].rpartition("/")
    name = f"{head}{slash}{last.partition(':')[0]}"
    first = name.partition("/")[0]
    if "/" in name and ("." in first or ":" in first or first == "localhost"):
        return name
    return f"docker.io/{name}" if "/" in name else f"docker.io/library/{name}"


def _declared(reference: str, platform: Platform, told: Sequence[Told], channels: Sequence[str]) -> Declared:
    environments = [
        DeclaredEnvironment(
            name=each.name, role="environment", prefix=each.prefix, dependencies=(),
            channels=channel_names(channels or each.channels),
        )
        for each in told
    ]  # fmt: skip
    document = {
        "base": reference, "platforms": [platform.subdir], "tags": "rsp", "launch": {}, "compression": {},
        "environments": environments,
    }  # fmt: skip
    try:
        return Declared.model_validate(document)
    except ValidationError:
        raise UsageError(
            f"not the full name of an image: {reference}", hint="write docker://REGISTRY/NAME:TAG"
        ) from None


def _document(told: Told, platform: Platform) -> dict[str, Any]:
    document = make_lock_document(told.entries, told.channels, [platform.subdir])
    parse_conda_lock(document, environment_lock_file(told.name))  # what is written now will be read ever after
    return document


def _created(image: PublishedImage) -> int:
    """When the image says it was made, in seconds since 1970; 0 where it does not say, or says an earlier time."""
    said = json.loads(image.raw_config).get("created")
    found = _CREATED.fullmatch(said) if isinstance(said, str) else None
    if found is None:
        return 0
    try:
        return max(0, int(datetime.fromisoformat(f"{found[1]}{found[2].replace('z', 'Z')}").timestamp()))
    except (ValueError, OverflowError):
        return 0
