"""The small values everything else is made of. Holding one means that it parsed."""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass
from typing import Any, Final

from peel.errors import DocumentError

MTIME_CONSTANT: Final = 315532800
"""1980-01-01T00:00:00Z in seconds: the mtime of everything that has none of its own."""

_SHA256 = re.compile(r"sha256:[0-9a-f]{64}")
_HEX = re.compile(r"[0-9a-f]{64}")
_NAME = re.compile(r"[a-z0-9]+(?:[._-][a-z0-9]+)*")
_TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,127}")
_PYTHON = re.compile(r"(\d+)\.(\d+)(?:[.a-z].*)?")

_ARCHITECTURES: Final = {"linux-64": "amd64", "linux-aarch64": "arm64", "linux-ppc64le": "ppc64le"}
_MACHINES: Final = {
    "x86_64": "linux-64",
    "aarch64": "linux-aarch64",
    "arm64": "linux-aarch64",
    "ppc64le": "linux-ppc64le",
}


@dataclass(frozen=True, slots=True, order=True)
class Digest:
    """A verified ``sha256:<hex>`` string (OCI image-spec, descriptor, "Digests")."""

    text: str

    def __post_init__(self) -> None:
        if not _SHA256.fullmatch(self.text):
            raise DocumentError(f"not a sha256 digest: {self.text!r}")

    def __str__(self) -> str:
        return self.text

    @property
    def hex(self) -> str:
        """The 64 hexadecimal digits alone."""
        return self.text.removeprefix("sha256:")

    @classmethod
    def of(cls, data: bytes) -> Digest:
        """The digest of these bytes."""
        return cls(f"sha256:{hashlib.sha256(data).hexdigest()}")

    @classmethod
    def from_hex(cls, text: str) -> Digest:
        """A digest from its bare hexadecimal digits, as conda and PyPI write them."""
        if not _HEX.fullmatch(text):
            raise DocumentError(f"not a sha256 in hexadecimal: {text!r}")
        return cls(f"sha256:{text}")


@dataclass(frozen=True, slots=True, order=True)
class Platform:
    """A conda subdir of Linux, for example ``linux-64``."""

    subdir: str

    def __post_init__(self) -> None:
        if self.subdir not in _ARCHITECTURES:
            known = ", ".join(sorted(_ARCHITECTURES))
            raise DocumentError(f"not a platform that images are made for: {self.subdir!r}", hint=f"known: {known}")

    def __str__(self) -> str:
        return self.subdir

    @property
    def architecture(self) -> str:
        """What OCI calls it: ``amd64``, ``arm64``."""
        return _ARCHITECTURES[self.subdir]

    @property
    def machine(self) -> str:
        """What the kernel calls it (``uname -m``): ``x86_64``, ``aarch64``."""
        return next(machine for machine, subdir in _MACHINES.items() if subdir == self.subdir)

    @classmethod
    def from_machine(cls, machine: str) -> Platform:
        """The platform of a kernel's machine name (``uname -m``)."""
        return cls(_MACHINES.get(machine, machine))


@dataclass(frozen=True, slots=True)
class ImageRef:
    """``IMAGE:TAG``, the address of a lock set in a catalogue."""

    image: str
    tag: str

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(self.image):
            raise DocumentError(
                f"not an image name: {self.image!r}", hint="lower-case letters and digits, parted by . _ or -"
            )
        if not _TAG.fullmatch(self.tag):
            raise DocumentError(f"not a tag: {self.tag!r}", hint="letters, digits, . _ and -, at most 128")

    def __str__(self) -> str:
        return f"{self.image}:{self.tag}"

    @classmethod
    def parse(cls, text: str) -> ImageRef:
        """Read ``IMAGE:TAG``. Raises DocumentError when it is not one."""
        image, colon, tag = text.partition(":")
        if not colon:
            raise DocumentError(f"no tag in {text!r}", hint=f"write IMAGE:TAG, for example {text or 'lab'}:r1_0_0")
        return cls(image, tag)


@dataclass(frozen=True, slots=True, order=True)
class PythonVersion:
    """A Python's major and minor version; what ``lib/pythonX.Y`` is named by."""

    major: int
    minor: int

    def __str__(self) -> str:
        return f"{self.major}.{self.minor}"

    @classmethod
    def parse(cls, text: str) -> PythonVersion:
        """Read ``3.13`` or ``3.13.7``. Raises DocumentError when it is neither."""
        found = _PYTHON.fullmatch(text)
        if found is None:
            raise DocumentError(f"not a Python version: {text!r}")
        return cls(int(found[1]), int(found[2]))

    @property
    def site_packages(self) -> str:
        """Where pure-Python packages go, relative to the prefix."""
        return f"lib/python{self}/site-packages"


def is_digest(text: str) -> bool:
    """Whether this is a digest of the only kind that is used here."""
    return _SHA256.fullmatch(text) is not None


def is_name(text: str) -> bool:
    """Whether this may name an image, a payload or a kernel."""
    return _NAME.fullmatch(text) is not None


def canonical_json(value: Any) -> bytes:
    """Sorted keys, no spaces, UTF-8: the only JSON that is ever hashed."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return text.encode()
