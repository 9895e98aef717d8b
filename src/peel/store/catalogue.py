"""A catalogue on disk: declarations under ``envs/``, lock sets under ``lockfiles/``."""

from __future__ import annotations

import difflib
import os
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from peel.errors import DocumentError, UsageError
from peel.model.condalock import CondaLockPackage, parse_conda_lock
from peel.model.declaration import EnvironmentSpec, ImageDeclaration, PayloadDeclaration
from peel.model.declared import Declared, resolve
from peel.model.lockset import LOCK_FILE, RECORD_FILE, ImageLock, LockSet, Record, environment_lock_file, join
from peel.model.values import ImageRef, is_name
from peel.store.documents import load, parse_plain, read_text, to_json
from peel.store.files import write_whole

_TORN: Final = "the lock set has lost a file: take it from version control, or lock again"


@dataclass(frozen=True, slots=True)
class Catalogue:
    """A directory that holds ``envs/`` and ``lockfiles/``."""

    root: Path

    @classmethod
    def open(cls, root: Path) -> Catalogue:
        """The catalogue in this directory. Raises UsageError when there is none."""
        if not (root / "envs").is_dir() and not (root / "lockfiles").is_dir():
            raise UsageError(
                f"{root} is no catalogue: it has neither envs/ nor lockfiles/",
                hint="name one with -C DIR, or make one with peel demo DIR",
            )
        return cls(root)

    def images(self) -> Sequence[str]:
        """The names of all images, declared or locked."""
        declared = {path.stem for path in (self.root / "envs").glob("*.yaml") if path.stem != "menu"}
        locked = {path.parent.parent.name for path in self.root.glob(f"lockfiles/*/*/{LOCK_FILE}")}
        return sorted(name for name in declared | locked if is_name(name))

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
        declaration = load(path, ImageDeclaration, origin=f"envs/{image}.yaml")
        payloads = {name: self._payload(name) for name in declaration.payloads}
        if len(payloads) != len(declaration.payloads):
            raise DocumentError(f"envs/{image}.yaml: payloads: a payload stands twice")
        lab = self._environment(declaration.lab.environment)
        return resolve(declaration, lab, payloads, origin=f"envs/{image}.yaml")

    def _undeclared(self, image: str) -> DocumentError:
        near = difflib.get_close_matches(image, self.images(), n=1)
        return DocumentError(
            f"envs/{image}.yaml: no such file: image {image!r} is not declared",
            hint=f"did you mean {near[0]!r}?" if near else "peel list shows what this catalogue holds",
        )

    def _payload(self, name: str) -> tuple[PayloadDeclaration, EnvironmentSpec]:
        declaration = load(
            self.root / "envs" / name / "payload.yaml", PayloadDeclaration, origin=f"envs/{name}/payload.yaml"
        )
        return declaration, self._environment(f"{name}/{declaration.environment}")

    def _environment(self, place: str) -> EnvironmentSpec:
        return load(self.root / "envs" / place, EnvironmentSpec, origin=f"envs/{place}")

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
        return load(self.lock_directory(ref) / LOCK_FILE, ImageLock, origin=self._origin(ref, LOCK_FILE))

    def lock_set(self, ref: ImageRef) -> LockSet:
        """A whole lock set. Raises DocumentError for a bad file, or files that do not belong together."""
        lock = self.image_lock(ref)
        locks = {environment.name: self.conda_lock(ref, environment.name) for environment in lock.declared.environments}
        return join(ref, lock, locks, self._origin(ref, LOCK_FILE))

    def conda_lock(self, ref: ImageRef, environment: str) -> Sequence[CondaLockPackage]:
        """conda-lock's packages of one environment."""
        name = environment_lock_file(environment)
        origin = self._origin(ref, name)
        return parse_conda_lock(
            parse_plain(read_text(self.lock_directory(ref) / name, origin=origin, hint=_TORN), origin), origin
        )

    def read_lock_set(self, ref: ImageRef) -> Mapping[str, bytes]:
        """The bytes of every file of a lock set but its record; empty when there is none."""
        directory = self.lock_directory(ref)
        if not self.has_lock(ref):
            return {}
        return {path.name: path.read_bytes() for path in sorted(directory.iterdir()) if path.name != RECORD_FILE}

    def record(self, ref: ImageRef) -> Record | None:
        """What the first build gave, if there was one."""
        path = self.lock_directory(ref) / RECORD_FILE
        return load(path, Record, origin=self._origin(ref, RECORD_FILE)) if path.is_file() else None

    def write_record(self, ref: ImageRef, record: Record) -> None:
        """Keep what a build gave beside its lock; from then on the lock set is immutable."""
        data = record.model_dump(mode="json", by_alias=True)
        write_whole(self.lock_directory(ref) / RECORD_FILE, to_json(data))

    def write_lock_set(self, ref: ImageRef, files: Mapping[str, bytes]) -> None:
        """Put a lock set in place, whole or not at all, instead of one that may be there."""
        target = self.lock_directory(ref)
        target.parent.mkdir(parents=True, exist_ok=True)
        fresh = Path(tempfile.mkdtemp(prefix=f".{ref.tag}.", dir=target.parent))
        try:
            for name, data in files.items():
                write_whole(fresh / name, data)
            fresh.chmod(0o755)
            _exchange(fresh, target)
        finally:
            shutil.rmtree(fresh, ignore_errors=True)

    def _origin(self, ref: ImageRef, name: str) -> str:
        return f"lockfiles/{ref.image}/{ref.tag}/{name}"


def _exchange(fresh: Path, target: Path) -> None:
    """Rename a directory over another: the old one steps aside, and comes back if the new one cannot be placed."""
    aside = Path(f"{fresh}.old")
    with suppress(FileNotFoundError):
        target.rename(aside)
    try:
        fresh.rename(target)
    except OSError:
        if aside.exists():
            aside.rename(target)
        raise
    shutil.rmtree(aside, ignore_errors=True)


def default_catalogue(given: Path | None) -> Path:
    """The directory asked for, made absolute; without one, where we are."""
    return Path(os.path.abspath(given or "."))  # noqa: PTH100  (resolve() would follow a link that the user chose)
