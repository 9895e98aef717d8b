"""Linker 1's way with wheels: PyPA ``installer`` reads and places, peel writes every byte.

Command scripts, RECORD and INSTALLER are peel's own, so that another version of ``installer`` cannot change an image.
What a wheel holds is held against its RECORD first (PyPA's binary distribution format, PEP 427).
"""

from __future__ import annotations

import csv
import hashlib
import io
import posixpath
import warnings
from base64 import urlsafe_b64encode
from collections.abc import Iterable, Iterator
from email.parser import HeaderParser
from os import PathLike
from pathlib import Path
from typing import BinaryIO

from installer import install
from installer.destinations import WheelDestination
from installer.records import RecordEntry
from installer.sources import WheelFile
from installer.utils import Scheme
from packaging.utils import canonicalize_name

from peel.errors import ArtifactError
from peel.layers.conda_info import parse_entry_point
from peel.layers.forward import CHUNK
from peel.layers.identity import refuse_other_package
from peel.layers.link_python import script, shebang
from peel.layers.link_stage import Stage, write_all
from peel.layers.wheel_facts import installed_path, installed_wheel_paths, is_replaced, packaged_path, read_wheel_facts
from peel.layers.wheel_file import opened
from peel.model.entry import Entry, Kind
from peel.model.values import Digest, PythonVersion

__all__ = ["installed_wheel_paths", "link_wheel", "read_wheel_facts"]

_INSTALLER = b"peel\n"


def link_wheel(
    archive: Path,
    *,
    name: str,
    version: str,
    file_name: str,
    digest: Digest,  # noqa: ARG001 - as of link_conda; a wheel's content does not name the wheel
    prefix: str,
    python: PythonVersion,
    stage: Path,
    omit: frozenset[str] = frozenset(),
) -> tuple[Entry, ...]:
    """Write a wheel's final files beneath ``stage``, which stands for ``prefix``, and describe them.

    ``name`` and ``version`` are the lock's. ``archive`` is read as what ``file_name`` says; whether its tags fit is not
    looked at. ``omit`` are paths relative to the prefix that another package wins. Entries are files in path order with
    the constant mtime. Raises ArtifactError naming the wheel when it is damaged, hostile, at odds with its RECORD,
    another package, or no wheel at all.
    """
    with Stage(stage, file_name) as staged, opened(archive, file_name) as wheel, warnings.catch_warnings():
        refuse_other_package(file_name, found=_identity(wheel), locked=(canonicalize_name(name), version))
        warnings.simplefilter("ignore", RuntimeWarning)  # installer's, that it skips packaged bytecode
        target = _Destination(staged, file_name, wheel.distribution, prefix=prefix, python=python, omit=omit)
        install(wheel, target, additional_metadata={})
    return tuple(sorted(target.entries, key=lambda entry: entry.path.split("/")))


def _identity(wheel: WheelFile) -> tuple[str, str]:
    """What METADATA says: the normalized name (PEP 503), and the version."""
    metadata = HeaderParser().parsestr(wheel.read_dist_info("METADATA"))
    return canonicalize_name(metadata.get("Name", "")), metadata.get("Version", "")


class _Destination(WheelDestination):
    """Where ``installer`` hands over what it reads: a stage."""

    def __init__(
        self,
        staged: Stage,
        file_name: str,
        distribution: str,
        *,
        prefix: str,
        python: PythonVersion,
        omit: frozenset[str],
    ) -> None:
        self.entries: list[Entry] = []
        self._staged = staged
        self._file_name = file_name
        self._distribution = distribution
        self._prefix = prefix
        self._python = python
        self._omit = omit
        self._rows: list[tuple[str, str, str]] = []

    def write_script(self, name: str, module: str, attr: str, section: str) -> RecordEntry:  # noqa: ARG002
        point = parse_entry_point(f"{name} = {module}:{attr}", self._file_name)
        path = f"bin/{point.command}"
        self._write(path, [script(point, self._prefix, self._python)], mode=0o755)
        return RecordEntry(path, None, None)

    def write_file(
        self,
        scheme: Scheme,
        path: str | PathLike[str],
        stream: BinaryIO,
        is_executable: bool,  # noqa: FBT001
    ) -> RecordEntry:
        path = str(path)
        placed = installed_path(packaged_path(scheme, path, self._distribution), self._python)
        if placed is not None and not is_replaced(path):
            is_script = scheme == "scripts"
            chunks = self._script_chunks(stream) if is_script else _chunks(stream)
            self._write(placed, chunks, mode=0o755 if is_executable or is_script else 0o644)
        return RecordEntry(path, None, None)

    def finalize_installation(
        self,
        scheme: Scheme,  # noqa: ARG002
        record_file_path: str,
        records: Iterable[tuple[Scheme, RecordEntry]],  # noqa: ARG002
    ) -> None:
        site = self._python.site_packages
        record = f"{site}/{record_file_path}"
        self._write(posixpath.join(posixpath.dirname(record), "INSTALLER"), [_INSTALLER], mode=0o644)
        text = io.StringIO()
        rows = csv.writer(text, lineterminator="\n")
        rows.writerows(sorted([*self._rows, (posixpath.relpath(record, site), "", "")]))
        self._write(record, [text.getvalue().encode()], mode=0o644)

    def _script_chunks(self, stream: BinaryIO) -> Iterator[bytes]:
        """A packaged script; ``#!python`` stands for the interpreter it is installed for."""
        start = stream.read(len(b"#!python"))
        if start == b"#!python":
            stream.readline()
            start = shebang(self._prefix, self._python).encode() + b"\n"
        yield start
        yield from _chunks(stream)

    def _write(self, path: str, chunks: Iterable[bytes], *, mode: int) -> None:
        if path.startswith("conda-meta/"):
            raise ArtifactError(f"{self._file_name}: {path!r} would pass for a record of the installer")
        if path in self._omit:
            return
        digest, size = hashlib.sha256(), 0
        with self._staged.new_file(path) as target:
            for chunk in chunks:
                digest.update(chunk)
                size += len(chunk)
                write_all(target, chunk)
        encoded = urlsafe_b64encode(digest.digest()).decode().rstrip("=")
        self._rows.append((posixpath.relpath(path, self._python.site_packages), f"sha256={encoded}", str(size)))
        in_image = f"{self._prefix.strip('/')}/{path}"
        self.entries.append(Entry(in_image, Kind.FILE, mode=mode, size=size, source=self._staged.root / path))


def _chunks(stream: BinaryIO) -> Iterator[bytes]:
    while chunk := stream.read(CHUNK):
        yield chunk
