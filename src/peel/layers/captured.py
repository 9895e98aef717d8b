"""Files that were made by somebody else's program, taken out of image layers to be written again canonically.

What decides their bytes in the new layer is path, kind, contents and mode alone. Owners, times and the tar that they
came in are dropped, and bytecode that a time would have to vouch for.
"""

from __future__ import annotations

import stat
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from peel.errors import ArtifactError
from peel.layers.layer_stream import ImageLayer, LayerMember, layer_members, plain_path
from peel.layers.link_payload import final_mode
from peel.model.entry import Entry, Kind, directory, symlink
from peel.model.paths import above

_WHITEOUT: Final = ".wh."
_OPAQUE: Final = ".wh..wh..opq"
_RESERVED: Final = ".wh..wh."
_MOST_FILES: Final = 1_000_000
_MOST_BYTES: Final = 256 << 30
_PRIVILEGED: Final = stat.S_ISUID | stat.S_ISGID
_TIMED_PYC: Final = b"\0\0\0\0"  # flags of a pyc that is checked against a time (PEP 552)

Rename = Callable[[str], str | None]
"""Where what lies at a path goes, both without a leading slash; None for what is left behind."""


@dataclass(slots=True)
class Taken:
    """What was taken, and which paths of lower layers were removed. Paths are as they are named anew."""

    entries: dict[str, Entry] = field(default_factory=dict)
    removed: set[str] = field(default_factory=set)


def take(layers: Sequence[ImageLayer], rename: Rename, work: Path, *, origin: str) -> Taken:
    """The files of layers, lowest first, whiteouts honoured; contents lie in ``work`` afterwards.

    Raises ArtifactError naming ``origin`` and the path: for devices and the like, for setuid and setgid files, for
    capabilities, for hard links to what is left behind, and as ``layer_members`` does.
    """
    taken, size = Taken(), 0
    for layer in layers:
        reading = _Layer(rename, work, origin)
        for member in layer_members(layer, origin):
            reading.see(member)
            size += member.info.size
            if len(reading.entries) + len(taken.entries) > _MOST_FILES or size > _MOST_BYTES:
                raise ArtifactError(f"{origin} holds more than any environment can", hint="take a smaller directory")
        _lay_over(taken, reading)
    _refuse_lost_links(taken, origin)
    return taken


@dataclass(slots=True)
class _Layer:
    """One layer, read."""

    rename: Rename
    work: Path
    origin: str
    entries: dict[str, Entry] = field(default_factory=dict)
    hidden: set[str] = field(default_factory=set)
    opaque: set[str] = field(default_factory=set)

    def see(self, member: LayerMember) -> None:
        """Take a member in."""
        folder, _, name = member.path.rpartition("/")
        if name == _OPAQUE:
            if (new := self.rename(folder)) is not None:
                self.opaque.add(new)
        elif name.startswith(_WHITEOUT):
            old = "/".join(filter(None, (folder, name.removeprefix(_WHITEOUT))))
            if not name.startswith(_RESERVED) and (new := self.rename(old)) is not None:
                self.hidden.add(new)
        elif (new := self.rename(member.path)) is not None:
            self.entries.pop(new, None)
            if (entry := self._entry(new, member)) is not None:
                self.entries[new] = entry

    def _entry(self, path: str, member: LayerMember) -> Entry | None:
        info = member.info
        if info.isdir():
            return directory(path)
        if info.issym():
            return symlink(path, info.linkname)
        self._refuse_privileges(member)
        if info.islnk():
            target = self.rename(plain_path(info.linkname, self.origin))
            return Entry(path, Kind.HARDLINK, target=target or "")
        if not info.isreg():
            raise ArtifactError(
                f"{self.origin}: /{member.path} is neither a file, a directory nor a link",
                hint="devices, pipes and sockets are not taken into an image: have it removed",
            )
        return self._file(path, member)

    def _refuse_privileges(self, member: LayerMember) -> None:
        if member.info.mode & _PRIVILEGED or "SCHILY.xattr.security.capability" in member.info.pax_headers:
            raise ArtifactError(
                f"{self.origin}: /{member.path} would run with another user's rights",
                hint="setuid and setgid bits and capabilities are not taken into an image: have them cleared",
            )

    def _file(self, path: str, member: LayerMember) -> Entry | None:
        handle, name = tempfile.mkstemp(dir=self.work)
        kept, head = Path(name), b""
        with open(handle, "wb") as file:  # noqa: PTH123 - a descriptor
            for piece in member.content():
                head = head or piece[:8]
                file.write(piece)
        if path.endswith(".pyc") and head[4:8] == _TIMED_PYC:
            kept.unlink()
            return None
        mode = final_mode(member.info.mode & 0o777) & ~0o022
        return Entry(path, Kind.FILE, mode=mode, size=member.info.size, source=kept)


def _lay_over(taken: Taken, layer: _Layer) -> None:
    """Lay a layer over those before it."""
    replaced = {path for path, entry in layer.entries.items() if entry.kind is not Kind.DIRECTORY}
    gone = layer.hidden | replaced
    if gone or layer.opaque:
        for path in [path for path in taken.entries if _is_hidden(path, gone, layer.opaque)]:
            del taken.entries[path]
    taken.removed |= layer.hidden
    taken.entries.update(layer.entries)
    taken.removed -= layer.entries.keys()


def _is_hidden(path: str, gone: set[str], opaque: set[str]) -> bool:
    return path in gone or any(parent in gone or parent in opaque for parent in above(path))


def _refuse_lost_links(taken: Taken, origin: str) -> None:
    for entry in taken.entries.values():
        target = taken.entries.get(entry.target)
        if entry.kind is Kind.HARDLINK and (target is None or target.kind is Kind.DIRECTORY):
            raise ArtifactError(
                f"{origin}: /{entry.path} is a hard link to a file that is not taken along",
                hint="have it copied instead of linked",
            )


def python_of(entries: Iterator[str] | Sequence[str], prefix: str) -> str:
    """The version, as ``3.11``, of the Python whose library lies in a prefix; "" where there is none.

    ``entries`` are paths without a leading slash; of several versions, the newest counts.
    """
    root = f"{prefix.strip('/')}/lib/python3."
    found = {rest for path in entries if path.startswith(root) and (rest := path[len(root) :].partition("/")[0])}
    minors = sorted(int(minor) for minor in found if minor.isascii() and minor.isdigit())
    return f"3.{minors[-1]}" if minors else ""
