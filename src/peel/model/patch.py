"""What patches ask of the packages of each environment, and where they contradict each other."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from itertools import combinations
from typing import Final

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

from peel.errors import DocumentError
from peel.model.conda_spec import parse_conda_spec
from peel.model.patch_document import SECTIONS, DeclaredPatch, Manager, PackageDemands

Installed = Mapping[str, Mapping[Manager, Collection[str]]]
"""By environment and manager, the names of what is there."""

_HINT: Final = "docs/patches.md says what a patch may ask for"
_WHERE_FROM: Final = "packages come from where the environment's declaration says, and from archives"
_SETTLE: Final = "apply them to images of their own, or settle it in one of the files"


@dataclass(frozen=True, slots=True)
class Demand:
    """What a patch asks of one package: ``spec`` as it is written, ``name`` normalized."""

    name: str
    spec: str
    patch: str


@dataclass(frozen=True, slots=True)
class Replacement:
    """A package that goes, and what takes its place, which may be of the same name."""

    name: str
    by: Demand


@dataclass(frozen=True, slots=True)
class Changes:
    """What is asked of the packages of one manager in one environment. Of what is removed, ``spec`` is the name."""

    raised: tuple[Demand, ...] = ()
    replaced: tuple[Replacement, ...] = ()
    added: tuple[Demand, ...] = ()
    removed: tuple[Demand, ...] = ()

    def __bool__(self) -> bool:
        return any(getattr(self, each.name) for each in fields(self))

    @property
    def demands(self) -> tuple[Demand, ...]:
        """What must be there in the end."""
        return (*self.raised, *(replacement.by for replacement in self.replaced), *self.added)

    @property
    def leaving(self) -> frozenset[str]:
        """Names that must not be there in the end."""
        removed = {demand.name for demand in self.removed}
        return frozenset(removed | {one.name for one in self.replaced if one.by.name != one.name})


@dataclass(frozen=True, slots=True)
class PackageChange:
    """What a patch asks of the packages of one environment."""

    conda: Changes = Changes()
    wheels: Changes = Changes()

    def __bool__(self) -> bool:
        return bool(self.conda) or bool(self.wheels)


def asked_of(patch: DeclaredPatch, manager: Manager) -> Changes:
    """What a patch asks of one manager's packages, wherever they are. Raises DocumentError for what is no spec."""
    section = patch.section(manager)
    return Changes(
        raised=tuple(_demand(patch, manager, text, "raise") for text in section.raised),
        replaced=tuple(
            Replacement(normalized(old, manager), _demand(patch, manager, new, "replace"))
            for old, new in sorted(section.replace.items())
        ),
        added=tuple(_demand(patch, manager, text, "add") for text in section.add),
        removed=tuple(Demand(normalized(name, manager), name, patch.name) for name in section.remove),
    )


def normalized(name: str, manager: Manager) -> str:
    """A package's name as it is compared: PEP 503's way for wheels, in lower case for conda."""
    return canonicalize_name(name) if manager == "pip" else name.strip().lower()


def _demand(patch: DeclaredPatch, manager: Manager, text: str, key: str) -> Demand:
    """What a spec asks for. Raises DocumentError for what is none."""
    where = f"{patch.origin}: {SECTIONS[manager]}.{key}"
    if manager == "conda":
        spec = parse_conda_spec(text, where)
        if spec.channel:
            raise DocumentError(f"{where}: {text[:80]!r} names a channel", hint=_WHERE_FROM)
        return Demand(spec.name, text.strip(), patch.name)
    try:
        requirement = Requirement(text)
    except InvalidRequirement as error:
        said = str(error).partition("\n")[0]
        raise DocumentError(
            f"{where}: {text[:80]!r} is no requirement: {said}", hint="write it as pip has it: NAME >=VERSION"
        ) from None
    if requirement.url:
        raise DocumentError(f"{where}: {text[:80]!r} names a file", hint=_WHERE_FROM)
    return Demand(canonicalize_name(requirement.name), text.strip(), patch.name)


def changes_for(patch: DeclaredPatch, installed: Installed) -> dict[str, PackageChange]:
    """What a patch asks of each environment that it touches, by name; empty when it touches files alone.

    Raises DocumentError for a patch that touches nothing at all, an unknown environment, a package that is in none of
    its environments (or, to be added, in all of them), something to be added without saying where, and what is no spec.
    """
    chosen = _chosen(patch, installed)
    _refuse_empty(patch)
    refuse_contradictions([patch])
    conda, wheels = asked_of(patch, "conda"), asked_of(patch, "pip")
    _refuse_astray(patch, "conda", conda, chosen)
    _refuse_astray(patch, "pip", wheels, chosen)
    found = {
        name: PackageChange(_here(conda, there["conda"]), _here(wheels, there["pip"])) for name, there in chosen.items()
    }
    return {name: change for name, change in found.items() if change}


def _chosen(patch: DeclaredPatch, installed: Installed) -> dict[str, dict[Manager, frozenset[str]]]:
    """The environments that a patch is for, with normalized names of what is in them."""
    named = patch.declaration.environments
    for name in named or ():
        if name not in installed:
            near = difflib.get_close_matches(name, installed, n=1)
            raise DocumentError(
                f"{patch.origin}: environments: no environment {name!r} in this image",
                hint=f"did you mean {near[0]!r}?" if near else f"it has {', '.join(sorted(installed))}",
            )
    return {
        name: {manager: frozenset(normalized(each, manager) for each in there.get(manager, ())) for manager in SECTIONS}
        for name, there in sorted(installed.items())
        if named is None or name in named
    }


def _refuse_empty(patch: DeclaredPatch) -> None:
    asked = patch.declaration
    if not (_is_asking(asked.packages) or _is_asking(asked.wheels) or asked.files or asked.remove_files):
        raise DocumentError(f"{patch.origin}: changes nothing: it names neither packages nor files", hint=_HINT)


def _is_asking(demands: PackageDemands) -> bool:
    return bool(demands.raised or demands.replace or demands.add or demands.remove)


def _refuse_astray(
    patch: DeclaredPatch, manager: Manager, asked: Changes, chosen: Mapping[str, Mapping[Manager, frozenset[str]]]
) -> None:
    """Raise DocumentError unless everything named is somewhere, and what is to be added is missing somewhere."""
    section = f"{patch.origin}: {SECTIONS[manager]}"
    if asked.added and patch.declaration.environments is None:
        raise DocumentError(
            f"{section}.add: does not say where to add {asked.added[0].spec!r}",
            hint="name the environments, as in environments: [lab]",
        )
    for key, name in _must_be_there(asked):
        _refuse_unknown(f"{section}.{key}", name, manager, chosen)
    for demand in asked.added:
        if all(demand.name in there[manager] for there in chosen.values()):
            raise DocumentError(f"{section}.add: {demand.name!r} is there already", hint="raise or replace it")


def _must_be_there(asked: Changes) -> Iterator[tuple[str, str]]:
    """What is changed or removed, with the key that says so."""
    yield from (("raise", demand.name) for demand in asked.raised)
    yield from (("replace", replacement.name) for replacement in asked.replaced)
    yield from (("remove", demand.name) for demand in asked.removed)


def _refuse_unknown(
    where: str, name: str, manager: Manager, chosen: Mapping[str, Mapping[Manager, frozenset[str]]]
) -> None:
    known = {each for there in chosen.values() for each in there[manager]}
    if name in known:
        return
    other: Manager = "pip" if manager == "conda" else "conda"
    environments = ", ".join(chosen)
    if any(name in there[other] for there in chosen.values()):
        hint = f"it is {'a wheel' if other == 'pip' else 'a conda package'} there: name it under {SECTIONS[other]}"
    elif near := difflib.get_close_matches(name, sorted(known), n=1):
        hint = f"did you mean {near[0]!r}?"
    else:
        hint = "peel show IMAGE:TAG lists what there is"
    raise DocumentError(f"{where}: no package {name!r} in {environments}", hint=hint)


def _here(asked: Changes, there: frozenset[str]) -> Changes:
    """What of it concerns an environment with these packages."""
    return Changes(
        raised=tuple(demand for demand in asked.raised if demand.name in there),
        replaced=tuple(replacement for replacement in asked.replaced if replacement.name in there),
        added=tuple(demand for demand in asked.added if demand.name not in there),
        removed=tuple(demand for demand in asked.removed if demand.name in there),
    )


def refuse_contradictions(patches: Sequence[DeclaredPatch]) -> None:
    """Raise DocumentError where two patches, or two lines of one, cannot both be had; the message names both.

    Also raised for what is no spec: see :func:`changes_for`.
    """
    for patch in patches:
        for manager in SECTIONS:
            _refuse_twice(patch, manager)
        _refuse_paths_twice(patch)
    for one, other in combinations(patches, 2):
        if one.name == other.name:
            raise DocumentError(f"{one.origin}: the same patch is named twice", hint="name every patch once")
        if _overlap(one, other):
            for manager in SECTIONS:
                _refuse_opposite(one, other, manager)
        _refuse_other_files(one, other)


def _fates(asked: Changes) -> Iterator[tuple[str, str, str]]:
    """What happens to every named package: its name, ``stay`` or ``go``, and in words what is asked."""
    yield from ((demand.name, "stay", f"raise {demand.spec}") for demand in asked.raised)
    yield from ((demand.name, "stay", f"add {demand.spec}") for demand in asked.added)
    yield from ((demand.name, "go", f"remove {demand.spec}") for demand in asked.removed)
    for one in asked.replaced:
        words = f"replace {one.name} by {one.by.spec}"
        yield one.name, "stay" if one.by.name == one.name else "go", words
        if one.by.name != one.name:
            yield one.by.name, "stay", words


def _refuse_twice(patch: DeclaredPatch, manager: Manager) -> None:
    seen: dict[str, str] = {}
    for name, _, words in _fates(asked_of(patch, manager)):
        if name in seen and seen[name] != words:
            raise DocumentError(
                f"{patch.origin}: {SECTIONS[manager]}: {name!r} stands there twice: {seen[name]!r} and {words!r}",
                hint="ask for one thing of every package",
            )
        seen[name] = words


def _refuse_paths_twice(patch: DeclaredPatch) -> None:
    paths = [file.path for file in patch.declaration.files] + list(patch.declaration.remove_files)
    if twice := sorted({path for path in paths if paths.count(path) > 1}):
        raise DocumentError(f"{patch.origin}: {twice[0]} stands there twice", hint="bring a file or remove it")


def _overlap(one: DeclaredPatch, other: DeclaredPatch) -> bool:
    """Whether both may touch the same environment."""
    mine, its = one.declaration.environments, other.declaration.environments
    return mine is None or its is None or bool(set(mine) & set(its))


def _refuse_opposite(one: DeclaredPatch, other: DeclaredPatch, manager: Manager) -> None:
    theirs = {name: (fate, words) for name, fate, words in _fates(asked_of(other, manager))}
    for name, fate, words in _fates(asked_of(one, manager)):
        its = theirs.get(name)
        if its is None:
            continue
        both_replace = words.startswith("replace ") and its[1].startswith("replace ")
        if its[0] != fate or (both_replace and its[1] != words):
            raise DocumentError(
                f"patches {one.name!r} and {other.name!r} contradict each other about {name!r}: "
                f"the one says {words!r}, the other {its[1]!r}",
                hint=_SETTLE,
            )


def _refuse_other_files(one: DeclaredPatch, other: DeclaredPatch) -> None:
    mine, its = _file_fates(one), _file_fates(other)
    for path in sorted(mine.keys() & its.keys()):
        if mine[path] != its[path]:
            raise DocumentError(
                f"patches {one.name!r} and {other.name!r} contradict each other about the file {path}",
                hint=_SETTLE,
            )


def _file_fates(patch: DeclaredPatch) -> dict[str, tuple[int, bytes] | None]:
    """What is at every path afterwards: mode and contents, or nothing."""
    brought: dict[str, tuple[int, bytes] | None] = {
        file.path: (file.permissions, patch.contents.get(file.path, b"")) for file in patch.declaration.files
    }
    return {**brought, **dict.fromkeys(patch.declaration.remove_files)}
