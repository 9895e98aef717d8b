"""Whether wheels go with what else is in an environment: their requirements, their tags, the Python they ask for."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from packaging.markers import UndefinedComparison, UndefinedEnvironmentName
from packaging.requirements import InvalidRequirement, Requirement
from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.tags import Tag, compatible_tags, cpython_tags
from packaging.utils import InvalidWheelFilename, canonicalize_name, parse_wheel_filename
from packaging.version import InvalidVersion, Version

from peel.model.values import PythonVersion

_MACHINES = {"linux-64": "x86_64", "linux-aarch64": "aarch64", "linux-ppc64le": "ppc64le"}


@dataclass(frozen=True, slots=True)
class Wheel:
    """An installed wheel: its name normalized, its file, what it requires and of which Python ("" of any)."""

    name: str
    version: str
    file_name: str
    requires: tuple[str, ...] = ()
    python: str = ""


@dataclass(frozen=True, slots=True, order=True)
class Misfit:
    """A wheel that does not go with what is there, and why, in words."""

    wheel: str
    why: str


def misfits(
    wheels: Sequence[Wheel], found: Mapping[str, str], python: str, platform: str, known: frozenset[str]
) -> frozenset[Misfit]:
    """Which wheels do not go with an environment; ``found`` are the versions in it by normalized name.

    What an environment lacks is a misfit only where it is among ``known``, since other names may bring the same.
    ``python`` is its whole version, "" where it has none. What cannot be read is passed over.
    """
    told = [Misfit(wheel.name, why) for wheel in wheels for why in _apart(wheel, found, python, platform, known)]
    return frozenset(told)


def _apart(wheel: Wheel, found: Mapping[str, str], python: str, platform: str, known: frozenset[str]) -> Iterator[str]:
    label = f"{wheel.name} {wheel.version}"
    for text in wheel.requires:
        requirement = _required(text, python, platform)
        if requirement is None:
            continue
        name = canonicalize_name(requirement.name)
        asked = f"{label} requires {name}{' ' if requirement.specifier else ''}{requirement.specifier}"
        if name not in found and name in known:
            yield f"{asked}, which is gone"
        if name in found and not _contains(requirement.specifier, found[name]):
            yield f"{asked}, and there is {found[name]}"
    if python and not _contains(_specifiers(wheel.python), python):
        yield f"{label} requires Python {wheel.python}, and there is {python}"
    if python and not _is_tagged_for(wheel.file_name, PythonVersion.parse(python)):
        yield f"{wheel.file_name} is not for Python {PythonVersion.parse(python)}"


def _required(text: str, python: str, platform: str) -> Requirement | None:
    """A requirement that holds here."""
    try:
        requirement = Requirement(text)
        holds = requirement.marker is None or requirement.marker.evaluate(_markers(python, platform))
    except (InvalidRequirement, UndefinedComparison, UndefinedEnvironmentName, InvalidVersion):
        return None
    return requirement if holds and not requirement.url else None


def _markers(python: str, platform: str) -> dict[str, str]:
    return {
        "implementation_name": "cpython", "implementation_version": python, "os_name": "posix", "extra": "",
        "platform_machine": _MACHINES.get(platform, platform.removeprefix("linux-")), "platform_system": "Linux",
        "platform_python_implementation": "CPython", "platform_release": "", "platform_version": "",
        "python_full_version": python, "python_version": ".".join(python.split(".")[:2]), "sys_platform": "linux",
    }  # fmt: skip


def _specifiers(text: str) -> SpecifierSet:
    try:
        return SpecifierSet(text if text != "*" else "")
    except InvalidSpecifier:
        return SpecifierSet()


def _contains(specifiers: SpecifierSet, version: str) -> bool:
    try:
        return specifiers.contains(Version(version), prereleases=True)
    except InvalidVersion:
        return True  # conda's versions need not be Python's


def _is_tagged_for(file_name: str, python: PythonVersion) -> bool:
    try:
        tags = parse_wheel_filename(file_name)[3]
    except InvalidWheelFilename:
        return True
    return not tags.isdisjoint(_tags(python, sorted({tag.platform for tag in tags})))


def _tags(python: PythonVersion, platforms: Sequence[str]) -> Iterator[Tag]:
    """What this Python takes, of these platforms: which of them the machine is has been decided when it was locked."""
    version = (python.major, python.minor)
    yield from cpython_tags(version, abis=[f"cp{python.major}{python.minor}"], platforms=platforms)
    yield from compatible_tags(version, f"cp{python.major}{python.minor}", platforms=platforms)


def satisfies(requirement: str, version: str) -> bool:
    """Whether a version is one that a requirement takes; a requirement that cannot be read takes all."""
    try:
        return _contains(Requirement(requirement).specifier, version)
    except InvalidRequirement:
        return True


def is_newer(one: str, other: str) -> bool:
    """Whether a wheel's version is newer than another. What is no version is newer than nothing."""
    try:
        return Version(one) > Version(other)
    except InvalidVersion:
        return False


def allowed_by(specifiers: str, version: str) -> bool:
    """Whether a lock's note of a dependency, as ``>=1,<2`` or ``*``, takes this version."""
    return _contains(_specifiers(specifiers), version)
