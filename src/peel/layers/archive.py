"""What locking needs to know of a conda archive, without linking it."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from peel.errors import ArtifactError
from peel.layers.conda_info import Info, Listed, read_info
from peel.layers.conda_stream import Member, Part, members
from peel.layers.prefix import FileMode, PrefixRule
from peel.model.entry import Kind

DIRECTORY: Final = "directory"
"""What identifies a directory that a package lists: all of them are the same, and may have files of others in them."""

_LINK_SCRIPT = re.compile(r"(?:bin|python-scripts)/(\.[^/]+-(?:post-link|pre-link|pre-unlink)\.sh)")
_KINDS = {"hardlink": Kind.FILE, "softlink": Kind.SYMLINK, "directory": Kind.DIRECTORY}


@dataclass(frozen=True, slots=True)
class PathFact:
    """A path of a package as packaged, relative to the prefix, before ``noarch: python`` placement.

    ``sha256`` is hexadecimal, None where an old archive gives none; ``size`` is in bytes, before prefix replacement,
    which ``rule`` tells of.
    """

    path: str
    sha256: str | None
    size: int
    kind: Kind
    rule: PrefixRule | None = None

    @property
    def room(self) -> int | None:
        """How many bytes a prefix may have, where a binary holds one."""
        if self.rule is None or self.rule.mode is not FileMode.BINARY:
            return None
        return len(self.rule.placeholder.encode())

    @property
    def identity(self) -> str | None:
        """What identifies the content once it is linked: equal only where that is; None where nothing is known."""
        if self.kind is Kind.DIRECTORY:
            return DIRECTORY
        if self.kind is Kind.SYMLINK or self.sha256 is None:
            return None
        return f"{self.sha256}:{self.rule.mode}:{self.rule.placeholder}" if self.rule else self.sha256


@dataclass(frozen=True, slots=True)
class PackageFacts:
    """A package's identity and contents.

    ``noarch`` is empty, ``python`` or ``generic``; ``timestamp`` is in seconds; ``installed_size`` in bytes.
    ``link_scripts`` are the post-link, pre-link and pre-unlink scripts (path in the prefix, sha256 in hexadecimal);
    ``entry_points`` read ``command = module:function``.
    """

    name: str
    version: str
    build: str
    build_number: int
    subdir: str
    noarch: str
    depends: tuple[str, ...]
    license: str
    timestamp: int | None
    installed_size: int
    paths: tuple[PathFact, ...]
    link_scripts: tuple[tuple[str, str], ...]
    entry_points: tuple[str, ...]


def read_facts(archive: Path, file_name: str) -> PackageFacts:
    """Read a package's facts, from ``info/`` alone where that says all.

    Archives without paths.json are read to the end for sizes and kinds. ``archive`` is read as what ``file_name`` says.
    Raises ArtifactError naming the package when it is damaged, hostile or no conda package.
    """
    info = read_info(archive, file_name)
    hashes = {path: item.sha256 for path, item in info.listed.items() if item.sha256}
    scripts = {path for path in info.listed if _LINK_SCRIPT.fullmatch(path)}
    sizes: dict[str, Member] = {}
    if not info.complete or not scripts <= hashes.keys():
        sizes = _read_payload(archive, file_name, scripts, hashes)
    paths = tuple(_path_fact(item, sizes, file_name) for _, item in sorted(info.listed.items()))
    index = info.index
    return PackageFacts(
        name=index.name,
        version=index.version,
        build=index.build,
        build_number=index.build_number,
        subdir=info.subdir,
        noarch=info.noarch,
        depends=tuple(index.depends),
        license=index.license or "",
        timestamp=info.timestamp,
        installed_size=sum(path.size for path in paths),
        paths=paths,
        link_scripts=tuple(sorted((_script_name(path), hashes[path]) for path in scripts)),
        entry_points=_entry_points(info),
    )


def _read_payload(archive: Path, file_name: str, wanted: set[str], hashes: dict[str, str]) -> dict[str, Member]:
    """All members of the payload; ``hashes`` receives those of the wanted ones."""
    found = {}
    for member, content in members(archive, file_name, Part.PAYLOAD):
        found[member.path] = member
        if member.path in wanted:
            digest = hashlib.sha256()
            for chunk in content.chunks():
                digest.update(chunk)
            hashes[member.path] = digest.hexdigest()
    return found


def _path_fact(item: Listed, found: Mapping[str, Member], file_name: str) -> PathFact:
    member = found.get(item.path)
    if item.type is not None:
        return PathFact(item.path, item.sha256, item.size or 0, _KINDS[item.type], item.rule)
    if member is None:
        raise ArtifactError(f"{file_name}: {item.path!r} is listed but not there", hint="the archive may be truncated")
    kind = Kind.FILE if member.kind is Kind.HARDLINK else member.kind
    return PathFact(item.path, item.sha256, member.size, kind, item.rule)


def _script_name(path: str) -> str:
    found = _LINK_SCRIPT.fullmatch(path)
    return f"bin/{found[1]}" if found else path


def _entry_points(info: Info) -> tuple[str, ...]:
    return tuple(f"{point.command} = {point.module}:{point.function}" for point in info.entry_points)
