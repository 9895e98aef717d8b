"""The store: one directory that keeps all that is fetched and made, and that several runs may share.

It is an OCI image layout; beside the blobs it knows which layer was made for which key.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import quote

from pydantic import BaseModel, ValidationError

from peel.errors import DocumentError, PeelError, ToolError, UsageError
from peel.model.oci import Descriptor
from peel.model.values import Digest, ImageRef, Platform, canonical_json
from peel.store import locks
from peel.store.blobs import Blobs
from peel.store.files import write_whole, writing
from peel.store.layout import make_layout, references, set_reference

_IN_USE: Final = "in-use"
"""The file that every run shares a lock of for as long as it uses the store."""

STORE_FORMAT: Final = 1
"""Raised when an older peel could no longer use the store."""


@dataclass(frozen=True, slots=True)
class LayerRecord:
    """A layer as it was made: its blob, and the digest of its uncompressed tar."""

    blob: Descriptor
    diff_id: Digest


class _RecordDocument(BaseModel, extra="forbid", strict=True):
    media_type: str
    digest: str
    size: int
    diff_id: str

    def value(self) -> LayerRecord:
        return LayerRecord(Descriptor(self.media_type, Digest(self.digest), self.size), Digest(self.diff_id))


class Store:
    """The store in ``root``, made when it is not there yet.

    Raises ToolError when it cannot be written or a newer peel made it, UsageError when ``root`` holds other things.
    """

    def __init__(self, root: Path) -> None:
        self.root = root.absolute()
        _check_format(self.root)
        self.blobs = Blobs(self.root)
        make_layout(self.root)
        with writing(self.root):
            for name in ("layers", "locks", "tmp"):
                (self.root / name).mkdir(exist_ok=True)
            (self.root / _IN_USE).touch()

    def layer(self, key: Digest) -> LayerRecord | None:
        """The layer made for this key; None also when its record or its blob does not hold up."""
        with suppress(OSError, ValidationError, PeelError):
            record = _RecordDocument.model_validate_json(self._record(key).read_bytes()).value()
            if self.blobs.path(record.blob.digest).stat().st_size == record.blob.size:
                return record
        return None

    def remember_layer(self, key: Digest, record: LayerRecord) -> None:
        """Keep which layer was made for a key; its blob must be there already."""
        document = {
            "media_type": record.blob.media_type,
            "digest": str(record.blob.digest),
            "size": record.blob.size,
            "diff_id": str(record.diff_id),
        }
        write_whole(self._record(key), canonical_json(document))

    def image(self, ref: ImageRef, platform: Platform) -> Descriptor | None:
        """The manifest last built for an address, or None when there is none or its blob is gone."""
        found = references(self.root, str(ref)).get(platform)
        return found if found is not None and self.blobs.has(found.digest) else None

    def set_image(self, ref: ImageRef, platform: Platform, manifest: Descriptor) -> None:
        """Let an address stand for this manifest."""
        set_reference(self.root, str(ref), manifest, platform)

    def work(self) -> AbstractContextManager[Path]:
        """Lend an empty directory on the store's disk, gone afterwards, even if only by a later ``sweep``."""
        return locks.fresh_directory(self.root / "tmp")

    def sweep(self) -> int:
        """Clear away what killed runs left, never what a living one holds; says how many directories."""
        return locks.sweep(self.root / "tmp")

    def lock(self, name: str, waiting: Callable[[], None] | None = None) -> AbstractContextManager[None]:
        """Hold a name alone among all who use the store; ``waiting`` is called once if another holds it."""
        return locks.hold(self.root / "locks" / quote(name, safe=""), waiting)

    def using(self, waiting: Callable[[], None] | None = None) -> AbstractContextManager[None]:
        """Keep the store from being freed of anything, beside others; ``waiting`` is called once if it just is."""
        return locks.share(self.root / _IN_USE, waiting)

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Use the store while nobody else does. Raises ToolError when somebody does."""
        with locks.hold_if_free(self.root / _IN_USE) as held:
            if not held:
                raise ToolError(
                    f"the store {self.root} is in use by another run of peel",
                    hint="wait until it has ended, or end it; --dry-run may run beside others",
                )
            yield

    def remember_catalogue(self, root: Path) -> None:
        """Let this catalogue's lock sets keep what they need when the store is freed."""
        path = os.fsencode(os.path.realpath(root))
        if not (file := self._remembered(path)).exists():
            write_whole(file, path)

    def catalogues(self) -> Sequence[Path]:
        """The catalogues that were remembered, whether or not they are still there."""
        return sorted(Path(os.fsdecode(file.read_bytes())) for file in self._remembered(b"").parent.glob("[0-9a-f]*"))

    def forget_catalogue(self, root: Path) -> None:
        """Remember a catalogue no longer."""
        self._remembered(os.fsencode(root)).unlink(missing_ok=True)

    def _remembered(self, path: bytes) -> Path:
        return self.root / "catalogues" / Digest.of(path).hex

    def _record(self, key: Digest) -> Path:
        return self.root / "layers" / f"{key.hex}.json"


def _check_format(root: Path) -> None:
    """Read the format number first, or write it first: without one, nothing else may be here."""
    file = root / "format"
    try:
        text = file.read_text()
    except FileNotFoundError:
        _refuse_foreign(root)
        write_whole(file, f"{STORE_FORMAT}\n".encode())
        return
    except (OSError, UnicodeDecodeError) as error:
        raise ToolError(f"cannot read the store {root}: {error}", hint="choose another store with --store") from None
    if not text.strip().isascii() or not text.strip().isdigit():
        raise DocumentError(f"{file} does not hold a format number", hint=f"if {root} is a store, write 1 into it")
    if int(text[:9]) > STORE_FORMAT:
        raise ToolError(
            f"the store {root} has format {text.strip()}; this peel knows formats up to {STORE_FORMAT}",
            hint="use a newer peel, or choose another store with --store",
        )


def _refuse_foreign(root: Path) -> None:
    with writing(root):
        names = {path.name for path in root.iterdir() if not path.name.startswith(".")} if root.exists() else set()
    others = names - {"containers"}  # peel doctor may have tried an isolation before anything was stored
    if others and "format" not in others:  # another process may just have begun the store
        raise UsageError(f"{root} is not empty and is no store", hint="name a new or empty directory")
