"""``image.lock.yaml`` and ``record.json``, as documents."""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal

from pydantic import AfterValidator, Field

from peel.errors import DocumentError
from peel.model.declaration import HexDigest, Line, Lines, LinkPath, Name
from peel.model.declared import Declared
from peel.model.documents import Document, SchemaOne, Strings
from peel.model.values import Digest

LOCK_FILE = "image.lock.yaml"
RECORD_FILE = "record.json"
FILES: Final = "files"
"""The directory of a lock set that holds the contents of patched files, each named by its sha256 in hexadecimal."""

_NOT_ALWAYS: Final = ("captured", "made_from", "imported", "patches", "superseded", "missing")
"""Keys of a lock that stand there only where they say something."""


def _digest(text: str) -> str:
    try:
        return str(Digest(text))
    except DocumentError as error:
        raise ValueError(error.message) from None


def _plain(text: str) -> str:
    parts = text.split("/")
    if not {"", ".", ".."}.isdisjoint(parts) or any(part.startswith(".wh.") for part in parts):
        raise ValueError("should be a plain path, relative to the prefix")
    return text


DigestText = Annotated[str, AfterValidator(_digest)]
PlainPaths = Annotated[tuple[Annotated[str, AfterValidator(_plain)], ...], Field(strict=False)]


def environment_lock_file(environment: str) -> str:
    """What conda-lock's file for this environment is called in a lock set."""
    return f"{environment}.conda-lock.yml"


class Formats(Document):
    """The numbered promises that an image's bytes depend on."""

    plan: int
    linker: int
    bytecode: int
    layer: int
    glue: int


class LockedCompression(Document):
    """A compressor down to its library's version: what decides the bytes of a blob."""

    codec: Literal["zstd", "gzip"]
    library: str
    level: int
    mode: Literal["multithreaded", "stream"]


class LockedWith(Document):
    """Which programs solved, for people who compare locks. Nothing of it enters an image."""

    conda_lock: str
    solver: str


class LockedBase(Document):
    """The base of one platform."""

    digest: DigestText
    glibc: str
    layers: Annotated[int, Field(ge=1, le=127)]


class LockedPackage(Document):
    """An artifact: its package's name, its file name, sha256 in hexadecimal, and size in bytes."""

    name: str
    file: str
    sha256: HexDigest
    size: Annotated[int, Field(ge=0)]
    omit: Strings = ()
    """Paths, relative to the prefix, that another package brings instead."""


class Group(Document):
    """The packages of one layer, in the order they are linked."""

    name: str
    packages: Annotated[tuple[LockedPackage, ...], Field(strict=False, min_length=1)]


class AppliedPatch(Document):
    """What a patch was for, as people read it in a lock; ``sha256`` is that of the patch's file."""

    name: Name
    sha256: HexDigest
    reason: Line
    references: Lines = ()


class MadeFrom(Document):
    """The lock set that a patched one was made from, and how; ``manifests`` are its record's, by platform."""

    image: str
    tag: str
    manifests: dict[str, DigestText]
    mode: Literal["overlay", "replace"]
    patches: Annotated[tuple[AppliedPatch, ...], Field(strict=False)]
    lab: str = ""
    """Where another lab was taken from: ``IMAGE:TAG``, or the name of an environment's file."""


class PatchedEnvironment(Document):
    """What a patch layer does to one environment. All paths are relative to the prefix."""

    removed: Strings
    """Names of packages that are no longer there, or no longer in this build."""
    added: Annotated[tuple[LockedPackage, ...], Field(strict=False)]
    python: str | None
    """The Python, as ``3.11``, that the added packages are linked for; None where the environment has none."""
    gone: PlainPaths = ()
    """Files that are removed, and directories of which nothing is left."""
    kept: PlainPaths = ()
    """Files of the added packages, or whole directories of them, that the layer does not bring.

    Lower layers hold them with equal contents, or hold there what lies above all packages.
    """
    restored: dict[str, PlainPaths] = {}
    """Paths that packages which stay bring now, because the package is gone that brought them before."""
    yielded: dict[str, PlainPaths] = {}
    """Paths that packages which stay leave to added ones from now on."""


class PatchedFile(Document):
    """A file that a patch brings; its contents are in the lock set, under ``files``. ``size`` is in bytes."""

    path: LinkPath
    sha256: HexDigest
    size: Annotated[int, Field(ge=0)]
    mode: Annotated[int, Field(ge=0, le=0o777)]


class LockedPatch(Document):
    """A patch layer: with what it was written, and all that decides its bytes."""

    name: Name
    formats: Formats
    compression: LockedCompression
    environments: dict[str, dict[str, PatchedEnvironment]]
    """Per platform, per environment."""
    files: Annotated[tuple[PatchedFile, ...], Field(strict=False)] = ()
    removed_files: Annotated[tuple[LinkPath, ...], Field(strict=False)] = ()


class SupersededPackage(Document):
    """A package that conda-lock's files do not hold any more, with all that building its layer needs."""

    name: str
    version: str
    manager: Literal["conda", "pip"]
    file: str
    url: str
    sha256: HexDigest
    depends: Strings = ()


class MissingArtifact(Document):
    """What is known of a package whose artifact could not be had; "" where a thing is not known."""

    name: str
    version: str
    build: str = ""
    manager: Literal["conda", "pip"] = "conda"
    channel: str = ""
    url: str = ""
    md5: str = ""
    sha256: str = ""
    why: str = ""


class LockedCapture(Document):
    """The layer of an environment that was captured. ``size`` is the blob's, in bytes.

    ``source`` is the digest of the manifest that a directory was taken from, "" where something was run. ``python`` is
    the version that it was found to have, as ``3.11``, "" where it has none.
    """

    diff_id: DigestText
    digest: DigestText
    size: Annotated[int, Field(ge=0)]
    files: Annotated[int, Field(ge=0)]
    python: str = ""
    source: str = ""


class ImageLock(Document):
    """``image.lock.yaml``: with conda-lock's files beside it, everything one image needs."""

    schema_: SchemaOne = Field(alias="schema")
    image: str
    tag: str
    epoch: Annotated[int, Field(ge=0)]
    formats: Formats
    compression: LockedCompression
    locked_with: LockedWith
    declared: Declared
    base: dict[str, LockedBase]
    layers: dict[str, dict[str, Annotated[tuple[Group, ...], Field(strict=False)]]]
    """Per platform, per environment: its groups in the order of their layers."""
    captured: dict[str, dict[str, LockedCapture]] = {}
    """Per platform, per environment: the layers of those that are captured."""
    made_from: MadeFrom | None = None
    imported: str = ""
    """Where a whole image was imported from: the base is that image, and holds what no layer here brings."""
    patches: Annotated[tuple[LockedPatch, ...], Field(strict=False)] = ()
    """The patch layers on top of all others, lowest first."""
    superseded: dict[str, dict[str, Annotated[tuple[SupersededPackage, ...], Field(strict=False)]]] = {}
    """Per platform, per environment: what lower layers hold and a patch took away again."""
    missing: dict[str, dict[str, Annotated[tuple[MissingArtifact, ...], Field(strict=False)]]] = {}
    """Per platform, per environment: what an import could not have. With any of it, nothing can be built."""

    @property
    def contents(self) -> frozenset[str]:
        """The sha256 of every file whose contents the lock set keeps: what patches and payloads bring."""
        patched = (file.sha256 for patch in self.patches for file in patch.files)
        attached = (file.sha256 for env in self.declared.environments for file in env.attached.values())
        return frozenset((*patched, *attached))

    def as_document(self) -> dict[str, Any]:
        """What is written: every value in full, so that no later default can change what an old lock means.

        Only what a lock need not have at all is left out where it is empty.
        """
        document = self.model_dump(mode="json", by_alias=True)
        groups = (group["packages"] for envs in document["layers"].values() for env in envs.values() for group in env)
        patched = (
            env["added"] for patch in document["patches"] for envs in patch["environments"].values()
            for env in envs.values()
        )  # fmt: skip
        for package in (package for packages in (*groups, *patched) for package in packages):
            if not package["omit"]:
                del package["omit"]
        return {key: value for key, value in document.items() if value or key not in _NOT_ALWAYS}


class RecordedLayer(Document):
    """A layer as it was built. ``size`` is the blob's, in bytes."""

    diff_id: DigestText
    digest: DigestText
    size: int
    contents: str


class RecordedImage(Document):
    """What one platform's build gave."""

    manifest: DigestText
    config: DigestText
    plan: DigestText
    layers: Annotated[tuple[RecordedLayer, ...], Field(strict=False)]


class Record(Document):
    """``record.json``: what the first build gave; every later one must agree."""

    schema_: SchemaOne = Field(alias="schema")
    platforms: dict[str, RecordedImage]
