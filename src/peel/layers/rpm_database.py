"""Which rpms an image has, from rpm's own database in sqlite's form (rpm >= 4.16), without running rpm.

The table ``Packages`` holds a header per package: counts of index entries and of data bytes, the entries (tag, type,
offset, count), the data; all numbers are big-endian (rpm's "V4 header format"). Nothing of it is believed.
"""

from __future__ import annotations

import os
import sqlite3
import struct
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import quote

from peel.errors import ArtifactError

_NAME, _VERSION, _RELEASE, _EPOCH, _ARCH = 1000, 1001, 1002, 1003, 1022
_WANTED: Final = frozenset({_NAME, _VERSION, _RELEASE, _EPOCH, _ARCH})
_INT32, _STRING = 4, 6
_MOST_ENTRIES: Final = 1 << 16
_LONGEST_TEXT: Final = 200
_MOST_PACKAGES: Final = 100_000
_LARGEST_HEADER: Final = 64 << 20
_MOST_STEPS: Final = 20_000  # of a thousand of sqlite's instructions each
_KEYS: Final = "gpg-pubkey"
_HINT: Final = "the base is damaged, or was made to do harm: use another"


class _NoHeaderError(Exception):
    """The bytes are no header of a package."""


@dataclass(frozen=True, slots=True)
class Rpm:
    """An installed rpm; ``version`` is ``[EPOCH:]VERSION-RELEASE``."""

    name: str
    version: str
    arch: str


def read_rpm_database(database: Path, log: Path | None, where: str) -> tuple[Rpm, ...]:
    """The rpms of a database, by name, keys left out; ``log`` is its write-ahead log, ``where`` what people call it.

    Raises ArtifactError for what is no such database, or holds what is no package.
    """
    with tempfile.TemporaryDirectory(dir=database.parent) as directory:
        copy = Path(directory) / "rpmdb.sqlite"
        os.link(database, copy)  # sqlite finds the log by its name
        if log is not None and log.stat().st_size:
            os.link(log, copy.with_name("rpmdb.sqlite-wal"))
        try:
            found = [_parse(header) for header in _headers(copy)]
        except (sqlite3.Error, MemoryError, OverflowError) as error:
            raise ArtifactError(f"{where} cannot be read as a database of rpm: {error}", hint=_HINT) from None
        except _NoHeaderError as error:
            raise ArtifactError(f"{where} holds what is no package: {error}", hint=_HINT) from None
    return tuple(sorted((rpm for rpm in found if rpm.name != _KEYS), key=lambda rpm: (rpm.name, rpm.version, rpm.arch)))


def _headers(database: Path) -> Iterator[bytes]:
    """The headers, one in memory at a time."""
    address = f"file:{quote(str(database))}?mode=rw"  # not ro: with a log, sqlite writes an index of it
    with closing(sqlite3.connect(address, uri=True, isolation_level=None)) as connection:
        connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, _LARGEST_HEADER)
        connection.set_progress_handler(_Patience(), 1000)
        for pragma in ("trusted_schema = OFF", "cell_size_check = ON", "mmap_size = 0", "query_only = ON"):
            connection.execute(f"PRAGMA {pragma}")
        made = connection.execute("SELECT sql FROM sqlite_master WHERE name = 'Packages' AND type = 'table'").fetchone()
        if made is None or not str(made[0]).upper().startswith("CREATE TABLE"):
            raise sqlite3.DatabaseError("it has no table of packages")
        for number, (header,) in enumerate(connection.execute("SELECT blob FROM Packages ORDER BY rowid")):
            if number >= _MOST_PACKAGES or not isinstance(header, bytes):
                raise _NoHeaderError(f"entry {number + 1}")
            yield header


class _Patience:
    """Ends what takes for ever: a database can be made so that sqlite never comes back."""

    def __init__(self) -> None:
        self._steps = 0

    def __call__(self) -> bool:
        self._steps += 1
        return self._steps > _MOST_STEPS


def _parse(header: bytes) -> Rpm:
    found = _values(header)
    texts = [found.get(tag) for tag in (_NAME, _VERSION, _RELEASE)]
    if not all(isinstance(text, str) and text for text in texts):
        raise _NoHeaderError("a header without name, version or release")
    name, version, release = map(str, texts)
    epoch = found.get(_EPOCH)
    return Rpm(name, f"{epoch}:{version}-{release}" if epoch else f"{version}-{release}", str(found.get(_ARCH, "")))


def _values(header: bytes) -> Mapping[int, str | int]:
    if len(header) < 8:
        raise _NoHeaderError("a header that is cut off")
    entries, size = struct.unpack_from(">II", header)
    start = 8 + 16 * entries
    if not 0 < entries <= _MOST_ENTRIES or start + size > len(header):
        raise _NoHeaderError("a header whose counts lie")
    data = header[start : start + size]
    found: dict[int, str | int] = {}
    for tag, kind, offset, count in struct.iter_unpack(">IIII", header[8:start]):
        if tag in _WANTED:
            found[tag] = _value(data, kind, offset, count)
    return found


def _value(data: bytes, kind: int, offset: int, count: int) -> str | int:
    if kind == _INT32 and count == 1 and offset + 4 <= len(data):
        return int.from_bytes(data[offset : offset + 4], "big")
    end = data.find(b"\0", offset, offset + _LONGEST_TEXT + 1) if offset < len(data) else -1
    if kind != _STRING or count != 1 or end < 0:
        raise _NoHeaderError("a header with a value that cannot be")
    text = data[offset:end].decode("utf-8", "replace")
    if not text.isprintable() or " " in text:
        raise _NoHeaderError(f"a header that says {text[:40]!r}")
    return text
