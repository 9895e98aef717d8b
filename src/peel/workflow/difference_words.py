"""The sentence that tells how a file differs: the other's state "instead of" ours."""

from __future__ import annotations

from datetime import UTC, datetime

from peel.layers.first_byte import FirstByte
from peel.layers.layer_tree import TreeEntry
from peel.model.ladder import Kind
from peel.model.values import Digest


def words_for(  # noqa: PLR0911 - one for each kind
    kind: Kind, ours: TreeEntry | None, theirs: TreeEntry | None, first: FirstByte | None
) -> str:
    """What people read of one difference of one path; ``first`` is where contents part, where that was looked for."""
    if ours is None or theirs is None:
        there = theirs or ours
        what = _named(there) if there else "it"
        return f"{what} is not there" if theirs is None else f"{what} that should not be there"
    match kind:
        case Kind.TYPE:
            return f"{_a(theirs.type)} instead of {_a(ours.type)}"
        case Kind.CONTENT:
            return _contents(ours, theirs, first)
        case Kind.TARGET:
            return f"it leads to {theirs.target!r} instead of {ours.target!r}"
        case Kind.MODE:
            return f"{theirs.mode:04o} instead of {ours.mode:04o}"
        case Kind.OWNER:
            return f"{theirs.owner[0]}:{theirs.owner[1]} instead of {ours.owner[0]}:{ours.owner[1]}"
        case Kind.MTIME:
            return f"{_instant(theirs.mtime)} instead of {_instant(ours.mtime)}"
        case Kind.XATTRS:
            return _xattrs(dict(ours.xattrs), dict(theirs.xattrs))
        case _:
            return "it differs"


def _named(entry: TreeEntry) -> str:
    return f"a file of {entry.size:,} bytes" if entry.type == "file" else _a(entry.type)


def _a(noun: str) -> str:
    return f"{'an' if noun[0] in 'aeiou' else 'a'} {noun}"


def _contents(ours: TreeEntry, theirs: TreeEntry, first: FirstByte | None) -> str:
    sizes = f"{theirs.size:,} bytes instead of {ours.size:,}" if theirs.size != ours.size else ""
    if first is None:
        return sizes or f"{Digest.from_hex(theirs.sha256.hex())} instead of {Digest.from_hex(ours.sha256.hex())}"
    prefix = f"linked for {first.prefix}" if first.prefix else ""
    byte = f"byte {first.number:,} of {ours.size:,}: {_hex(first.theirs)} instead of {_hex(first.ours)}"
    return "; ".join(part for part in (prefix, sizes, byte) if part)


def _hex(data: bytes) -> str:
    return data.hex(" ") or "the end"


def _instant(mtime: float) -> str:
    try:
        whole = datetime.fromtimestamp(mtime // 1, UTC).isoformat().replace("+00:00", "Z")
    except (OverflowError, ValueError, OSError):
        return f"{mtime} s"
    return whole if mtime == mtime // 1 else f"{whole} and {mtime % 1:.9f} s"


def _xattrs(ours: dict[str, str], theirs: dict[str, str]) -> str:
    parts = (
        ("without", sorted(ours.keys() - theirs.keys())),
        ("with", sorted(theirs.keys() - ours.keys())),
        ("with another", sorted(name for name in ours.keys() & theirs.keys() if ours[name] != theirs[name])),
    )
    return ", ".join(f"{word} {name}" for word, names in parts for name in names)
