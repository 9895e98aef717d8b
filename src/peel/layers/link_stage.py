"""Writes beneath one directory of the host, and nowhere else, whatever an archive names or links to."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Self

from peel.errors import ArtifactError, PeelError
from peel.layers.conda_stream import check_path

_NEW_FILE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


class Stage:
    """An open directory that stands for a prefix; several packages may write to it, also at once.

    Every step of a path is opened from the one before without following symbolic links; nothing is overwritten. All
    methods take paths relative to the stage, and raise ArtifactError naming the package when a path is taken or leads
    through a link or a file, and PeelError when the host cannot write.
    """

    def __init__(self, root: Path, package: str) -> None:
        self.root = root
        self._package = package
        self._root_fd = -1
        self._parent: tuple[str, int] | None = None

    def __enter__(self) -> Self:
        self.root.mkdir(parents=True, exist_ok=True)
        self._root_fd = os.open(self.root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        return self

    def __exit__(self, *_: object) -> None:
        self._leave()
        os.close(self._root_fd)

    @contextmanager
    def new_file(self, path: str) -> Iterator[int]:
        """The descriptor of a new, empty file, to be written with :func:`write_all`."""
        with self._explained(path):
            name, parent = self._enter(path)
            target = os.open(name, _NEW_FILE, 0o644, dir_fd=parent)
            try:
                yield target
            finally:
                os.close(target)

    def write(self, path: str, data: bytes) -> Path:
        """A new file with these bytes; where it is on the host."""
        with self.new_file(path) as target:
            write_all(target, data)
        return self.root / path

    def symlink(self, path: str, target: str) -> None:
        """A new symbolic link."""
        with self._explained(path):
            name, parent = self._enter(path)
            os.symlink(target, name, dir_fd=parent)

    def directory(self, path: str) -> None:
        """A directory, which may be there already."""
        with self._explained(path):
            os.close(self._walk(check_path(path, self._package)))

    def hardlink(self, path: str, existing: str) -> None:
        """A second name of a file that this stage has."""
        with self._explained(path):
            name, parent = self._enter(existing)
            source = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=parent)
            try:
                name, parent = self._enter(path)
                os.link(f"/proc/self/fd/{source}", name, dst_dir_fd=parent, follow_symlinks=True)
            finally:
                os.close(source)

    def _enter(self, path: str) -> tuple[str, int]:
        """The last name of a path, and the open directory that holds it, made if need be."""
        folder, _, name = check_path(path, self._package).rpartition("/")
        if self._parent is None or self._parent[0] != folder:
            self._leave()
            self._parent = (folder, self._walk(folder))
        return name, self._parent[1]

    def _walk(self, folder: str) -> int:
        current = os.dup(self._root_fd)
        for step in folder.split("/") if folder else ():
            try:
                below = _open_folder(step, current)
            finally:
                os.close(current)
            current = below
        return current

    def _leave(self) -> None:
        if self._parent is not None:
            os.close(self._parent[1])
            self._parent = None

    @contextmanager
    def _explained(self, path: str) -> Iterator[None]:
        try:
            yield
        except FileExistsError:
            raise ArtifactError(
                f"{self._package}: {path!r} is written twice", hint="two packages hold it: declare which one wins"
            ) from None
        except OSError as error:
            if error.errno in {errno.ELOOP, errno.ENOTDIR}:
                raise ArtifactError(f"{self._package}: {path!r} leads through a link or a file") from None
            raise PeelError(
                f"{self._package}: cannot write {path!r}: {error.strerror}",
                hint="make room on the disk that holds the store, or choose another with --store",
            ) from None


def write_all(target: int, data: bytes) -> None:
    """Write all bytes to a descriptor."""
    view = memoryview(data)
    while view:
        view = view[os.write(target, view) :]


def _open_folder(name: str, parent: int) -> int:
    try:
        return os.open(name, _FOLDER, dir_fd=parent)
    except FileNotFoundError:
        with suppress(FileExistsError):  # another process may be quicker
            os.mkdir(name, 0o755, dir_fd=parent)
        return os.open(name, _FOLDER, dir_fd=parent)
