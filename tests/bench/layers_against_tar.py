"""Canonical layers against ``tar | zstd`` of the same files."""

from __future__ import annotations

import shutil
import subprocess
import tarfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import zstandard
from measuring import call

from peel.layers.compress import Compression, compression_here
from peel.model.entry import Entry, Kind
from peel.store.store import LayerRecord, Store
from peel.workflow.layers import write_layer
from peel.workflow.pools import writers

_KINDS = {tarfile.DIRTYPE: Kind.DIRECTORY, tarfile.SYMTYPE: Kind.SYMLINK, tarfile.LNKTYPE: Kind.HARDLINK}

Layer = tuple[Entry, ...]


@dataclass(frozen=True, slots=True)
class Tree:
    """Files on disk, and the layers that they come from."""

    root: Path
    layers: Sequence[Layer]

    @property
    def whole(self) -> Layer:
        """All of it as a single layer."""
        return tuple({entry.path: entry for layer in self.layers for entry in layer}.values())


def unpack(layers: Sequence[LayerRecord], store: Store, root: Path) -> Tree:
    """The tree that these layers make."""
    root.mkdir(parents=True)
    return Tree(root, [_unpack_one(store.blobs.path(layer.blob.digest), root) for layer in layers])


def _unpack_one(blob: Path, root: Path) -> Layer:
    entries = []
    with (
        blob.open("rb") as packed,
        zstandard.ZstdDecompressor().stream_reader(packed) as stream,
        tarfile.open(fileobj=stream, mode="r|") as tar,
    ):
        tar.extraction_filter = getattr(tarfile, "tar_filter", None)  # unknown to Python before 3.11.4
        for info in tar:
            tar.extract(info, root)
            entries.append(_entry(info, root))
    return tuple(entries)


def _entry(info: tarfile.TarInfo, root: Path) -> Entry:
    kind = _KINDS.get(info.type, Kind.FILE)
    source = root / info.name if kind is Kind.FILE else b""
    size = info.size if kind is Kind.FILE else 0
    return Entry(info.name, kind, info.mode, int(info.mtime), size, source, info.linkname)


def gnu_tar(root: Path, out: Path) -> Callable[[], None]:
    """An action: the tree through GNU tar and zstd, on disk at the end."""
    tar = [
        "tar",
        "--sort=name",
        "--owner=0",
        "--group=0",
        "--numeric-owner",
        "--mtime=@0",
        "-C",
        str(root),
        "-cf",
        "-",
        ".",
    ]

    def run() -> None:
        with out.open("wb") as file, subprocess.Popen(tar, stdout=subprocess.PIPE) as packing:
            subprocess.run(["zstd", "-q", "-T2", "-3"], stdin=packing.stdout, stdout=file, check=True)
        call(["sync", out])

    return run


def as_one_layer(tree: Tree, out: Path) -> Callable[[], None]:
    """An action: the tree as a single canonical layer, by one process, on disk at the end."""

    def run() -> None:
        write_layer(tree.whole, compression(), out)
        call(["sync", out])

    return run


@contextmanager
def as_the_build_does(tree: Tree, out: Path) -> Iterator[Callable[[], None]]:
    """An action: the tree's layers, by the threads that write them in a build."""
    with writers() as pool:

        def run() -> None:
            shutil.rmtree(out, ignore_errors=True)
            out.mkdir()
            tasks = [
                pool.submit(write_layer, layer, compression(), out / str(n)) for n, layer in enumerate(tree.layers)
            ]
            for task in tasks:
                task.result()
            call(["sync", *out.iterdir()])  # as taking them into the store does

        run()
        yield run


def compression() -> Compression:
    """What a lock says by default."""
    return compression_here()
