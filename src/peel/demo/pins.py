"""Wheels from the Python index, pinned by sha256 in the ``.txt`` files beside this module.

To renew a file, let ``pip download`` resolve what its first line names, for that Python and the platforms below, and
write a line for every wheel it brings.
"""

from __future__ import annotations

import hashlib
import os
import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from peel.errors import ArtifactError
from peel.model.values import Digest, PythonVersion
from peel.tools import process

_PIN = re.compile(r"(?P<name>[a-z0-9-]+)==(?P<version>\S+) --hash=sha256:(?P<sha256>[0-9a-f]{64})")
# Every glibc back to the first that wheels were made for, newest first; the base image has 2.41.
_PLATFORMS: Final = (
    *(f"manylinux_2_{minor}_x86_64" for minor in range(36, 4, -1)),
    *(f"manylinux{name}_x86_64" for name in ("2014", "2010", "1")),
)


@dataclass(frozen=True, slots=True, order=True)
class Pin:
    """One wheel: its normalised name, its version, and the digest of its file."""

    name: str
    version: str
    digest: Digest


def parse_pins(text: str) -> tuple[Pin, ...]:
    """The lines of a pinned requirement file. Raises ArtifactError for a line that is none."""
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    return tuple(sorted(_pin(line) for line in lines))


def _pin(line: str) -> Pin:
    found = _PIN.fullmatch(line)
    if found is None:
        raise ArtifactError(f"not a pinned requirement: {line!r}", hint="write NAME==VERSION --hash=sha256:HEX")
    return Pin(found["name"], found["version"], Digest.from_hex(found["sha256"]))


def load_pins(name: str) -> tuple[Pin, ...]:
    """A requirement file of this package: ``lab``, ``payload``, ``extra`` or ``tools``."""
    return parse_pins(files("peel.demo").joinpath(f"{name}.txt").read_text())


def fetch_wheels(pins: Sequence[Pin], python: PythonVersion, *, cache: Path) -> dict[Pin, Path]:
    """Have these wheels in the cache, every one checked; offline once they are there.

    pip fetches them from whatever index this machine is configured for. Raises ToolError when pip is missing or fails,
    ArtifactError when a wheel cannot be had.
    """
    missing = [pin for pin in pins if _cached(pin, cache) is None]
    if missing:
        _download(missing, python, cache)
    found = {pin: _cached(pin, cache) for pin in pins}
    lacking = [pin.name for pin, path in found.items() if path is None]
    if lacking:
        raise ArtifactError(f"pip did not bring {', '.join(lacking)}", hint="run it again")
    return {pin: _verified(pin, path) for pin, path in found.items() if path}


def _cached(pin: Pin, cache: Path) -> Path | None:
    return next((cache / "wheels" / pin.digest.hex).glob("*.whl"), None)


def _verified(pin: Pin, path: Path) -> Path:
    with path.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if found != pin.digest.hex:
        path.unlink()
        raise ArtifactError(
            f"{path.name} has sha256 {found}, the pin says {pin.digest.hex}",
            hint="the file is removed; run it again to fetch it anew",
        )
    return path


def _download(pins: Sequence[Pin], python: PythonVersion, cache: Path) -> None:
    cache.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=cache, prefix="download-") as name:
        directory = Path(name)
        requirements = directory / "requirements.txt"
        lines = (f"{pin.name}=={pin.version} --hash={pin.digest}\n" for pin in pins)
        requirements.write_text("".join(lines))
        process.run(process.Command(download_argv(requirements, directory, python), env=_pip_environment()))
        for wheel in sorted(directory.glob("*.whl")):
            with wheel.open("rb") as file:
                target = cache / "wheels" / hashlib.file_digest(file, "sha256").hexdigest()
            target.mkdir(parents=True, exist_ok=True)
            wheel.rename(target / wheel.name)


def download_argv(requirements: Path, directory: Path, python: PythonVersion) -> tuple[str, ...]:
    """The argv that downloads the wheels of another Python, by hash and nothing but wheels."""
    return process.argv_of(
        sys.executable, "-m", "pip", "download", "--quiet", "--no-input", "--disable-pip-version-check",
        "--require-hashes", "--no-deps", "--only-binary", ":all:",
        "--python-version", str(python), "--implementation", "cp",
        ("--abi", f"cp{python.major}{python.minor}", "--abi", "abi3", "--abi", "none"),
        [part for platform in _PLATFORMS for part in ("--platform", platform)],
        "--dest", directory, "--requirement", requirements,
    )  # fmt: skip


def _pip_environment() -> dict[str, str]:
    """Which index pip asks is this machine's affair: its settings for pip are passed on, the pins decide the bytes."""
    return process.inherit({name: value for name, value in os.environ.items() if name.startswith("PIP_")})
