"""A wheel as a file: opened, held against its own RECORD, and asked what it holds."""

from __future__ import annotations

import configparser
import csv
import stat
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from installer.exceptions import InstallerError
from installer.sources import WheelFile

from peel.errors import ArtifactError
from peel.layers.conda_stream import check_path, largest_content

_METADATA_LIMIT = 64 << 20
_BROKEN = (
    OSError, EOFError, ValueError, KeyError, AssertionError, RuntimeError, zipfile.BadZipFile, zlib.error, csv.Error,
    configparser.Error, InstallerError,
)  # fmt: skip


@contextmanager
def opened(archive: Path, file_name: str) -> Iterator[WheelFile]:
    """An open wheel whose members are harmless and agree with its RECORD.

    Whatever fails while it is open, of the wheel or of ``installer``, becomes an ArtifactError that names the wheel.
    """
    if not file_name.endswith(".whl"):
        raise ArtifactError(
            f"{file_name}: a source distribution cannot be built reproducibly",
            hint="lock a wheel of it; `pip wheel` makes one that you can serve from an index of your own",
        )
    try:
        with archive.open("rb") as file, zipfile.ZipFile(file) as outer:
            outer.filename = file_name  # installer reads name and version off it
            _check_members(outer, file_name, largest_content(archive))
            wheel = WheelFile(outer)
            # what the wheel holds counts, not what its file is called
            wheel.distribution, _, wheel.version = wheel.dist_info_dir.removesuffix(".dist-info").rpartition("-")
            wheel.validate_record()
            yield wheel
    except WheelFile.validation_error as error:
        issue = str(getattr(error, "issues", [error])[0])
        raise ArtifactError(f"{file_name}: {issue}", hint="the wheel was made or changed wrongly") from None
    except _BROKEN as error:
        raise ArtifactError(
            f"{file_name}: cannot be read as a wheel: {error or type(error).__name__}", hint="fetch it again"
        ) from None


def _check_members(outer: zipfile.ZipFile, file_name: str, limit: int) -> None:
    seen: set[str] = set()
    total = 0
    for item in outer.infolist():
        _check_member(item, file_name)
        if item.filename in seen:
            raise ArtifactError(f"{file_name}: {item.filename!r} is there twice")
        seen.add(item.filename)
        total += item.file_size
    if total > limit:
        raise ArtifactError(
            f"{file_name}: unpacks to {total} bytes, out of proportion to its size",
            hint="this looks like a decompression bomb",
        )


def _check_member(item: zipfile.ZipInfo, file_name: str) -> None:
    check_path(item.filename.removesuffix("/"), file_name)
    mode = item.external_attr >> 16
    kind = stat.S_IFMT(mode)
    if kind not in {0, stat.S_IFREG, stat.S_IFDIR}:
        raise ArtifactError(f"{file_name}: {item.filename!r} is a link, a device or something else no wheel may hold")
    if kind != stat.S_IFDIR and mode & 0o6000:
        raise ArtifactError(f"{file_name}: {item.filename!r} is setuid or setgid")
    if item.filename.split("/")[0].endswith(".dist-info") and item.file_size > _METADATA_LIMIT:
        raise ArtifactError(f"{file_name}: {item.filename!r} has {item.file_size} bytes, more than a wheel needs")
