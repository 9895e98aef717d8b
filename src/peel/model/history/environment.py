"""``environment.yml`` files: exact where ``conda env export`` wrote them, loose where a person did."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from peel.errors import DocumentError
from peel.model.documents import Path, quoted
from peel.model.history.artifacts import refuse_credentials
from peel.model.history.remembered import Format, History, Remembered, place, refuse_twice
from peel.model.history.requirements import pip_package

_EXACT = re.compile(
    r"(?:(?P<channel>\S+?)::)?(?P<name>[A-Za-z0-9_][A-Za-z0-9_.-]*)"
    r"(?:\s*==?\s*|\s+)(?P<version>[A-Za-z0-9_.][A-Za-z0-9_.!+~]*)(?:(?:\s*=\s*|\s+)(?P<build>[A-Za-z0-9_.]+))?"
)
_LOOSE = re.compile(r"(?:(?P<channel>\S+?)::)?(?P<name>[A-Za-z0-9_][A-Za-z0-9_.-]*)\s*(?:[\s=<>!~\[].*)?")
_NO_DEFAULTS = "nodefaults"
_LONGEST = 1000  # characters; no spec comes near, and a pattern could be long at work on more
_KEYS = frozenset({"name", "channels", "dependencies", "prefix", "variables", "platforms", "category"})


def parse_environment(data: Any, lines: Mapping[Path, int], origin: str) -> History:
    """What an environment file says; ``lines`` maps places in it to lines from 1.

    Raises DocumentError naming file and line for what no environment file may hold.
    """
    dependencies = data.get("dependencies") if isinstance(data, dict) else None
    if not isinstance(dependencies, list) or not dependencies:
        raise DocumentError(
            f"{place(origin, lines.get(('dependencies',), 0))}: dependencies: not a list, or one that is empty",
            hint="the file may be cut off: take it anew",
        )
    packages = tuple(
        package
        for number, item in enumerate(dependencies)
        for package in _dependency(item, number, lines, origin)
    )  # fmt: skip
    refuse_twice(packages, origin)
    name = data.get("name")
    platforms = _texts(data, "platforms", lines, origin)
    return History(
        origin, Format.ENVIRONMENT, {("", platform): packages for platform in platforms or ("",)},
        name=name if isinstance(name, str) else "",
        channels=tuple(channel for channel in _channels(data, lines, origin) if channel != _NO_DEFAULTS),
        notes=tuple(f"{key!r} is left out" for key in sorted(map(str, data)) if key not in _KEYS),
    )  # fmt: skip


def _channels(data: Mapping[str, Any], lines: Mapping[Path, int], origin: str) -> Sequence[str]:
    found = _texts(data, "channels", lines, origin)
    for number, channel in enumerate(found):
        refuse_credentials(channel, origin, lines.get(("channels", number), 0))
    return found


def _texts(data: Mapping[str, Any], key: str, lines: Mapping[Path, int], origin: str) -> Sequence[str]:
    found = data.get(key) or []
    if not isinstance(found, list) or not all(isinstance(item, str) for item in found):
        raise DocumentError(
            f"{place(origin, lines.get((key,), 0))}: {key}: not a list of names", hint="write a list, an item a line"
        )
    return found


def _dependency(item: Any, number: int, lines: Mapping[Path, int], origin: str) -> Iterator[Remembered]:
    here: Path = ("dependencies", number)
    line = lines.get(here, 0)
    if isinstance(item, str) and len(item) <= _LONGEST:
        yield _conda(item.strip(), origin, line)
    elif isinstance(item, dict) and set(item) == {"pip"} and isinstance(item["pip"] or [], list):
        for index, requirement in enumerate(item["pip"] or []):
            yield _pip(requirement, origin, lines.get((*here, "pip", index), line))
    else:
        raise DocumentError(
            f"{place(origin, line)}: cannot be a dependency: {quoted(item)}",
            hint="write NAME=VERSION=BUILD, or a list beneath pip:",
        )


def _pip(requirement: Any, origin: str, line: int) -> Remembered:
    if not isinstance(requirement, str) or len(requirement) > _LONGEST:
        raise DocumentError(
            f"{place(origin, line)}: cannot be a requirement: {quoted(requirement)}", hint="write NAME==VERSION"
        )
    return pip_package(requirement.strip(), origin, line)


def _conda(spec: str, origin: str, line: int) -> Remembered:
    """A package: exact with a build; loose, with the spec as it stands, without."""
    refuse_credentials(spec, origin, line)
    exact = _EXACT.fullmatch(spec)
    if exact and exact["build"]:
        return Remembered(
            exact["name"], exact["version"], exact["build"], "conda", channel=exact["channel"] or "", line=line
        )
    found = exact or _LOOSE.fullmatch(spec)
    if found is None:
        raise DocumentError(f"{place(origin, line)}: cannot be a dependency: {quoted(spec)}", hint="write NAME=VERSION")
    version = exact["version"] if exact else ""
    return Remembered(
        found["name"], version, "", "conda", channel=found["channel"] or "", line=line, spec=spec
    )  # fmt: skip
