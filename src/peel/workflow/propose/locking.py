"""Locking a proposed payload, and nothing else: base and lab stay as the image was locked with them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from peel.layers.compress import compression_here
from peel.model.condalock import CondaLockPackage
from peel.model.declared import Declared, DeclaredEnvironment
from peel.model.locked import LockSet
from peel.model.lockset import ImageLock, LockedCapture, LockedWith
from peel.model.progress import Progress
from peel.store.store import Store
from peel.tools.buildah import Buildah
from peel.tools.conda_lock import CondaLock
from peel.workflow.capturing.locking import capture_all, no_packages
from peel.workflow.draft import parse_entries, read_entries
from peel.workflow.fetching import Sources
from peel.workflow.inspect import Inspected, inspect_packages, refuse_link_scripts, refuse_long_prefix
from peel.workflow.lock import FORMATS, locked_compression, refuse_incomplete
from peel.workflow.lock_entries import Entry
from peel.workflow.pin import pin_layers
from peel.workflow.pip_rules import refuse_other_hashes
from peel.workflow.propose.target import Resolved, Target
from peel.workflow.solve import complete_hashes, solve


@dataclass(frozen=True, slots=True)
class Solved:
    """What conda-lock chose for a payload, on all platforms of the image."""

    resolved: Resolved
    data: bytes
    packages: tuple[CondaLockPackage, ...]

    @property
    def payload(self) -> DeclaredEnvironment:
        """What was asked for."""
        return self.resolved.payload

    def on(self, platform: str) -> Sequence[CondaLockPackage]:
        """The packages of one platform, by name."""
        return sorted((p for p in self.packages if p.platform == platform), key=lambda package: package.name)


@dataclass(frozen=True, slots=True)
class Locked:
    """A lock set of the lab and the payload, as it would be; ``inspected`` is by platform."""

    locks: LockSet
    inspected: Mapping[str, Sequence[Inspected]]


def solve_payload(
    resolved: Resolved, target: Target, *, store: Store, conda_lock: CondaLock, progress: Progress
) -> Solved:
    """Let conda-lock choose the packages; there are none of what is captured.

    Raises DocumentError when nothing satisfies it, ArtifactError for a channel that cannot be read, ToolError when a
    program fails.
    """
    payload = resolved.payload
    if payload.is_captured:
        return Solved(resolved, no_packages(), ())
    declared = target.declared.model_copy(update={"environments": (payload,)})
    glibc = {platform: base.glibc for platform, base in target.draft.lock.base.items()}
    data = solve(
        declared, glibc, store=store, conda_lock=conda_lock, update=(), before={}, progress=progress,
    )[payload.name]  # fmt: skip
    return Solved(resolved, data, tuple(parse_entries(read_entries(data, payload.name), payload.name)))


def lock_payload(
    solved: Solved,
    target: Target,
    *,
    store: Store,
    conda_lock: CondaLock,
    sources: Sources,
    buildah: Callable[[], Buildah],
    progress: Progress,
) -> Locked:
    """Fetch and read every package of the payload, or capture it, and lock it together with the lab.

    Other payloads are left out: they have no part in whether this one works. Raises ArtifactError or DocumentError for
    whatever ``peel lock`` would refuse.
    """
    payload, lock = solved.payload, target.draft.lock
    inspected = _inspect(solved, target, store, sources, progress)
    declared = _declared(target, payload)
    compression = locked_compression(declared)
    captured = capture_all(
        declared.model_copy(update={"environments": (payload,)}), solved.resolved.contents, lock.base,
        compression_here(compression.codec, compression.level), store=store, sources=sources, buildah=buildah,
        progress=progress, kept=None,
    )  # fmt: skip
    names = [each.name for each in declared.environments]
    made = lock.model_copy(
        update={
            "formats": FORMATS,
            "compression": compression,
            "locked_with": LockedWith(conda_lock=conda_lock.version(), solver=conda_lock.solver.title),
            "declared": declared,
            "layers": pin_layers(declared, lock.base, inspected, lock),
            "captured": {name: _kept(lock, name, names) | captured.get(name, {}) for name in declared.platforms},
        }
    )
    digests = {item.package.url: item.digest for found in inspected.values() for item in found}
    entries = read_entries(complete_hashes(solved.data, digests), payload.name)
    known: dict[str, Sequence[Entry]] = {**target.draft.entries, payload.name: entries}
    contents = {**target.draft.contents, **solved.resolved.contents}
    draft = replace(target.draft, lock=made, entries={name: known[name] for name in names}, contents=contents)
    return Locked(draft.locks(), {platform: found for (platform, _), found in inspected.items()})


def _inspect(
    solved: Solved, target: Target, store: Store, sources: Sources, progress: Progress
) -> Mapping[tuple[str, str], Sequence[Inspected]]:
    """Every package of the payload, fetched and read, and refused where ``peel lock`` would."""
    payload = solved.payload
    wanted = {(name, payload.name): list(solved.on(name)) for name in target.declared.platforms}
    inspected = inspect_packages(wanted, store, sources, progress)
    for (platform, _), found in inspected.items():
        origin = f"{payload.name} on {platform}"
        refuse_link_scripts(payload, found, origin)
        refuse_long_prefix(payload, found, origin)
        refuse_other_hashes(payload, found, origin)
        refuse_incomplete(payload, found)
    return inspected


def _declared(target: Target, payload: DeclaredEnvironment) -> Declared:
    """The lab and the payload alone; all others, too, where there are patches, which may be of any of them."""
    kept = target.declared.environments if target.draft.lock.patches else (target.declared.lab,)
    others = (each.model_copy(update={"terminal": False}) for each in kept if each.name != payload.name)
    return target.declared.model_copy(
        update={"environments": (*others, payload), "compat": (), "links": {}}  # links may lead to what is left out
    )


def _kept(lock: ImageLock, platform: str, environments: Sequence[str]) -> dict[str, LockedCapture]:
    return {name: found for name, found in lock.captured.get(platform, {}).items() if name in environments}
