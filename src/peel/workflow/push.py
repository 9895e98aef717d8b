"""``peel push``: an image to registries. Blobs first, the tag last; what is published stays what it is."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from time import monotonic
from typing import Final

from peel.errors import ArtifactError, DifferenceError, PeelError
from peel.model.oci import Descriptor
from peel.model.progress import Progress
from peel.model.repository import Repository
from peel.model.values import Digest
from peel.registry.client import RegistryClient, open_registry
from peel.store.layout import export_layout, needed_blobs
from peel.store.store import Store
from peel.tools import skopeo
from peel.workflow.push_aliases import AliasOutcome, AliasRules, move_alias
from peel.workflow.pushable import Pushable

_TAG: Final = "image"


@dataclass(frozen=True, slots=True)
class Destination:
    """A repository that an image goes to, and what was found and done there."""

    repository: Repository
    client: RegistryClient
    before: Descriptor | None
    """What the tag stood for."""


@dataclass(frozen=True, slots=True)
class PushedTo:
    """What came of it in one repository; ``sent`` are the blobs that it lacked."""

    repository: Repository
    sent: Sequence[Descriptor]
    replaced: Digest | None
    aliases: Sequence[AliasOutcome]


@dataclass(frozen=True, slots=True)
class Pushed:
    """An image that is published, and how many seconds it took."""

    image: Pushable
    places: Sequence[PushedTo]
    seconds: float


@dataclass(frozen=True, slots=True)
class Publishing:
    """How an image is published; ``force`` lets a tag be replaced."""

    repositories: Sequence[Repository]
    aliases: AliasRules = field(default_factory=AliasRules)
    force: bool = False


def push_image(image: Pushable, how: Publishing, store: Store, progress: Progress) -> Pushed:
    """Publish an image under its tag in every repository, or in none.

    First every registry is asked, then all of them get the blobs and the manifests by digest, and only when all have
    them does the tag appear. Raises DifferenceError for a tag that stands for another image, ArtifactError naming what
    each registry refused, ToolError when skopeo is missing or the disk refuses.
    """
    began = monotonic()
    skopeo.version()
    aliases = how.aliases.names_for(image)
    with ExitStack() as clients:
        places = [_look(clients, repository, image, how) for repository in dict.fromkeys(how.repositories)]
        sent = _send_all(places, image, store, progress)
        _name_all(places, image, force=how.force)
        told = [
            PushedTo(
                place.repository, blobs, place.before.digest if _replaces(place, image) and place.before else None,
                [move_alias(place.client, alias, image, how.aliases) for alias in aliases],
            )
            for place, blobs in zip(places, sent, strict=True)
        ]  # fmt: skip
    return Pushed(image, told, monotonic() - began)


def _look(clients: ExitStack, repository: Repository, image: Pushable, how: Publishing) -> Destination:
    client = clients.enter_context(open_registry(repository, writing=True))
    place = Destination(repository, client, client.describe(image.tag))
    if _replaces(place, image) and not how.force and place.before is not None:
        raise DifferenceError(
            f"{repository}:{image.tag} is published, as {place.before.digest}; this image is {image.top.digest}",
            hint="give this build a tag of its own (peel tag next says one), or replace the other with --force",
        )
    return place


def _replaces(place: Destination, image: Pushable) -> bool:
    return place.before is not None and place.before.digest != image.top.digest


def _send_all(
    places: Sequence[Destination], image: Pushable, store: Store, progress: Progress
) -> Sequence[Sequence[Descriptor]]:
    """Send to every place, whatever happens at another; raise one error about all that failed."""
    sent, failed = list[Sequence[Descriptor]](), dict[Repository, PeelError]()
    for place in places:
        try:
            sent.append(_send(place, image, store, progress))
        except PeelError as error:
            failed[place.repository] = error
    if len(failed) == len(places) == 1:
        raise next(iter(failed.values()))
    if failed:
        lines = "".join(f"\n  {repository}: {error.message}" for repository, error in failed.items())
        raise ArtifactError(
            f"{len(failed)} of {len(places)} registries did not take {image.ref}, so none has the tag now:{lines}",
            hint=next(iter(failed.values())).hint,
        )
    return sent


def _send(place: Destination, image: Pushable, store: Store, progress: Progress) -> Sequence[Descriptor]:
    """Let a repository have everything but the tag; returns the blobs that it lacked."""
    client, lacking = place.client, list[Descriptor]()
    for manifest in image.manifests:
        if client.describe(str(manifest.digest)) is not None:
            continue
        *blobs, _ = needed_blobs(store.blobs, manifest)
        missing = [blob for blob in dict.fromkeys(blobs) if not client.has_blob(blob.digest)]
        size = sum(blob.size for blob in missing)
        progress.step(f"sending {len(missing)} of {len(blobs)} blobs, {size:,} bytes, to {place.repository}")
        _copy(manifest, sum(blob.size for blob in blobs), place.repository, store)
        lacking += missing
    return lacking


def _copy(manifest: Descriptor, size: int, repository: Repository, store: Store) -> None:
    with store.work() as work:
        export_layout(store.blobs, manifest, work / "layout", _TAG)
        skopeo.push_layout(work / "layout", _TAG, f"{repository}@{manifest.digest}", size=size)


def _name_all(places: Sequence[Destination], image: Pushable, *, force: bool) -> None:
    """Let the tag stand for the image everywhere, and see that it does; say where it does, should one registry fail."""
    named = list[str]()
    for place in places:
        try:
            _name(place, image, force=force)
        except PeelError as error:
            done = f"; it is published at {', '.join(named)}" if named else ""
            raise type(error)(f"{error.message}{done}", hint=error.hint) from None
        named.append(f"{place.repository}:{image.tag}")


def _name(place: Destination, image: Pushable, *, force: bool) -> None:
    """Write the tag, unless another push wrote one while the blobs were on their way."""
    found = place.client.describe(image.tag)
    if found is not None and found.digest == image.top.digest:
        return
    before = place.before.digest if place.before is not None else None
    if found is not None and found.digest != before and not force:
        raise DifferenceError(
            f"{place.repository}:{image.tag} was published meanwhile, as {found.digest}",
            hint="give this build a tag of its own, or replace the other with --force",
        )
    place.client.put_manifest(image.tag, image.top.media_type, image.document)
