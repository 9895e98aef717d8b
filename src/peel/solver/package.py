"""One conda package as repodata, ``conda-meta`` and locks know it, and the JSON that micromamba 2 prints of it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote, urlsplit

from peel.errors import DocumentError

_NAME_ENDS = re.compile(r"[\s=<>!~\[;]")
_ARCHIVE = re.compile(r"(?P<name>[^/]+)-(?P<version>[^-/]+)-(?P<build>[^-/]+)(?P<extension>\.conda|\.tar\.bz2)")
_LAST_SECOND = 253_402_300_799  # of the year 9999: a larger timestamp is in milliseconds


@dataclass(frozen=True, slots=True)
class Package:
    """What is known of one package; what is not known is empty.

    ``channel`` and ``url`` are whole URLs, with the credentials they came with; ``size`` is in bytes, ``timestamp``
    in seconds, and the hashes are in hexadecimal.
    """

    name: str
    version: str
    build: str
    build_number: int
    subdir: str
    fn: str
    url: str
    channel: str
    depends: tuple[str, ...] = ()
    constrains: tuple[str, ...] = ()
    license: str = ""
    md5: str = ""
    sha256: str = ""
    size: int = 0
    timestamp: int = 0
    track_features: str = ""
    noarch: str = ""
    python_site_packages_path: str = ""

    @property
    def dist(self) -> str:
        """``NAME-VERSION-BUILD``."""
        return f"{self.name}-{self.version}-{self.build}"

    @property
    def base_url(self) -> str:
        """The URL of the channel that the archive lies in."""
        return self.url.rpartition("/")[0].removesuffix(f"/{self.subdir}")

    @property
    def identity(self) -> tuple[str, str, str, str]:
        """Equal for two records of the same build of the same package."""
        return (self.name, self.version, self.build, self.subdir)

    def is_virtual(self) -> bool:
        """Whether it stands for a property of the machine, as ``__glibc`` does."""
        return self.name.startswith("__")


def parse_package(record: Mapping[str, Any], origin: str) -> Package:
    """A package from a repodata record or a ``conda-meta`` document.

    Raises DocumentError naming ``origin`` and the key that is missing or is not what it should be.
    """
    url = _text(record, "url", origin)
    subdir = _text(record, "subdir", origin, default=url.rpartition("/")[0].rpartition("/")[2])
    return Package(
        name=_required(record, "name", origin),
        version=_required(record, "version", origin),
        build=_text(record, "build", origin, default=_text(record, "build_string", origin)),
        build_number=_number(record, "build_number", origin),
        subdir=subdir,
        fn=_text(record, "fn", origin, default=file_name(url)),
        url=url,
        channel=_text(record, "channel", origin).rstrip("/"),
        depends=_texts(record, "depends", origin),
        constrains=_texts(record, "constrains", origin),
        license=_text(record, "license", origin),
        md5=_text(record, "md5", origin),
        sha256=_text(record, "sha256", origin).lower(),
        size=_number(record, "size", origin),
        timestamp=_seconds(_number(record, "timestamp", origin)),
        track_features=",".join(_texts(record, "track_features", origin)),
        noarch=_noarch(record.get("noarch")),
        python_site_packages_path=_text(record, "python_site_packages_path", origin),
    )


def package_from_url(url: str, origin: str, **known: Any) -> Package:
    """A package from its URL alone and whatever else is ``known``. Raises DocumentError for no conda archive's URL."""
    found = _ARCHIVE.fullmatch(file_name(url))
    if found is None:
        raise DocumentError(f"{origin}: not the URL of a conda package", hint="it ends in NAME-VERSION-BUILD.conda")
    folder = url.partition("#")[0].rpartition("/")[0]
    base, _, subdir = folder.rpartition("/")
    record = {
        "name": found["name"], "version": found["version"], "build": found["build"], "subdir": subdir,
        "url": url.partition("#")[0], "channel": base,
    }  # fmt: skip
    return parse_package({**record, **known}, origin)


def package_json(package: Package) -> dict[str, Any]:
    """What micromamba 2.8 prints of a package in FETCH, LINK and UNLINK."""
    shown: dict[str, Any] = {
        "build": package.build, "build_number": package.build_number, "build_string": package.build,
        "channel": package.channel, "constrains": list(package.constrains), "depends": list(package.depends),
        "fn": package.fn, "license": package.license, "name": package.name, "size": package.size,
        "subdir": package.subdir, "timestamp": package.timestamp, "track_features": package.track_features,
        "url": package.url, "version": package.version,
    }  # fmt: skip
    optional = {
        "md5": package.md5, "noarch": package.noarch, "sha256": package.sha256,
        "python_site_packages_path": package.python_site_packages_path,
    }  # fmt: skip
    return {**shown, **{key: value for key, value in optional.items() if value}}


def in_link_order(packages: Iterable[Package]) -> tuple[Package, ...]:
    """Dependencies first, by name where the order is free; a cycle is broken where it comes back to its start."""
    by_name = {package.name: package for package in packages}
    order: dict[str, Package] = {}
    opened: set[str] = set()
    waiting = sorted(by_name, reverse=True)
    while waiting:
        name = waiting[-1]
        if name in opened:  # whatever it needs was put in order since
            order.setdefault(waiting.pop(), by_name[name])
        else:
            opened.add(name)
            waiting += sorted(_dependencies(by_name[name]) & by_name.keys() - opened, reverse=True)
    return tuple(order.values())


def spec_name(spec: str) -> str:
    """The package's name in a match spec, for example ``numpy`` of ``conda-forge::numpy >=2``."""
    return _NAME_ENDS.split(spec.strip().rpartition("::")[2], maxsplit=1)[0].lower()


def file_name(url: str) -> str:
    """The last part of a URL's path."""
    return unquote(urlsplit(url).path.rpartition("/")[2])


def _dependencies(package: Package) -> set[str]:
    return {spec_name(spec) for spec in package.depends}


def _required(record: Mapping[str, Any], key: str, origin: str) -> str:
    value = _text(record, key, origin)
    if not value:
        raise DocumentError(f"{origin}: no {key}")
    return value


def _text(record: Mapping[str, Any], key: str, origin: str, *, default: str = "") -> str:
    value = record.get(key)
    if value is None:
        return default
    if not isinstance(value, str):
        raise DocumentError(f"{origin}: {key} is not text but {value!r:.60}")
    return value


def _number(record: Mapping[str, Any], key: str, origin: str) -> int:
    value = record.get(key)
    if value is None:
        return 0
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise DocumentError(f"{origin}: {key} is not a number but {value!r:.60}")
    return value


def _texts(record: Mapping[str, Any], key: str, origin: str) -> tuple[str, ...]:
    value = record.get(key)
    if not value:
        return ()
    if isinstance(value, str):  # track_features of old repodata
        return tuple(value.replace(",", " ").split())
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise DocumentError(f"{origin}: {key} is not a list of texts but {value!r:.60}")
    return tuple(value)


def _seconds(timestamp: int) -> int:
    return timestamp // 1000 if timestamp > _LAST_SECOND else timestamp


def _noarch(value: object) -> str:
    return value if isinstance(value, str) else "generic" if value is True else ""
