"""Linker 1's way with the members of a conda archive: each is checked against the package's own list and staged.

What the list does not name is no file of the package, for conda and rattler as for linker 1, and stays behind.
"""

from __future__ import annotations

import hashlib
import posixpath
import stat
import tempfile
from dataclasses import dataclass, field, replace
from pathlib import Path

from peel.errors import ArtifactError
from peel.layers.conda_info import Info, Listed
from peel.layers.conda_stream import Content, Member, Part, check_path, members
from peel.layers.link_python import is_replaced_bytecode, place
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
        placed = place(path, self.python) if self.python and self.info.noarch == "python" else path
        return None if placed in self.omit or is_replaced_bytecode(placed, self.python) else placed


@dataclass(frozen=True, slots=True)
class Linked:
    """A path that is in the stage, with the sha256 of its packaged and of its final bytes; ``size`` is the final one.

    Hard links are files; ``same`` are all names of such a file.
    """

    path: str
    kind: Kind
    mode: int
    size: int = 0
    sha256: str | None = None
    sha256_in_prefix: str = ""
    target: str = ""
    rule: PrefixRule | None = None
    same: list[str] = field(default_factory=list)


def link_payload(archive: Path, package: Package, staged: Stage) -> list[Linked]:
    """Stage all of a package's files that are not left out. Raises ArtifactError where archive and list disagree."""
    linking = _Linking(package, staged)
    listed = package.info.listed
    missing = {path for path, item in listed.items() if item.type != "directory"}
    for member, content in members(archive, package.file_name, Part.PAYLOAD):
        missing.discard(member.path)
        linking.take(member, content)
    if missing:
        raise ArtifactError(
            f"{package.file_name}: {min(missing)!r} is listed but not there", hint="the archive may be truncated"
        )
    if linking.waiting:
        for member, content in members(archive, package.file_name, Part.PAYLOAD):
            linking.promote(member, content)
    linking.make_directories()
    return linking.linked


def final_mode(mode: int) -> int:
    """The mode of a linked file: all may read it, and run it if its owner may, since the lab runs as another user."""
    return mode | 0o444 | (0o111 if mode & stat.S_IXUSR else 0)


def check_target(path: str, target: str, file_name: str) -> str:
    """Give back a symbolic link's text, if it stays in the prefix as written. Raises ArtifactError."""
    resolved = posixpath.normpath(posixpath.join(posixpath.dirname(path), target))
    if not target or target.startswith("/") or resolved == ".." or resolved.startswith("../"):
        raise ArtifactError(f"{file_name}: the symbolic link {path!r} points out of the prefix, to {target!r}")
    if resolved != ".":
        check_path(resolved, file_name)
    return target


def _check_listed(member: Member, listed: Listed, file_name: str) -> None:
    if listed.type == "directory":
        raise ArtifactError(f"{file_name}: {member.path!r} is listed as a directory, and is a {member.kind}")
    if member.kind is not Kind.SYMLINK and listed.type == "softlink":
        raise ArtifactError(f"{file_name}: {member.path!r} is listed as a symbolic link, and is a {member.kind}")
    if member.kind is Kind.FILE and listed.size not in {None, member.size}:
        raise ArtifactError(f"{file_name}: {member.path!r} has {member.size} bytes, and is listed with {listed.size}")


@dataclass(slots=True)
class _Linking:
    """A package on its way into the stage; ``linked`` is what is there.

    ``files`` are the staged files by their path in the archive, ``left_out`` those that were passed over. Hard links
    that repeat such a one are ``waiting`` for a second reading of the archive: the first of them becomes the file.
    ``firsts`` maps every hard link to the file that it repeats in the end.
    """

    package: Package
    staged: Stage
    linked: list[Linked] = field(default_factory=list)
    files: dict[str, Linked] = field(default_factory=dict)
    left_out: set[str] = field(default_factory=set)
    firsts: dict[str, str] = field(default_factory=dict)
    waiting: dict[str, list[tuple[Listed, str]]] = field(default_factory=dict)

    def take(self, member: Member, content: Content) -> None:
        """Stage a member, unless it is not listed or left out."""
        listed = self.package.info.listed.get(member.path)
        if listed is not None:
            _check_listed(member, listed, self.package.file_name)
        path = self.package.place(member.path)
        if member.kind is Kind.HARDLINK:
            self._take_hardlink(member, listed, path)
        elif listed is None or path is None:
            self.left_out.update({member.path} if member.kind is Kind.FILE else ())
        elif member.kind is Kind.SYMLINK:
            self.linked.append(self._symlink(member, listed, path))
        else:
            self._stage(member, content, listed, path)

    def promote(self, member: Member, content: Content) -> None:
        """Stage a file that was left out under the first name that waits for it, and link the others to that."""
        followers = self.waiting.pop(member.path, [])
        if followers:
            (listed, path), *others = followers
            self._stage(member, content, listed, path)
            for other, name in others:
                self._hardlink(self.files[member.path], other, name)

    def make_directories(self) -> None:
        """Make the directories that the package lists: they would be missing where they are empty."""
        for item in self.package.info.listed.values():
            path = self.package.place(item.path)
            if item.type == "directory" and path is not None:
                self.staged.directory(path)
                self.linked.append(Linked(path, Kind.DIRECTORY, 0o755))

    def _stage(self, member: Member, content: Content, listed: Listed, path: str) -> None:
        self.files[member.path] = self._file(member, content, listed, path)
        self.linked.append(self.files[member.path])

    def _take_hardlink(self, member: Member, listed: Listed | None, path: str | None) -> None:
        target = member.target.removeprefix("./")
        first = self.firsts[member.path] = self.firsts.get(target, target)
        if listed is None or path is None:
            return
        if first in self.files:
            self._hardlink(self.files[first], listed, path)
        elif first in self.left_out:
            self.waiting.setdefault(first, []).append((listed, path))
        else:
            raise ArtifactError(
                f"{self.package.file_name}: the hard link {member.path!r} repeats {target!r}, "
                "which is no file of the package before it"
            )

    def _symlink(self, member: Member, listed: Listed, path: str) -> Linked:
        target = check_target(path, member.target, self.package.file_name)
        self.staged.symlink(path, target)
        text = target.encode()
        digest = hashlib.sha256(text).hexdigest()  # of the text, as rattler has it
        return Linked(path, Kind.SYMLINK, 0o777, len(text), listed.sha256, digest, target=target)

    def _hardlink(self, first: Linked, listed: Listed, path: str) -> None:
        if listed.rule != first.rule or listed.sha256 not in {None, first.sha256}:
            raise ArtifactError(
                f"{self.package.file_name}: the hard link {listed.path!r} is listed with other content "
                f"than {first.path!r}, which it repeats"
            )
        self.staged.hardlink(path, first.path)
        first.same.extend([path] if first.same else [first.path, path])
        self.linked.append(replace(first, path=path))  # shares the list of names

    def _file(self, member: Member, content: Content, listed: Listed, path: str) -> Linked:
        label = f"{self.package.file_name}: {member.path}"
        with self.staged.new_file(path) as target:
            sink = _Sink(target)
            packaged = self._replace(content, sink, listed.rule, label) if listed.rule else _copy(content, sink)
        if listed.sha256 not in {None, packaged}:
            raise ArtifactError(
                f"{label} does not have the sha256 it is listed with", hint="the archive was made or changed wrongly"
            )
        mode = final_mode(member.mode)
        return Linked(path, Kind.FILE, mode, sink.size, packaged, sink.digest.hexdigest(), rule=listed.rule)

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
