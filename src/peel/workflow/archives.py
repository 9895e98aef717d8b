"""Archives that a verb was told of: those named on the command line, then those of the catalogue's settings."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Final, assert_never

from peel.errors import DocumentError, UsageError
from peel.model.archive import archive_tag, parse_archive_manifest
from peel.model.progress import Progress
from peel.model.secrets import redact
from peel.model.values import ImageRef
from peel.store.archives import Archive, refuse_foreign_archive
from peel.store.catalogue import Catalogue
from peel.store.layout import make_layout
from peel.store.store import Store
from peel.tools import skopeo

_TAG: Final = r"[A-Za-z0-9_][A-Za-z0-9._-]{0,127}"
_LAYOUT: Final = re.compile(rf"oci:(?P<directory>[^:]+)(?::(?P<tag>{_TAG}))?")
_REGISTRY: Final = re.compile(
    rf"docker://(?P<name>[a-z0-9][a-z0-9.-]*(?::\d+)?(?:/[a-z0-9._-]+)+)"
    rf"(?::(?P<tag>{_TAG}))?(?P<pin>@sha256:[0-9a-f]{{64}})?"
)


@dataclass(frozen=True, slots=True)
class LayoutPlace:
    """An OCI layout on this machine; ``tag`` where one was named."""

    directory: Path
    tag: str | None = None

    def __str__(self) -> str:
        return f"oci:{self.directory}:{self.tag}" if self.tag else str(self.directory)


@dataclass(frozen=True, slots=True)
class RegistryPlace:
    """A repository of a registry; ``tag``, and ``pin`` (``@sha256:…``), where they were named."""

    name: str
    tag: str | None = None
    pin: str = ""

    def __str__(self) -> str:
        return f"docker://{self.name}{f':{self.tag}' if self.tag else ''}{self.pin}"

    @property
    def is_certain(self) -> bool:
        """Whether one archive is meant, and not each lock set's own."""
        return bool(self.tag or self.pin)

    def reference(self, ref: ImageRef) -> str:
        """The archive of a lock set in it, as skopeo calls it. Raises UsageError where a tag would be too long."""
        tag = self.tag or archive_tag(ref)
        if not re.fullmatch(_TAG, tag):
            raise UsageError(f"{tag!r} is too long for a registry's tag", hint=f"name one: {self}:TAG")
        return f"{self.name}{self.pin or f':{tag}'}"


Place = LayoutPlace | RegistryPlace


def parse_place(text: str, *, at: Path) -> Place:
    """Read ``DIR``, ``oci:DIR[:TAG]`` or ``docker://REPOSITORY[:TAG]``; a relative DIR starts from ``at``.

    Raises UsageError for anything else.
    """
    if found := _REGISTRY.fullmatch(text):
        return RegistryPlace(found["name"], found["tag"], found["pin"] or "")
    if found := _LAYOUT.fullmatch(text):
        return LayoutPlace(at / found["directory"], found["tag"])
    if not text or text.startswith("-") or ":" in text:
        raise UsageError(
            f"not a place of an archive: {redact(text)!r}",
            hint="write a directory, oci:DIR, oci:DIR:TAG, docker://REGISTRY/NAME or docker://REGISTRY/NAME:TAG",
        )
    return LayoutPlace(at / text)


@contextmanager
def open_archives(
    named: Sequence[str],
    *,
    ref: ImageRef,
    catalogue: Catalogue,
    store: Store,
    progress: Progress,
    growing: Place | None = None,
) -> Iterator[tuple[Archive, ...]]:
    """Lend the archives that were named, and then those of ``envs/settings.yaml``.

    ``ref`` says which archive of a repository is meant where no tag does. What was named is looked at now; the
    settings' archives, and all in registries, only when the store lacks something. ``growing`` need not be
    an archive yet. Raises UsageError for what is no place, DocumentError when the settings say so, ArtifactError
    for a place that holds no archive.
    """
    places = [parse_place(text, at=Path.cwd()) for text in named]
    declared = [place for place in declared_places(catalogue) if place not in places]
    with ExitStack() as stack:
        opener = _Opener(ref, store, progress, stack, growing)
        archives = [opener.open(place, named=True) for place in places]
        for place, archive in zip(places, archives, strict=True):
            if isinstance(place, LayoutPlace):
                archive.bring()
        yield (*archives, *(opener.open(place, named=False) for place in declared))


def declared_places(catalogue: Catalogue) -> Sequence[Place]:
    """The archives of a catalogue's settings; a relative directory starts from the catalogue. Raises DocumentError."""
    places = []
    for number, text in enumerate(catalogue.settings().archives):
        try:
            places.append(parse_place(text, at=catalogue.root.absolute()))
        except UsageError as error:
            raise DocumentError(f"envs/settings.yaml: archives[{number}]: {error.message}", hint=error.hint) from None
    return places


@dataclass(frozen=True, slots=True)
class _Opener:
    """What opening archives takes; what it brings goes with ``stack``."""

    ref: ImageRef
    store: Store
    progress: Progress
    stack: ExitStack
    growing: Place | None

    def open(self, place: Place, *, named: bool) -> Archive:
        match place:
            case LayoutPlace():
                plain = Archive(str(place), place.directory)
                if isinstance(self.growing, LayoutPlace) and place.directory == self.growing.directory:
                    return plain
                return Archive(plain.name, plain.root, _Once(partial(refuse_foreign_archive, plain, place.tag)))
            case RegistryPlace():
                root = self.stack.enter_context(self.store.work()) / "archive"
                return Archive(str(place), root, _Once(partial(self._fetch, place, root, needed=named)))
            case _:
                assert_never(place)

    def _fetch(self, place: RegistryPlace, root: Path, *, needed: bool) -> None:
        """Bring an archive out of a registry; an empty one where it has none for this lock set, unless it is needed."""
        reference = place.reference(self.ref)
        try:
            raw = skopeo.inspect(reference)
        except skopeo.UnknownImageError:
            if needed or place.is_certain:
                raise
            self.progress.step(f"{place} has no archive of {self.ref}")
            return make_layout(root)
        manifest = parse_archive_manifest(raw, f"docker://{reference}")
        size = sum(content.size for content in manifest.contents)
        self.progress.step(f"fetching the archive docker://{reference}: {len(manifest.contents)} artifacts")
        skopeo.copy_to_layout(reference, root, size=size)
        for blob in root.glob("blobs/sha256/*"):
            blob.chmod(0o444)  # nobody else has it: so the store can take it over without a copy
        return None


@dataclass(slots=True)
class _Once:
    """Does something when it is first asked for, and not again; a failure is told again."""

    work: Callable[[], None]
    done: bool = field(default=False)

    def __call__(self) -> None:
        if not self.done:
            self.work()
            self.done = True
