"""The ladder on which two images are compared, and what a difference is. The first rung that differs ends it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final


class Rung(StrEnum):
    """What is compared, from what people care for most to the last byte."""

    FILE_TREE = "file tree"
    DIFF_IDS = "diff ids"
    CONFIG = "config"
    BLOBS = "blobs"
    MANIFEST = "manifest"


class Kind(StrEnum):
    """What differs."""

    LAYER = "layer"
    MISSING = "missing"
    EXTRA = "extra"
    TYPE = "type"
    CONTENT = "content"
    TARGET = "target"
    MODE = "mode"
    OWNER = "owner"
    MTIME = "mtime"
    XATTRS = "xattrs"
    ORDER = "order"
    CONFIG = "config"
    COMPRESSION = "compression"
    MANIFEST = "manifest"


class Cause(StrEnum):
    """Why it differs, most likely. The order is that of telling: what explains most comes first."""

    MISSING_LAYER = "missing layer"
    EXTRA_LAYER = "extra layer"
    UNREADABLE_LAYER = "layer not at hand"
    NOT_KEPT = "historical layer not kept"
    WRONG_DIFF_ID = "wrong diffID in the config"
    OTHER_BUILD = "other package build"
    MISSING_PACKAGE = "missing package"
    EXTRA_PACKAGE = "extra package"
    OTHER_LAYER = "package in another layer"
    PREFIX = "prefix"
    CONTENTS = "contents changed"
    BYTECODE = "bytecode"
    TYPE = "other type"
    TARGET = "other link"
    MISSING_FILE = "missing file"
    EXTRA_FILE = "extra file"
    MODE = "mode"
    OWNER = "owner"
    XATTRS = "extended attributes"
    MTIME = "mtime"
    ORDER = "order"
    HEADERS = "tar headers"
    CONFIG = "config changed"
    UNREADABLE_CONFIG = "config not at hand"
    COMPRESSOR = "compressor version"
    OTHER_COMPRESSOR = "other compressor"
    ANNOTATION = "annotation changed"
    MANIFEST = "manifest changed"
    UNREADABLE_MANIFEST = "manifest not at hand"
    NOTATION = "written otherwise"


_RANK: Final = {cause: rank for rank, cause in enumerate(Cause)}


@dataclass(frozen=True, slots=True)
class Difference:
    """How the other image differs from ours: "missing" is what it lacks.

    ``layer`` is what people call it, ``path`` a file's in the image or a value's in a document, ``package`` the owner's
    name, version and build; each is None where there is none. ``detail`` is a sentence.
    """

    kind: Kind
    cause: Cause
    layer: str | None
    path: str | None
    package: str | None
    detail: str

    def as_json(self) -> dict[str, Any]:
        """One of the ``differences`` of ``peel verify --json``."""
        return {
            "layer": self.layer, "path": self.path, "package": self.package,
            "kind": self.kind.value, "cause": self.cause.value, "detail": self.detail,
        }  # fmt: skip


@dataclass(frozen=True, slots=True)
class Comparison:
    """What came of comparing: the first rung that differs, None when all are equal, and all that differs there."""

    rung: Rung | None = None
    differences: tuple[Difference, ...] = ()

    @property
    def identical(self) -> bool:
        """Whether nothing differs."""
        return self.rung is None


def differing(rung: Rung, differences: Iterable[Difference]) -> Comparison:
    """A comparison that ends at this rung, the most telling differences first; else in the order they came in."""
    return Comparison(rung, tuple(sorted(differences, key=lambda difference: _RANK[difference.cause])))
