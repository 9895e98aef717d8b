"""Reading what was locked: every archive, once, before anything is written."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
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
from peel.workflow.fetching import Sources, complete_artifacts, fetch_artifacts


@dataclass(frozen=True, slots=True)
class Contents:
    """What decides how a package gets along with others.

    ``paths`` maps where each file will lie, relative to the prefix, to what identifies its contents (None where the
    package does not say). ``timestamp`` is in seconds; ``link_scripts`` have their sha256 in hexadecimal; ``room`` is
    how many bytes the prefix may have, by the binaries that hold one. ``dist`` is what the package calls itself,
    ``NAME-VERSION-BUILD`` or of a wheel ``NAME-VERSION``, and ``depends`` what it says it needs. ``for_python`` says
    whether its files are others for another Python. ``license`` is as the package words it, "" when it does not;
    ``installed_size`` is in bytes.
    """

    paths: Mapping[str, str | None]
    timestamp: int | None = None
    link_scripts: Mapping[str, str] = field(default_factory=dict)
    room: Mapping[str, int] = field(default_factory=dict)
    dist: str = ""
    depends: tuple[str, ...] = ()
    for_python: bool = False
    license: str = ""
    installed_size: int = 0


@dataclass(frozen=True, slots=True)
class Inspected:
    """A locked package whose archive has been read.

    ``size`` is the archive's, in bytes.
    """

    package: CondaLockPackage
    digest: Digest
    size: int
    contents: Contents


def inspect_packages(
    wanted: Mapping[tuple[str, str], Sequence[CondaLockPackage]],
    store: Store,
    sources: Sources,
    progress: Progress,
) -> Mapping[tuple[str, str], Sequence[Inspected]]:
    """Fetch and read every package, by platform and environment. Raises ArtifactError for all that fail, at once."""
    packages = {package.url: package for found in wanted.values() for package in found}
    digests = _fetch_all(list(packages.values()), store, sources, progress)
    count = sum(len(found) for found in wanted.values())
    inspected = {}
    with progress.bar("reading packages", count, "items") as advance:
        for place, found in wanted.items():
            python = python_of(found)
            inspected[place] = [_inspect(package, digests[package.url], python, store, advance) for package in found]
    return inspected


def read_packages(
    packages: Sequence[CondaLockPackage],
    python: PythonVersion | None,
    store: Store,
    sources: Sources,
    progress: Progress,
) -> Sequence[Inspected]:
    """Fetch and read packages as they are with this Python. Raises ArtifactError for all that fail, at once."""
    digests = _fetch_all(packages, store, sources, progress)
    with progress.bar("reading packages", len(packages), "items") as advance:
        return [_inspect(package, digests[package.url], python, store, advance) for package in packages]


def _fetch_all(
    packages: Sequence[CondaLockPackage], store: Store, sources: Sources, progress: Progress
) -> Mapping[str, Digest]:
    """By URL, what every package's artifact is, once it is in the store."""
    hashed = {package.url: Digest.from_hex(package.hash.sha256) for package in packages if package.hash.sha256}
    artifacts = [Artifact(p.file_name, p.url, hashed[p.url]) for p in packages if p.url in hashed]
    fetch_artifacts(artifacts, store, sources, progress)
    unhashed = [package for package in packages if package.url not in hashed]
    files = [Unpinned(package.file_name, package.url, md5=package.hash.md5) for package in unhashed]
    pinned = complete_artifacts(files, store, sources, progress)
    return {**hashed, **{package.url: found.digest for package, found in zip(unhashed, pinned, strict=True)}}


def python_of(packages: Iterable[CondaLockPackage]) -> PythonVersion | None:
    """The Python that an environment of these packages has."""
    found = [package for package in packages if package.manager == "conda" and package.name == "python"]
    return PythonVersion.parse(found[0].version) if found else None


def _inspect(
    package: CondaLockPackage, digest: Digest, python: PythonVersion | None, store: Store, advance: Advance
) -> Inspected:
    archive = store.blobs.path(digest)
    read = _read_wheel if package.manager == "pip" else _read_conda
    contents = read(archive, package.file_name, python)
    advance(1)
    return Inspected(package, digest, archive.stat().st_size, contents)


def _read_conda(archive: Path, file_name: str, python: PythonVersion | None) -> Contents:
    facts = read_facts(archive, file_name)
    room = {path.path: path.room for path in facts.paths if path.room is not None}
    dist = f"{facts.name}-{facts.version}-{facts.build}"
    paths = installed_paths(facts, python)
    for_python = facts.noarch == "python"
    return Contents(
        paths, facts.timestamp, dict(facts.link_scripts), room, dist, facts.depends, for_python,
        license=facts.license, installed_size=facts.installed_size,
    )  # fmt: skip


def _read_wheel(archive: Path, file_name: str, python: PythonVersion | None) -> Contents:
    if python is None:
        raise DocumentError(
            f"{file_name} is a wheel, but the environment has no conda python", hint="add python to its dependencies"
        )
    facts = read_wheel_facts(archive, file_name)
    dist = f"{facts.name}-{facts.version}"
    return Contents(
        installed_wheel_paths(facts, python), dist=dist, depends=facts.depends, for_python=True,
        license=facts.license, installed_size=facts.installed_size,
    )  # fmt: skip


def refuse_link_scripts(environment: DeclaredEnvironment, found: Sequence[Inspected], origin: str) -> None:
    """Scripts that nobody allowed are refused, all at once. Raises ArtifactError.

    What would run before a package is unlinked never runs in an image, and is nobody's concern.
    """
    refused = {
        item.package.name: scripts
        for item in found
        if (scripts := _not_allowed(item.contents, environment.skip_link_scripts.get(item.package.name, {})))
    }
    if refused:
        listed = [f"  {name}: {script}" for name, scripts in sorted(refused.items()) for script in sorted(scripts)]
        block = [
            line
            for name, scripts in sorted(refused.items())
            for line in (f"    {name}:", *(f"      {script}: {digest}" for script, digest in sorted(scripts.items())))
        ]
        raise ArtifactError(
            f"{origin}: packages bring scripts that want to run when linked, which peel does not do:\n"
            + "\n".join(listed),
            hint="read each; where all works without it, declare\n  skip_link_scripts:\n" + "\n".join(block),
        )


def _not_allowed(contents: Contents, allowed: Mapping[str, str]) -> Mapping[str, str]:
    return {
        script: digest
        for script, digest in contents.link_scripts.items()
        if not script.endswith("-pre-unlink.sh") and allowed.get(script) != digest
    }


def refuse_long_prefix(environment: DeclaredEnvironment, found: Sequence[Inspected], origin: str) -> None:
    """A binary keeps the prefix in the space that its build left for one. Raises ArtifactError for the tightest."""
    rooms = ((room, item, path) for item in found for path, room in item.contents.room.items())
    tightest = min(rooms, key=_room, default=None)
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
