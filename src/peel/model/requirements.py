"""Requirements files, as pip reads them ("Requirements File Format"), as far as a lock can hold what they say."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

from peel.errors import DocumentError

_COMMENT: Final = re.compile(r"(?:^|\s)#.*$")
_OPTION: Final = re.compile(r"(?P<name>-[a-zA-Z](?=\s|$)|-[rcif]|--[a-z-]+)(?:[\s=]+|(?<=^-[rcif]))?(?P<value>.*)")
_OPTIONS_OF_A_LINE: Final = re.compile(r"\s--")
_SHA256: Final = re.compile(r"--hash[=\s]\s*sha256:([0-9a-f]{64})")
_ANY_HASH: Final = re.compile(r"--hash[=\s]\s*\S+")
_WITHOUT_EFFECT: Final = frozenset({"--only-binary", "--prefer-binary", "--require-hashes", "--no-cache-dir"})
_DEEPEST: Final = 10
_SHORT: Final = {
    "-r": "--requirement", "-c": "--constraint", "-i": "--index-url", "-e": "--editable", "-f": "--find-links",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Requirements:
    """What a requirements file asks for, on one machine.

    ``requirements`` and ``constraints`` are in PEP 508's form without markers; ``hashes`` are by normalised name;
    ``indexes`` are URLs, ``only`` them where the file names another index than the usual one.
    """

    requirements: tuple[str, ...] = ()
    constraints: tuple[str, ...] = ()
    hashes: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    indexes: tuple[str, ...] = ()
    only: bool = False

    def names(self, name: str) -> bool:
        """Whether a package of this normalised name is required."""
        return any(canonicalize_name(Requirement(text).name) == name for text in self.requirements)


@dataclass(slots=True)
class _Reading:
    """What has been read so far; ``read`` gives the text of a file by its name."""

    read: Callable[[str], str]
    environment: Mapping[str, str]
    requirements: dict[str, str] = field(default_factory=dict)
    constraints: dict[str, str] = field(default_factory=dict)
    hashes: dict[str, tuple[str, ...]] = field(default_factory=dict)
    indexes: list[str] = field(default_factory=list)
    only: bool = False

    def file(self, name: str, *, constraint: bool, depth: int = 0) -> None:
        """Read a file, and those that it names."""
        if depth > _DEEPEST:
            raise DocumentError(f"{name}: files name each other without end", hint="take one -r or -c out")
        for number, line in _lines(self.read(name)):
            where = f"{name}:{number}"
            if line.startswith("-"):
                self._option(line, where, name, constraint=constraint, depth=depth)
            else:
                self._requirement(line, where, constraint=constraint)

    def _option(self, line: str, where: str, name: str, *, constraint: bool, depth: int) -> None:
        found = _OPTION.fullmatch(line)
        option = _SHORT.get(found["name"], found["name"]) if found else line
        value = found["value"].strip().strip("\"'") if found else ""
        if option in {"--requirement", "--constraint"}:
            folder, slash, _ = name.rpartition("/")
            inner = option == "--constraint" or constraint
            return self.file(f"{folder}{slash}{value}", constraint=inner, depth=depth + 1)
        if option in {"--index-url", "--extra-index-url"}:
            self.only |= option == "--index-url"
            self.indexes.append(value)
        elif option not in _WITHOUT_EFFECT:
            raise DocumentError(f"{where}: {option.split()[0]} cannot be locked", hint=_hint(option))
        return None

    def _requirement(self, line: str, where: str, *, constraint: bool) -> None:
        text = _OPTIONS_OF_A_LINE.split(line, maxsplit=1)[0].strip()
        requirement = _parse(text, where)
        if requirement.marker is not None and not requirement.marker.evaluate({**self.environment, "extra": ""}):
            return
        hashes = _hashes(line, where)
        requirement.marker = None
        name = canonicalize_name(requirement.name)
        there = self.constraints if constraint else self.requirements
        if name in there and there[name] != str(requirement):
            there[name] = _both(there[name], requirement, where)
        else:
            there[name] = str(requirement)
        if hashes:
            self.hashes[name] = hashes


def read_requirements(name: str, read: Callable[[str], str], environment: Mapping[str, str]) -> Requirements:
    """Read a requirements file and all that it names; ``environment`` are the markers of PEP 508.

    A constraint on what is required is joined with the requirement. Raises DocumentError naming file, line and
    column, and whatever ``read`` raises for a file that is not there.
    """
    reading = _Reading(read, environment)
    reading.file(name, constraint=False)
    if not reading.requirements:
        raise DocumentError(f"{name}: requires nothing", hint="name a package in it, one per line")
    constrained = {
        name: _both(text, Requirement(reading.constraints[name]), name) if name in reading.constraints else text
        for name, text in reading.requirements.items()
    }
    left = (text for name, text in sorted(reading.constraints.items()) if name not in reading.requirements)
    return Requirements(
        tuple(constrained[name] for name in sorted(constrained)), tuple(left), dict(sorted(reading.hashes.items())),
        tuple(dict.fromkeys(reading.indexes)), reading.only,
    )  # fmt: skip


def _lines(text: str) -> Iterator[tuple[int, str]]:
    """Lines without comments, those that go on joined, each with the number of its first."""
    begun, number = "", 0
    for count, raw in enumerate(text.lstrip("\ufeff").splitlines(), 1):
        line = _COMMENT.sub("", raw) if not raw.endswith("\\") or raw.lstrip().startswith("#") else raw
        number = number if begun else count
        if line.endswith("\\"):
            begun += line.removesuffix("\\")
            continue
        if whole := (begun + line).strip():
            yield number, whole
        begun = ""
    if begun.strip():
        yield number, begun.strip()


def _parse(text: str, where: str) -> Requirement:
    if text.startswith((".", "/", "file:", "git+", "http:", "https:")):
        raise DocumentError(
            f"{where}: {text[:80]!r} has no name", hint="write NAME @ URL, with the URL of a wheel, or NAME ==VERSION"
        )
    try:
        requirement = Requirement(text)
    except InvalidRequirement as error:
        said = str(error).splitlines()
        column = said[-1].find("^") - said[1].find(said[1].strip()) + 1 if len(said) > 2 else 1
        raise DocumentError(
            f"{where}:{max(column, 1)}: not a requirement: {text[:80]!r}: {said[0]}", hint="see PEP 508"
        ) from None
    if requirement.url is not None and not requirement.url.partition("#")[0].endswith(".whl"):
        raise DocumentError(f"{where}: {requirement.name}: only wheels can be locked, not {requirement.url[:80]!r}")
    return requirement


def _hashes(line: str, where: str) -> tuple[str, ...]:
    if len(_ANY_HASH.findall(line)) != len(found := _SHA256.findall(line)):
        raise DocumentError(f"{where}: hashes should be sha256:HEX", hint="pip hash FILE prints them so")
    return tuple(sorted(found))


def _both(text: str, other: Requirement, where: str) -> str:
    """What two lines ask of one package together."""
    one = Requirement(text)
    if one.url or other.url:
        if one.url and other.url and one.url != other.url:
            raise DocumentError(f"{where}: {one.name} is asked for at two addresses", hint="take one of them out")
        return str(one if one.url else other)
    one.specifier &= other.specifier
    one.extras |= other.extras
    return str(one)


def _hint(option: str) -> str:
    match option:
        case "--editable":
            return "make a wheel of it, and write NAME @ URL"
        case "--find-links":
            return "serve the wheels as a package index, and name it with --extra-index-url"
        case _:
            return "take it out: it is a setting of pip, not of what is installed"


def marker_environment(python: str, machine: str) -> Mapping[str, str]:
    """The markers of PEP 508 for a CPython ``3.12`` or ``3.12.4`` on Linux of this machine, such as ``x86_64``."""
    parts: Sequence[str] = python.split(".")
    full = python if len(parts) > 2 else f"{python}.0"
    return {
        "implementation_name": "cpython", "implementation_version": full, "os_name": "posix",
        "platform_machine": machine, "platform_python_implementation": "CPython", "platform_release": "",
        "platform_system": "Linux", "platform_version": "", "python_full_version": full,
        "python_version": ".".join(parts[:2]), "sys_platform": "linux",
    }  # fmt: skip
