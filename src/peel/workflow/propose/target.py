"""What a payload is proposed to: a locked image, whose lab and base stay as they are."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from peel.errors import DocumentError, UsageError
from peel.model.declared import Declared, DeclaredEnvironment, refuse_contradictions
from peel.model.locked import LockSet, Package
from peel.model.values import ImageRef, Platform
from peel.store.catalogue import Catalogue
from peel.store.documents import to_yaml
from peel.store.files import write_whole
from peel.workflow.draft import Draft, load_draft
from peel.workflow.propose.declare import Surroundings


@dataclass(frozen=True, slots=True)
class Target:
    """A locked image, for the platform of this machine."""

    draft: Draft
    locks: LockSet
    platform: Platform

    @property
    def ref(self) -> ImageRef:
        """Its address."""
        return self.draft.ref

    @property
    def declared(self) -> Declared:
        """What it was locked as."""
        return self.draft.lock.declared

    @property
    def channels(self) -> frozenset[str]:
        """The channels that its environments come from."""
        return frozenset(channel for each in self.declared.environments for channel in each.channels)

    def packages(self, environment: str) -> Sequence[Package]:
        """What an environment of it consists of here."""
        return self.locks.packages(self.platform, environment)

    def surroundings(self) -> Surroundings:
        """What it gives where an author's file is silent: channels and the Python of its first payload, or its lab."""
        packaged = (payload for payload in self.declared.payloads if not payload.is_captured)
        first = next(packaged, self.declared.lab)
        python = next((package.version for package in self.packages(first.name) if package.name == "python"), "")
        platforms = tuple(Platform(name) for name in self.declared.platforms)
        return Surroundings(self.platform, platforms, first.channels, ".".join(python.split(".")[:2]))


def open_target(named: str | None, catalogue: Catalogue) -> Target:
    """The image that is named by ``IMAGE`` or ``IMAGE:TAG``, by default the only one; its newest lock set.

    Raises UsageError for one that nobody can put a payload into, or when it is not clear which is meant.
    """
    ref = _ref(named, catalogue)
    draft, platform = load_draft(ref, catalogue), Platform.from_machine(os.uname().machine)
    lock = draft.lock
    if lock.missing or lock.imported or not lock.declared.has_lab:
        raise UsageError(
            f"{ref} was imported, and is no image that a payload could be put into",
            hint="name an image that is declared with a lab: --for IMAGE",
        )
    if platform.subdir not in lock.declared.platforms:
        raise UsageError(
            f"{ref} is not locked for {platform}, which this machine is", hint="name another image with --for"
        )
    return Target(draft, catalogue.lock_set(ref), platform)


def _ref(named: str | None, catalogue: Catalogue) -> ImageRef:
    if named is not None and ":" in named:
        return ImageRef.parse(named)
    images = [named] if named else [name for name in catalogue.images() if catalogue.tags(name)]
    if not images:
        raise UsageError("no image of this catalogue is locked yet", hint="lock one first: peel lock IMAGE:TAG")
    if len(images) > 1:
        raise UsageError(
            f"this catalogue has several images: {', '.join(images)}", hint="name the one to propose to: --for IMAGE"
        )
    locks = [catalogue.image_lock(ImageRef(images[0], tag)) for tag in catalogue.tags(images[0])]
    if not locks:
        raise UsageError(f"{images[0]} is not locked", hint=f"peel list shows what is; peel lock {images[0]}:TAG")
    newest = max(locks, key=lambda lock: (lock.epoch, lock.tag))
    return ImageRef(newest.image, newest.tag)


@dataclass(frozen=True, slots=True)
class Resolved:
    """A payload as its declaration has it, and the contents of the files that it brings, by sha256."""

    payload: DeclaredEnvironment
    contents: Mapping[str, bytes]


def resolve_payload(name: str, files: Mapping[str, bytes], target: Target, scratch: Path) -> Resolved:
    """Read a declaration as the catalogue would, from a scratch one that holds nothing else.

    Raises DocumentError naming file and line as they will be in the catalogue.
    """
    lab = target.declared.lab
    image: dict[str, Any] = {
        "schema": 1, "base": target.declared.base, "platforms": list(target.declared.platforms),
        "lab": {"prefix": lab.prefix}, "payloads": [name],
    }  # fmt: skip
    spec = {"channels": list(lab.channels), "dependencies": list(lab.dependencies)}
    documents = {
        f"{target.ref.image}.yaml": to_yaml(image),
        "lab/environment.yml": to_yaml(spec),
        **{f"{name}/{file}": data for file, data in files.items()},
    }
    for place, data in documents.items():
        write_whole(scratch / "envs" / place, data)
    catalogue = Catalogue(scratch)
    declared = catalogue.declared(target.ref.image)
    payload = next(environment for environment in declared.environments if environment.name == name)
    return Resolved(payload, catalogue.attached(declared))


def join_payload(target: Target, payload: DeclaredEnvironment) -> Declared:
    """The image with this payload, instead of one of its name if there is one; the others stay.

    Raises DocumentError where they contradict each other: kernels, prefixes.
    """
    others = [each for each in target.declared.environments if each.name != payload.name]
    if any(each.name == payload.name and each.role == "lab" for each in target.declared.environments):
        raise DocumentError(f"a payload cannot be called {payload.name!r}, as the lab is", hint="choose another --name")
    declared = target.declared.model_copy(update={"environments": (*others, payload)})
    refuse_contradictions(declared, f"{target.ref} with {payload.name}")
    return declared
