"""Another lab under the same payloads: that of another lock set, or one that is locked from an environment's file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from peel.errors import DifferenceError, DocumentError, UsageError
from peel.model.conda_spec import depends_allow
from peel.model.declaration import EnvironmentSpec, PipSection
from peel.model.declared import Declared, DeclaredEnvironment, refuse_contradictions
from peel.model.lockset import LockedPatch
from peel.model.plan import EnvironmentLayer, layer_key, make_plan
from peel.model.progress import Progress
from peel.model.resolve import LAB
from peel.model.values import Digest, ImageRef, Platform
from peel.store.catalogue import Catalogue
from peel.store.documents import load
from peel.store.store import Store
from peel.tools.conda_lock import CondaLock
from peel.workflow.draft import Draft, load_draft, parse_entries
from peel.workflow.fetching import Sources
from peel.workflow.inspect import inspect_packages, refuse_link_scripts, refuse_long_prefix
from peel.workflow.lock import refuse_incomplete
from peel.workflow.pin import pin_layers
from peel.workflow.solve import complete_hashes, solve

_SUFFIXES = (".yml", ".yaml")


@dataclass(frozen=True, slots=True)
class OtherLab:
    """A lab that is to take another's place; ``locked`` is the lock set that it is taken from, if it is from one."""

    name: str
    environment: DeclaredEnvironment
    locked: Draft | None


def find_lab(text: str, draft: Draft, catalogue: Catalogue) -> OtherLab:
    """The lab that is meant by ``IMAGE:TAG``, an environment's file, or what lies at that place beneath ``envs/``.

    Raises UsageError where there is none, or nothing whose place it could take; DocumentError for a bad document.
    """
    if not draft.lock.declared.has_lab:
        raise UsageError(
            f"{draft.ref} has no lab that peel made", hint="only images that peel locked have one to change"
        )
    if ":" in text and not text.endswith(_SUFFIXES):
        other = load_draft(_parse_ref(text), catalogue)
        if not other.lock.declared.has_lab:
            raise UsageError(
                f"{text} has no lab that peel made", hint="name a lock set that was locked from declarations"
            )
        other.locks()  # which refuses what does not belong together
        return OtherLab(text, other.environment(LAB), other)
    path = _find_file(text, catalogue)
    spec = load(path, EnvironmentSpec, origin=text)
    return OtherLab(path.name, _declared(spec, draft.environment(LAB)), None)


def _parse_ref(text: str) -> ImageRef:
    try:
        return ImageRef.parse(text)
    except DocumentError as error:
        raise UsageError(error.message, hint=error.hint) from None


def _find_file(text: str, catalogue: Catalogue) -> Path:
    envs = catalogue.root / "envs"
    for path in (Path(text), envs / text, envs / text / "environment.yml"):
        if path.is_file():
            return path
    raise UsageError(
        f"no lab {text!r}: neither a lock set nor a file, here or beneath envs/",
        hint="write IMAGE:TAG, or the path of an environment.yml",
    )


def _declared(spec: EnvironmentSpec, lab: DeclaredEnvironment) -> DeclaredEnvironment:
    """The lab with other packages; its place and what it is started with stay."""
    fields: dict[str, Any] = {
        "channels": spec.channels,
        "dependencies": tuple(each for each in spec.dependencies if isinstance(each, str)),
        "pip": tuple(text for each in spec.dependencies if isinstance(each, PipSection) for text in each.pip),
        "pip_repositories": spec.pip_repositories,
        "allow_pypi_requests": spec.allow_pypi_requests,
    }
    return lab.model_copy(update=fields)


def declare_lab(draft: Draft, lab: OtherLab) -> Declared:
    """What is declared with the other lab. Raises DocumentError where it gets in the way of a payload."""
    environments = tuple(lab.environment if each.name == LAB else each for each in draft.lock.declared.environments)
    declared = draft.lock.declared.model_copy(update={"environments": environments})
    refuse_contradictions(declared, f"{draft.ref} with the lab of {lab.name}")
    return declared


@dataclass(frozen=True, slots=True)
class LabChanger:
    """What changing a lab takes."""

    store: Store
    sources: Sources
    conda_lock: CondaLock
    progress: Progress

    def change(self, draft: Draft, lab: OtherLab) -> tuple[Draft, int]:
        """The draft with the other lab, and when the newest of that was built, in seconds.

        Raises DocumentError where it does not fit, DifferenceError should a payload's layer not be what it was.
        """
        declared = declare_lab(draft, lab)
        if lab.locked:
            found, newest = self._take_over(draft, lab.locked, declared), lab.locked.lock.epoch
        else:
            found, newest = self._lock(draft, declared)
        _refuse_newer_glibc(found)
        for platform in declared.platforms:
            count = refuse_other_payloads(draft, found, Platform(platform))
            self.progress.step(
                f"the lab comes from {lab.name}; {count} layers of payloads for {platform} stay as they are"
            )
        return found, newest

    def _take_over(self, draft: Draft, other: Draft, declared: Declared) -> Draft:
        """The lab of another lock set, to the letter: its groups, and what patches made of it."""
        missing = sorted(set(declared.platforms) - set(other.lock.declared.platforms))
        if missing:
            raise DocumentError(
                f"{other.ref} is not locked for {missing[0]}", hint="lock its image for that platform, too"
            )
        layers = {p: {**draft.lock.layers[p], LAB: other.lock.layers[p][LAB]} for p in declared.platforms}
        superseded = {p: dict(draft.lock.superseded.get(p, {})) for p in declared.platforms}
        for platform, places in superseded.items():
            places.pop(LAB, None)
            places |= {n: each for n, each in other.lock.superseded.get(platform, {}).items() if n == LAB}
        changed = draft.with_document(LAB, other.documents[LAB]).with_lock(
            declared=declared, layers=layers, superseded={p: each for p, each in superseded.items() if each},
            patches=(*_patches(other, labs=True), *_patches(draft, labs=False)),
        )  # fmt: skip
        return replace(changed, contents={**draft.contents, **other.contents})

    def _lock(self, draft: Draft, declared: Declared) -> tuple[Draft, int]:
        """A lab that is locked now, in the groups that the old one had."""
        lab = declared.lab
        glibc = {platform: base.glibc for platform, base in draft.lock.base.items()}
        alone = declared.model_copy(update={"environments": (lab,)})
        data = solve(
            alone, glibc, store=self.store, conda_lock=self.conda_lock, update=(), before={}, progress=self.progress
        )[LAB]
        fresh = draft.with_document(LAB, data)
        wanted = {(p, LAB): parse_entries(fresh.entries_at((p, LAB)), LAB) for p in declared.platforms}
        inspected = inspect_packages(wanted, self.store, self.sources, self.progress)
        for (platform, _), found in inspected.items():
            refuse_link_scripts(lab, found, f"{LAB} on {platform}")
            refuse_long_prefix(lab, found, f"{LAB} on {platform}")
            refuse_incomplete(lab, found)
        digests = {item.package.url: item.digest for found in inspected.values() for item in found}
        superseded = {
            platform: {name: each for name, each in places.items() if name != LAB}
            for platform, places in draft.lock.superseded.items()
        }
        locked = fresh.with_document(LAB, complete_hashes(data, digests)).with_lock(
            declared=declared, layers=pin_layers(declared, draft.lock.base, inspected, draft.lock),
            superseded={platform: each for platform, each in superseded.items() if each},
            patches=tuple(_patches(draft, labs=False)),
        )  # fmt: skip
        return locked, max(item.contents.timestamp or 0 for found in inspected.values() for item in found)


def refuse_other_payloads(before: Draft, after: Draft, platform: Platform) -> int:
    """See that the layers of payloads are the same; how many. Raises DifferenceError naming one that is not."""
    old, new = (_payload_keys(draft, platform) for draft in (before, after))
    if changed := [contents for contents, key in old.items() if new.get(contents) != key]:
        raise DifferenceError(
            f"the layer {changed[0]!r} would be another one under the new lab",
            hint="this is a mistake of peel: please tell its makers",
        )
    return len(old)


def _payload_keys(draft: Draft, platform: Platform) -> Mapping[str, Digest]:
    plan = make_plan(draft.locks(), platform)
    layers = [step for step in plan.layers if isinstance(step, EnvironmentLayer) and step.environment != LAB]
    return {f"{number}: {step.contents}": layer_key(step, plan) for number, step in enumerate(layers)}


def _patches(draft: Draft, *, labs: bool) -> list[LockedPatch]:
    """The part of a draft's patches that changes its lab, or else the part that does not."""
    root = f"{draft.environment(LAB).prefix}/"
    found = []
    for patch in draft.lock.patches:
        environments = {
            platform: {name: change for name, change in places.items() if (name == LAB) is labs}
            for platform, places in patch.environments.items()
        }
        part = patch.model_copy(
            update={
                "environments": {platform: places for platform, places in environments.items() if places},
                "files": tuple(file for file in patch.files if file.path.startswith(root) is labs),
                "removed_files": tuple(path for path in patch.removed_files if path.startswith(root) is labs),
            }
        )
        if part.environments or part.files or part.removed_files:
            found.append(part)
    return found


def _refuse_newer_glibc(draft: Draft) -> None:
    """Raise DocumentError for a package of the lab that needs another C library than this image's base has."""
    for platform, base in draft.lock.base.items():
        for entry in draft.entries_at((platform, LAB)):
            asked = str(entry.get("dependencies", {}).get("__glibc", ""))
            if asked and not depends_allow(f"__glibc {asked}", base.glibc, "0"):
                raise DocumentError(
                    f"{entry['name']} {entry['version']} of the lab needs glibc {asked}, and the base of "
                    f"{draft.ref} has {base.glibc} on {platform}",
                    hint="choose a lab that was locked for as old a base",
                )
