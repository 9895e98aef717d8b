"""``@EXPLICIT`` lists: URLs, with a hash after a ``#`` or without.

Written by ``conda list --explicit [--md5|--sha256]`` and by ``conda-lock render``, which puts wheels into comments.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from peel.errors import DocumentError
from peel.model.history.artifacts import conda_package, is_url, wheel_package
from peel.model.history.remembered import Format, History, Remembered, place, refuse_twice
from peel.model.secrets import redact

MARKER = "@EXPLICIT"

_PLATFORM = re.compile(r"#\s*platform:\s*(\S+)\s*")
_NAME = re.compile(r"#\s*environment_name:\s*(\S+)\s*")
_PIP = re.compile(r"#\s*pip\s+(?P<name>[A-Za-z0-9][A-Za-z0-9_.-]*)\s+@\s+(?P<url>\S+)\s*")
_MD5 = re.compile(r"(?:md5[:=])?([0-9a-fA-F]{32})")
_SHA256 = re.compile(r"(?:sha256[:=])?([0-9a-fA-F]{64})")


def parse_explicit(text: str, origin: str) -> History:
    """What a list says. Raises DocumentError naming file and line for a line that is none of a list's, or a mixture."""
    lines = list(enumerate(text.splitlines(), 1))
    packages = tuple(_packages(lines, origin))
    if not packages:
        raise DocumentError(
            f"{origin}: an {MARKER} list that names no package", hint="the file may be cut off: take it anew"
        )
    refuse_twice(packages, origin)
    platform = _platform(lines, packages, origin)
    names = [found[1] for _, line in lines if (found := _NAME.fullmatch(line.strip()))]
    return History(origin, Format.EXPLICIT, {("", platform): packages}, name=names[0] if names else "")


def _packages(lines: list[tuple[int, str]], origin: str) -> Iterator[Remembered]:
    for number, raw in lines:
        line = raw.strip()
        if found := _PIP.fullmatch(line):
            url, md5, sha256 = _hashed(found["url"], origin, number)
            yield wheel_package(found["name"], url, origin, number, md5=md5, sha256=sha256)
        elif line and line != MARKER and not line.startswith("#"):
            yield _conda(line, origin, number)


def _conda(line: str, origin: str, number: int) -> Remembered:
    if not is_url(line):
        raise DocumentError(f"{place(origin, number)}: {_described(line)}", hint=_hint(line))
    url, md5, sha256 = _hashed(line, origin, number)
    return conda_package(url, origin, number, md5=md5, sha256=sha256)


def _described(line: str) -> str:
    shown = repr(redact(line)[:80])
    if line.startswith("/"):
        return f"{shown} is a file of the machine that the list was made on"
    return f"{shown} is no URL, in a list that has {MARKER}"


def _hint(line: str) -> str:
    if line.startswith("/"):
        return "serve the file from a channel, or name it by a file:/// URL"
    return "two lists in one file? import each from a file of its own"


def _hashed(text: str, origin: str, number: int) -> tuple[str, str, str]:
    """A URL, and the md5 and sha256 that follow it, "" for what does not."""
    url, _, fragment = text.partition("#")
    if not fragment:
        return url, "", ""
    if found := _MD5.fullmatch(fragment):
        return url, found[1].lower(), ""
    if found := _SHA256.fullmatch(fragment):
        return url, "", found[1].lower()
    raise DocumentError(
        f"{place(origin, number)}: neither an md5 nor a sha256: {fragment[:80]!r}",
        hint="if this is the last line, the file may be cut off",
    )


def _platform(lines: list[tuple[int, str]], packages: tuple[Remembered, ...], origin: str) -> str:
    """What the header says and the URLs agree with; without a header, what the URLs say."""
    said = {found[1]: number for number, line in lines if (found := _PLATFORM.fullmatch(line.strip()))}
    for package in packages:
        if package.subdir not in {"", "noarch"}:
            said.setdefault(package.subdir, package.line)
    if len(said) > 1:
        (first, _), (other, line) = list(said.items())[:2]
        raise DocumentError(
            f"{place(origin, line)}: is for {other}, in a list for {first}",
            hint="an environment is for one platform: import each list from a file of its own",
        )
    return next(iter(said), "")
