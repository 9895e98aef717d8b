"""``conda list --export`` lists: ``name=version=build``, one a line; what pip had installed has a build of its own."""

from __future__ import annotations

import re
from collections.abc import Iterator

from peel.errors import DocumentError
from peel.model.history.artifacts import is_url, normal_name, refuse_credentials, split_channel
from peel.model.history.remembered import Format, History, Remembered, place, refuse_twice
from peel.model.secrets import redact

EXPORTED = re.compile(
    r"(?:(?P<channel>[^\s=]+)::)?"
    r"(?P<name>[A-Za-z0-9_][A-Za-z0-9_.-]*)=(?P<version>[A-Za-z0-9_.!+~]+)=(?P<build>[A-Za-z0-9_.+]+|<pip>)"
)
"""A line of such a list."""

_PLATFORM = re.compile(r"#\s*platform:\s*(\S+)\s*")
_OF_PIP = ("<pip>", "pypi", "pypi_0")


def parse_export(text: str, origin: str) -> History:
    """What a list says. Raises DocumentError naming file and line for a line that is none of a list's, or a mixture."""
    lines = list(enumerate(text.splitlines(), 1))
    packages = tuple(_packages(lines, origin))
    refuse_twice(packages, origin)
    platforms = sorted({found[1] for _, line in lines if (found := _PLATFORM.fullmatch(line.strip()))})
    if len(platforms) > 1:
        raise DocumentError(
            f"{origin}: is for {' and for '.join(platforms)} at once",
            hint="an environment is for one platform: import each list from a file of its own",
        )
    return History(origin, Format.EXPORT, {("", platforms[0] if platforms else ""): packages})


def _packages(lines: list[tuple[int, str]], origin: str) -> Iterator[Remembered]:
    for number, raw in lines:
        line = raw.strip()
        if line and not line.startswith("#"):
            found = EXPORTED.fullmatch(line)
            if found is None:
                raise DocumentError(
                    f"{place(origin, number)}: not NAME=VERSION=BUILD: {redact(line)[:80]!r}", hint=_hint(line)
                )
            yield _package(found, origin, number)


def _hint(line: str) -> str:
    if is_url(line.partition("#")[0]):
        return "two lists in one file? import each from a file of its own"
    return "if this is the last line, the file may be cut off; else write the package as the others are written"


def _package(found: re.Match[str], origin: str, number: int) -> Remembered:
    if found["build"] in _OF_PIP:
        return Remembered(normal_name(found["name"]), found["version"], "", "pip", line=number)
    channel, subdir = split_channel(found["channel"] or "")
    refuse_credentials(channel, origin, number)
    return Remembered(found["name"], found["version"], found["build"], "conda", channel, subdir, line=number)
