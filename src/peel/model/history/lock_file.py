"""A ``conda-lock.yml``, version 1, made from packages that were found without a solver."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from peel.model.history.remembered import Manager
from peel.model.values import Digest, canonical_json

UNKNOWN: Final = "https://unknown.invalid"
"""In place of a channel that nobody knows: no name beneath .invalid ever exists (RFC 6761)."""

_SPEC = re.compile(r"(?:\S+::)?(?P<name>[A-Za-z0-9_][A-Za-z0-9_.-]*)\s*(?P<rest>.*)")


@dataclass(frozen=True, slots=True)
class Entry:
    """A package of one platform; hashes are in hexadecimal, "" where they are not known; ``depends`` are specs."""

    name: str
    version: str
    manager: Manager
    platform: str
    url: str
    md5: str = ""
    sha256: str = ""
    depends: tuple[str, ...] = ()

    def as_json(self) -> dict[str, Any]:
        """The entry as conda-lock writes it."""
        hashes = {"md5": self.md5, "sha256": self.sha256}
        return {
            "name": self.name, "version": self.version, "manager": self.manager, "platform": self.platform,
            "dependencies": _dependencies(self.depends), "url": self.url,
            "hash": {name: value for name, value in hashes.items() if value},
            "category": "main", "optional": False,
        }  # fmt: skip


def make_lock_document(entries: Iterable[Entry], channels: Sequence[str], platforms: Sequence[str]) -> dict[str, Any]:
    """The whole file, as data: the same for the same packages, in whatever order they come."""
    ordered = [each.as_json() for each in sorted(entries, key=lambda e: (e.name, e.platform, e.manager, e.url))]
    content = {platform: [each for each in ordered if each["platform"] == platform] for platform in sorted(platforms)}
    return {
        "version": 1,
        "metadata": {
            "content_hash": {platform: Digest.of(canonical_json(part)).hex for platform, part in content.items()},
            "channels": [{"url": channel, "used_env_vars": []} for channel in channels],
            "platforms": sorted(platforms),
            "sources": [],
        },
        "package": ordered,
    }


def unknown_url(subdir: str, file_name: str) -> str:
    """A URL for an archive of a channel that is not known."""
    return f"{UNKNOWN}/{subdir or 'noarch'}/{file_name}"


def _dependencies(depends: Iterable[str]) -> dict[str, str]:
    found = [_SPEC.fullmatch(spec.strip()) for spec in depends]
    return {spec["name"]: spec["rest"].strip() for spec in sorted(filter(None, found), key=lambda spec: spec["name"])}
