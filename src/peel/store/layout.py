"""OCI image layouts: the store's own, and those that images are handed out in (image-spec, image-layout.md)."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import AbstractContextManager, suppress
from pathlib import Path
from typing import Any, Final

from peel.errors import ArtifactError, PeelError, UsageError
from peel.model.oci import REF_NAME, Descriptor, Index, Manifest
from peel.model.oci_parse import parse_blobs, parse_index, parse_manifest
from peel.model.values import Digest, Platform, canonical_json
from peel.store.blobs import DOCUMENT_LIMIT, Blobs
from peel.store.files import settle, write_whole, writing
from peel.store.locks import hold

_MARKER: Final = "oci-layout"
_VERSION: Final = canonical_json({"imageLayoutVersion": "1.0.0"})
_EMPTY: Final = canonical_json({"schemaVersion": 2, "manifests": []})


def open_layout(root: Path) -> None:
    """Make a directory a layout, if it is none yet. Raises UsageError for one that holds other things."""
    refuse_foreign(root)
    make_layout(root)


def refuse_foreign(root: Path) -> None:
    """Raise UsageError for a place that holds other things than a layout."""
    used = root.exists() and (not root.is_dir() or any(root.iterdir()))
    if used and not root.joinpath(_MARKER).exists():  # asked last: it is what another process begins a layout with
        raise UsageError(f"{root} is not empty and is no OCI layout", hint="name a new or empty directory")


def make_layout(root: Path) -> None:
    """Write what a layout needs into a directory, whatever else it holds, and leave what is there."""
    with writing(root):
        root.mkdir(parents=True, exist_ok=True)
    with _locked(root), writing(root):
        root.joinpath("blobs", "sha256").mkdir(parents=True, exist_ok=True)
        marker = root / _MARKER
        if not marker.stat().st_size:
            marker.write_bytes(_VERSION)  # in place: it is the lock, and must stay the same file
            marker.chmod(0o644)
        if not root.joinpath("index.json").exists():
            write_whole(root / "index.json", _EMPTY)


def read_index(root: Path) -> Index:
    """What a layout's ``index.json`` names. Raises ArtifactError when it cannot be read."""
    return parse_index(_read_index(root), str(root / "index.json"))


def references(root: Path, name: str) -> Index:
    """The part of a layout's index that goes by this name (``org.opencontainers.image.ref.name``)."""
    named = (entry for entry in read_index(root).entries if dict(entry.manifest.annotations).get(REF_NAME) == name)
    return Index(tuple(named))


def set_reference(root: Path, name: str, descriptor: Descriptor, platform: Platform | None = None) -> None:
    """Let a name stand for this manifest; whatever had the name, and the platform where one is given, loses it.

    Safe among threads and processes; the index is replaced as a whole.
    """
    with _locked(root):
        _set_reference(root, name, descriptor, platform)


def _set_reference(root: Path, name: str, descriptor: Descriptor, platform: Platform | None = None) -> None:
    entry = {**descriptor.as_json(), "annotations": {**dict(descriptor.annotations), REF_NAME: name}}
    if platform is not None:
        entry["platform"] = {"architecture": platform.architecture, "os": "linux"}
    read_index(root)  # so that what follows can trust its shape
    index = json.loads(_read_index(root))
    kept = [other for other in index["manifests"] if not _replaces(entry, other)]
    index["manifests"] = sorted([*kept, entry], key=canonical_json)
    write_whole(root / "index.json", canonical_json(index))


def drop_references(root: Path, names: Collection[str]) -> None:
    """Let these names stand for nothing any more; the blobs stay."""
    with _locked(root):
        read_index(root)  # so that what follows can trust its shape
        index = json.loads(_read_index(root))
        index["manifests"] = [o for o in index["manifests"] if (o.get("annotations") or {}).get(REF_NAME) not in names]
        write_whole(root / "index.json", canonical_json(index))


def export_layout(blobs: Blobs, manifest: Descriptor, directory: Path, tag: str) -> None:
    """Hand an image out: ``directory`` becomes, or stays, a layout in which ``tag`` is this image.

    Blobs are hard links where the disk allows it, copies elsewhere. An image that had the tag goes, with the blobs
    that nothing else there needs. Raises UsageError for a directory that holds other things, ArtifactError when the
    store lacks a blob, ToolError when the disk refuses.
    """
    wanted = needed_blobs(blobs, manifest)

    def put(there: Blobs) -> Iterator[Path]:
        for blob in wanted:
            if not _has_whole(there, blob):
                yield there.path(blob.digest)
                _hand_out(blobs, blob, there.path(blob.digest))

    refuse_store(directory, blobs)
    extend_layout(directory, manifest, tag, put, needed=sum(blob.size for blob in wanted))


def refuse_store(directory: Path, blobs: Blobs) -> None:
    """Raise UsageError for the directory that the blobs are to come from."""
    if directory.resolve() == blobs.root.resolve():
        raise UsageError(f"{directory} is the store itself", hint="name a new or empty directory")


def extend_layout(
    directory: Path, manifest: Descriptor, tag: str, put: Callable[[Blobs], Iterator[Path]], *, needed: int
) -> None:
    """Let ``tag`` be this manifest in a layout, which is made when missing, once ``put`` has put its blobs there.

    ``put`` yields the path of every blob that it is about to add, so that a failure can take them away again;
    ``needed`` is how many bytes they have. What had the tag goes, with the blobs that nothing else there needs.
    Raises UsageError for a directory that holds other things, ToolError when the disk refuses.
    """
    open_layout(directory)
    added: list[Path] = []
    with _locked(directory):  # from first to last: else another export would drop blobs that nothing names yet
        try:
            with writing(directory, needed=needed):
                for path in put(Blobs(directory)):
                    added.append(path)  # noqa: PERF402 - one by one: what came before a failure counts
            before = references(directory, tag)
            _set_reference(directory, tag, manifest)
        except BaseException:
            for path in added:
                path.unlink(missing_ok=True)
            raise
        _drop_unneeded(directory, before)


def needed_blobs(blobs: Blobs, manifest: Descriptor) -> tuple[Descriptor, ...]:
    """All that an image consists of: layers, config, and the manifest itself."""
    found = _manifest_of(blobs, manifest)
    return (*found.layers, found.config, manifest)


def reachable(blobs: Blobs, manifests: Iterable[Digest]) -> set[Digest]:
    """All that manifests and indexes need, themselves included, of whatever kind they are.

    Raises ArtifactError when one of them is missing or cannot be read.
    """
    wanted, read, found = list(manifests), set[Digest](), set[Digest]()
    while wanted:
        digest = wanted.pop()
        if digest not in read:
            needed, named = parse_blobs(blobs.read(digest), f"manifest {digest}")
            read.add(digest)
            found.update(blob.digest for blob in needed)
            wanted += [manifest.digest for manifest in named]
    return found | read


def _has_whole(blobs: Blobs, blob: Descriptor) -> bool:
    path = blobs.path(blob.digest)
    return path.is_file() and path.stat().st_size == blob.size


def _hand_out(blobs: Blobs, blob: Descriptor, target: Path) -> None:
    if not _has_whole(blobs, blob):
        raise ArtifactError(f"the store's blob {blob.digest} is missing or cut short", hint="build the image again")
    link_or_copy(blobs.path(blob.digest), target)


def link_or_copy(source: Path, target: Path) -> None:
    """Let a blob be had under another name too, instead of what may be there: a hard link where the disk allows it."""
    target.unlink(missing_ok=True)
    try:
        target.hardlink_to(source)
    except OSError:  # another disk, or one without hard links
        _copy(source, target)


def _copy(source: Path, target: Path) -> None:
    handle, name = tempfile.mkstemp(dir=target.parent, prefix=".")
    os.close(handle)
    try:
        shutil.copyfile(source, name)
        with Path(name).open("rb") as file:
            settle(file.fileno(), 0o444)
        Path(name).replace(target)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def _drop_unneeded(directory: Path, before: Index) -> None:
    """Remove the blobs that only replaced images needed; where that is not certain, keep them."""
    there = Blobs(directory)
    with suppress(PeelError, OSError):
        needed = reachable(there, [entry.manifest.digest for entry in read_index(directory).entries])
        dropped = reachable(there, [entry.manifest.digest for entry in before.entries])
        for digest in sorted(dropped - needed):
            there.path(digest).unlink(missing_ok=True)


def _manifest_of(blobs: Blobs, manifest: Descriptor) -> Manifest:
    return parse_manifest(blobs.read(manifest.digest), f"image {manifest.digest}")


def _replaces(entry: dict[str, Any], other: dict[str, Any]) -> bool:
    if (other.get("annotations") or {}).get(REF_NAME) != entry["annotations"][REF_NAME]:
        return False
    return "platform" not in entry or other.get("platform") in (None, entry["platform"])


def _read_index(root: Path) -> bytes:
    try:
        with root.joinpath("index.json").open("rb") as file:
            return file.read(DOCUMENT_LIMIT)
    except OSError as error:
        raise ArtifactError(
            f"{root} is no OCI layout: {error.strerror}", hint="the directory must hold an index.json"
        ) from None


def _locked(root: Path) -> AbstractContextManager[None]:
    return hold(root / _MARKER)
