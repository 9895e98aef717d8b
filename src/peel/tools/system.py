"""What peel asks the machine itself: its distribution, its package manager, its limits, its ports and its room."""

from __future__ import annotations

import os
import re
import resource
import shutil
import socket
from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from types import MappingProxyType

from peel.errors import ToolError, UsageError
from peel.tools import process

Version = tuple[int, ...]

_NUMBERS = re.compile(r"\d+(?:\.\d+)+")
_ASSIGNMENT = re.compile(r"([A-Z][A-Z0-9_]*)=(?:\"(.*)\"|'(.*)'|(.*))")


class PackageManager(StrEnum):
    """The package managers whose install commands peel knows."""

    APT = "apt-get"
    DNF = "dnf"


def package_manager() -> PackageManager | None:
    """The one this machine has; None where peel knows none of them."""
    return next((manager for manager in PackageManager if process.find(manager)), None)


def parse_os_release(text: str) -> Mapping[str, str]:
    """The assignments of an os-release file (os-release(5)); lines that are none are left out."""
    found = (_ASSIGNMENT.fullmatch(line.strip()) for line in text.splitlines())
    return MappingProxyType({f[1]: f[2] or f[3] or f[4] or "" for f in found if f})


def distribution(root: Path = Path("/")) -> str:
    """What the distribution calls itself, such as ``Debian GNU/Linux 12 (bookworm)``; "unknown" when it does not."""
    for place in ("etc/os-release", "usr/lib/os-release"):
        try:
            release = parse_os_release((root / place).read_text("utf-8", "replace"))
        except OSError:
            continue
        return release.get("PRETTY_NAME") or release.get("NAME") or "unknown"
    return "unknown"


def glibc() -> str | None:
    """The version of this machine's GNU C library, for example ``2.36``; None where it has another one."""
    try:
        name, _, version = (os.confstr("CS_GNU_LIBC_VERSION") or "").partition(" ")
    except (ValueError, OSError):
        return None
    return version if name == "glibc" and version else None


def is_root() -> bool:
    """Whether this process runs as root."""
    return os.geteuid() == 0


def privilege_hint() -> str:
    """What lets this user run containers, when nothing does yet."""
    if is_root():
        return "install runc or crun; within a container, that container must be allowed to make others"
    return (
        "run peel as root, or let your user make user namespaces: a line for it in /etc/subuid and /etc/subgid, "
        "newuidmap installed, and user.max_user_namespaces above 0"
    )


def hard_limits() -> tuple[int, int]:
    """How many files this process, and how many processes this user may have at most; -1 stands for no limit."""
    return resource.getrlimit(resource.RLIMIT_NOFILE)[1], resource.getrlimit(resource.RLIMIT_NPROC)[1]


def free_bytes(path: Path) -> int:
    """The bytes that this user may still write where ``path`` is or will be."""
    existing = next(place for place in (path.absolute(), *path.absolute().parents) if place.exists())
    return shutil.disk_usage(existing).free


def free_port(wanted: int | None = None) -> int:
    """A TCP port of the loopback that nothing listens on: the wanted one, or any.

    Raises UsageError when the wanted one is taken or may not be used.
    """
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # a port left a moment ago counts as free
        try:
            probe.bind(("127.0.0.1", wanted or 0))
        except (OSError, OverflowError) as error:
            why = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
            raise UsageError(
                f"port {wanted} of 127.0.0.1 cannot be used: {why}",
                hint="name another with --port, or leave it out for any free one",
            ) from None
        port: int = probe.getsockname()[1]
        return port


def parse_version(text: str) -> Version:
    """The first dotted number in what a program prints about itself; empty when there is none."""
    found = _NUMBERS.search(text)
    return tuple(int(part) for part in found[0].split(".")) if found else ()


def ask_version(program: str, *arguments: str) -> Version:
    """The version a program prints for these arguments (``--version`` when there are none).

    Raises ToolError when the program is missing, fails, or prints no version.
    """
    command = process.Command((program, *(arguments or ("--version",))), process.inherit())
    done = process.run(command, timeout=20)
    version = parse_version(done.text) or parse_version(done.stderr.decode("utf-8", "replace"))
    if not version:
        raise ToolError(f"{program} does not say which version it is: {done.text.strip()[:200]!r}")
    return version


def show_version(version: Version) -> str:
    """``1.28.2``."""
    return ".".join(str(part) for part in version)


def require_version(program: str, minimum: Version) -> Version:
    """The version of a program that must be there. Raises ToolError, with a hint, when it is missing or older."""
    hint = (
        f"install it with `peel doctor --install`, or with your package manager: {program} >= {show_version(minimum)}"
    )
    if process.find(program) is None:
        raise ToolError(f"{program} is not installed", hint=hint)
    version = ask_version(program)
    if version < minimum:
        raise ToolError(
            f"{program} {show_version(version)} is too old: {show_version(minimum)} or newer is needed", hint=hint
        )
    return version
