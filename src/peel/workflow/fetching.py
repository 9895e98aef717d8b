"""Having artifacts in the store, with a progress bar."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from peel.model.progress import Advance, Progress
from peel.store.fetch import Artifact, Pinned, Unpinned, complete, fetch
from peel.store.store import Store
from peel.store.transport import FetchSettings


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


def fetch_artifacts(
    artifacts: Sequence[Artifact], store: Store, variables: Mapping[str, str], progress: Progress
) -> None:
    """Have every artifact in the store. Raises as ``store.fetch.fetch`` does."""
    missing = [artifact for artifact in artifacts if not store.blobs.has(artifact.digest)]
    if not missing:
        return
    total = sum(artifact.size or 0 for artifact in missing) or None
    with store.work() as work, progress.bar(f"fetching {_artifacts(len(missing))}", total, "bytes") as advance:
        fetch(missing, store.blobs, work, progress=_Bar(advance), settings=FetchSettings(variables=variables))


def complete_artifacts(
    files: Sequence[Unpinned], store: Store, variables: Mapping[str, str], progress: Progress
) -> Sequence[Pinned]:
    """Fetch what has no sha256 yet, and say which it has. Raises as ``store.fetch.complete`` does."""
    if not files:
        return ()
    text = f"hashing {_artifacts(len(files))} that {'has' if len(files) == 1 else 'have'} no sha256"
    with store.work() as work, progress.bar(text, None, "bytes") as advance:
        return complete(files, store.blobs, work, progress=_Bar(advance), settings=FetchSettings(variables=variables))


def _artifacts(count: int) -> str:
    return "1 artifact" if count == 1 else f"{count} artifacts"
