"""Whether what was captured may become part of an image, and what about it may not work there."""

from __future__ import annotations

import posixpath
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Final

from peel.errors import DocumentError
from peel.layers.captured import Taken
from peel.layers.elf import Elf, is_elf, read_elf
from peel.layers.image_tree import ImageTree
from peel.layers.layer_stream import ImageLayer, layer_members
from peel.model.entry import Entry, Kind
from peel.model.paths import above
from peel.workflow.capturing.material import Material

_SCRATCH: Final = ("tmp", "run", "var/tmp", "proc", "sys", "dev")
_STUBS: Final = frozenset({"etc/hosts", "etc/hostname", "etc/resolv.conf", "etc/mtab"})
"""What runtimes and buildah put into a container while something runs there."""
_MOST_SHOWN: Final = 20
_HEAD: Final = 256
_KERNEL: Final = "ipykernel_launcher.py"


@dataclass(frozen=True, slots=True)
class Judged:
    """What becomes a layer, and what was noticed about it, a line each."""

    entries: tuple[Entry, ...]
    notices: tuple[str, ...]


def is_scratch(path: str) -> bool:
    """Whether a path, without a leading slash, is where programs write what nobody keeps."""
    return path in _STUBS or any(path == place or path.startswith(f"{place}/") for place in _SCRATCH)


def judge(
    taken: Taken, prefix: str, *, allowed: Collection[str], own_launcher: bool, origin: str, material: Material
) -> Judged:
    """See what was taken for an environment in ``prefix``, beside which it may write ``allowed`` paths.

    Raises DocumentError: for what was written or removed elsewhere, with the paths; for an empty prefix; without
    ipykernel, unless it brings its ``own_launcher``; for binaries of another machine or a newer glibc.
    """
    roots = [path.strip("/") for path in (prefix, *allowed)]
    base = _BaseTree(material)
    _refuse_others(_elsewhere(taken, roots, base), prefix, origin)
    entries = tuple(entry for path, entry in taken.entries.items() if _is_beneath(path, roots))
    inside = {entry.path: entry for entry in entries}
    if not any(entry.kind is not Kind.DIRECTORY for entry in entries):
        raise DocumentError(f"{origin}: nothing was installed in {prefix}", hint="it has to write beneath $PREFIX")
    if not own_launcher and not any(path.endswith(f"/site-packages/{_KERNEL}") for path in inside):
        raise DocumentError(
            f"{origin}: there is no ipykernel in {prefix}, and nothing else could start a kernel",
            hint="install ipykernel, or bring a launcher and name it under kernel.launcher",
        )
    binaries = {path: found for path, entry in inside.items() if (found := _elf(entry)) is not None}
    _refuse_foreign(binaries, origin, material)
    return Judged(entries, tuple(_notices(inside, binaries, roots, base)))


def _is_beneath(path: str, roots: Collection[str]) -> bool:
    return any(path == root or path.startswith(f"{root}/") for root in roots)


def _elsewhere(taken: Taken, roots: Sequence[str], base: _BaseTree) -> Iterator[str]:
    """Where else something was written or removed; the ways to the prefix and directories of the base do not count."""
    ways = {parent for root in roots for parent in above(root)}
    for path, entry in taken.entries.items():
        if is_scratch(path) or _is_beneath(path, roots) or path in ways:
            continue
        if entry.kind is not Kind.DIRECTORY or path not in base:
            yield f"/{path}"
    yield from (f"/{path} (removed)" for path in taken.removed if not (is_scratch(path) or _is_beneath(path, roots)))


def _refuse_others(found: Iterator[str], prefix: str, origin: str) -> None:
    others = sorted(found)
    if others:
        more = [f"  and {len(others) - _MOST_SHOWN} more"] if len(others) > _MOST_SHOWN else []
        listed = "\n".join([*(f"  {path}" for path in others[:_MOST_SHOWN]), *more])
        raise DocumentError(
            f"{origin}: something was written outside of {prefix}:\n{listed}",
            hint="install beneath the prefix alone, or allow paths under writes in payload.yaml",
        )


def _elf(entry: Entry) -> Elf | None:
    return read_elf(entry.source) if isinstance(entry.source, Path) and entry.size and is_elf(entry.source) else None


def _refuse_foreign(binaries: Mapping[str, Elf], origin: str, material: Material) -> None:
    """Binaries that cannot run on the base."""
    there = tuple(int(part) for part in material.glibc.split(".")[:2])
    machine = material.platform.machine
    for path, elf in sorted(binaries.items()):
        if elf.machine != machine:
            raise DocumentError(
                f"{origin}: /{path} is made for {elf.machine or 'another machine'}, not for {machine}",
                hint="take what is made for the image's platform",
            )
        if elf.glibc > there:
            raise DocumentError(
                f"{origin}: /{path} needs glibc {elf.glibc[0]}.{elf.glibc[1]}, and the base has {material.glibc}",
                hint="build it on an older system, or choose a newer base",
            )


def _notices(
    inside: Mapping[str, Entry], binaries: Mapping[str, Elf], roots: Sequence[str], base: _BaseTree
) -> Iterator[str]:
    """What points out of the environment, in order of path."""
    libraries = {PurePosixPath(path).name for path in inside}
    for path, entry in sorted(inside.items()):
        if entry.kind is Kind.SYMLINK and (lost := _lost(entry.target, path, inside, roots, base)):
            yield f"/{path} is a link to {entry.target}, {lost}"
        interpreter = _interpreter(entry)
        if interpreter and (lost := _lost(interpreter, path, inside, roots, base)):
            yield f"/{path} is run by {interpreter}, {lost}"
        elf = binaries.get(path)
        for place in elf.search if elf else ():
            if place.startswith("/") and not _is_beneath(posixpath.normpath(place).strip("/"), roots):
                yield f"/{path} looks for libraries in {place}, which is not in the environment"
        for needed in elf.needed if elf else ():
            if needed not in libraries and not base.has_library(needed):
                yield f"/{path} needs {needed}, which neither the environment nor the base has"


def _lost(target: str, path: str, inside: Mapping[str, Entry], roots: Sequence[str], base: _BaseTree) -> str:
    """What is wrong with where something points; "" where it leads to what is there."""
    goal = posixpath.normpath(posixpath.join("/", posixpath.dirname(path), target)).strip("/")
    if goal in inside or any(other.startswith(f"{goal}/") for other in inside):
        return ""
    if _is_beneath(goal, roots):
        return "which is not there"
    return "" if goal in base else "which neither the environment nor the base has"


def _interpreter(entry: Entry) -> str:
    """What a script's first line names, if it is an absolute path."""
    if entry.kind is not Kind.FILE or not isinstance(entry.source, Path) or not entry.mode & 0o111:
        return ""
    with entry.source.open("rb") as file:
        head = file.read(_HEAD)
    words = head.partition(b"\n")[0].removeprefix(b"#!").split() if head.startswith(b"#!/") else []
    return words[0].decode("utf-8", "replace") if words else ""


class _BaseTree:
    """What the base holds; its layers are read when that is first asked."""

    def __init__(self, material: Material) -> None:
        self._material = material
        self._tree: ImageTree | None = None
        self._names: frozenset[str] = frozenset()

    def _read(self) -> ImageTree:
        if self._tree is None:
            tree, blobs = ImageTree(), self._material.store.blobs
            for blob in self._material.base.layers:
                layer = ImageLayer(blob, lambda blob=blob: blobs.path(blob.digest).open("rb"))  # type: ignore[misc]
                for member in layer_members(layer, self._material.reference):
                    tree.see(layer, member)
            self._names = frozenset(PurePosixPath(path).name for path in tree.within(""))
            self._tree = tree
        return self._tree

    def __contains__(self, path: str) -> bool:
        tree = self._read()
        if tree.node(path) is not None:
            return True
        first, _, rest = path.partition("/")  # a merged /usr: /bin is a link to /usr/bin
        node = tree.node(first)
        return bool(rest) and node is not None and node.kind == "link" and tree.node(f"usr/{path}") is not None

    def has_library(self, name: str) -> bool:
        """Whether a file of this name is anywhere in the base."""
        self._read()
        return name in self._names
