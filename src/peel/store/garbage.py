"""What lies in a store that nothing needs: whatever is not named as needed."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from peel.model.oci import REF_NAME
from peel.model.values import Digest
from peel.store.files import writing
from peel.store.layout import reachable, read_index
from peel.store.store import Store

_HEX: Final = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class Waste:
    """A file that nothing needs; ``digest`` where it is a blob, None where it says which layer was made for a key.

    ``size`` is its length in bytes, ``freed`` what the disk gains: nothing where the file has other names too.
    """

    path: Path
    digest: Digest | None
    size: int
    freed: int


def named_images(store: Store) -> Sequence[tuple[str, Digest]]:
    """The names that the store's index holds, each with its manifest; ``""`` for a manifest that has none."""
    entries = [entry.manifest for entry in read_index(store.root).entries]
    return [(dict(manifest.annotations).get(REF_NAME, ""), manifest.digest) for manifest in entries]


def needed_by(store: Store, manifests: Iterable[Digest]) -> set[Digest]:
    """What manifests need, themselves included, as far as they are there. Raises ArtifactError for a bad one."""
    wanted = set(manifests)
    return wanted | reachable(store.blobs, [digest for digest in wanted if store.blobs.has(digest)])


def find_waste(store: Store, needed: Collection[Digest]) -> Sequence[Waste]:
    """Every blob that is not needed, and every record of a layer whose blob is not."""
    return [*_unneeded_records(store, needed), *_unneeded_blobs(store, needed)]


def remove(waste: Sequence[Waste], store: Store, advance: Callable[[int], None]) -> None:
    """Remove these files. Raises ToolError when the disk refuses; what is gone by then stays gone."""
    for item in waste:
        with writing(store.root):
            item.path.unlink(missing_ok=True)
        advance(1)


def _unneeded_blobs(store: Store, needed: Collection[Digest]) -> Iterator[Waste]:
    directory = store.root / "blobs" / "sha256"
    for path in sorted(directory.iterdir()):
        if _HEX.fullmatch(path.name) and (digest := Digest.from_hex(path.name)) not in needed:
            yield _waste(path, digest)


def _unneeded_records(store: Store, needed: Collection[Digest]) -> Iterator[Waste]:
    for path in sorted((store.root / "layers").iterdir()):
        record = store.layer(Digest.from_hex(path.stem)) if _HEX.fullmatch(path.stem) else None
        if record is None or record.blob.digest not in needed:  # also what a killed run has left half-written
            yield _waste(path, None)


def _waste(path: Path, digest: Digest | None) -> Waste:
    state = path.lstat()
    return Waste(path, digest, state.st_size, state.st_size if state.st_nlink == 1 else 0)
