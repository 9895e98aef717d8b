"""Linker 1's way with the members of a conda archive: each is checked against the package's own list and staged."""

from __future__ import annotations

import hashlib
import posixpath
import tempfile
from dataclasses import dataclass, field, replace
from pathlib import Path

from peel.errors import ArtifactError
from peel.layers.conda_info import Info, Listed
from peel.layers.conda_stream import Content, Member, Part, check_path, members
from peel.layers.link_python import is_packaged_bytecode, place
from peel.layers.link_stage import Stage, write_all
from peel.layers.prefix import PrefixRule, rewrite
from peel.model.entry import Kind
from peel.model.values import PythonVersion

_IN_MEMORY = 8 << 20


@dataclass(frozen=True, slots=True)
class Package:
    """What is linked, and where to."""

    file_name: str
    info: Info
    prefix: str
    python: PythonVersion | None
    omit: frozenset[str]

    def place(self, path: str) -> str | None:
        """Where a path of the archive goes, relative to the prefix; None when it is left out."""
        if is_packaged_bytecode(path):
            return None
        placed = place(path, self.python) if self.python and self.info.noarch == "python" else path
        return None if placed in self.omit else placed


@dataclass(frozen=True, slots=True)
class Linked:
    """A path that is in the stage, with the sha256 of its packaged and of its final bytes; ``size`` is the final one.

    Hard links are files; ``same`` are all names of such a file.
    """

    path: str
    kind: Kind
    mode: int
    size: int
    sha256: str | None
    sha256_in_prefix: str
    target: str = ""
    rule: PrefixRule | None = None
    same: list[str] = field(default_factory=list)


def link_payload(archive: Path, package: Package, staged: Stage) -> list[Linked]:
    """Stage all of a package's files that are not left out. Raises ArtifactError where archive and list disagree."""
    linking = _Linking(package, staged)
    seen: set[str] = set()
    for member, content in members(archive, package.file_name, Part.PAYLOAD):
        listed = package.info.listed.get(member.path)
        if listed is None:
            raise ArtifactError(f"{package.file_name}: holds {member.path!r}, which its list of files does not name")
        _check_listed(member, listed, package.file_name)
        seen.add(member.path)
        path = package.place(member.path)
        if path is not None:
            linking.link(member, content, listed, path)
    missing = {path for path, item in package.info.listed.items() if item.type != "directory"} - seen
    if missing:
        raise ArtifactError(
            f"{package.file_name}: {min(missing)!r} is listed but not there", hint="the archive may be truncated"
        )
    return list(linking.linked.values())


def check_target(path: str, target: str, file_name: str) -> str:
    """Give back a symbolic link's text, if it stays in the prefix as written. Raises ArtifactError."""
    resolved = posixpath.normpath(posixpath.join(posixpath.dirname(path), target))
    if not target or target.startswith("/") or resolved == ".." or resolved.startswith("../"):
        raise ArtifactError(f"{file_name}: the symbolic link {path!r} points out of the prefix, to {target!r}")
    if resolved != ".":
        check_path(resolved, file_name)
    return target


def _check_listed(member: Member, listed: Listed, file_name: str) -> None:
    if member.kind is Kind.FILE and listed.type == "softlink":
        raise ArtifactError(f"{file_name}: {member.path!r} is listed as a symbolic link, and is a file")
    if member.kind is Kind.FILE and listed.size not in {None, member.size}:
        raise ArtifactError(f"{file_name}: {member.path!r} has {member.size} bytes, and is listed with {listed.size}")


@dataclass(slots=True)
class _Linking:
    """A package on its way into the stage; ``linked`` is what is there, by the path in the archive."""

    package: Package
    staged: Stage
    linked: dict[str, Linked] = field(default_factory=dict)

    def link(self, member: Member, content: Content, listed: Listed, path: str) -> None:
        match member.kind:
            case Kind.SYMLINK:
                linked = self._symlink(member, listed, path)
            case Kind.HARDLINK:
                linked = self._hardlink(member, listed, path)
            case _:
                linked = self._file(member, content, listed, path)
        self.linked[member.path] = linked

    def _symlink(self, member: Member, listed: Listed, path: str) -> Linked:
        target = check_target(path, member.target, self.package.file_name)
        self.staged.symlink(path, target)
        text = target.encode()
        digest = hashlib.sha256(text).hexdigest()  # of the text, as rattler has it
        return Linked(path, Kind.SYMLINK, 0o777, len(text), listed.sha256, digest, target=target)

    def _hardlink(self, member: Member, listed: Listed, path: str) -> Linked:
        target = member.target.removeprefix("./")
        first = self.linked.get(target)
        what = f"{self.package.file_name}: the hard link {member.path!r}"
        if first is None or first.kind is not Kind.FILE:
            raise ArtifactError(f"{what} repeats {target!r}, which is no file of the package before it, or is left out")
        if listed.rule != first.rule or listed.sha256 not in {None, first.sha256}:
            raise ArtifactError(f"{what} is listed with other content than {target!r}, which it repeats")
        self.staged.hardlink(path, first.path)
        first.same.extend([path] if first.same else [first.path, path])
        return replace(first, path=path)  # shares the list of names

    def _file(self, member: Member, content: Content, listed: Listed, path: str) -> Linked:
        label = f"{self.package.file_name}: {member.path}"
        with self.staged.new_file(path) as target:
            sink = _Sink(target)
            packaged = self._replace(content, sink, listed.rule, label) if listed.rule else _copy(content, sink)
        if listed.sha256 not in {None, packaged}:
            raise ArtifactError(
                f"{label} does not have the sha256 it is listed with", hint="the archive was made or changed wrongly"
            )
        return Linked(path, Kind.FILE, member.mode, sink.size, packaged, sink.digest.hexdigest(), rule=listed.rule)

    def _replace(self, content: Content, sink: _Sink, rule: PrefixRule, label: str) -> str:
        """Replace the placeholder on the way; the sha256 of what was packaged."""
        packaged = hashlib.sha256()
        with tempfile.SpooledTemporaryFile(_IN_MEMORY, dir=str(self.staged.root)) as source:
            for chunk in content.chunks():
                packaged.update(chunk)
                source.write(chunk)
            rewrite(source, sink, rule=rule, prefix=self.package.prefix, label=label)
        return packaged.hexdigest()


class _Sink:
    """Writes to a descriptor, and keeps count."""

    def __init__(self, target: int) -> None:
        self.size = 0
        self.digest = hashlib.sha256()
        self._target = target

    def __call__(self, data: bytes) -> None:
        self.size += len(data)
        self.digest.update(data)
        write_all(self._target, data)


def _copy(content: Content, sink: _Sink) -> str:
    for chunk in content.chunks():
        sink(chunk)
    return sink.digest.hexdigest()
