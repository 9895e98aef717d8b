"""What lies in a ``.deb``: an ar archive of two tars (deb(5))."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO

import zstandard

from peel.errors import ArtifactError

_MAGIC = b"!<arch>\n"
_HEADER_BYTES = 60


@dataclass(frozen=True, slots=True)
class Unpacked:
    """One file, symbolic link or directory of a package.

    ``path`` is relative to the root. A file has ``data``, a link its ``target``, a directory neither.
    ``mtime`` is in seconds.
    """

    path: str
    mode: int
    mtime: int
    data: bytes = b""
    target: str = ""
    is_directory: bool = False

    @property
    def is_file(self) -> bool:
        """Whether this is a regular file."""
        return not self.is_directory and not self.target


def read_data(deb: Path) -> Iterator[Unpacked]:
    """The files, symbolic links and directories that a package installs, in its own order; hard links become files.

    Raises ArtifactError when the archive is damaged or holds what no package may hold: paths that lead elsewhere,
    devices, sockets.
    """
    try:
        yield from _read_tar(deb, "data.tar")
    except (tarfile.TarError, EOFError, zstandard.ZstdError, OSError) as error:
        raise ArtifactError(f"{deb.name} cannot be unpacked: {error}", hint="remove it and run again") from error


def read_control(deb: Path) -> str:
    """The control paragraph of a package (deb-control(5))."""
    for member in _read_tar(deb, "control.tar"):
        if member.path == "control":
            return member.data.decode()
    raise ArtifactError(f"{deb.name} has no control file", hint="remove it and run again")


def _read_tar(deb: Path, wanted: str) -> Iterator[Unpacked]:
    with deb.open("rb") as file:
        name, size = _find(file, wanted, deb)
        with tarfile.open(fileobj=_decompressed(io.BytesIO(file.read(size)), name), mode="r|*") as tar:
            seen: dict[str, bytes] = {}
            for info in tar:
                path = _checked(info.name, deb)
                if path:
                    yield _unpack(tar, info, path, seen, deb)


def _find(file: IO[bytes], wanted: str, deb: Path) -> tuple[str, int]:
    """Seek to the ar member whose name begins so; its name and its size in bytes."""
    if file.read(len(_MAGIC)) != _MAGIC:
        raise ArtifactError(f"{deb.name} is not a Debian package", hint="remove it and run again")
    while len(header := file.read(_HEADER_BYTES)) == _HEADER_BYTES:
        name, size = header[:16].decode("ascii", "replace").strip().rstrip("/"), int(header[48:58])
        if name.startswith(wanted):
            return name, size
        file.seek(size + size % 2, io.SEEK_CUR)
    raise ArtifactError(f"{deb.name} holds no {wanted}", hint="remove it and run again")


def _decompressed(packed: IO[bytes], name: str) -> IO[bytes]:
    # tarfile knows gzip, xz and bzip2 by itself; zstd only from Python 3.14 on.
    return zstandard.ZstdDecompressor().stream_reader(packed) if name.endswith(".zst") else packed


def _checked(name: str, deb: Path) -> str:
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts:
        raise ArtifactError(f"{deb.name} would write outside of its root: {name!r}", hint="do not use this package")
    return "" if path == PurePosixPath() else str(path)


def _unpack(tar: tarfile.TarFile, info: tarfile.TarInfo, path: str, seen: dict[str, bytes], deb: Path) -> Unpacked:
    mode, mtime = info.mode & 0o7777, int(info.mtime)
    if info.isdir():
        return Unpacked(path, mode, mtime, is_directory=True)
    if info.issym():
        return Unpacked(path, 0o777, mtime, target=info.linkname)
    if info.islnk():
        return Unpacked(path, mode, mtime, data=seen[str(PurePosixPath(info.linkname))])
    content = tar.extractfile(info) if info.isreg() else None
    if content is None:
        raise ArtifactError(
            f"{deb.name} holds {path!r}, which is neither file nor link", hint="do not use this package"
        )
    seen[path] = content.read()
    return Unpacked(path, mode, mtime, data=seen[path])
