"""Which way of keeping a program inside a container works on this machine: tried, not guessed.

A container that holds nothing but the smallest program there is runs once per way and network. What came of it is
kept beside the storage, and holds until a program, the kernel or its boot changes.
"""

from __future__ import annotations

import json
import os
import platform
import struct
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

from peel.errors import PeelError, ToolError
from peel.tools import buildah, process, skopeo, system
from peel.tools.buildah import CHROOT, CRUN, RUNC, Buildah, Isolation, Network, Storage

CANDIDATES: Final = (RUNC, CRUN, CHROOT)
MEMORY: Final = "isolation.json"
"""What a probe's outcome is called, beside the storage it was made in."""

_NEEDS: Final = {"runc": "runc", "crun": "crun", "chroot": "unshare"}
_PROGRAM: Final = "/true"
_TRIAL_SECONDS: Final = 60.0
_ENOUGH: Final = 20_000  # open files, and processes: what the limits are lowered to, if they must be
_FORMAT: Final = 1
_BASE: Final = 0x400000
_HEADERS: Final = 64 + 56

# exit(0) by system call: ELF machine number, ELF flags, instructions
_EXIT: Final[Mapping[str, tuple[int, int, bytes]]] = {
    "x86_64": (62, 0, bytes.fromhex("31ff b83c000000 0f05")),  # xor edi,edi; mov eax,60; syscall
    "aarch64": (183, 0, bytes.fromhex("000080d2 a80b80d2 010000d4")),  # mov x0,#0; mov x8,#93; svc #0
    "ppc64le": (21, 2, bytes.fromhex("00006038 01000038 02000044")),  # li r3,0; li r0,1; sc
}


@dataclass(frozen=True, slots=True)
class Refusal:
    """A way that does not work here, and why, in a line."""

    name: str
    reason: str


@dataclass(frozen=True, slots=True)
class Probe:
    """What works: the first way that does, and why those before it do not."""

    isolation: Isolation | None
    refused: tuple[Refusal, ...]

    def chosen(self) -> Isolation:
        """The way that works. Raises ToolError with every reason when there is none."""
        if self.isolation is not None:
            return self.isolation
        reasons = "\n".join(f"  {refusal.name}: {refusal.reason}" for refusal in self.refused)
        raise ToolError(
            f"no isolation works on this machine, so nothing can run inside an image\n{reasons}",
            hint=system.privilege_hint(),
        )


def probe(storage: Storage, memory: Path) -> Probe:
    """Try runc, crun and chroot, in this order, until one works; remembered in the file ``memory``.

    Raises ToolError when buildah cannot even make an empty container.
    """
    key = fingerprint()
    if (known := _recall(memory, key)) is not None:
        return known
    found = _try_all(storage)
    _remember(memory, key, found)
    return found


def open_buildah(directory: Path) -> Buildah:
    """Buildah on peel's own storage beneath ``directory``, with the isolation that works here.

    Raises ToolError, with a hint, when buildah or skopeo is missing or too old, or no isolation works.
    """
    buildah.version()
    skopeo.version()
    storage = buildah.open_storage(directory)
    return Buildah(storage, probe(storage, directory / MEMORY).chosen())


def smallest_program(machine: str) -> bytes:
    """A static ELF executable that does nothing but succeed, for a kernel's machine name (``uname -m``).

    One loadable segment, no libraries (ELF-64 object file format). Raises ToolError for an unknown machine.
    """
    if machine not in _EXIT:
        raise ToolError(f"peel knows no program for {machine}", hint=f"known machines: {', '.join(sorted(_EXIT))}")
    number, flags, code = _EXIT[machine]
    size = _HEADERS + len(code)
    ident = b"\x7fELF" + bytes((2, 1, 1)) + bytes(9)  # 64 bits, little-endian
    header = struct.pack("<HHIQQQIHHHHHH", 2, number, 1, _BASE + _HEADERS, 64, 0, flags, 64, 56, 1, 0, 0, 0)
    segment = struct.pack("<IIQQQQQQ", 1, 5, 0, _BASE, _BASE, size, size, 0x10000)  # read and execute
    return ident + header + segment + code


def fingerprint() -> str:
    """What the outcome of a probe depends on, in one line: the programs, the user, the kernel and its boot."""
    parts = [platform.release(), str(os.geteuid()), _boot()]
    for program in ("buildah", *_NEEDS.values()):
        found = process.find(program)
        state = found.stat() if found else None
        parts.append(f"{program}={state.st_size}.{state.st_mtime_ns}" if state else f"{program}=none")
    return " ".join(parts)


def lowered_limits(files: int, processes: int) -> tuple[str, ...]:
    """The flags of ``buildah from`` that ask for limits which may be set under these hard ones; -1 is no limit."""
    wanted = (("nofile", files), ("nproc", processes))
    bounds = tuple((name, _ENOUGH if hard < 0 else min(hard, _ENOUGH)) for name, hard in wanted)
    return tuple(item for name, bound in bounds for item in ("--ulimit", f"{name}={bound}:{bound}"))


def _try_all(storage: Storage) -> Probe:
    refused: list[Refusal] = []
    with TemporaryDirectory(prefix="peel-probe-") as place:
        program = Path(place) / "true"
        program.write_bytes(smallest_program(platform.machine()))
        program.chmod(0o755)
        for candidate in CANDIDATES:
            found = _try(storage, candidate, program)
            if isinstance(found, Isolation):
                return Probe(found, tuple(refused))
            refused.append(found)
    return Probe(None, tuple(refused))


def _try(storage: Storage, candidate: Isolation, program: Path) -> Isolation | Refusal:
    needed = _NEEDS[candidate.name]
    if process.find(needed) is None:
        return Refusal(candidate.name, f"{needed} is not installed")
    reason = _reason_against(storage, candidate, program)
    if reason is not None and "rlimit" in reason.lower():
        candidate = replace(candidate, ulimits=lowered_limits(*system.hard_limits()))
        reason = _reason_against(storage, candidate, program)
    return candidate if reason is None else Refusal(candidate.name, reason)


def _reason_against(storage: Storage, candidate: Isolation, program: Path) -> str | None:
    """Why this way cannot be used; None when it can, offline as well as on the host's network."""
    engine = Buildah(storage, candidate)
    networks: tuple[Network, ...] = ("none", "host")
    try:
        with engine.container("scratch") as container:
            engine.copy_in(container, program, _PROGRAM)
            for network in networks:
                done = engine.run(container, [_PROGRAM], network=network, check=False, timeout=_TRIAL_SECONDS)
                if done.status != 0:
                    return reason_in(done.stderr.decode("utf-8", "replace"))
    except ToolError as error:
        return reason_in(error.message)
    return None


def reason_in(stderr: str) -> str:
    """The line that says most among what buildah and its runtimes print: the first one, without its trimmings."""
    said = skopeo.said_by(stderr).strip().splitlines()
    first = said[0].strip() if said else "it failed and said nothing"
    return first.rpartition("creating container for ")[2].partition("]: ")[2] or first


def _boot() -> str:
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text("ascii").strip()
    except OSError:
        return "unknown"


def _recall(memory: Path, key: str) -> Probe | None:
    """What was found before under the same circumstances; None when nothing usable was."""
    try:
        return _parse_memory(json.loads(memory.read_bytes()), key)
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return None


def _parse_memory(document: Any, key: str) -> Probe | None:
    if document["format"] != _FORMAT or document["key"] != key:
        return None
    by_name = {candidate.name: candidate for candidate in CANDIDATES}
    refused = tuple(Refusal(str(name), str(reason)) for name, reason in document["refused"])
    ulimits = tuple(str(flag) for flag in document["ulimits"])
    return Probe(replace(by_name[document["isolation"]], ulimits=ulimits), refused)


def _remember(memory: Path, key: str, found: Probe) -> None:
    """Only success is kept: whoever was refused will have changed something."""
    if found.isolation is None:
        return
    document = {
        "format": _FORMAT,
        "key": key,
        "isolation": found.isolation.name,
        "ulimits": found.isolation.ulimits,
        "refused": [[refusal.name, refusal.reason] for refusal in found.refused],
    }
    fresh = memory.with_name(f"{memory.name}.{os.getpid()}")
    try:
        memory.parent.mkdir(parents=True, exist_ok=True)
        fresh.write_text(json.dumps(document, indent=1), "utf-8")
        fresh.replace(memory)
    except OSError as error:
        raise PeelError(
            f"cannot write {memory}: {error.strerror}", hint="check its permissions and the free space"
        ) from None
