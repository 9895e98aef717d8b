"""What a wheel needs, as its METADATA says: read alone, since a wheel may be large."""

from __future__ import annotations

import re
import zipfile
import zlib
from dataclasses import dataclass
from email.parser import HeaderParser
from pathlib import Path
from typing import Final

from peel.errors import ArtifactError

_METADATA: Final = re.compile(r"[^/]+\.dist-info/METADATA")
_MOST_BYTES: Final = 16 << 20
_BROKEN: Final = (OSError, EOFError, ValueError, KeyError, RuntimeError, zipfile.BadZipFile, zlib.error)


@dataclass(frozen=True, slots=True)
class WheelNeeds:
    """A wheel's ``Requires-Dist`` and ``Requires-Python`` (core metadata), "" where it has none of the latter."""

    requires: tuple[str, ...]
    python: str = ""


def read_wheel_needs(archive: Path, file_name: str) -> WheelNeeds:
    """Read what a wheel needs. Raises ArtifactError when it cannot be read as a wheel."""
    try:
        with zipfile.ZipFile(archive) as wheel:
            found = [item for item in wheel.infolist() if _METADATA.fullmatch(item.filename)]
            if len(found) != 1 or found[0].file_size > _MOST_BYTES:
                raise ArtifactError(f"{file_name}: not a wheel with one METADATA of a usual size")
            text = wheel.read(found[0]).decode("utf-8", "replace")
    except _BROKEN as error:
        raise ArtifactError(f"{file_name}: cannot be read as a wheel: {error}", hint="fetch it again") from None
    metadata = HeaderParser().parsestr(text)
    return WheelNeeds(tuple(map(str, metadata.get_all("Requires-Dist", []))), str(metadata.get("Requires-Python", "")))
