"""Fetches pinned artifacts into the store, several at once, none unchecked.

One event loop does it all, so that an interrupt ends every transfer at once.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final, Protocol, TypeAlias, assert_never

from peel.errors import ArtifactError
from peel.model.secrets import redact
from peel.model.values import Digest
from peel.store.blobs import Blobs
from peel.store.files import writing
from peel.store.transport import FetchSettings, Received, TransportError, expand, host_of, make_client, receive

if TYPE_CHECKING:
    import httpx

_SHOWN: Final = 20
_LONGEST_PAUSE: Final = 10.0


@dataclass(frozen=True, slots=True)
class Artifact:
    """A pinned file; ``name`` is how people call it, ``size`` in bytes where the lock knows it."""

    name: str
    url: str
    digest: Digest
    size: int | None = None


@dataclass(frozen=True, slots=True)
class Unpinned:
    """A file whose sha256 is still to be found out; ``md5`` in hexadecimal where a channel gave one."""

    name: str
    url: str
    size: int | None = None
    md5: str | None = None


@dataclass(frozen=True, slots=True)
class Pinned:
    """What an unpinned file turned out to be; ``size`` in bytes. It is in the store now."""

    digest: Digest
    size: int


_Wanted: TypeAlias = Artifact | Unpinned


class FetchProgress(Protocol):
    """Is told how far fetching has come. All calls come from the thread that fetches."""

    def started(self, count: int, total: int | None) -> None:
        """So many files are to come, of so many bytes in all; None when some length is not known."""

    def advanced(self, size: int) -> None:
        """So many bytes more have come; negative when a failed attempt is taken back."""

    def finished(self, name: str) -> None:
        """One more is in the store."""


class Silent:
    """Progress that nobody wants to hear of."""

    def started(self, count: int, total: int | None) -> None:
        """See FetchProgress."""

    def advanced(self, size: int) -> None:
        """See FetchProgress."""

    def finished(self, name: str) -> None:
        """See FetchProgress."""


def fetch(
    artifacts: Sequence[Artifact],
    blobs: Blobs,
    work: Path,
    *,
    progress: FetchProgress | None = None,
    settings: FetchSettings | None = None,
) -> None:
    """Have every artifact in the store, checked against its digest; what is there already is not fetched.

    ``work`` is an empty directory on the store's disk. Raises one ArtifactError that lists all that cannot be had (the
    rest is kept), and ToolError when the disk refuses.
    """
    missing = {a.digest: a for a in artifacts if not blobs.has(a.digest)}
    _run(_Fetching(list(missing.values()), blobs, work, progress or Silent(), settings or FetchSettings()))


def complete(
    files: Sequence[Unpinned],
    blobs: Blobs,
    work: Path,
    *,
    progress: FetchProgress | None = None,
    settings: FetchSettings | None = None,
) -> tuple[Pinned, ...]:
    """Fetch files to find out their sha256, in the order given, and keep them in the store.

    An md5 that is known is checked. Raises as ``fetch`` does.
    """
    fetching = _Fetching(list(dict.fromkeys(files)), blobs, work, progress or Silent(), settings or FetchSettings())
    _run(fetching)
    return tuple(fetching.found[file] for file in files)


@dataclass(frozen=True, slots=True)
class Attempted:
    """What came of trying: what is in the store now, and why the rest is not, without secrets."""

    found: Mapping[Artifact | Unpinned, Pinned]
    failed: Mapping[Artifact | Unpinned, str]


def attempt(
    wanted: Sequence[Artifact | Unpinned],
    blobs: Blobs,
    work: Path,
    *,
    progress: FetchProgress | None = None,
    settings: FetchSettings | None = None,
) -> Attempted:
    """Fetch what can be had; what cannot be is told of, not raised. Raises ToolError when the disk refuses."""
    there: dict[_Wanted, Pinned] = {
        a: _pinned(a, blobs) for a in wanted if isinstance(a, Artifact) and blobs.has(a.digest)
    }
    rest = [each for each in dict.fromkeys(wanted) if each not in there]
    fetching = _Fetching(rest, blobs, work, progress or Silent(), settings or FetchSettings())
    _run_through(fetching)
    failed = {each: redact(error.what) for each, error in fetching.failed.items()}
    return Attempted({**there, **fetching.found}, failed)


def _pinned(artifact: Artifact, blobs: Blobs) -> Pinned:
    return Pinned(artifact.digest, blobs.path(artifact.digest).stat().st_size)


@dataclass(slots=True)
class _Fetching:
    """One run: what is wanted, and what has become of it so far."""

    wanted: Sequence[_Wanted]
    blobs: Blobs
    work: Path
    progress: FetchProgress
    settings: FetchSettings
    found: dict[_Wanted, Pinned] = field(default_factory=dict)
    failed: dict[_Wanted, TransportError] = field(default_factory=dict)
    unreachable: dict[str, TransportError] = field(default_factory=dict)
    left: int = 0  # bytes that the disk must still take, as far as lengths are known

    async def run(self) -> None:
        queue = iter(enumerate(self.wanted))
        async with make_client(self.settings) as client:
            workers = [asyncio.create_task(self._work(queue, client)) for _ in range(self.settings.at_once)]
            try:
                await asyncio.gather(*workers)
            finally:
                for worker in workers:
                    worker.cancel()
                await asyncio.gather(*workers, return_exceptions=True)

    async def _work(self, queue: Iterator[tuple[int, _Wanted]], client: httpx.AsyncClient) -> None:
        for number, wanted in queue:
            target = self.work / f"artifact-{number}"
            try:
                with writing(self.blobs.root, needed=self.left or None):
                    self.found[wanted] = await self._fetch_one(wanted, target, client)
                self.left -= wanted.size or 0
                self.progress.finished(wanted.name)
            except TransportError as error:
                self.failed[wanted] = error
            finally:
                target.unlink(missing_ok=True)

    async def _fetch_one(self, wanted: _Wanted, target: Path, client: httpx.AsyncClient) -> Pinned:
        received = await self._receive(wanted, target, client)
        _check(wanted, received, tell=not expand(wanted.url, self.settings.variables).lower().startswith("file:"))
        await asyncio.to_thread(self.blobs.adopt, target, received.digest)
        return Pinned(received.digest, received.size)

    async def _receive(self, wanted: _Wanted, target: Path, client: httpx.AsyncClient) -> Received:
        """Try until the bytes have come, or another attempt would not help."""
        url = expand(wanted.url, self.settings.variables)
        attempt = 1
        while True:
            try:
                return await self._attempt(url, wanted.size, target, client)
            except TransportError as error:
                if attempt >= self.settings.attempts or not error.passing:
                    self._give_up(error)
                    raise
            await asyncio.sleep(min(self.settings.pause * 2 ** (attempt - 1), _LONGEST_PAUSE))
            attempt += 1

    async def _attempt(self, url: str, size: int | None, target: Path, client: httpx.AsyncClient) -> Received:
        given_up = self.unreachable.get(host_of(url))
        if given_up is not None:
            raise given_up.for_good()
        return await receive(url, target, client, size=size, advanced=self.progress.advanced)

    def _give_up(self, error: TransportError) -> None:
        """A host that cannot be reached is given up for all: a hundred artifacts must not wait for it in turn."""
        if error.host:
            self.unreachable[error.host] = error


def _run(fetching: _Fetching) -> None:
    _run_through(fetching)
    if fetching.failed:
        raise _failure(fetching.failed)


def _run_through(fetching: _Fetching) -> None:
    if not fetching.wanted:
        return
    sizes = [wanted.size for wanted in fetching.wanted]
    known = [size for size in sizes if size is not None]
    fetching.left = sum(known)
    fetching.progress.started(len(sizes), fetching.left if len(known) == len(sizes) else None)
    asyncio.run(fetching.run())


def _check(wanted: _Wanted, received: Received, *, tell: bool) -> None:
    """``tell`` what came instead; not of a local file, which need not be one that the lock's author may know of."""
    match wanted:
        case Artifact():
            expected, got = str(wanted.digest), str(received.digest)
        case Unpinned():
            expected, got = f"md5:{(wanted.md5 or received.md5).lower()}", f"md5:{received.md5}"
        case _:
            assert_never(wanted)
    if expected != got:
        raise TransportError(
            f"its bytes are not those locked: expected {expected}" + (f", got {got}" if tell else ""),
            "do not use this file: find out who changed it; lock anew only if the change is meant",
        )


def _failure(failed: Mapping[_Wanted, TransportError]) -> ArtifactError:
    """One error for all that failed, with every hint once."""
    lines = sorted(f"{wanted.name}: {redact(error.what)} ({redact(wanted.url)})" for wanted, error in failed.items())
    hints = dict.fromkeys(error.hint for error in failed.values())
    if len(lines) == 1:
        return ArtifactError(f"cannot fetch {lines[0]}", hint="; ".join(hints))
    if len(lines) > _SHOWN:
        lines[_SHOWN:] = [f"and {len(lines) - _SHOWN} more"]
    shown = "".join(f"\n  {line}" for line in lines)
    return ArtifactError(f"{len(failed)} artifacts cannot be fetched:{shown}", hint="\n".join(hints))
