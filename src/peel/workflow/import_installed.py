"""What ``conda-meta`` says of an environment, as a lock has it."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Final

from pydantic import TypeAdapter, ValidationError

from peel.layers.installed import InstalledEnvironment, InstalledPackage, InstalledWheel
from peel.model.declaration import AbsolutePath
from peel.model.history.artifacts import normal_name, parse_conda_url, parse_wheel_url
from peel.model.history.lock_file import Entry, unknown_url
from peel.model.history.remembered import Manager
from peel.model.values import Platform

_CREDENTIALS: Final = re.compile(r"/t/[^/]+(?=/)|(?<=://)[^/@]+@")
_MD5: Final = re.compile(r"[0-9a-f]{32}")
_SHA256: Final = re.compile(r"[0-9a-f]{64}")
_FETCHABLE: Final = re.compile(r"(?:https?|file)://\S+")
_prefixes: Final[TypeAdapter[str]] = TypeAdapter(AbsolutePath)


@dataclass(frozen=True, slots=True)
class Told:
    """An environment of an image by the name it gets, with what is known of its packages."""

    name: str
    prefix: str
    entries: tuple[Entry, ...]
    channels: tuple[str, ...]
    """Those that its packages came from, the one of most first."""

    def count(self, manager: Manager) -> int:
        """How many of its packages are of this manager."""
        return sum(entry.manager == manager for entry in self.entries)


def make_name(prefix: str, taken: Collection[str]) -> str:
    """A name for the environment in a prefix: the directory's own, and a number where others have that."""
    last = re.sub(r"[^a-z0-9._-]+", "-", PurePosixPath(prefix).name.lower())
    name = re.sub(r"[._-]*([._-])", r"\1", last).strip("._-") or "root"
    numbered = (name if number == 1 else f"{name}-{number}" for number in range(1, len(taken) + 2))
    return next(each for each in numbered if each not in taken)


def can_be_held(prefix: str) -> bool:
    """Whether a lock can hold this prefix: a plain path beneath the root."""
    try:
        _prefixes.validate_python(prefix)
    except ValidationError:
        return False
    return True


def tell_environment(name: str, found: InstalledEnvironment, platform: Platform) -> Told:
    """What a lock says of it."""
    entries = (
        *(_conda(package, platform) for package in found.packages),
        *(_wheel(wheel, platform) for wheel in found.wheels),
    )
    return Told(name, found.prefix, entries, _channels(found.packages))


def _conda(package: InstalledPackage, platform: Platform) -> Entry:
    return Entry(
        package.name, package.version, "conda", platform.subdir, _url_of(package),
        md5=package.md5 if _MD5.fullmatch(package.md5) else "",
        sha256=package.sha256 if _SHA256.fullmatch(package.sha256) else "",
        depends=package.depends,
    )  # fmt: skip


def _url_of(package: InstalledPackage) -> str:
    """Where its archive lies; of no channel, when the record does not say, with the name that it should have."""
    url = _CREDENTIALS.sub("", package.url)
    if _FETCHABLE.fullmatch(url) and _names(url, package):
        return url
    given = unknown_url(package.subdir, package.file_name)
    plain = f"{package.name}-{package.version}-{package.build or '0'}.conda"
    return given if _names(given, package) else unknown_url(package.subdir, plain)


def _names(url: str, package: InstalledPackage) -> bool:
    found = parse_conda_url(url)
    return found is not None and (found.name, found.version, found.build) == (
        package.name, package.version, package.build,
    )  # fmt: skip


def _wheel(wheel: InstalledWheel, platform: Platform) -> Entry:
    name, url = normal_name(wheel.name), _CREDENTIALS.sub("", wheel.url)
    if not (_FETCHABLE.fullmatch(url) and parse_wheel_url(url)):
        url = unknown_url("", f"{name.replace('-', '_')}-{wheel.version.replace('-', '_')}-py3-none-any.whl")
    return Entry(name, wheel.version, "pip", platform.subdir, url, sha256=wheel.sha256)


def _channels(packages: Sequence[InstalledPackage]) -> tuple[str, ...]:
    found = [parse_conda_url(_CREDENTIALS.sub("", package.url)) for package in packages]
    counts = Counter(each.channel for each in found if each and _FETCHABLE.fullmatch(each.channel))
    return tuple(sorted(counts, key=lambda channel: (-counts[channel], channel)))
