"""A catalogue on disk: declarations under ``envs/``, lock sets under ``lockfiles/``."""

from __future__ import annotations

import difflib
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeVar

from pydantic import BaseModel

from peel.errors import DocumentError, UsageError
from peel.model.condalock import CondaLockPackage, parse_conda_lock
from peel.model.declaration import ImageDeclaration, Publish
from peel.model.declared import Declared
from peel.model.locked import LockSet, join
from peel.model.lockset import FILES, LOCK_FILE, RECORD_FILE, ImageLock, Record, environment_lock_file
from peel.model.menu.declaration import MENU, MenuDeclaration, twice
from peel.model.patch_document import PATCHES, DeclaredPatch, FileDemand, PatchDeclaration
from peel.model.resolve import resolve
from peel.model.settings import SETTINGS, CatalogueSettings
from peel.model.values import Digest, ImageRef, is_name
from peel.store.documents import parse_plain, read_text, to_json
from peel.store.envs import MOST_ATTACHED, Envs
from peel.store.files import write_whole, writing
from peel.store.locks import hold_directory

_NO_IMAGES: Final = (MENU, SETTINGS)
"""What documents beside the images' are called."""

_TORN: Final = "the lock set has lost a file: take it from version control, or lock again"
_T = TypeVar("_T", bound=BaseModel)

MOST_PATCHED: Final = MOST_ATTACHED
"""How long, in bytes, a file may be that a patch brings: more belongs into a package."""


def _is_small(path: Path) -> bool:
    return path.is_file() and path.stat().st_size <= MOST_PATCHED


def is_catalogue(root: Path) -> bool:
    """Whether a directory is a catalogue: whether it holds ``envs/`` or ``lockfiles/``."""
    return (root / "envs").is_dir() or (root / "lockfiles").is_dir()


@dataclass(frozen=True, slots=True)
class Catalogue:
    """A directory that holds ``envs/`` and ``lockfiles/``."""

    root: Path

    @classmethod
    def open(cls, root: Path) -> Catalogue:
        """The catalogue in this directory. Raises UsageError when there is none."""
        if not is_catalogue(root):
            raise UsageError(
                f"{root} is no catalogue: it has neither envs/ nor lockfiles/",
                hint="name one with -C DIR, or make one with peel demo DIR",
            )
        return cls(root)

    def images(self) -> Sequence[str]:
        """The names of all images, declared or locked."""
        declared = {path.stem for path in (self.root / "envs").glob("*.yaml") if path.stem not in _NO_IMAGES}
        locked = {path.parent.parent.name for path in self.root.glob(f"lockfiles/*/*/{LOCK_FILE}")}
        return sorted(name for name in declared | locked if is_name(name))

    def settings(self) -> CatalogueSettings:
        """``envs/settings.yaml``, or what holds where there is none. Raises DocumentError naming line and key."""
        origin = f"envs/{SETTINGS}.yaml"
        if not (self.root / origin).exists():
            return CatalogueSettings(schema=1)
        return self._load(origin, CatalogueSettings)

    def menu(self) -> MenuDeclaration:
        """``envs/menu.yaml``. Raises DocumentError naming line and key."""
        origin = f"envs/{MENU}.yaml"
        declaration = self._load(origin, MenuDeclaration)
        if (name := twice(declaration)) is not None:
            raise DocumentError(f"{origin}: {name!r} stands twice", hint="give every payload and every size a name")
        return declaration

    def tags(self, image: str) -> Sequence[str]:
        """The tags that an image is locked under."""
        return sorted(
            path.parent.name
            for path in self.root.glob(f"lockfiles/{image}/*/{LOCK_FILE}")
            if path.parent.name[0] != "."
        )

    def lock_directory(self, ref: ImageRef) -> Path:
        """Where this lock set lies, or would lie."""
        return self.root / "lockfiles" / ref.image / ref.tag

    def declared(self, image: str) -> Declared:
        """An image's declarations, read and joined. Raises DocumentError naming file, line and key."""
        path = self.root / "envs" / f"{image}.yaml"
        if not path.is_file():
            raise self._undeclared(image)
        declaration = self._load(f"envs/{image}.yaml", ImageDeclaration)
        envs, base, platforms = self._envs, declaration.base, declaration.platforms
        payloads = {name: envs.payload(name, base=base, platforms=platforms) for name in declaration.payloads}
        if len(payloads) != len(declaration.payloads):
            raise DocumentError(f"envs/{image}.yaml: payloads: a payload stands twice")
        lab = envs.environment(declaration.lab.environment)
        return resolve(declaration, lab, payloads, origin=f"envs/{image}.yaml")

    def publish(self, image: str) -> Publish:
        """Where an image is declared to be published; nothing for one without a declaration. Raises DocumentError."""
        origin = f"envs/{image}.yaml"
        return self._load(origin, ImageDeclaration).publish if (self.root / origin).is_file() else Publish()

    def _undeclared(self, image: str) -> DocumentError:
        near = difflib.get_close_matches(image, [name for name in self.images() if name != image], n=1)
        return DocumentError(
            f"envs/{image}.yaml: no such file: image {image!r} is not declared",
            hint=f"did you mean {near[0]!r}?" if near else "peel list shows what this catalogue holds",
        )

    def attached(self, declared: Declared) -> Mapping[str, bytes]:
        """The contents of the files that payloads bring, by sha256. Raises as ``Envs.attached`` does."""
        return self._envs.attached(declared)

    def patches(self) -> Sequence[str]:
        """The names of all declared patches."""
        return sorted(path.stem for path in (self.root / PATCHES).glob("*.yaml") if is_name(path.stem))

    def patch(self, named: str) -> DeclaredPatch:
        """A patch by its name, its file's name or its path beneath ``envs/patches``, with the bytes of its files.

        Raises DocumentError naming file and key: no such patch, a bad document, a file that is missing, too large, not
        what its sha256 says, or that a link has outside the catalogue.
        """
        name = self._patch_name(named)
        origin = f"{PATCHES}/{name}.yaml"
        path = self._inside(origin)
        if not path.is_file():
            near = difflib.get_close_matches(name, self.patches(), n=1)
            known = f"did you mean {near[0]!r}?" if near else "there is " + (", ".join(self.patches()) or "none")
            raise DocumentError(f"{origin}: no such file: patch {name!r} is not declared", hint=known)
        declaration = self._load(origin, PatchDeclaration)
        contents = {file.path: self._patch_file(origin, file) for file in declaration.files}
        return DeclaredPatch(name, declaration, Digest.of(path.read_bytes()).hex, contents)

    def _patch_name(self, named: str) -> str:
        """The name of a patch. Raises DocumentError for a path elsewhere, or what cannot be a name."""
        path = Path(named)
        if len(path.parts) > 1:
            places = {os.path.realpath(base / path.parent) for base in (Path(), self.root)}
            if os.path.realpath(self.root / PATCHES) not in places:
                raise DocumentError(f"{named}: is not beneath {PATCHES}/", hint=f"put the patch into {PATCHES}/")
        name = path.name.removesuffix(".yaml")
        if not is_name(name):
            raise DocumentError(
                f"not a patch's name: {name[:80]!r}", hint="lower-case letters and digits, parted by . _ or -"
            )
        return name

    def _patch_file(self, origin: str, file: FileDemand) -> bytes:
        """The bytes that a patch brings for one path."""
        source = f"{PATCHES}/{file.source}"
        path = self._inside(source)
        if not path.is_file():
            raise DocumentError(f"{origin}: files: {file.path}: {source}: no such file")
        if not _is_small(path):
            raise DocumentError(
                f"{origin}: files: {file.path}: {source} is larger than {MOST_PATCHED >> 20} MiB",
                hint="make a package of it: a patch brings small files",
            )
        try:
            data = path.read_bytes()
        except OSError as error:
            raise DocumentError(f"{source}: cannot be read: {error.strerror}") from None
        if file.sha256 not in {None, Digest.of(data).hex}:
            raise DocumentError(
                f"{origin}: files: {file.path}: {source} has sha256 {Digest.of(data).hex}, not {file.sha256}",
                hint="the file was changed after the patch was written: take it from version control",
            )
        return data

    def has_lock(self, ref: ImageRef) -> bool:
        """Whether this tag is locked."""
        return (self.lock_directory(ref) / LOCK_FILE).is_file()

    def image_lock(self, ref: ImageRef) -> ImageLock:
        """``image.lock.yaml`` alone. Raises DocumentError when the tag is not locked or the file is bad."""
        if not self.has_lock(ref):
            if ref.image not in self.images():
                raise self._undeclared(ref.image)
            near = difflib.get_close_matches(ref.tag, self.tags(ref.image), n=1)
            known = near or list(self.tags(ref.image))[-1:]
            raise DocumentError(
                f"{ref} is not locked",
                hint=f"peel lock {ref}" + (f", or did you mean {ref.image}:{known[0]}?" if known else ""),
            )
        return self._load(self._origin(ref, LOCK_FILE), ImageLock)

    def lock_set(self, ref: ImageRef) -> LockSet:
        """A whole lock set. Raises DocumentError for a bad file, or files that do not belong together."""
        lock = self.image_lock(ref)
        locks = {environment.name: self.conda_lock(ref, environment.name) for environment in lock.declared.environments}
        return join(ref, lock, locks, self._origin(ref, LOCK_FILE), files=self._contents(ref, lock))

    def _contents(self, ref: ImageRef, lock: ImageLock) -> Mapping[str, bytes]:
        """What the lock set keeps beside its documents, by sha256, as far as it is there."""
        wanted = sorted(lock.contents)
        origins = {sha256: self._inside(self._origin(ref, f"{FILES}/{sha256}")) for sha256 in wanted}
        return {sha256: path.read_bytes() for sha256, path in origins.items() if _is_small(path)}

    def conda_lock(self, ref: ImageRef, environment: str) -> Sequence[CondaLockPackage]:
        """conda-lock's packages of one environment."""
        origin = self._origin(ref, environment_lock_file(environment))
        text = read_text(self._inside(origin), origin=origin, hint=_TORN)
        return parse_conda_lock(parse_plain(text, origin), origin)

    def read_lock_set(self, ref: ImageRef) -> Mapping[str, bytes]:
        """The bytes of ``image.lock.yaml`` and of conda-lock's files; empty when there is no lock set."""
        if not self.has_lock(ref):
            return {}
        names = (LOCK_FILE, *self._companions(ref))
        return {name: self._inside(self._origin(ref, name)).read_bytes() for name in names}

    def record(self, ref: ImageRef) -> Record | None:
        """What the first build gave, if there was one."""
        origin = self._origin(ref, RECORD_FILE)
        return self._load(origin, Record) if (self.root / origin).is_file() else None

    @contextmanager
    def hold(self, ref: ImageRef) -> Iterator[None]:
        """Keep every other process from changing this lock set; not to be held twice at a time.

        Raises DocumentError where a link leads out of the catalogue, ToolError when the disk refuses.
        """
        with hold_directory(self._inside(self._origin(ref, ""))):
            yield

    def write_record(self, ref: ImageRef, record: Record) -> None:
        """Keep what a build gave beside its lock, which the caller holds; from then on the lock set is immutable."""
        data = record.model_dump(mode="json", by_alias=True)
        write_whole(self.lock_directory(ref) / RECORD_FILE, to_json(data))

    def write_lock_set(self, ref: ImageRef, files: Mapping[str, bytes]) -> None:
        """Put a lock set in place, instead of one that may be there; whatever else lies beside it stays.

        Broken off, it leaves the old one, or files that ``lock_set`` refuses until they are locked again. Raises
        UsageError when there is a record by now, ToolError when the disk refuses.
        """
        directory = self.lock_directory(ref)
        with self.hold(ref):
            if self.record(ref) is not None:
                raise UsageError(f"{ref} has been built meanwhile: its lock set is immutable", hint="lock another tag")
            for name in sorted(files, key=lambda name: (name == LOCK_FILE, name)):  # what names the others comes last
                write_whole(directory / name, files[name])
            for name in self._companions(ref):
                if name not in files:
                    with writing(directory / name):
                        (directory / name).unlink()

    def _companions(self, ref: ImageRef) -> Sequence[str]:
        """The files of a lock set beside ``image.lock.yaml``, relative to its directory."""
        directory = self.lock_directory(ref)
        found = [*directory.glob(environment_lock_file("*")), *directory.glob(f"{FILES}/*")]
        return [str(path.relative_to(directory)) for path in sorted(found) if path.is_file()]

    @property
    def _envs(self) -> Envs:
        return Envs(self.root)

    def _load(self, origin: str, model: type[_T]) -> _T:
        return self._envs.load(origin, model)

    def _inside(self, origin: str) -> Path:
        return self._envs.inside(origin)

    def _origin(self, ref: ImageRef, name: str) -> str:
        return f"lockfiles/{ref.image}/{ref.tag}/{name}"
