"""The lock set: ``image.lock.yaml`` and ``record.json``, and the packages that a build takes from them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field

from peel.errors import DocumentError
from peel.model.condalock import CondaLockPackage
from peel.model.declaration import HexDigest
from peel.model.declared import Declared, refuse_contradictions
from peel.model.documents import Document, SchemaOne, Strings
from peel.model.values import Digest, ImageRef, Platform

LOCK_FILE = "image.lock.yaml"
RECORD_FILE = "record.json"


_TOUCHED = "one file of the lock set was changed without the other: take both from version control, or lock again"


def _digest(text: str) -> str:
    try:
        return str(Digest(text))
    except DocumentError as error:
        raise ValueError(error.message) from None


DigestText = Annotated[str, AfterValidator(_digest)]


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

    def as_document(self) -> dict[str, Any]:
        """What is written: every value in full, so that no later default can change what an old lock means."""
        document = self.model_dump(mode="json", by_alias=True)
        packages = (
            p for envs in document["layers"].values() for env in envs.values() for g in env for p in g["packages"]
        )
        for package in packages:
            if not package["omit"]:
                del package["omit"]
        return document


@dataclass(frozen=True, slots=True)
class Package:
    """A locked package with all that a build needs of it. ``size`` is the archive's, in bytes."""

    manager: Literal["conda", "pip"]
    name: str
    version: str
    file_name: str
    url: str
    digest: Digest
    size: int
    depends: tuple[str, ...]
    omit: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class PackageGroup:
    """A group with its packages in full."""

    name: str
    packages: tuple[Package, ...]


@dataclass(frozen=True, slots=True)
class LockSet:
    """A whole lock set: the image's lock, and the groups of every platform and environment joined with it."""

    ref: ImageRef
    lock: ImageLock
    groups: Mapping[tuple[str, str], tuple[PackageGroup, ...]]
    """By platform and environment."""

    def packages(self, platform: Platform, environment: str) -> Sequence[Package]:
        """The packages of an environment in the order of their layers."""
        return [package for group in self.groups[platform.subdir, environment] for package in group.packages]


def join(ref: ImageRef, lock: ImageLock, locks: Mapping[str, Sequence[CondaLockPackage]], origin: str) -> LockSet:
    """Put an image's lock and conda-lock's files together; ``locks`` is by environment.

    Raises DocumentError where the two do not hold the same packages with the same hashes, or the lock is another's.
    """
    refuse_contradictions(lock.declared, origin)
    _refuse_gaps(lock, origin)
    if (lock.image, lock.tag) != (ref.image, ref.tag):
        raise DocumentError(
            f"{origin}: is the lock of {lock.image}:{lock.tag}, not of {ref}",
            hint="a lock set belongs where it was made; lock the new tag instead of copying an old one",
        )
    groups = {
        (platform, name): tuple(
            PackageGroup(group.name, _packages(group, platform, locks[name], f"{origin}: {platform}: {name}"))
            for group in environments[name]
        )
        for platform, environments in lock.layers.items()
        for name in environments
    }
    for (platform, name), found in groups.items():
        _refuse_missing(found, platform, locks[name], f"{origin}: {platform}: {name}")
    return LockSet(ref, lock, groups)


def _refuse_gaps(lock: ImageLock, origin: str) -> None:
    """Every platform has a base and every environment its layers, and no package comes twice."""
    environments = {environment.name for environment in lock.declared.environments}
    if not set(lock.declared.platforms) == lock.base.keys() == lock.layers.keys():
        raise DocumentError(f"{origin}: platforms, bases and layers are not of the same platforms", hint=_TOUCHED)
    for platform, layers in lock.layers.items():
        if layers.keys() != environments:
            raise DocumentError(f"{origin}: {platform}: layers are not of the declared environments", hint=_TOUCHED)
        for name, groups in layers.items():
            names = [package.name for group in groups for package in group.packages]
            if len(names) != len(set(names)):
                raise DocumentError(f"{origin}: {platform}: {name}: a package stands in two layers", hint=_TOUCHED)


def _packages(group: Group, platform: str, locked: Sequence[CondaLockPackage], origin: str) -> tuple[Package, ...]:
    by_file = {package.file_name: package for package in locked if package.platform == platform}
    return tuple(_package(pinned, by_file.get(pinned.file), origin) for pinned in group.packages)


def _package(pinned: LockedPackage, found: CondaLockPackage | None, origin: str) -> Package:
    if found is None:
        raise DocumentError(f"{origin}: {pinned.file} is in {LOCK_FILE} but not in conda-lock's file", hint=_TOUCHED)
    if found.hash.sha256 not in {None, pinned.sha256}:
        raise DocumentError(f"{origin}: {pinned.file} has another sha256 in conda-lock's file", hint=_TOUCHED)
    return Package(
        manager=found.manager, name=found.name, version=found.version, file_name=pinned.file, url=found.url,
        digest=Digest.from_hex(pinned.sha256), size=pinned.size, depends=tuple(found.dependencies), omit=pinned.omit,
    )  # fmt: skip


def _refuse_missing(
    groups: Sequence[PackageGroup], platform: str, locked: Sequence[CondaLockPackage], origin: str
) -> None:
    grouped = {package.file_name for group in groups for package in group.packages}
    missing = sorted({p.file_name for p in locked if p.platform == platform} - grouped)
    if missing:
        raise DocumentError(f"{origin}: {missing[0]} is in no layer of {LOCK_FILE}", hint=_TOUCHED)


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
