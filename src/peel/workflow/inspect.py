"""Reading what was locked: every archive, once, before anything is written."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from peel.errors import ArtifactError, DocumentError
from peel.layers.archive import read_facts
from peel.layers.link import installed_paths
from peel.layers.wheel_facts import installed_wheel_paths, read_wheel_facts
from peel.model.condalock import CondaLockPackage
from peel.model.declared import DeclaredEnvironment
from peel.model.progress import Advance, Progress
from peel.model.values import Digest, PythonVersion
from peel.store.fetch import Artifact, Unpinned
from peel.store.store import Store
from peel.workflow.fetching import complete_artifacts, fetch_artifacts

_MOST_SHOWN = 20


@dataclass(frozen=True, slots=True)
class Inspected:
    """A locked package whose archive has been read.

    ``size`` is the archive's, in bytes; ``timestamp`` in seconds; ``paths`` maps where each file will lie, relative to
    the prefix, to the sha256 of its packaged bytes in hexadecimal (None where an old package does not say). ``room`` is
    how many bytes the prefix may have, by the binaries that hold one.
    """

    package: CondaLockPackage
    digest: Digest
    size: int
    timestamp: int | None
    paths: Mapping[str, str | None]
    link_scripts: Mapping[str, str]
    room: Mapping[str, int]


def inspect_packages(
    wanted: Mapping[tuple[str, str], Sequence[CondaLockPackage]],
    store: Store,
    secrets: Mapping[str, str],
    progress: Progress,
) -> Mapping[tuple[str, str], Sequence[Inspected]]:
    """Fetch and read every package, by platform and environment. Raises ArtifactError for all that fail, at once."""
    packages = {package.url: package for found in wanted.values() for package in found}
    digests = _fetch_all(list(packages.values()), store, secrets, progress)
    count = sum(len(found) for found in wanted.values())
    inspected = {}
    with progress.bar("reading packages", count, "items") as advance:
        for place, found in wanted.items():
            python = _python_of(found)
            inspected[place] = [_inspect(package, digests[package.url], python, store, advance) for package in found]
    return inspected


def _fetch_all(
    packages: Sequence[CondaLockPackage], store: Store, secrets: Mapping[str, str], progress: Progress
) -> Mapping[str, Digest]:
    """By URL, what every package's artifact is, once it is in the store."""
    hashed = {package.url: Digest.from_hex(package.hash.sha256) for package in packages if package.hash.sha256}
    artifacts = [Artifact(p.file_name, p.url, hashed[p.url]) for p in packages if p.url in hashed]
    fetch_artifacts(artifacts, store, secrets, progress)
    unhashed = [package for package in packages if package.url not in hashed]
    files = [Unpinned(package.file_name, package.url, md5=package.hash.md5) for package in unhashed]
    pinned = complete_artifacts(files, store, secrets, progress)
    return {**hashed, **{package.url: found.digest for package, found in zip(unhashed, pinned, strict=True)}}


def _python_of(packages: Sequence[CondaLockPackage]) -> PythonVersion | None:
    found = [package for package in packages if package.manager == "conda" and package.name == "python"]
    return PythonVersion.parse(found[0].version) if found else None


def _inspect(
    package: CondaLockPackage, digest: Digest, python: PythonVersion | None, store: Store, advance: Advance
) -> Inspected:
    archive = store.blobs.path(digest)
    read = _read_wheel if package.manager == "pip" else _read_conda
    timestamp, paths, link_scripts, room = read(archive, package.file_name, python)
    advance(1)
    return Inspected(package, digest, archive.stat().st_size, timestamp, paths, link_scripts, room)


_Contents = tuple[int | None, Mapping[str, str | None], Mapping[str, str], Mapping[str, int]]


def _read_conda(archive: Path, file_name: str, python: PythonVersion | None) -> _Contents:
    facts = read_facts(archive, file_name)
    room = {path.path: path.room for path in facts.paths if path.room is not None}
    return facts.timestamp, installed_paths(facts, python), dict(facts.link_scripts), room


def _read_wheel(archive: Path, file_name: str, python: PythonVersion | None) -> _Contents:
    if python is None:
        raise DocumentError(
            f"{file_name} is a wheel, but the environment has no conda python", hint="add python to its dependencies"
        )
    facts = read_wheel_facts(archive, file_name)
    return None, installed_wheel_paths(facts, python), {}, {}


def decide_owners(environment: DeclaredEnvironment, found: Sequence[Inspected], origin: str) -> Mapping[str, str]:
    """Which package brings each path that several have: the declared one, or any where all have the same bytes.

    Raises ArtifactError for paths with other contents that nobody decided on, DocumentError for a needless decision.
    """
    owners: defaultdict[str, dict[str, str | None]] = defaultdict(dict)
    for item in found:
        for path, digest in item.paths.items():
            owners[path][item.package.name] = digest
    _refuse_unfounded(environment, owners, origin)
    shared = {path: names for path, names in owners.items() if len(names) > 1}
    _refuse_undecided(environment, {path: names for path, names in shared.items() if not _same(names.values())}, origin)
    return {path: environment.clobber.get(path, min(names)) for path, names in shared.items()}


def refuse_link_scripts(environment: DeclaredEnvironment, found: Sequence[Inspected], origin: str) -> None:
    """Scripts that nobody allowed are refused, all at once. Raises ArtifactError."""
    refused = [
        f"  {item.package.name}: {script} (sha256 {digest})"
        for item in found
        for script, digest in sorted(item.link_scripts.items())
        if environment.skip_link_scripts.get(item.package.name) != digest
    ]
    if refused:
        raise ArtifactError(
            f"{origin}: packages bring scripts that want to run when linked, which peel does not do:\n"
            + "\n".join(refused),
            hint="read each; where all works without it, name its package and sha256 under skip_link_scripts",
        )


def refuse_long_prefix(environment: DeclaredEnvironment, found: Sequence[Inspected], origin: str) -> None:
    """A binary keeps the prefix in the space that its build left for one. Raises ArtifactError for the tightest."""
    tightest = min(((room, item, path) for item in found for path, room in item.room.items()), key=_room, default=None)
    if tightest is not None and len(environment.prefix.encode()) > tightest[0]:
        room, item, path = tightest
        raise ArtifactError(
            f"{origin}: the prefix {environment.prefix} is too long for {path} of {item.package.file_name}, "
            f"which has room for {room} bytes",
            hint="choose a shorter prefix",
        )


def _room(tight: tuple[int, Inspected, str]) -> tuple[int, str, str]:
    room, item, path = tight
    return room, item.package.name, path


def _refuse_undecided(
    environment: DeclaredEnvironment, clashes: Mapping[str, Mapping[str, str | None]], origin: str
) -> None:
    undecided = sorted(path for path in clashes if path not in environment.clobber)
    if undecided:
        lines = [f"  {path}: {', '.join(sorted(clashes[path]))}" for path in undecided[:_MOST_SHOWN]]
        if len(undecided) > _MOST_SHOWN:
            lines.append(f"  and {len(undecided) - _MOST_SHOWN} more")
        raise ArtifactError(
            f"{origin}: several packages bring these paths, with other contents:\n" + "\n".join(lines),
            hint=f"say which package wins under clobber, for example {undecided[0]}: {min(clashes[undecided[0]])}",
        )


def _same(digests: Collection[str | None]) -> bool:
    return len(set(digests)) == 1 and None not in digests


def _refuse_unfounded(
    environment: DeclaredEnvironment, owners: Mapping[str, Mapping[str, str | None]], origin: str
) -> None:
    for path, winner in environment.clobber.items():
        if winner not in owners.get(path, {}):
            raise DocumentError(
                f"{origin}: clobber says that {winner!r} brings {path}, which it does not",
                hint=f"packages that do: {', '.join(sorted(owners.get(path, {}))) or 'none'}",
            )
