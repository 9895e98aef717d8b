"""``peel lock``: from what is declared to what is pinned.

By the time a lock is written, every archive is in the store, and what packages say of themselves has been read.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from peel.errors import DocumentError, UsageError
from peel.layers.bytecode import BYTECODE
from peel.layers.compress import compression_here
from peel.layers.link import LINKER
from peel.layers.tar import LAYER
from peel.model.condalock import CondaLockPackage, parse_conda_lock
from peel.model.declared import Declared, DeclaredEnvironment, differences
from peel.model.glue import GLUE
from peel.model.lockset import (
    FILES,
    LOCK_FILE,
    Formats,
    ImageLock,
    LockedBase,
    LockedCompression,
    LockedWith,
    environment_lock_file,
)
from peel.model.plan import PLAN
from peel.model.progress import Progress
from peel.model.values import MTIME_CONSTANT, Digest, ImageRef, Platform
from peel.store.archives import Archive
from peel.store.catalogue import Catalogue
from peel.store.documents import parse_plain, to_yaml
from peel.store.store import Store
from peel.tools.conda_lock import CondaLock
from peel.workflow.agreement import refuse_recorded
from peel.workflow.base import fetch_base, glibc_of, pin_base
from peel.workflow.capturing.locking import capture_all, no_packages
from peel.workflow.containers import chosen_buildah
from peel.workflow.fetching import Sources
from peel.workflow.inspect import Inspected, inspect_packages, refuse_link_scripts, refuse_long_prefix
from peel.workflow.pin import Inspections, pin_layers
from peel.workflow.pip_rules import refuse_other_hashes
from peel.workflow.solve import Before, complete_hashes, solve

NOTHING_SOLVED: Final = LockedWith(conda_lock="none", solver="none: imported")
"""What a lock says that no solver had a part in."""

FORMATS: Final = Formats(plan=PLAN, linker=LINKER, bytecode=BYTECODE, layer=LAYER, glue=GLUE)


@dataclass(frozen=True, slots=True)
class LockOptions:
    """What may be asked of a lock: the build instant in seconds, and which packages alone are to move."""

    epoch: int | None = None
    update: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Given:
    """What an import knows: what the image is, and conda-lock's files of environments that are not solved.

    Each of these files has a sha256 of every package, and all of them are ``inspected``.
    """

    declared: Declared
    locks: Mapping[str, bytes]
    inspected: Inspections


@dataclass(frozen=True, slots=True)
class Locked:
    """What locking did: the lock, and whether its bytes are others than before."""

    ref: ImageRef
    lock: ImageLock
    changed: bool


def lock_image(
    ref: ImageRef,
    *,
    catalogue: Catalogue,
    store: Store,
    conda_lock: CondaLock | None,
    options: LockOptions,
    progress: Progress,
    archives: Sequence[Archive] = (),
    given: Given | None = None,
) -> Locked:
    """Pin everything that an image needs, and write its lock set, whole or not at all.

    Nobody needs a ``conda_lock`` where all environments are ``given``. Raises UsageError when the lock set has been
    built and is therefore immutable, DocumentError when a declaration is bad or nothing satisfies it, ArtifactError
    when something cannot be had.
    """
    refuse_recorded(ref, catalogue)
    declared = given.declared if given else catalogue.declared(ref.image)
    source = _source(ref, catalogue)
    previous = catalogue.image_lock(source) if source else None
    sources = Sources(conda_lock.secrets if conda_lock else {}, tuple(archives))
    before = _before_update(source, declared, catalogue, options.update) if options.update else {}
    bases = _bases(declared, previous if options.update else None, store, sources, progress)
    known = given or Given(declared, {}, {})
    compression = locked_compression(declared)
    attached = catalogue.attached(declared)
    locks = {**known.locks, **{each.name: no_packages() for each in declared.environments if each.is_captured}}
    if conda_lock is not None:
        locks |= solve(
            _without(declared, locks), {platform: base.glibc for platform, base in bases.items()},
            store=store, conda_lock=conda_lock, update=options.update, before=before, progress=progress,
        )  # fmt: skip
    inspected = _inspect(declared, locks, known.inspected, store, sources, progress)
    captured = capture_all(
        declared, attached, bases, compression_here(compression.codec, compression.level), store=store,
        sources=sources, buildah=lambda: chosen_buildah(store), progress=progress,
        kept=previous if options.update else None,
    )  # fmt: skip
    lock = ImageLock(
        schema=1, image=ref.image, tag=ref.tag,
        epoch=options.epoch if options.epoch is not None else _newest(inspected),
        formats=FORMATS, compression=compression,
        locked_with=_locked_with(conda_lock),
        declared=declared, base=bases, layers=pin_layers(declared, bases, inspected, previous),
        captured=captured,
    )  # fmt: skip
    hashed = {name: complete_hashes(data, _digests(inspected)) for name, data in locks.items()}
    return Locked(ref, lock, _write(ref, lock, hashed, attached, catalogue))


def _write(
    ref: ImageRef, lock: ImageLock, locks: Mapping[str, bytes], attached: Mapping[str, bytes], catalogue: Catalogue
) -> bool:
    """Put the lock set in place, and say whether that changed anything."""
    files = {environment_lock_file(name): data for name, data in locks.items()}
    files |= {f"{FILES}/{sha256}": data for sha256, data in attached.items()}
    files[LOCK_FILE] = to_yaml(lock.as_document())
    changed = catalogue.read_lock_set(ref) != files
    if changed:
        catalogue.write_lock_set(ref, files)
    return changed


def _without(declared: Declared, locks: Mapping[str, bytes]) -> Declared:
    """What is declared, with only those environments that are still to be solved."""
    left = tuple(environment for environment in declared.environments if environment.name not in locks)
    return declared.model_copy(update={"environments": left})


def _locked_with(conda_lock: CondaLock | None) -> LockedWith:
    if conda_lock is None:
        return NOTHING_SOLVED
    return LockedWith(conda_lock=conda_lock.version(), solver=conda_lock.solver.title)


def _source(ref: ImageRef, catalogue: Catalogue) -> ImageRef | None:
    """The lock set that grouping, and an update, start from: the tag's own, else the image's newest."""
    if catalogue.has_lock(ref) and not catalogue.image_lock(ref).missing:
        return ref
    locks = [catalogue.image_lock(ImageRef(ref.image, tag)) for tag in catalogue.tags(ref.image)]
    whole = [lock for lock in locks if not lock.missing]
    newest = max(whole, key=lambda lock: (lock.epoch, lock.tag), default=None)
    return ImageRef(newest.image, newest.tag) if newest else None


def _bases(
    declared: Declared, kept: ImageLock | None, store: Store, sources: Sources, progress: Progress
) -> dict[str, LockedBase]:
    """The base of every platform: as it was where an update keeps it, else as its reference means today."""
    if kept is not None:
        return dict(kept.base)
    return {name: _locked_base(declared.base, Platform(name), store, sources, progress) for name in declared.platforms}


def _locked_base(reference: str, platform: Platform, store: Store, sources: Sources, progress: Progress) -> LockedBase:
    progress.step(f"resolving {reference} for {platform}")
    pin = pin_base(reference, platform, store, sources)
    base = fetch_base(pin, platform, store, sources, progress)
    return LockedBase(digest=str(pin.digest), glibc=glibc_of(base, store, reference), layers=len(base.layers))


def _before_update(
    ref: ImageRef | None, declared: Declared, catalogue: Catalogue, update: Sequence[str]
) -> Mapping[str, Before]:
    """Each environment's lock as it is. Raises UsageError when an update makes no sense."""
    if ref is None:
        raise UsageError("the image is not locked, so there is nothing to update", hint="lock it without --update")
    if changed := differences(catalogue.image_lock(ref).declared, declared):
        raise UsageError(
            f"declarations changed since {ref} was locked: {changed[0]}", hint=f"lock it anew: peel lock {ref}"
        )
    names = {e.name: catalogue.conda_lock(ref, e.name) for e in declared.environments}
    files = catalogue.read_lock_set(ref)
    before = {
        name: Before(files[environment_lock_file(name)], frozenset(package.name for package in packages))
        for name, packages in names.items()
    }
    for name in update:
        if not any(name in known.packages for known in before.values()):
            raise UsageError(f"no environment of {ref} has a package {name!r}", hint=f"peel show {ref} lists them")
    return before


def _inspect(
    declared: Declared,
    locks: Mapping[str, bytes],
    known: Inspections,
    store: Store,
    sources: Sources,
    progress: Progress,
) -> Inspections:
    """Every archive fetched and its metadata read, by platform and environment; what cannot go together is refused."""
    wanted: dict[tuple[str, str], list[CondaLockPackage]] = {}
    for name, data in locks.items():
        origin = environment_lock_file(name)
        packages = parse_conda_lock(parse_plain(data, origin), origin)
        for platform in declared.platforms:
            if (platform, name) not in known:
                wanted[platform, name] = [package for package in packages if package.platform == platform]
    inspected = {**known, **inspect_packages(wanted, store, sources, progress)}
    for environment in declared.environments:
        for platform in declared.platforms:
            found, origin = inspected[platform, environment.name], f"{environment.name} on {platform}"
            refuse_link_scripts(environment, found, origin)
            refuse_long_prefix(environment, found, origin)
            refuse_other_hashes(environment, found, origin)
            refuse_incomplete(environment, found)
    return inspected


def _digests(inspected: Inspections) -> Mapping[str, Digest]:
    """By URL, what every artifact turned out to be."""
    return {item.package.url: item.digest for found in inspected.values() for item in found}


def refuse_incomplete(environment: DeclaredEnvironment, found: Sequence[Inspected]) -> None:
    """The lab must hold JupyterLab, and a payload what its kernel starts with; and nothing may come twice."""
    names = [item.package.name for item in found]
    if environment.is_captured:
        return
    needed = {"lab": "jupyterlab", "payload": "ipykernel"}.get(environment.role)
    if needed is not None and needed not in names:
        file = "requirements.txt" if environment.kind == "pip" else "environment.yml"
        raise DocumentError(f"the environment {environment.name!r} has no {needed}", hint=f"add {needed} to its {file}")
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise DocumentError(
            f"the environment {environment.name!r} gets {twice[0]} both from a conda channel and as a wheel",
            hint="take it out of the pip section",
        )


def _newest(inspected: Inspections) -> int:
    """The epoch when none is given: when the newest package was built, so that equal locks have equal epochs."""
    stamps = [item.contents.timestamp or 0 for found in inspected.values() for item in found]
    return max([MTIME_CONSTANT, *stamps])


def locked_compression(declared: Declared) -> LockedCompression:
    """The declared compressor with the library that is here."""
    choice = declared.compression
    here = compression_here(choice.codec, choice.level)
    return LockedCompression(codec=choice.codec, library=here.library, level=here.level, mode=here.mode)
