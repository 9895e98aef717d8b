"""What URLs and file names say of the artifact behind them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import unquote, urlsplit

from peel.errors import DocumentError
from peel.model.history.remembered import Remembered, place
from peel.model.secrets import holds_credentials, redact

_CONDA = re.compile(
    r"(?P<name>[A-Za-z0-9_][A-Za-z0-9_.-]*)-(?P<version>[A-Za-z0-9_.!+~]+)-(?P<build>[A-Za-z0-9_.+]+)(?:\.conda|\.tar\.bz2)"
)
_WHEEL = re.compile(r"(?P<name>[A-Za-z0-9_.]+)-(?P<version>[A-Za-z0-9_.!+]+)(?:-\d[^-]*)?(?:-[A-Za-z0-9_.]+){3}\.whl")
_SUBDIR = re.compile(r"noarch|(?:linux|osx|win|emscripten|wasi|zos|freebsd)-[a-z0-9]+")
_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://\S+")


@dataclass(frozen=True, slots=True)
class Named:
    """What the name of a file says; ``build`` and ``subdir`` are empty for a wheel."""

    name: str
    version: str
    build: str = ""
    subdir: str = ""
    channel: str = ""


def is_url(text: str) -> bool:
    """Whether this has the form of a URL."""
    return _URL.fullmatch(text) is not None


def file_name_of(url: str) -> str:
    """The last part of a URL's path. Raises ValueError for what is no URL."""
    return unquote(urlsplit(url).path.rsplit("/", 1)[-1])


def parse_conda_url(url: str) -> Named | None:
    """What the URL of a conda archive says, or None for any other."""
    try:
        found = _CONDA.fullmatch(file_name_of(url))
    except ValueError:
        return None
    if found is None:
        return None
    channel, subdir = split_channel(url.rpartition("/")[0])
    return Named(found["name"], found["version"], found["build"], subdir, channel)


def split_channel(text: str) -> tuple[str, str]:
    """A channel and the subdirectory for a platform at its end, "" where there is none."""
    channel, _, subdir = text.rpartition("/")
    return (channel, subdir) if _SUBDIR.fullmatch(subdir) else (text, "")


def parse_wheel_url(url: str) -> Named | None:
    """What the URL of a wheel says (PyPA's binary distribution format), or None for any other; its name is normal."""
    try:
        found = _WHEEL.fullmatch(file_name_of(url))
    except ValueError:
        return None
    return Named(normal_name(found["name"]), found["version"]) if found else None


def normal_name(name: str) -> str:
    """A Python distribution's name as all tools compare it (PEP 503)."""
    return re.sub(r"[-_.]+", "-", name).lower()


def refuse_credentials(url: str, origin: str, line: int) -> None:
    """Raise DocumentError for a URL with a token or password written into it, without repeating it."""
    if holds_credentials(url):
        raise DocumentError(
            f"{place(origin, line)}: a password or token is written into {redact(url)}",
            hint="write an environment variable's name there instead, as in https://host/t/$TOKEN/channel/…",
        )


def conda_package(url: str, origin: str, line: int, *, md5: str = "", sha256: str = "") -> Remembered:
    """The package behind the URL of a conda archive. Raises DocumentError naming file and line for any other URL."""
    refuse_credentials(url, origin, line)
    found = parse_conda_url(url)
    if found is None:
        raise DocumentError(
            f"{place(origin, line)}: not the URL of a conda package: {redact(url)[:200]!r}",
            hint="it ends in NAME-VERSION-BUILD.conda or .tar.bz2; if this is the last line, the file may be cut off",
        )
    return Remembered(
        found.name, found.version, found.build, "conda", found.channel, found.subdir, url, md5, sha256, line
    )


def wheel_package(name: str, url: str, origin: str, line: int, *, md5: str = "", sha256: str = "") -> Remembered:
    """The package behind a wheel's URL; of anything else, what is known of it and that peel cannot install it."""
    refuse_credentials(url, origin, line)
    found = parse_wheel_url(url)
    if found is None:
        why = "it is no wheel, and peel builds none"
        spec = f"{name} @ {redact(url)}"
        return Remembered(
            normal_name(name), "", "", "pip", url=url, md5=md5, sha256=sha256, line=line, spec=spec, why=why
        )
    return Remembered(found.name, found.version, "", "pip", url=url, md5=md5, sha256=sha256, line=line)
