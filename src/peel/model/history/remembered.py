"""What a list remembers of an environment, whatever it is written in."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Literal

from peel.errors import DocumentError, UsageError
from peel.model.values import Platform

Manager = Literal["conda", "pip"]


class Format(StrEnum):
    """The kinds of lists that can be read."""

    EXPLICIT = "explicit"
    EXPORT = "export"
    ENVIRONMENT = "environment"
    CONDA_LOCK = "conda-lock"
    PIXI = "pixi"

    @property
    def called(self) -> str:
        """What people call it."""
        return _CALLED[self]


_CALLED = {
    Format.EXPLICIT: "an @EXPLICIT list",
    Format.EXPORT: "a list of conda list --export",
    Format.ENVIRONMENT: "an environment.yml",
    Format.CONDA_LOCK: "a conda-lock.yml",
    Format.PIXI: "a pixi.lock",
}


@dataclass(frozen=True, slots=True)
class Remembered:
    """What is known of one package; "" for what is not.

    ``channel`` is a name or a URL, hashes are in hexadecimal, ``depends`` are match specs; ``line`` counts from 1.
    ``spec`` is what the list asks for where it does not name one package exactly, and ``why`` says of a package that
    nobody could have it, and for which reason.
    """

    name: str
    version: str
    build: str
    manager: Manager
    channel: str = ""
    subdir: str = ""
    url: str = ""
    md5: str = ""
    sha256: str = ""
    line: int = 0
    depends: tuple[str, ...] = ()
    spec: str = ""
    why: str = ""

    @property
    def is_loose(self) -> bool:
        """Whether only a solver could tell which package is meant."""
        return bool(self.spec) and not self.why

    @property
    def title(self) -> str:
        """What people call it."""
        return " ".join(part for part in (self.name, self.version, self.build) if part) or self.spec


@dataclass(frozen=True, slots=True)
class History:
    """A list that was read.

    ``packages`` are by what the list itself calls environment and platform, "" where it has no such names. ``name``
    is what it calls the whole; ``notes`` are what a person should know of how it was read.
    """

    origin: str
    format: Format
    packages: Mapping[tuple[str, str], tuple[Remembered, ...]]
    name: str = ""
    channels: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def platforms(self) -> Sequence[str]:
        """The platforms that it names, sorted."""
        return sorted({platform for _, platform in self.packages if platform})

    @property
    def environments(self) -> Sequence[str]:
        """The environments that it names, sorted."""
        return sorted({environment for environment, _ in self.packages if environment})

    def choose_platform(self, named: Platform | None, here: Platform) -> Platform:
        """The platform to import: the one that was named, else the list's only one, else this machine's.

        Raises DocumentError when the list is not for it.
        """
        if not self.platforms:
            return named or here
        wanted = str(named or (here if here.subdir in self.platforms else self.platforms[0]))
        if wanted not in self.platforms or (named is None and len(self.platforms) > 1 and wanted != here.subdir):
            raise DocumentError(
                f"{self.origin}: is for {', '.join(self.platforms)}, not for {named or here}",
                hint="choose one of them with --platform",
            )
        try:
            return Platform(wanted)
        except DocumentError as error:
            raise DocumentError(f"{self.origin}: is for {wanted}: {error.message}", hint=error.hint) from None

    def choose_environment(self, named: str | None) -> str:
        """Which of its environments is meant: the one that was named, else ``default`` or ``main``, else its only one.

        Raises UsageError when there is no telling.
        """
        known = self.environments
        if not known:
            return ""
        if named is not None and named in known:
            return named
        usual = [name for name in ("default", "main") if name in known] or (known if len(known) == 1 else [])
        if named is not None or not usual:
            raise UsageError(
                f"{self.origin} has no environment {named!r}" if named else f"{self.origin} has several environments",
                hint=f"choose one with --environment NAME=THEIRS, THEIRS being one of: {', '.join(known)}",
            )
        return usual[0]

    def select(self, environment: str, platform: Platform) -> Sequence[Remembered]:
        """The packages of one environment for one platform. Raises DocumentError when the list has none."""
        found = self.packages.get((environment, platform.subdir)) or self.packages.get((environment, ""))
        if not found:
            of = f" of {environment}" if environment else ""
            raise DocumentError(
                f"{self.origin}: names no package{of} for {platform}",
                hint=f"it is for: {', '.join(self.platforms) or 'no platform'}",
            )
        return found


def refuse_twice(packages: Sequence[Remembered], origin: str) -> None:
    """Raise DocumentError for a package that stands twice in one environment."""
    lines: dict[tuple[str, str], Remembered] = {}
    for package in packages:
        first = lines.setdefault((package.manager, package.name), package)
        if first is not package and package.name:
            raise DocumentError(
                f"{place(origin, package.line)}: {package.name} stands twice: as {package.title}, and before as "
                f"{first.title}" + (f" on line {first.line}" if first.line else ""),
                hint="an environment has every package once: take one of them out of the list",
            )


def place(origin: str, line: int) -> str:
    """A file and a line of it, as messages name them."""
    return f"{origin}:{line}" if line else origin
