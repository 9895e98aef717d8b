"""What lies beneath all patches: the base. Of an imported image that is everything, and its own records tell of it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial

from packaging.utils import canonicalize_name

from peel.errors import ArtifactError
from peel.layers.image_files import ImageFiles, take_files
from peel.layers.image_tree import PLAIN_DIRECTORY, ImageTree
from peel.layers.installed import environments_of, is_record
from peel.layers.layer_stream import ImageLayer
from peel.model.condalock import CondaLockPackage
from peel.model.paths import ancestors
from peel.model.plan import BasePin
from peel.model.progress import Progress
from peel.model.values import Digest, Platform, PythonVersion
from peel.store.store import Store
from peel.workflow.base import fetch_base
from peel.workflow.fetching import Sources
from peel.workflow.inspect import Contents, Inspected

_TOUCHED = "the lock set was changed by hand: take it from version control, or import the image again"
_MOST_NAMED = 3


@dataclass(frozen=True, slots=True)
class Recorded:
    """A package as an image records it: its paths, relative to the prefix, its record among them."""

    paths: tuple[str, ...]
    noarch: bool

    def inspected(self, package: CondaLockPackage, python: PythonVersion | None) -> Inspected:
        """The same as if an archive had been read. What identifies contents is not known; nor is the size."""
        home = f"lib/python{python}/"
        is_for_python = self.noarch or any(path.startswith(home) for path in self.paths)
        contents = Contents(dict.fromkeys(self.paths), for_python=is_for_python)
        digest = Digest.from_hex(package.hash.sha256) if package.hash.sha256 else Digest.of(b"")
        return Inspected(package, digest, 0, contents)


@dataclass(frozen=True, slots=True)
class _Image:
    """An image's paths; and by prefix, manager and normalized name, the packages that it records."""

    tree: ImageTree
    recorded: Mapping[tuple[str, str, str], Recorded]


class Beneath:
    """The base of one platform, read once, when first asked for. ``imported`` says that it is a whole image."""

    def __init__(
        self, pin: BasePin, platform: Platform, store: Store, sources: Sources, progress: Progress, *, imported: bool
    ) -> None:
        self._pin, self._platform, self._store, self._sources = pin, platform, store, sources
        self._progress = progress
        self.imported = imported

    @cached_property
    def _image(self) -> _Image:
        base = fetch_base(self._pin, self._platform, self._store, self._sources, self._progress)
        layers = [ImageLayer(blob, partial(self._store.blobs.open, blob.digest)) for blob in base.layers]
        origin, tree = self._pin.pinned, ImageTree()
        wanted = is_record if self.imported else lambda _: 0
        total = sum(layer.blob.size for layer in layers)
        with self._progress.bar(f"reading {origin}", total, "bytes") as advance, self._store.work() as work:
            taken = take_files(layers, wanted, work, origin=origin, advance=advance, see=tree.see)
            return _Image(tree, dict(_recorded(taken)))

    def within(self, prefix: str) -> frozenset[str]:
        """The paths beneath a prefix, relative to it, that are no directories."""
        return frozenset(self._image.tree.within(prefix))

    def holds(self, path: str) -> bool:
        """Whether the base has anything at a path of the image, written without a leading slash."""
        return self._image.tree.node(path) is not None

    def is_directory(self, path: str) -> bool:
        """Whether it has a directory there."""
        node = self._image.tree.node(path)
        return node is not None and node.kind == PLAIN_DIRECTORY.kind

    def recorded(self, prefix: str, package: CondaLockPackage) -> Recorded:
        """What an imported image says of a package. Raises ArtifactError where it does not know it."""
        found = self._image.recorded.get((prefix, package.manager, _normalized(package)))
        if found is None:
            raise ArtifactError(
                f"{self._pin.pinned} has no record of {package.name} in {prefix}, which its lock set lists",
                hint=_TOUCHED,
            )
        return found

    def refuse_changed(self, path: str, origin: str) -> None:
        """Raise ArtifactError for a file on whose way a layer would change the base.

        A layer names all directories that lead to a file. Where the base has a link, or a directory with an owner or a
        mode of its own, that would be replaced.
        """
        if changed := self._changed([path]):
            there = self._image.tree.node(changed[0])
            what = f"a {there.kind} of mode {there.mode:o} and owner {there.owner[0]}:{there.owner[1]}" if there else ""
            raise ArtifactError(
                f"{origin}: /{path} lies in /{changed[0]}, in the base {what}, which a layer would change",
                hint="name the place that a link leads to, or put the file elsewhere",
            )

    def warn_of_changed(self, paths: Sequence[str], origin: str) -> None:
        """Tell of directories of an imported image that get another owner or mode; raise as above for links."""
        changed = self._changed(paths)
        for parent in changed:
            if (node := self._image.tree.node(parent)) is not None and node.kind != PLAIN_DIRECTORY.kind:
                raise ArtifactError(
                    f"{origin}: /{parent} is a {node.kind} in the image, and packages bring files beneath it",
                    hint="this environment was moved or changed after it was installed: it cannot be patched",
                )
        if changed:
            names = ", ".join(f"/{parent}" for parent in changed[:_MOST_NAMED])
            more = ", …" if len(changed) > _MOST_NAMED else ""
            self._progress.warn(
                f"{origin}: directories that belong to root from now on, with mode 755: {len(changed)} ({names}{more})"
            )

    def _changed(self, paths: Iterable[str]) -> Sequence[str]:
        parents = ancestors(path.strip("/") for path in paths)
        nodes = {parent: self._image.tree.node(parent) for parent in parents}
        return sorted(parent for parent, node in nodes.items() if node not in {None, PLAIN_DIRECTORY})


def _recorded(taken: ImageFiles) -> Iterator[tuple[tuple[str, str, str], Recorded]]:
    for environment in environments_of(taken):
        root = f"{environment.prefix.strip('/')}/"
        for package in environment.packages:
            paths = {*package.files(), package.record.removeprefix(root)}
            is_noarch = package.subdir == "noarch"
            yield (environment.prefix, "conda", package.name.lower()), Recorded(tuple(sorted(paths)), is_noarch)
        for wheel in environment.wheels:
            yield (environment.prefix, "pip", canonicalize_name(wheel.name)), Recorded(wheel.files(), noarch=True)


def _normalized(package: CondaLockPackage) -> str:
    return canonicalize_name(package.name) if package.manager == "pip" else package.name.lower()
