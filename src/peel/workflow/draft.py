"""A lock set on its way to becoming another one: nothing of it is written before all of it is decided."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from peel.model.condalock import CondaLockPackage, parse_conda_lock
from peel.model.declared import DeclaredEnvironment
from peel.model.locked import LockSet, Package, join
from peel.model.lockset import (
    FILES,
    LOCK_FILE,
    ImageLock,
    SupersededPackage,
    environment_lock_file,
)
from peel.model.values import ImageRef
from peel.store.catalogue import Catalogue
from peel.store.documents import parse_plain, to_yaml
from peel.workflow.lock_entries import Entry, merge_lock

Place = tuple[str, str]
"""A platform and an environment."""


@dataclass(frozen=True, slots=True)
class Draft:
    """What a lock set holds.

    ``documents`` are conda-lock's files by environment, ``entries`` the packages in them, as they have become in the
    places that are ``touched``. ``contents`` are files of patches and payloads by sha256.
    """

    lock: ImageLock
    documents: Mapping[str, bytes]
    entries: Mapping[str, Sequence[Entry]]
    contents: Mapping[str, bytes]
    touched: frozenset[Place] = frozenset()

    @property
    def ref(self) -> ImageRef:
        """The address that it has."""
        return ImageRef(self.lock.image, self.lock.tag)

    @property
    def places(self) -> Sequence[Place]:
        """Every environment of every platform."""
        environments = self.lock.declared.environments
        return [(platform, each.name) for platform in self.lock.declared.platforms for each in environments]

    def environment(self, name: str) -> DeclaredEnvironment:
        """What is declared of an environment."""
        return next(each for each in self.lock.declared.environments if each.name == name)

    def entries_at(self, place: Place) -> Sequence[Entry]:
        """conda-lock's packages of one platform and environment."""
        return [entry for entry in self.entries[place[1]] if entry["platform"] == place[0]]

    def locks(self) -> LockSet:
        """The whole lock set. Raises DocumentError where its parts do not belong together."""
        origin = f"lockfiles/{self.lock.image}/{self.lock.tag}"
        parsed = {name: parse_entries(found, f"{origin}/{name}") for name, found in self.entries.items()}
        return join(self.ref, self.lock, parsed, f"{origin}/{LOCK_FILE}", files=self.contents)

    def with_entries(self, place: Place, entries: Sequence[Entry]) -> Draft:
        """The same with other packages in one place."""
        others = [entry for entry in self.entries[place[1]] if entry["platform"] != place[0]]
        changed = {**self.entries, place[1]: [*others, *entries]}
        return replace(self, entries=changed, touched=self.touched | {place})

    def with_document(self, name: str, data: bytes) -> Draft:
        """The same with another conda-lock file for an environment. Raises DocumentError for a bad one."""
        documents = {**self.documents, name: data}
        untouched = frozenset(place for place in self.touched if place[1] != name)
        entries = {**self.entries, name: read_entries(data, environment_lock_file(name))}
        return replace(self, documents=documents, entries=entries, touched=untouched)

    def files(self) -> Mapping[str, bytes]:
        """What is written: every file of the lock set by its name."""
        documents = dict(self.documents)
        for place in sorted(self.touched):
            documents[place[1]] = merge_lock(documents[place[1]], place[0], self.entries_at(place))
        return {
            **{environment_lock_file(name): data for name, data in documents.items()},
            **{f"{FILES}/{sha256}": self.contents[sha256] for sha256 in sorted(self.lock.contents)},
            LOCK_FILE: to_yaml(self.lock.as_document()),
        }

    def with_lock(self, **fields: Any) -> Draft:
        """The same with these fields of its lock changed."""
        return replace(self, lock=self.lock.model_copy(update=fields))


def load_draft(ref: ImageRef, catalogue: Catalogue) -> Draft:
    """A lock set as it is. Raises DocumentError when it is not locked or a file is bad."""
    lock = catalogue.image_lock(ref)
    origin, files = f"lockfiles/{ref.image}/{ref.tag}", catalogue.read_lock_set(ref)
    documents, entries = {}, {}
    for environment in lock.declared.environments:
        name = environment_lock_file(environment.name)
        if name not in files:
            catalogue.conda_lock(ref, environment.name)  # which says so
        documents[environment.name] = files[name]
        entries[environment.name] = read_entries(files[name], f"{origin}/{name}")
    contents = {name.removeprefix(f"{FILES}/"): data for name, data in files.items() if name.startswith(f"{FILES}/")}
    return Draft(lock, documents, entries, contents)


def read_entries(data: bytes, origin: str) -> Sequence[Entry]:
    """The packages of a conda-lock file. Raises DocumentError for a bad one."""
    document = parse_plain(data, origin)
    parse_conda_lock(document, origin)
    found: Sequence[Entry] = document["package"]
    return found


def parse_entries(entries: Sequence[Entry], origin: str) -> Sequence[CondaLockPackage]:
    """conda-lock's packages as values. Raises DocumentError."""
    return parse_conda_lock({"version": 1, "package": list(entries)}, origin)


def superseded_by(
    old: Sequence[SupersededPackage], gone: Sequence[Package], there: Sequence[CondaLockPackage]
) -> tuple[SupersededPackage, ...]:
    """What lower layers hold and conda-lock's file does not: what was so before, and what goes now."""
    known = {each.sha256: each for each in old}
    known |= {package.digest.hex: _superseded(package) for package in gone}
    back = {package.hash.sha256 for package in there}
    return tuple(sorted((each for each in known.values() if each.sha256 not in back), key=lambda each: each.file))


def _superseded(package: Package) -> SupersededPackage:
    return SupersededPackage(
        name=package.name, version=package.version, manager=package.manager, file=package.file_name, url=package.url,
        sha256=package.digest.hex, depends=package.depends,
    )  # fmt: skip
