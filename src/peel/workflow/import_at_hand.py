"""What is at hand of an imported list, before anybody is asked: archives, and the lock sets of the catalogue."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final

from peel.model.history.artifacts import file_name_of, parse_wheel_url
from peel.model.history.lock_file import unknown_url
from peel.model.history.remembered import Remembered
from peel.model.values import Digest
from peel.store.blobs import Blobs
from peel.store.catalogue import Catalogue

if TYPE_CHECKING:
    from peel.model.archive import Content
    from peel.store.archives import Archive

_ENTRY: Final = re.compile(r"^ *- ", re.MULTILINE)
_URL: Final = re.compile(r"\burl: ['\"]?([^\s'\",}]+)")
_SHA256: Final = re.compile(r"\bsha256: ['\"]?([0-9a-f]{64})\b")


@dataclass(frozen=True, slots=True)
class AtHand:
    """The sha256 of artifacts, in hexadecimal: by URL as lock sets pin them, by file name as archives keep them."""

    by_url: Mapping[str, str] = field(default_factory=dict)
    by_name: Mapping[str, frozenset[str]] = field(default_factory=dict)
    wheels: Mapping[tuple[str, str], frozenset[str]] = field(default_factory=dict)
    """The file names of the wheels of a normal name and version."""
    archived: frozenset[str] = frozenset()

    def identify(self, package: Remembered) -> Remembered:
        """The package with its sha256, where its URL or the name of its file leaves no doubt.

        One that has no URL gets one of no channel, with the name of its file.
        """
        if package.sha256 or package.why or package.is_loose:
            return package
        if pinned := self.by_url.get(package.url):
            return replace(package, sha256=pinned)
        for name in self._file_names(package):
            if len(found := self.by_name.get(name, frozenset())) == 1:
                return replace(package, sha256=min(found), url=package.url or unknown_url(package.subdir, name))
        return package

    def has(self, package: Remembered, blobs: Blobs) -> bool:
        """Whether its artifact is in the store or in an archive."""
        known = package.sha256
        return bool(known) and (known in self.archived or blobs.has(Digest.from_hex(known)))

    def _file_names(self, package: Remembered) -> Sequence[str]:
        """What its artifact may be called in an archive, the likeliest first."""
        if package.url:
            return (file_name_of(package.url),)
        if package.manager == "conda":
            return [f"{package.name}-{package.version}-{package.build}{ending}" for ending in (".conda", ".tar.bz2")]
        names = self.wheels.get((package.name, package.version), frozenset())
        return tuple(names) if len(names) == 1 else ()  # of several, only an installer knows which fits


def look_around(
    packages: Sequence[Remembered], archives: Sequence[Archive], catalogue: Catalogue, blobs: Blobs
) -> AtHand:
    """What is at hand for these packages. Raises ArtifactError for an archive that cannot be read.

    Archives are asked only for what the store does not have by its sha256, lock sets for what has none.
    """
    lacking = [each for each in packages if not AtHand().has(each, blobs)]
    kept = [content for archive in archives for content in _kept(archive)] if lacking else []
    by_name: defaultdict[str, set[str]] = defaultdict(set)
    wheels: defaultdict[tuple[str, str], set[str]] = defaultdict(set)
    for content in kept:
        by_name[content.title].add(content.digest.hex)
        if wheel := parse_wheel_url(content.title):
            wheels[wheel.name, wheel.version].add(content.title)
    urls = {package.url for package in packages if package.url and not package.sha256}
    return AtHand(
        dict(_pinned(urls, catalogue)) if urls else {},
        {name: frozenset(found) for name, found in by_name.items()},
        {name: frozenset(found) for name, found in wheels.items()},
        frozenset(content.digest.hex for content in kept),
    )


def _kept(archive: Archive) -> Iterator[Content]:
    """The packages that an archive keeps. One that a registry has nothing of is an empty directory."""
    from peel.model.archive import Kind  # noqa: PLC0415 - what archives take is not loaded where there are none
    from peel.store.archives import contents  # noqa: PLC0415

    archive.bring()
    if archive.root.joinpath("index.json").exists():
        yield from (each for each in contents(archive) if each.kind in {Kind.CONDA_PACKAGE, Kind.WHEEL})


def _pinned(urls: set[str], catalogue: Catalogue) -> Iterator[tuple[str, str]]:
    """What the catalogue's lock sets have pinned of these URLs. They are read as text: there may be many."""
    for path in sorted(catalogue.root.glob("lockfiles/*/*/*.conda-lock.yml")):
        with suppress(OSError, UnicodeDecodeError):
            for entry in _ENTRY.split(path.read_text(encoding="utf-8")):
                url, sha256 = _URL.search(entry), _SHA256.search(entry)
                if url and sha256 and url[1] in urls:
                    yield url[1], sha256[1]
