"""The smallest relock: an environment's lock after a change, everything else at the build it was locked at."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from packaging.utils import canonicalize_name

from peel.errors import ArtifactError, DocumentError
from peel.model.conda_record import Record
from peel.model.declared import DeclaredEnvironment
from peel.model.moves import Move, conda_moves, is_moved
from peel.model.patch import Changes, PackageChange
from peel.model.progress import Progress
from peel.model.secrets import holds_credentials, holds_secrets
from peel.model.values import Digest
from peel.model.wheel_moves import wheel_moves
from peel.store.archives import take_from
from peel.store.fetch import Artifact
from peel.store.store import Store
from peel.tools.conda_lock import CondaLock
from peel.workflow.archived import archived_in, archived_record, origin_of, take_archived
from peel.workflow.asker import Asker, CondaWish
from peel.workflow.fetching import Sources, attempt_artifacts, fetch_artifacts
from peel.workflow.local_channel import file_name_of, locked_record
from peel.workflow.lock_entries import Entry, in_order, new_entry, usual_channel
from peel.workflow.relock_conda import free_specs, relock_conda, without_settled
from peel.workflow.relock_wheels import WheelWish, free_requirements, relock_wheels, without_settled_wheels
from peel.workflow.wheels_fit import refuse_misfits


@dataclass(frozen=True, slots=True)
class Wish:
    """What is to become of one environment on one platform.

    ``locked`` are conda-lock's entries of it; ``held`` is what earlier patches asked for, and still holds.
    """

    environment: DeclaredEnvironment
    platform: str
    glibc: str
    locked: Sequence[Entry]
    change: PackageChange
    held: PackageChange = field(default_factory=PackageChange)

    @property
    def label(self) -> str:
        """What messages call it."""
        return f"{self.environment.name} on {self.platform}"


@dataclass(frozen=True, slots=True)
class Relocked:
    """conda-lock's entries of the new state, unchanged ones verbatim; and all that moved, what was asked for first.

    A new entry may lack a sha256, where its channel gives none.
    """

    entries: tuple[Entry, ...]
    moves: tuple[Move, ...]


def relock(wish: Wish, *, store: Store, conda_lock: CondaLock, sources: Sources, progress: Progress) -> Relocked:
    """Change what is asked for, and as little else as possible.

    Every package stays at its locked build, vanished from its channel or not; where the solver proves that impossible,
    neighbours are freed a ring at a time. What archives keep is used where the declared channels do not do.

    Raises DocumentError for what cannot be had, naming patch and package; ArtifactError when that may be for a channel
    that cannot be read; ToolError when a program fails.
    """
    before, old = _parts(wish, "conda"), _parts(wish, "pip")
    if wish.change.conda.demands and wish.environment.role != "environment":
        _have(before.values(), store, sources, progress)
    records = {name: locked_record(entry, store.blobs) for name, entry in before.items()}
    changes = without_settled(wish.change.conda, records, wish.held.conda.demands)
    wheel_changes = without_settled_wheels(wish.change.wheels, old, wish.held.wheels.demands)
    with store.work() as work:
        solving = _Solving(wish, store, conda_lock, sources, progress, work)
        after = solving.conda(records, changes) if changes else records
        wheels = solving.wheels(old, after, wheel_changes) if wheel_changes else old
        entries = [before[name] if not is_moved(name, records, after) else solving.entry(after[name]) for name in after]
    refuse_misfits(wish.label, wish.platform, store.blobs, (records, old), (after, wheels))
    moves = (*conda_moves(records, after, changes), *wheel_moves(old, wheels, wheel_changes))
    return Relocked(in_order([*entries, *wheels.values()]), moves)


def _have(entries: Iterable[Entry], store: Store, sources: Sources, progress: Progress) -> None:
    """Have the archives of what is locked, as far as they can be had: they say more of a package than a lock does."""
    hashed = [entry for entry in entries if entry["hash"].get("sha256")]
    urls = {Digest.from_hex(str(entry["hash"]["sha256"])): str(entry["url"]) for entry in hashed}
    missing = [Artifact(file_name_of(url), url, digest) for digest, url in urls.items() if not store.blobs.has(digest)]
    if missing and sources.network:
        attempt_artifacts(missing, store, sources, progress)
    elif missing:
        take_from(sources.archives, [(artifact.digest, artifact.name) for artifact in missing], store.blobs)


def _parts(wish: Wish, manager: str) -> dict[str, Entry]:
    """The entries of one manager by name, a wheel's normalized."""
    entries = [entry for entry in wish.locked if entry["manager"] == manager]
    return {canonicalize_name(e["name"]) if manager == "pip" else str(e["name"]): e for e in entries}


@dataclass(frozen=True, slots=True)
class _Solving:
    """One relock, with all that it needs."""

    wish: Wish
    store: Store
    conda_lock: CondaLock
    sources: Sources
    progress: Progress
    work: Path

    def conda(self, before: Mapping[str, Record], changes: Changes) -> dict[str, Record]:
        """The conda packages afterwards."""
        wish = self.wish
        asked = wish.environment.dependencies if wish.environment.role != "environment" else ()  # else only history
        held = wish.held.conda
        known = CondaWish(
            label=wish.label, platform=wish.platform, glibc=wish.glibc, before=before, changes=changes,
            freely=free_specs(before, [*asked, *(demand.spec for demand in held.demands)]),
            channels=tuple(wish.environment.channels),
            banned=held.leaving - before.keys() - {demand.name for demand in changes.demands},
        )  # fmt: skip
        offline = None if self.sources.network else ArtifactError("no channel is asked without the network")
        asker = Asker(
            self.conda_lock.solver, known, self.work / "conda", self._archived(), self.progress,
            secrets=self.conda_lock.secrets, unread=offline,
        )  # fmt: skip
        self.progress.step(f"relocking {wish.label} with {self.conda_lock.solver.title}")
        after = relock_conda(known, asker)
        if asker.unread is not None and asker.unread is not offline:
            told = asker.unread.message.partition("\n")[0]
            self.progress.warn(f"{told}; {wish.label} was relocked from what is at hand")
        return after

    def wheels(self, before: Mapping[str, Entry], conda: Mapping[str, Record], changes: Changes) -> dict[str, Entry]:
        """The wheels afterwards."""
        wish = self.wish
        asked = wish.environment.pip if wish.environment.role != "environment" else ()
        known = WheelWish(
            label=wish.label, environment=wish.environment, platform=wish.platform, glibc=wish.glibc, conda=conda,
            before=before, changes=changes, banned=wish.held.wheels.leaving - before.keys(),
            have=self._wheel_files(before),
            freely=free_requirements(before, [*asked, *(demand.spec for demand in wish.held.wheels.demands)]),
        )  # fmt: skip
        self.progress.step(f"relocking the wheels of {wish.label} with conda-lock and {self.conda_lock.solver.title}")
        return relock_wheels(known, self.conda_lock, self.work / "wheels", self.progress)

    def entry(self, record: Record) -> Entry:
        """What conda-lock would write of a new package."""
        if record.url.startswith(self.work.resolve().as_uri()):
            md5 = take_archived(record, self.sources.archives, self.store.blobs)
            record = replace(record, url=self._url_of(record), md5=md5)
        secrets = self.conda_lock.secrets
        if holds_credentials(record.url) or holds_secrets(record.url, secrets):
            raise DocumentError(
                f"the lock of {self.wish.label} would hold a password or token of a channel",
                hint="name an environment variable in the channel's URL instead, as in https://host/t/$TOKEN/channel",
            )
        return new_entry(record, self.wish.platform)

    def _archived(self) -> Callable[[], Sequence[Record]]:
        """What archives keep, read once, and only when it is asked for."""
        found: list[Sequence[Record]] = []

        def read() -> Sequence[Record]:
            if not found:
                found.append([archived_record(each) for each in archived_in(self.sources.archives)])
            return found[0]

        return read

    def _url_of(self, record: Record) -> str:
        """Where an archived package came from, as a lock set in an archive says; else where its like come from."""
        if known := origin_of(Digest.from_hex(record.sha256), self.sources.archives, self.store.blobs):
            return known
        channel = usual_channel(self.wish.locked, self.wish.environment.channels, record.name)
        return f"{channel}/{record.subdir}/{record.file_name}"

    def _wheel_files(self, before: Mapping[str, Entry]) -> Callable[[Sequence[str]], Mapping[str, Path]]:
        def have(names: Sequence[str]) -> Mapping[str, Path]:
            digests = {name: Digest.from_hex(str(before[name]["hash"]["sha256"])) for name in names}
            urls = {name: str(before[name]["url"]) for name in names}
            artifacts = [Artifact(file_name_of(urls[name]), urls[name], digests[name]) for name in names]
            fetch_artifacts(artifacts, self.store, self.sources, self.progress)
            return {name: self.store.blobs.path(digest) for name, digest in digests.items()}

        return have
