"""``envs/patches/NAME.yaml``: a declared change to historical lock sets."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Final, Literal

from pydantic import AfterValidator, Field

from peel.model.declaration import HexDigest, Line, Lines, LinkPath, Name, RelativePath
from peel.model.documents import Document, SchemaOne

Manager = Literal["conda", "pip"]

PATCHES: Final = "envs/patches"
"""Where patches lie in a catalogue."""

SECTIONS: Final[Mapping[Manager, str]] = {"conda": "packages", "pip": "wheels"}
"""What a patch calls the packages of each manager."""

_MODE = re.compile(r"0?[0-7]{3}")


def _mode(text: str) -> str:
    if not _MODE.fullmatch(text):
        raise ValueError('should be a mode in octal, quoted, for example "0644"')
    return text


def _reason(text: str) -> str:
    if not text.strip():
        raise ValueError("should say in a line what the patch is for")
    return text


class PackageDemands(Document):
    """What is to become of packages of one manager."""

    raised: Lines = Field(default=(), alias="raise")
    """Specs of packages that are there, and must be newer afterwards."""
    replace: dict[Line, Line] = Field(default_factory=dict)
    """Packages that go, each with the spec of what takes its place: another, or another version or build of it."""
    add: Lines = ()
    remove: Lines = ()


class FileDemand(Document):
    """A file that the patch brings; ``source`` lies beneath the directory of the patch's own file."""

    path: LinkPath
    source: RelativePath
    mode: Annotated[str, AfterValidator(_mode)] = "0644"
    sha256: HexDigest | None = None

    @property
    def permissions(self) -> int:
        """The mode as a number."""
        return int(self.mode, 8)


class PatchDeclaration(Document):
    """What a patch asks for, and why."""

    schema_: SchemaOne = Field(alias="schema")
    reason: Annotated[Line, AfterValidator(_reason)]
    references: Lines = ()
    environments: Annotated[tuple[Name, ...], Field(strict=False, min_length=1)] | None = None
    """Where to look for what is named; None: wherever it is."""
    packages: PackageDemands = PackageDemands()
    wheels: PackageDemands = PackageDemands()
    files: Annotated[tuple[FileDemand, ...], Field(strict=False)] = ()
    remove_files: Annotated[tuple[LinkPath, ...], Field(strict=False)] = ()
    clobber: dict[str, str] = Field(default_factory=dict)
    skip_link_scripts: dict[str, dict[str, HexDigest]] = Field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class DeclaredPatch:
    """A patch as it was read: ``contents`` are the bytes of its files by their path in the image.

    ``sha256`` is that of the patch's own file, in hexadecimal.
    """

    name: str
    declaration: PatchDeclaration
    sha256: str
    contents: Mapping[str, bytes] = field(default_factory=dict)

    @property
    def origin(self) -> str:
        """What messages call it."""
        return f"{PATCHES}/{self.name}.yaml"

    def section(self, manager: Manager) -> PackageDemands:
        """What it asks of one manager's packages."""
        return self.declaration.packages if manager == "conda" else self.declaration.wheels
