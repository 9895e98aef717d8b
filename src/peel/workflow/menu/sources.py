"""Where a menu's images come from: a registry, an OCI layout, the catalogue's records, or a listing in a file."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock
from typing import Annotated, Final

from pydantic import AliasChoices, BaseModel, ConfigDict, Field, ValidationError

from peel.errors import ArtifactError, DocumentError, PeelError
from peel.model.menu.choose import Known, told_of
from peel.model.menu.declaration import MenuPayload
from peel.model.oci import REF_NAME, Manifest
from peel.model.oci_parse import parse_manifest_or_index
from peel.model.progress import Progress
from peel.model.repository import Repository
from peel.model.tags.tag import tag_fault
from peel.model.values import Digest, ImageRef
from peel.registry.client import RegistryClient, RegistryTimes, open_registry
from peel.registry.connection import ACCEPTED
from peel.store.blobs import Blobs
from peel.store.catalogue import Catalogue
from peel.store.documents import read_text
from peel.store.layout import read_index

_AT_ONCE: Final = 8
_ENOUGH: Final = 5
"""After so many tags that a registry could not tell of, the others are not asked for."""

Describe = Callable[[Sequence[str]], Mapping[str, Known]]


@dataclass(frozen=True, slots=True)
class Holdings:
    """What a source holds: its tags, where nodes pull them from, and how to know more about some.

    ``describe`` leaves out tags that are gone, or that stand for no image; ``warnings`` grow as it finds out.
    """

    tags: Sequence[str]
    repository: str
    describe: Describe
    warnings: list[str] = field(default_factory=list)


@contextmanager
def open_source(
    payload: MenuPayload, catalogue: Catalogue, progress: Progress, times: RegistryTimes | None = None
) -> Iterator[Holdings]:
    """Lend what a payload's source holds.

    Raises ArtifactError when it cannot be had, DocumentError for a file that is none, UsageError, ToolError.
    """
    kind, _, place = payload.source.partition(":")
    match kind:
        case "docker":
            with open_registry(Repository.parse(payload.source), times=times) as client:
                yield _of_registry(client, payload, progress)
        case "oci":
            yield _of_layout(catalogue.root / place, payload)
        case "records":
            yield _of_records(place, catalogue, payload)
        case _:  # a listing: the declaration knows no other
            yield _of_listing(catalogue.root / place, payload.source, payload)


def _of_registry(client: RegistryClient, payload: MenuPayload, progress: Progress) -> Holdings:
    progress.step(f"asking {client.repository} for its tags")
    listing = client.tags()
    warnings = []
    if listing.fault:
        warnings.append(f"the listing broke off, so tags may be missing: {listing.fault}")
    if listing.refused:
        warnings.append(f"{listing.refused} names that no tag can have were left out")
    asking = _Asking(client, progress, warnings)
    return Holdings(listing.tags, payload.repository or str(client.repository), asking.describe, warnings)


@dataclass(slots=True)
class _Asking:
    """Asks a registry for several tags at once, as long as it answers."""

    client: RegistryClient
    progress: Progress
    warnings: list[str]
    failures: list[str] = field(default_factory=list)
    lock: Lock = field(default_factory=Lock)

    def describe(self, tags: Sequence[str]) -> Mapping[str, Known]:
        with (
            self.progress.bar(f"asking {self.client.repository} for {len(tags)} tags", len(tags), "items") as advance,
            ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="menu") as threads,
        ):
            asked = [threads.submit(self._ask, tag) for tag in tags]
            try:
                found = {}
                for tag, answer in zip(tags, asked, strict=True):
                    if (known := answer.result()) is not None:
                        found[tag] = known
                    advance(1)
            finally:
                threads.shutdown(wait=True, cancel_futures=True)
        if self.failures:
            self.warnings.append(f"the registry could not tell of some tags: {self.failures[0]}")
        return found

    def _ask(self, tag: str) -> Known | None:
        if len(self.failures) >= _ENOUGH:
            return Known()
        try:
            found = self.client.describe(tag)
        except PeelError as error:
            with self.lock:
                self.failures.append(error.message)
            return Known()
        if found is not None and found.media_type and found.media_type not in ACCEPTED:
            with self.lock:
                self.warnings.append(f"{tag} is no image, but {found.media_type[:80]}")
            return None
        return Known(str(found.digest)) if found is not None else None


def _of_layout(directory: Path, payload: MenuPayload) -> Holdings:
    known, blobs = dict[str, Known](), Blobs(directory)
    for entry in read_index(directory).entries:
        tag = dict(entry.manifest.annotations).get(REF_NAME, "")
        if tag_fault(tag) is None:
            known[tag] = Known(str(entry.manifest.digest), _size(blobs, entry.manifest.digest, directory))
    return _at_hand(known, payload.repository or f"localhost/{payload.name}")


def _size(blobs: Blobs, digest: Digest, directory: Path) -> int | None:
    """How many bytes an image's layers have; None for an index, and for a manifest that is not there."""
    try:
        found = parse_manifest_or_index(blobs.read(digest), str(directory))
    except PeelError:
        return None
    return sum(layer.size for layer in found.layers) if isinstance(found, Manifest) else None


def _of_records(image: str, catalogue: Catalogue, payload: MenuPayload) -> Holdings:
    known, unbuilt = dict[str, Known](), list[str]()
    for tag in catalogue.tags(image):
        record = catalogue.record(ImageRef(image, tag))
        if record is None:
            unbuilt.append(tag)
            continue
        built = list(record.platforms.values())
        only = built[0] if len(built) == 1 else None  # of several, the digest of their index is nowhere recorded
        known[tag] = Known(only.manifest, sum(layer.size for layer in only.layers)) if only else Known()
    published = catalogue.publish(image).to
    repository = payload.repository or (published[0] if published else f"localhost/{image}")
    return _at_hand(known, repository, told_of(f"of {image}, locked but not built", unbuilt))


class _Listed(BaseModel):
    """An image of Google's Artifact Registry: as its API and its clients name the parts, or as gcloud does."""

    model_config = ConfigDict(strict=True)
    uri: str = ""
    package: str = ""
    version: str = ""
    tags: list[str] | str = []
    size: Annotated[int | None, Field(strict=False)] = Field(
        default=None, validation_alias=AliasChoices("image_size_bytes", "imageSizeBytes")
    )
    media_type: str = Field(default="", validation_alias=AliasChoices("media_type", "mediaType"))

    def parts(self) -> tuple[str, str]:
        """Its repository and its digest."""
        repository, _, digest = (self.uri or f"{self.package}@{self.version}").partition("@")
        return repository, digest

    def names(self) -> Sequence[str]:
        """Its tags, which some write in one string."""
        return [tag.strip() for tag in self.tags.split(",")] if isinstance(self.tags, str) else self.tags


class _Listing(BaseModel):
    images: list[_Listed] = Field(validation_alias=AliasChoices("images", "dockerImages"))


def _of_listing(path: Path, origin: str, payload: MenuPayload) -> Holdings:
    if payload.repository is None:
        raise DocumentError(f"envs/menu.yaml: {payload.name}: a listing needs the key repository")
    text = read_text(path, origin=origin, hint="write there what Artifact Registry lists, as JSON")
    whole = text.lstrip().startswith("{")
    try:
        listed = _Listing.model_validate_json(text if whole else f'{{"images": {text}}}').images
    except ValidationError as error:
        raise DocumentError(f"{origin}: {error.errors()[0]['msg']}", hint="a list of images is wanted") from None
    known = dict[str, Known]()
    for image in listed:
        repository, digest = image.parts()
        if repository == payload.repository and image.media_type in {"", *ACCEPTED}:
            known |= {tag: Known(digest or None, image.size) for tag in image.names() if tag_fault(tag) is None}
    if not known:
        raise ArtifactError(f"{origin} has no image of {payload.repository}", hint="check the key repository")
    return _at_hand(known, payload.repository)


def _at_hand(known: Mapping[str, Known], repository: str, warnings: Sequence[str] = ()) -> Holdings:
    def describe(tags: Sequence[str]) -> Mapping[str, Known]:
        return {tag: known[tag] for tag in tags if tag in known}

    return Holdings(sorted(known), repository, describe, list(warnings))
