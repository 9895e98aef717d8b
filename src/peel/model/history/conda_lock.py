"""``conda-lock.yml`` files, version 1: several platforms, and categories of packages."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Literal

from pydantic import Field

from peel.errors import DocumentError
from peel.model.documents import Path
from peel.model.history.artifacts import conda_package, wheel_package
from peel.model.history.foreign import CUT_OFF, Channel, Foreign, Md5, Sha256, channels_of, lines_of_urls, validated
from peel.model.history.remembered import Format, History, Remembered, refuse_twice

MAIN = "main"
"""The category that every environment has."""


class _Hashes(Foreign):
    md5: Md5 | None = None
    sha256: Sha256 | None = None


class _Locked(Foreign):
    name: str
    version: str
    manager: Literal["conda", "pip"]
    platform: str
    url: str
    hash: _Hashes = _Hashes()
    dependencies: dict[str, str] | None = None
    category: str = MAIN


class _Metadata(Foreign):
    platforms: list[str] = Field(default=[])
    channels: list[Channel] = Field(default=[])


class _CondaLock(Foreign):
    version: Literal[1]
    metadata: _Metadata = _Metadata()
    package: list[_Locked]


def parse_conda_lock_history(data: Any, text: str, lines: Mapping[Path, int], origin: str) -> History:
    """What such a file says; each category beside ``main`` is an environment: main and itself.

    ``lines`` may be empty. Raises DocumentError naming the place of what is wrong.
    """
    lock = validated(_CondaLock, data, lines, origin)
    numbers = lines_of_urls(text)
    found: dict[tuple[str, str], list[Remembered]] = {}
    for entry in lock.package:
        found.setdefault((entry.category, entry.platform), []).append(_locked(entry, numbers.get(entry.url, 0), origin))
    platforms = sorted({platform for _, platform in found})
    if gone := sorted(set(lock.metadata.platforms) - set(platforms)):
        raise DocumentError(f"{origin}: says that it is for {gone[0]}, and names no package for it", hint=CUT_OFF)
    categories = sorted({category for category, _ in found} | {MAIN})
    packages = {
        (category, platform): tuple(_with_main(found, category, platform))
        for category in categories
        for platform in platforms
    }
    for environment in packages.values():
        refuse_twice(environment, origin)
    return History(origin, Format.CONDA_LOCK, packages, channels=channels_of(lock.metadata.channels, origin))


def _with_main(
    found: Mapping[tuple[str, str], Sequence[Remembered]], category: str, platform: str
) -> Iterable[Remembered]:
    yield from found.get((MAIN, platform), ())
    if category != MAIN:
        yield from found.get((category, platform), ())


def _locked(entry: _Locked, line: int, origin: str) -> Remembered:
    md5, sha256 = entry.hash.md5 or "", entry.hash.sha256 or ""
    if entry.manager == "pip":
        return wheel_package(entry.name, entry.url.partition("#")[0], origin, line, md5=md5, sha256=sha256)
    package = conda_package(entry.url, origin, line, md5=md5, sha256=sha256)
    depends = tuple(f"{name} {version}".strip() for name, version in sorted((entry.dependencies or {}).items()))
    return replace(package, depends=depends)
