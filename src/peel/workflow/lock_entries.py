"""conda-lock's files (lock format, version 1), entry by entry: taken apart, added to, put together again."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from peel.model.conda_record import Record, lock_dependencies
from peel.model.condalock import parse_conda_lock
from peel.store.documents import parse_plain, to_yaml

Entry = Mapping[str, Any]
"""A package as conda-lock writes it."""


def locked_entries(data: bytes, platform: str, origin: str) -> Sequence[Entry]:
    """The entries of one platform in a conda-lock file, as they stand there. Raises DocumentError for a bad file."""
    document = parse_plain(data, origin)
    parse_conda_lock(document, origin)
    return [entry for entry in document["package"] if entry["platform"] == platform]


def merge_lock(data: bytes, platform: str, entries: Iterable[Entry]) -> bytes:
    """A conda-lock file in which these are the entries of a platform; everything else of it stays."""
    document = parse_plain(data, "conda-lock.yml")
    others = [entry for entry in document["package"] if entry["platform"] != platform]
    packages = [_plain(entry) for entry in in_order([*others, *entries])]
    return to_yaml({**document, "package": packages})


def in_order(entries: Iterable[Entry]) -> tuple[Entry, ...]:
    """As conda-lock sorts them."""
    return tuple(sorted(entries, key=lambda entry: (entry["manager"], entry["name"], entry["platform"])))


def _plain(entry: Entry) -> dict[str, Any]:
    """An entry that shares nothing with another: YAML would write an alias, which nobody has to understand."""
    return {key: dict(value) if isinstance(value, Mapping) else value for key, value in entry.items()}


def new_entry(record: Record, platform: str) -> Entry:
    """What conda-lock would write of a conda package."""
    hashes = {"md5": record.md5, "sha256": record.sha256}
    return {
        "name": record.name, "version": record.version, "manager": "conda", "platform": platform,
        "dependencies": lock_dependencies(record.depends), "url": record.url,
        "hash": {kind: value for kind, value in hashes.items() if value}, "category": "main", "optional": False,
    }  # fmt: skip


def usual_channel(locked: Sequence[Entry], channels: Sequence[str], name: str) -> str:
    """The URL of the channel that a package of this name came from, else most packages, else the first declared."""
    bases = {str(e["name"]): str(e["url"]).rpartition("/")[0].rpartition("/")[0] for e in _conda(locked)}
    if name in bases or not bases:
        return bases.get(name) or (channels[0] if channels else "").rstrip("/")
    counted = Counter(bases.values())
    return min(counted, key=lambda base: (-counted[base], base))


def _conda(locked: Iterable[Entry]) -> Iterable[Entry]:
    return (entry for entry in locked if entry["manager"] == "conda")
