"""``pixi.lock`` files, versions 4 to 7: environments that refer to packages by URL.

A package describes itself with ``kind`` and ``url`` up to version 5, and by ``conda`` or ``pypi`` from version 6 on;
version 7 may give platforms names of their own.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

from pydantic import Field

from peel.errors import DocumentError
from peel.model.documents import Path
from peel.model.history.artifacts import conda_package, parse_conda_url, refuse_credentials, wheel_package
from peel.model.history.foreign import CUT_OFF, Channel, Foreign, Md5, Sha256, channels_of, lines_of_urls, validated
from peel.model.history.remembered import Format, History, Remembered, place, refuse_twice
from peel.model.secrets import redact

VERSIONS: Final = (4, 5, 6, 7)


class _Reference(Foreign):
    conda: str | None = None
    pypi: str | None = None

    @property
    def key(self) -> tuple[str, str]:
        """Its manager as this format calls it, and where it lies."""
        return ("conda", self.conda) if self.conda else ("pypi", self.pypi or "")


class _Environment(Foreign):
    channels: list[Channel] = Field(default=[])
    packages: dict[str, list[_Reference]] = Field(default={})


class _Package(Foreign):
    kind: str | None = None
    url: str | None = None
    path: str | None = None
    conda: str | None = None
    pypi: str | None = None
    name: str = ""
    md5: Md5 | None = None
    sha256: Sha256 | None = None
    depends: list[str] | None = None

    @property
    def key(self) -> tuple[str, str]:
        """What environments refer to it by."""
        kind = self.kind or ("conda" if self.conda else "pypi")
        return kind, self.conda or self.pypi or self.url or self.path or ""


class _Platform(Foreign):
    name: str
    subdir: str | None = None


class _Lock(Foreign):
    version: int
    platforms: list[_Platform] = Field(default=[])
    environments: dict[str, _Environment]
    packages: list[_Package]


def parse_pixi(data: Any, text: str, lines: Mapping[Path, int], origin: str) -> History:
    """What such a file says; ``lines`` may be empty. Raises DocumentError naming the place of what is wrong."""
    version = data.get("version") if isinstance(data, dict) else None
    if version not in VERSIONS:
        raise DocumentError(
            f"{place(origin, lines.get(('version',), 0))}: is a pixi.lock of version {version!r}",
            hint=f"versions {VERSIONS[0]} to {VERSIONS[-1]} are read: let pixi write it anew with `pixi lock`",
        )
    lock = validated(_Lock, data, lines, origin)
    known = {package.key: package for package in lock.packages}
    subdirs = {platform.name: platform.subdir or platform.name for platform in lock.platforms}
    numbers = lines_of_urls(text)
    packages = {
        (name, subdirs.get(platform, platform)): tuple(
            _referred(reference, known, numbers, f"the environment {name!r}", origin) for reference in references
        )
        for name, environment in lock.environments.items()
        for platform, references in environment.packages.items()
    }
    for environment in packages.values():
        refuse_twice(environment, origin)
    channels = [channel for environment in lock.environments.values() for channel in environment.channels]
    return History(origin, Format.PIXI, packages, channels=channels_of(channels, origin))


def _referred(
    reference: _Reference,
    known: Mapping[tuple[str, str], _Package],
    numbers: Mapping[str, int],
    where: str,
    origin: str,
) -> Remembered:
    kind, url = reference.key
    line = numbers.get(url, 0)
    package = known.get((kind, url))
    if package is None:
        raise DocumentError(
            f"{place(origin, line)}: {where} needs {redact(url)[:200]!r}, which is not among the packages", hint=CUT_OFF
        )
    md5, sha256 = package.md5 or "", package.sha256 or ""
    if "://" not in url or (kind == "conda" and parse_conda_url(url) is None):
        return _from_source(package, url, line, origin)
    if kind == "pypi":
        return wheel_package(package.name, url.partition("#")[0], origin, line, md5=md5, sha256=sha256)
    return replace(conda_package(url, origin, line, md5=md5, sha256=sha256), depends=tuple(package.depends or ()))


def _from_source(package: _Package, url: str, line: int, origin: str) -> Remembered:
    refuse_credentials(url, origin, line)
    return Remembered(
        package.name or url.rstrip("/").rpartition("/")[2], "", "", "pip" if package.key[0] == "pypi" else "conda",
        line=line, spec=redact(url), why="it was built from sources beside the lock, and no archive of it is named",
    )  # fmt: skip
