"""Build contexts: directories as one tar, always the same of the same files."""

from __future__ import annotations

import io
import os
import stat
import tarfile
from collections.abc import Iterator
from pathlib import Path

from peel.errors import DocumentError


def pack(root: Path, origin: str, limit: int) -> bytes:
    """All that is beneath a directory, in order of path, without times and owners; at most ``limit`` bytes.

    Raises DocumentError naming ``origin`` and the path, for what is too large, and what is no file, link or directory.
    """
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for path in sorted(_beneath(root), key=lambda path: path.relative_to(root).parts):
            tar.addfile(*_member(path, f"{origin}/{path.relative_to(root).as_posix()}", root, limit))
            if packed.tell() > limit:
                raise DocumentError(
                    f"{origin}: holds more than {limit >> 20} MiB, and a lock set keeps all of it",
                    hint="take out what the build does not need; large files are inputs of a script",
                )
    return packed.getvalue()


def _beneath(root: Path) -> Iterator[Path]:
    for folder, names, files in os.walk(root):
        yield from (Path(folder, name) for name in (*names, *files))


def _member(path: Path, origin: str, root: Path, limit: int) -> tuple[tarfile.TarInfo, io.BytesIO | None]:
    found, info = path.lstat(), tarfile.TarInfo(path.relative_to(root).as_posix())
    info.mode = 0o755 if found.st_mode & stat.S_IXUSR or stat.S_ISDIR(found.st_mode) else 0o644
    if stat.S_ISDIR(found.st_mode):
        info.type = tarfile.DIRTYPE
        return info, None
    if stat.S_ISLNK(found.st_mode):
        info.type, info.linkname = tarfile.SYMTYPE, str(path.readlink())
        return info, None
    if not stat.S_ISREG(found.st_mode):
        raise DocumentError(f"{origin}: is neither a file nor a directory", hint="take it out of the context")
    if found.st_size > limit:
        raise DocumentError(f"{origin}: is larger than {limit >> 20} MiB", hint="make it an input of a script instead")
    data = path.read_bytes()
    info.size = len(data)
    return info, io.BytesIO(data)
