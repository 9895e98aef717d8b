"""Having artifacts in the store: from archives, else from where the lock says, with a progress bar."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from peel.errors import ArtifactError
from peel.model.progress import Advance, Progress
from peel.store.archives import Archive, take_from
from peel.store.fetch import Artifact, Attempted, Pinned, Unpinned, attempt, complete, fetch
from peel.store.store import Store
from peel.store.transport import FetchSettings

_SHOWN: Final = 20


@dataclass(frozen=True, slots=True)
class Sources:
    """Where what the store lacks comes from: archives in their order, then the network if it may be asked.

    ``variables`` are those that channels' URLs may name, with their values.
    """

    variables: Mapping[str, str] = field(default_factory=dict)
    archives: tuple[Archive, ...] = ()
    network: bool = True


@dataclass(frozen=True, slots=True)
class _Bar:
    """What the store tells, as a bar understands it."""

    advance: Advance

    def started(self, count: int, total: int | None) -> None:
        """The bar knows its size already."""

    def advanced(self, size: int) -> None:
        """Bytes move the bar."""
        self.advance(size)

    def finished(self, name: str) -> None:
        """A file that is done needs no line of its own."""


def fetch_artifacts(artifacts: Sequence[Artifact], store: Store, sources: Sources, progress: Progress) -> None:
    """Have every artifact in the store. Raises as ``store.fetch.fetch`` does, and ArtifactError without a network."""
    missing = _take_archived([a for a in artifacts if not store.blobs.has(a.digest)], store, sources, progress)
    if not missing:
        return
    if not sources.network:
        raise _not_archived(missing)
    total = sum(artifact.size or 0 for artifact in missing) or None
    with store.work() as work, progress.bar(f"fetching {_artifacts(len(missing))}", total, "bytes") as advance:
        fetch(missing, store.blobs, work, progress=_Bar(advance), settings=FetchSettings(variables=sources.variables))


def _take_archived(
    artifacts: Sequence[Artifact], store: Store, sources: Sources, progress: Progress
) -> Sequence[Artifact]:
    """Have what archives hold of these; says which they do not."""
    if not artifacts or not sources.archives:
        return artifacts
    wanted = [(artifact.digest, artifact.name) for artifact in artifacts]
    total = sum(artifact.size or 0 for artifact in artifacts) or None
    with progress.bar(f"looking for {_artifacts(len(wanted))} in archives", total, "bytes") as advance:
        take_from(sources.archives, wanted, store.blobs, advance=advance)
    return [artifact for artifact in artifacts if not store.blobs.has(artifact.digest)]


def complete_artifacts(
    files: Sequence[Unpinned], store: Store, sources: Sources, progress: Progress
) -> Sequence[Pinned]:
    """Fetch what has no sha256 yet, and say which it has. Raises as ``store.fetch.complete`` does."""
    if not files:
        return ()
    text = f"hashing {_artifacts(len(files))} that {'has' if len(files) == 1 else 'have'} no sha256"
    with store.work() as work, progress.bar(text, None, "bytes") as advance:
        return complete(
            files, store.blobs, work, progress=_Bar(advance), settings=FetchSettings(variables=sources.variables)
        )


def attempt_artifacts(
    wanted: Sequence[Artifact | Unpinned], store: Store, sources: Sources, progress: Progress
) -> Attempted:
    """Have what can be had of these, from archives and then the network; and say why the rest cannot.

    Raises ArtifactError for an archive that holds other bytes, ToolError when the disk refuses.
    """
    _take_archived([a for a in wanted if isinstance(a, Artifact) and not store.blobs.has(a.digest)], store, sources,
                   progress)  # fmt: skip
    lacking = sum(not (isinstance(each, Artifact) and store.blobs.has(each.digest)) for each in wanted)
    settings = FetchSettings(variables=sources.variables)
    with store.work() as work, progress.bar(f"fetching {_artifacts(lacking)}", lacking, "items") as advance:
        return attempt(wanted, store.blobs, work, progress=_Counted(advance), settings=settings)


@dataclass(frozen=True, slots=True)
class _Counted:
    """What the store tells, as a bar of files understands it: of many, the sizes are not known."""

    advance: Advance

    def started(self, count: int, total: int | None) -> None:
        """The bar knows its size already."""

    def advanced(self, size: int) -> None:
        """Bytes do not count."""

    def finished(self, name: str) -> None:  # noqa: ARG002
        """A file moves the bar."""
        self.advance(1)


def _not_archived(missing: Sequence[Artifact]) -> ArtifactError:
    names = "".join(f"\n  {artifact.name} ({artifact.digest})" for artifact in missing[:_SHOWN])
    more = f"\n  and {len(missing) - _SHOWN} more" if len(missing) > _SHOWN else ""
    return ArtifactError(
        f"{_artifacts(len(missing))} in no archive and not in the store:{names}{more}",
        hint="name the archive that holds them with --archive; peel archive makes one",
    )


def _artifacts(count: int) -> str:
    return "1 artifact" if count == 1 else f"{count} artifacts"
