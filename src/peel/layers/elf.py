"""What a program or library for Linux (ELF) needs of the machine and of its surroundings."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from elftools.common.exceptions import ELFError
from elftools.elf.dynamic import DynamicSection
from elftools.elf.elffile import ELFFile
from elftools.elf.gnuversions import GNUVerNeedSection

_MAGIC: Final = b"\x7fELF"
_GLIBC: Final = re.compile(r"GLIBC_(\d+)\.(\d+)(?:\.\d+)?")
_MACHINES: Final = {"EM_X86_64": "x86_64", "EM_AARCH64": "aarch64", "EM_PPC64": "ppc64le"}


@dataclass(frozen=True, slots=True)
class Elf:
    """A binary, and what it needs.

    ``machine`` is as ``uname -m`` says it, "" for others; ``glibc`` the newest version that it asks for, in numbers;
    ``needed`` are libraries by name, ``search`` where it looks for them beside the usual places.
    """

    machine: str
    glibc: tuple[int, int]
    needed: tuple[str, ...]
    search: tuple[str, ...]


def is_elf(path: Path) -> bool:
    """Whether a file begins as ELF files do."""
    with path.open("rb") as file:
        return file.read(4) == _MAGIC


def read_elf(path: Path) -> Elf | None:
    """What a binary needs; None for one that cannot be read, which nothing could run either."""
    try:
        with path.open("rb") as file:
            elf = ELFFile(file)
            sections = list(elf.iter_sections())
            needed, search = _dynamic(sections)
            return Elf(_MACHINES.get(elf["e_machine"], ""), _newest_glibc(sections), needed, search)
    except (ELFError, OSError, ValueError, KeyError, AttributeError, TypeError, AssertionError, RecursionError):
        return None


def _newest_glibc(sections: Iterable[Any]) -> tuple[int, int]:
    """The newest symbol version that is asked for, (0, 0) for none (LSB, "Symbol Versioning")."""
    names = (
        entry.name
        for section in sections
        if isinstance(section, GNUVerNeedSection)
        for _, entries in section.iter_versions()
        for entry in entries
    )
    found = [(int(match[1]), int(match[2])) for name in names if (match := _GLIBC.fullmatch(name))]
    return max(found, default=(0, 0))


def _dynamic(sections: Iterable[Any]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    needed, search = list[str](), list[str]()
    for section in sections:
        if not isinstance(section, DynamicSection):
            continue
        tags: Iterable[Any] = section.iter_tags()
        for tag in tags:
            match tag.entry.d_tag:
                case "DT_NEEDED":
                    needed.append(str(tag.needed))
                case "DT_RPATH":
                    search += [part for part in str(tag.rpath).split(":") if part]
                case "DT_RUNPATH":
                    search += [part for part in str(tag.runpath).split(":") if part]
    return tuple(needed), tuple(search)
