"""Chosen files of an image, taken out of its layers as a container would see them.

Layers are read from the lowest to the highest; whiteouts hide what lies beneath them (OCI layer.md, "Whiteouts"). What
is taken is kept on disk under names of our own, so that an image may be of any size, and may hold anything.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from peel.errors import ArtifactError
from peel.layers.layer_stream import ImageLayer, LayerMember, layer_members, plain_path

Wanted = Callable[[str], int]
"""How many bytes a file at this path, written without a leading slash, may have to be taken; 0: it is not wanted."""

_WHITEOUT: Final = ".wh."
_OPAQUE: Final = ".wh..wh..opq"
_RESERVED: Final = ".wh..wh."  # what aufs kept for itself
_MOST_FILES: Final = 200_000
_MOST_BYTES: Final = 2 << 30
_MOST_LINKS: Final = 4
_ODD: Final = "no tool that makes images leaves such a thing: ask whoever made this one"


@dataclass(frozen=True, slots=True)
class ImageFiles:
    """What was taken: paths in the image, without a leading slash, and where their bytes lie."""

    origin: str
    files: Mapping[str, Path] = field(default_factory=dict)


def take_files(
    layers: Sequence[ImageLayer],
    wanted: Wanted,
    work: Path,
    *,
    origin: str,
    beneath: ImageFiles | None = None,
    advance: Callable[[int], object] = lambda _: None,
    see: Callable[[ImageLayer, LayerMember], object] = lambda *_: None,
) -> ImageFiles:
    """The wanted regular files of an image, whiteouts and all that replaces a file honoured.

    ``layers`` are those on top of ``beneath``, lowest first; ``work`` is a directory that outlives the answer;
    ``advance`` is told how many bytes of blobs were read, and ``see`` sees every member on the way. Raises
    ArtifactError naming ``origin`` and the path.
    """
    files = dict(beneath.files) if beneath else {}
    for layer in layers:
        reading = _Reading(layer, origin, work, wanted, files, see)
        reading.read()
        files = {**{path: kept for path, kept in files.items() if not reading.hides(path)}, **reading.found}
        _refuse_too_much(files, origin)
        advance(layer.blob.size)
    return ImageFiles(origin, files)


def _refuse_too_much(files: Mapping[str, Path], origin: str) -> None:
    if len(files) > _MOST_FILES or sum(path.stat().st_size for path in set(files.values())) > _MOST_BYTES:
        raise ArtifactError(
            f"{origin} holds more records of packages than an image can have",
            hint=f"at most {_MOST_FILES:,} files and {_MOST_BYTES >> 20} MiB are read",
        )


@dataclass(slots=True)
class _Reading:
    """One layer being read, over the files that the layers beneath it gave."""

    layer: ImageLayer
    origin: str
    work: Path
    wanted: Wanted
    beneath: Mapping[str, Path]
    see: Callable[[ImageLayer, LayerMember], object]
    found: dict[str, Path] = field(default_factory=dict)
    replaced: set[str] = field(default_factory=set)
    opaque: set[str] = field(default_factory=set)
    links: dict[str, str] = field(default_factory=dict)
    taken: int = 0

    def read(self) -> None:
        """Read it once, and again where a wanted file is a hard link to one that is not."""
        known = {*self.beneath, *(parent for path in self.beneath for parent in _parents(path))}
        for member in layer_members(self.layer, self.origin):
            self.see(self.layer, member)
            self._see(member, known)
        self._resolve_links()

    def hides(self, path: str) -> bool:
        """Whether this layer hides what lower ones hold at a path."""
        return path in self.replaced or any(p in self.replaced or p in self.opaque for p in _parents(path))

    def _see(self, member: LayerMember, known: set[str]) -> None:
        path, (folder, _, name) = member.path, member.path.rpartition("/")
        if name.startswith(_WHITEOUT):
            return self._white_out(folder, name, known)
        if path in known and (path in self.beneath or not member.info.isdir()):
            self.replaced.add(path)
        if limit := self.wanted(path):
            self.found.pop(path, None)  # of one path twice in an archive, the later counts
            self.links.pop(path, None)
            if member.info.islnk():
                self.links[path] = plain_path(member.info.linkname, self.origin)
            elif member.info.isreg():
                self.found[path] = self._keep(member, limit)
        return None

    def _white_out(self, folder: str, name: str, known: set[str]) -> None:
        hidden = "/".join(filter(None, (folder, name.removeprefix(_WHITEOUT))))
        if name == _OPAQUE and folder in known:
            self.opaque.add(folder)
        elif not name.startswith(_RESERVED) and name != _WHITEOUT and hidden in known:
            self.replaced.add(hidden)

    def _keep(self, member: LayerMember, limit: int) -> Path:
        self.taken += member.info.size
        if member.info.size > limit or self.taken > _MOST_BYTES:
            raise ArtifactError(f"{self.origin}: /{member.path} has {member.info.size:,} bytes", hint=_ODD)
        if len(self.found) >= _MOST_FILES:
            raise ArtifactError(
                f"{self.origin}: one layer has more than {_MOST_FILES:,} records of packages", hint=_ODD
            )
        handle, name = tempfile.mkstemp(dir=self.work)
        with open(handle, "wb") as file:  # noqa: PTH123 - a descriptor
            file.writelines(member.content())
        return Path(name)

    def _resolve_links(self) -> None:
        """A hard link has the bytes of another member of its layer; from a lower layer it may take what is known."""
        for _ in range(_MOST_LINKS):
            for path, target in list(self.links.items()):
                there = self.found.get(target) or (None if self.hides(target) else self.beneath.get(target))
                if there is not None:
                    self.found[path] = there
                    del self.links[path]
            if not self.links:
                return
            self._look_again()
        path, target = min(self.links.items())
        raise ArtifactError(f"{self.origin}: /{path} is a link to /{target}, which is not there", hint=_ODD)

    def _look_again(self) -> None:
        """Read the layer for what wanted links point to."""
        targets = {target: self.wanted(path) for path, target in self.links.items()}
        taken: dict[str, Path] = {}
        further: dict[str, str] = {}
        for member in layer_members(self.layer, self.origin):
            if limit := targets.get(member.path):
                if member.info.islnk():
                    further[member.path] = plain_path(member.info.linkname, self.origin)
                elif member.info.isreg():
                    taken[member.path] = self._keep(member, limit)
        for path, target in list(self.links.items()):
            if target in taken:
                self.found[path] = taken[target]
                del self.links[path]
            elif target in further:
                self.links[path] = further[target]


def _parents(path: str) -> Iterator[str]:
    """All directories that a path lies in, the root, which is empty, among them."""
    while path:
        path = path.rpartition("/")[0]
        yield path
