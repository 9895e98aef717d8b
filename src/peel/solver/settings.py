"""What the environment variables that conda, micromamba and conda-lock share ask for. No configuration file is read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import NamedTuple

from peel.errors import UsageError
from peel.model.values import Platform

_FAMILY_OVERRIDES = {"linux": ("linux", "glibc"), "osx": ("osx",), "win": ("win",)}
_ARCHITECTURES = {"64": "x86_64", "32": "x86", "arm64": "m1"}


class Priority(StrEnum):
    """How far the order of the channels decides (conda's ``channel_priority``)."""

    STRICT = "strict"
    FLEXIBLE = "flexible"
    DISABLED = "disabled"


class VirtualPackage(NamedTuple):
    """A property of the target machine that packages may depend on."""

    name: str
    version: str
    build: str

    def __str__(self) -> str:
        return "=".join(self)


@dataclass(frozen=True, slots=True)
class Settings:
    """The environment's answers; the command line's go before them."""

    subdir: str
    package_cache: Path
    root_prefix: Path
    channels: tuple[str, ...]
    priority: Priority
    overrides: Mapping[str, str]
    """What each ``CONDA_OVERRIDE_NAME`` is set to, by lower-case name; empty text means: the machine has none."""


def read_settings(environment: Mapping[str, str], *, machine: str) -> Settings:
    """Settings from environment variables and the kernel's machine name (``uname -m``). Raises UsageError."""
    home = Path(environment.get("HOME") or "/")
    root = Path(
        environment.get("MAMBA_ROOT_PREFIX") or _xdg(environment, "XDG_DATA_HOME", home / ".local/share") / "mamba"
    )
    caches = [part.strip() for part in environment.get("CONDA_PKGS_DIRS", "").split(",") if part.strip()]
    cache = Path(caches[0]) if caches else _xdg(environment, "XDG_CACHE_HOME", home / ".cache") / "peel" / "pkgs"
    prefix = "CONDA_OVERRIDE_"
    return Settings(
        subdir=environment.get("CONDA_SUBDIR") or Platform.from_machine(machine).subdir,
        package_cache=cache.absolute(),
        root_prefix=root.absolute(),
        channels=tuple(part.strip() for part in environment.get("CONDA_CHANNELS", "").split(",") if part.strip()),
        priority=parse_priority(environment.get("CONDA_CHANNEL_PRIORITY") or "flexible", "CONDA_CHANNEL_PRIORITY"),
        overrides={
            name.removeprefix(prefix).lower(): value.strip()
            for name, value in sorted(environment.items())
            if name.startswith(prefix)
        },
    )


def parse_priority(text: str, origin: str) -> Priority:
    """A channel priority by its name. Raises UsageError naming ``origin``."""
    try:
        return Priority(text)
    except ValueError:
        raise UsageError(f"{origin}: {text!r} is not one of strict, flexible, disabled") from None


def virtual_packages(
    subdir: str, host: Mapping[str, VirtualPackage], overrides: Mapping[str, str]
) -> tuple[VirtualPackage, ...]:
    """The virtual packages of a target platform, given this machine's own by name and what overrides them.

    An override gives the version, for ``archspec`` the microarchitecture; an empty one takes the package away.
    """
    family, _, architecture = subdir.partition("-")
    found = {
        "unix": VirtualPackage("__unix", "0", "0") if family != "win" else VirtualPackage("__win", "0", "0"),
        **{name: host.get(f"__{name}") for name in (*_FAMILY_OVERRIDES.get(family, ()), "cuda")},
        "archspec": _archspec(architecture, host),
    }
    if family == "linux" and found["linux"] is None:
        found["linux"] = VirtualPackage("__linux", "0", "0")
    for name in found.keys() & overrides.keys():
        found[name] = _overridden(name, overrides[name])
    return tuple(package for package in found.values() if package is not None)


def _archspec(architecture: str, host: Mapping[str, VirtualPackage]) -> VirtualPackage | None:
    generic = _ARCHITECTURES.get(architecture, architecture)
    own = host.get("__archspec")
    if own is not None and own.build.startswith(generic):
        return own
    return VirtualPackage("__archspec", "1", generic) if generic else None


def _overridden(name: str, value: str) -> VirtualPackage | None:
    if not value:
        return None
    return VirtualPackage("__archspec", "1", value) if name == "archspec" else VirtualPackage(f"__{name}", value, "0")


def _xdg(environment: Mapping[str, str], name: str, otherwise: Path) -> Path:
    value = environment.get(name, "")
    return Path(value) if value.startswith("/") else otherwise
