"""The header bytes of canonical layer 1; `peel.layers.tar` states the rules."""

from __future__ import annotations

import struct
from typing import Final, NamedTuple, assert_never

from peel.model.entry import Entry, Kind

RECORD: Final = 512
"""Headers and contents fill whole records of this many bytes."""

WHITEOUT: Final = ".wh."
"""What a removed path's name begins with (OCI image-spec, layer, "Whiteouts")."""

_LIMIT: Final = 8**11
_HEADER: Final = struct.Struct("100s 8s 8s 8s 12s 12s 8s s 100s 8s 64x 8s 8s 155s 12x")  # 64x: nameless owner and group
_MAGIC: Final = b"ustar\x0000"
_ZERO: Final = b"0000000\0"
_FIXED_SUM: Final = sum(_MAGIC) + 4 * sum(_ZERO) + 8 * ord(" ")


class _Fields(NamedTuple):
    """What differs from header to header, as it is written."""

    name: bytes
    mode: bytes
    size: bytes
    mtime: bytes
    flag: bytes
    link: bytes = b""
    prefix: bytes = b""

    def record(self) -> bytes:
        # Summing the few bytes that vary, not all 512, halves the time that a header takes.
        checksum = b"%06o\0 " % (_FIXED_SUM + sum(b"".join(self)))
        return _HEADER.pack(
            self.name, self.mode, _ZERO, _ZERO, self.size, self.mtime, checksum,
            self.flag, self.link, _MAGIC, _ZERO, _ZERO, self.prefix,
        )  # fmt: skip


def written_name(entry: Entry) -> str:
    """The path an entry is written under: its own, or a removed path's ``.wh.NAME``."""
    if entry.kind is not Kind.WHITEOUT:
        return entry.path
    parent, slash, removed = entry.path.rpartition("/")
    return f"{parent}{slash}{WHITEOUT}{removed}"


def header(entry: Entry) -> bytes:
    """The header record of a canonical entry, with the PAX header before it when it needs one."""
    records = {f"SCHILY.xattr.{name}": value for name, value in entry.xattrs}
    name, link = written_name(entry).encode(), entry.target.encode()
    size, mtime = entry.size, entry.mtime
    if entry.kind is Kind.DIRECTORY:
        name += b"/"
    prefix, rest = _split(name)
    if len(rest) > 100 or not name.isascii():
        records["path"], prefix, rest = name, b"", _stand_in(name)
    if len(link) > 100 or not link.isascii():
        records["linkpath"], link = link, _stand_in(link)
    if size >= _LIMIT:
        records["size"], size = b"%d" % size, 0
    if not 0 <= mtime < _LIMIT:
        records["mtime"], mtime = b"%d" % mtime, 0
    fields = _Fields(
        rest, b"%07o\0" % entry.mode, b"%011o\0" % size, b"%011o\0" % mtime, _flag(entry.kind), link, prefix
    )
    return _pax(records) + fields.record() if records else fields.record()


def _flag(kind: Kind) -> bytes:
    match kind:
        case Kind.FILE | Kind.WHITEOUT:
            return b"0"
        case Kind.DIRECTORY:
            return b"5"
        case Kind.SYMLINK:
            return b"2"
        case Kind.HARDLINK:
            return b"1"
        case _:
            assert_never(kind)


def _split(name: bytes) -> tuple[bytes, bytes]:
    """A name as ustar's prefix and name; the name stays whole, so too long, when it cannot be split."""
    if len(name) > 100:
        slash = name.find(b"/", len(name) - 101, len(name) - 1)
        if 0 < slash <= 155:
            return name[:slash], name[slash + 1 :]
    return b"", name


def _stand_in(name: bytes) -> bytes:
    """What the ustar field holds when a PAX record has the real name."""
    return bytes(byte if byte < 128 else ord("?") for byte in name[:100])


def _pax(records: dict[str, bytes]) -> bytes:
    """A PAX extended header: one record per keyword, in the keywords' byte order."""
    keyed = sorted((keyword.encode(), value) for keyword, value in records.items())
    body = b"".join(_pax_record(keyword, value) for keyword, value in keyed)
    fields = _Fields(b"@PaxHeader", b"0000644\0", b"%011o\0" % len(body), b"%011o\0" % 0, b"x")
    return fields.record() + body + bytes(-len(body) % RECORD)


def _pax_record(keyword: bytes, value: bytes) -> bytes:
    """``LENGTH KEYWORD=VALUE NEWLINE``, where the length counts its own digits too."""
    rest = b" %b=%b\n" % (keyword, value)
    length = len(rest) + 1
    while length != len(rest) + len(str(length)):
        length = len(rest) + len(str(length))
    return b"%d%b" % (length, rest)
