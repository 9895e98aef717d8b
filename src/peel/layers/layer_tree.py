"""What a layer holds, as far as a container would see it: for comparing two, without the contents in memory."""

from __future__ import annotations

import hashlib
import tarfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final, NamedTuple

from peel.errors import ArtifactError
from peel.layers.layer_stream import ImageLayer, LayerMember, layer_members
from peel.layers.package_records import PackageRecord, parse_record, record_limit
from peel.model.ladder import Kind
from peel.model.values import Digest

_MOST_ENTRIES: Final = 1_000_000
_MOST_RECORDS: Final = 512 << 20  # bytes of all package records of a layer: what lies beyond has no owners
_XATTR: Final = "SCHILY.xattr."
_TYPES: Final = {
    tarfile.DIRTYPE: "directory", tarfile.SYMTYPE: "symbolic link", tarfile.LNKTYPE: "hard link",
    tarfile.CHRTYPE: "character device", tarfile.BLKTYPE: "block device", tarfile.FIFOTYPE: "pipe",
}  # fmt: skip


class TreeEntry(NamedTuple):
    """One path of a layer; a tuple, since there are hundreds of thousands to compare.

    ``sha256`` is that of a file's ``size`` bytes, ``target`` a link's text, or a device's numbers.
    """

    type: str
    mode: int
    owner: tuple[int, int]
    mtime: float
    size: int
    sha256: bytes
    target: str
    xattrs: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class LayerTree:
    """A layer, read through. Of a path that is there twice, the later counts, as when it is unpacked."""

    entries: Mapping[str, TreeEntry]
    packages: tuple[PackageRecord, ...]
    members: int
    diff_id: Digest
    """What its tar really has, whatever a config says."""


def read_tree(layer: ImageLayer, origin: str, *, like: Mapping[str, TreeEntry] | None = None) -> LayerTree:
    """Read a layer, hashing what its files hold; ``like`` are entries that it probably equals: they are shared.

    Raises ArtifactError as ``layer_members`` does, and for a layer of more entries than any image has.
    """
    known = like or {}
    entries: dict[str, TreeEntry] = {}
    packages: dict[str, PackageRecord] = {}
    tar, members, left = hashlib.sha256(), 0, _MOST_RECORDS
    for member in layer_members(layer, origin, seen=tar.update):
        members += 1
        if members > _MOST_ENTRIES:
            raise ArtifactError(
                f"layer {layer.blob.digest} of {origin} has more than {_MOST_ENTRIES:,} entries",
                hint="no image has so many: ask whoever made it",
            )
        kept = bytearray() if member.info.isreg() and member.info.size <= min(record_limit(member.path), left) else None
        entry = _entry(member, kept)
        entries.pop(member.path, None)  # so that its place is that of the later one
        same = known.get(member.path)
        entries[member.path] = same if same is not None and same == entry else entry
        packages.pop(member.path, None)
        if kept and (record := parse_record(member.path, bytes(kept))):
            packages[member.path] = record
            left -= len(kept)
    return LayerTree(entries, tuple(packages.values()), members, Digest.from_hex(tar.hexdigest()))


def tar_digest(layer: ImageLayer, origin: str) -> Digest:
    """The diffID that a layer really has. Raises ArtifactError as ``layer_members`` does."""
    tar = hashlib.sha256()
    for _ in layer_members(layer, origin, seen=tar.update):
        pass
    return Digest.from_hex(tar.hexdigest())


def kinds_apart(ours: TreeEntry | None, theirs: TreeEntry | None) -> Iterator[Kind]:
    """In which ways the other layer's entry differs, most telling first; nothing where they are equal."""
    if ours is None or theirs is None:
        if ours or theirs:
            yield Kind.EXTRA if ours is None else Kind.MISSING
    elif ours.type != theirs.type:
        yield Kind.TYPE
    else:
        aspects = {
            Kind.CONTENT: (ours[4:6], theirs[4:6]),
            Kind.TARGET: (ours.target, theirs.target),
            Kind.MODE: (ours.mode, theirs.mode),
            Kind.OWNER: (ours.owner, theirs.owner),
            Kind.XATTRS: (ours.xattrs, theirs.xattrs),
            Kind.MTIME: (ours.mtime, theirs.mtime),
        }
        yield from (kind for kind, (left, right) in aspects.items() if left != right)


class HeaderApart(NamedTuple):
    """Where two layers of equal trees differ: a member's path, and what is other about its header or its place."""

    path: str | None
    is_order: bool
    detail: str


def header_apart(ours: ImageLayer, theirs: ImageLayer, origins: tuple[str, str]) -> HeaderApart:
    """The first difference between two layers whose trees are equal, member by member.

    Raises ArtifactError as ``layer_members`` does.
    """
    for mine, other in zip(layer_members(ours, origins[0]), layer_members(theirs, origins[1]), strict=False):
        if mine.path != other.path:
            return HeaderApart(other.path, is_order=True, detail=f"it comes where {mine.path} should be")
        if detail := _header_detail(mine.info, other.info):
            return HeaderApart(mine.path, is_order=False, detail=detail)
    return HeaderApart(None, is_order=False, detail="all headers are equal: other bytes follow the last of them")


def _header_detail(ours: tarfile.TarInfo, theirs: tarfile.TarInfo) -> str:
    """What is other about a header of equal meaning; "" where nothing is."""
    names = tuple(f"{info.uname or '-'}:{info.gname or '-'}" for info in (ours, theirs))
    if names[0] != names[1]:
        return f"the owner's names are {names[1]} instead of {names[0]}"
    if ours.name != theirs.name:
        return f"its name is written as {theirs.name!r} instead of {ours.name!r}"
    if ours.pax_headers.keys() != theirs.pax_headers.keys():
        return f"its extended header has {_keys(theirs)} instead of {_keys(ours)}"
    size = ours.offset_data - ours.offset, theirs.offset_data - theirs.offset
    if size[0] != size[1]:
        return f"its header has {size[1]:,} bytes instead of {size[0]:,}: another tar format"
    if (ours.chksum, ours.type, ours.pax_headers) != (theirs.chksum, theirs.type, theirs.pax_headers):
        return "its header says the same in other bytes: another tar format"
    return ""


def _keys(info: tarfile.TarInfo) -> str:
    return ", ".join(sorted(info.pax_headers)) or "nothing"


def _entry(member: LayerMember, kept: bytearray | None) -> TreeEntry:
    info = member.info
    digest = _hash(member.content(), kept) if info.isreg() else b""
    kind = "file" if info.isreg() else _TYPES.get(info.type, f"entry of type {info.type!r}")
    return TreeEntry(
        type=kind,
        mode=0o777 if info.issym() else info.mode & 0o7777,  # a link's own mode means nothing
        owner=(info.uid, info.gid),
        mtime=info.mtime,
        size=info.size if info.isreg() else 0,
        sha256=digest,
        target=_target(info),
        xattrs=_xattrs(info.pax_headers),
    )


def _hash(pieces: Iterable[bytes], kept: bytearray | None) -> bytes:
    state = hashlib.sha256()
    keep: Callable[[bytes], object] = kept.extend if kept is not None else lambda _: None
    for piece in pieces:
        state.update(piece)
        keep(piece)
    return state.digest()


def _target(info: tarfile.TarInfo) -> str:
    if info.ischr() or info.isblk():
        return f"{info.devmajor}:{info.devminor}"
    if info.islnk():
        return info.linkname.removeprefix("./").lstrip("/")
    return info.linkname if info.issym() else ""


def _xattrs(headers: Mapping[str, str]) -> tuple[tuple[str, str], ...]:
    if not headers:
        return ()
    return tuple(sorted((k.removeprefix(_XATTR), value) for k, value in headers.items() if k.startswith(_XATTR)))
