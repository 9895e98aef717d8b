"""What a wheel requires, in conda's words: markers decided for one Python, extras written out (PEP 508, PEP 440)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from packaging.requirements import InvalidRequirement, Requirement
from packaging.specifiers import InvalidSpecifier, Specifier, SpecifierSet
from packaging.utils import canonicalize_name

from peel.errors import ArtifactError
from peel.model.values import PythonVersion


def conda_depends(name: str, requires: Mapping[str, Sequence[str]], python: PythonVersion) -> tuple[str, ...]:
    """What the wheel ``name`` depends on under this Python, sorted; without the Python itself.

    ``requires`` has the Requires-Dist lines of every wheel at hand by normalised name. conda knows no extras: what an
    extra asks for stands in their place. Raises ArtifactError for a line that cannot be read or a wheel not at hand.
    """
    found = _requirements(name, "", requires, marker_environment(python), frozenset())
    return tuple(sorted({_conda_spec(target, specifiers) for target, specifiers in found if target != name}))


def marker_environment(python: PythonVersion) -> dict[str, str]:
    """The markers of CPython on x86_64 Linux (PEP 508, "Environment Markers")."""
    return {
        "implementation_name": "cpython",
        "implementation_version": f"{python}.0",
        "os_name": "posix",
        "platform_machine": "x86_64",
        "platform_python_implementation": "CPython",
        "platform_release": "",
        "platform_system": "Linux",
        "platform_version": "",
        "python_full_version": f"{python}.0",
        "python_version": str(python),
        "sys_platform": "linux",
    }


def python_depends(requires_python: str) -> str:
    """The dependency of a pure-Python package on any Python that its wheel admits."""
    return _conda_spec("python", _specifiers(requires_python, "Requires-Python"))


def exactly_python(python: PythonVersion) -> str:
    """The dependency of a package that is made for this minor version alone."""
    return f"python >={python},<{python.major}.{python.minor + 1}.0a0"


def _requirements(
    name: str,
    extra: str,
    requires: Mapping[str, Sequence[str]],
    environment: dict[str, str],
    seen: frozenset[tuple[str, str]],
) -> Iterator[tuple[str, SpecifierSet]]:
    """What a wheel requires, or, with an ``extra``, what that alone adds; extras of others in their place."""
    if (name, extra) in seen:
        return
    if name not in requires:
        raise ArtifactError(f"the wheel of {name} is not among the pinned ones", hint="pin it, with its sha256")
    for line in requires[name]:
        requirement = _requirement(line, name)
        if not _is_asked_for(requirement, extra, environment):
            continue
        target = canonicalize_name(requirement.name)
        if target != name:  # a wheel may gather its extras in one of them
            yield target, requirement.specifier
        for more in sorted(requirement.extras):
            yield from _requirements(target, more, requires, environment, seen | {(name, extra)})


def _is_asked_for(requirement: Requirement, extra: str, environment: dict[str, str]) -> bool:
    marker = requirement.marker
    always = marker is None or marker.evaluate({**environment, "extra": ""})
    if not extra:
        return always
    return marker is not None and not always and marker.evaluate({**environment, "extra": extra})


def _requirement(line: str, name: str) -> Requirement:
    try:
        return Requirement(line)
    except InvalidRequirement as error:
        raise ArtifactError(f"the wheel of {name} requires what cannot be read: {line!r}") from error


def _specifiers(text: str, what: str) -> SpecifierSet:
    try:
        return SpecifierSet(text)
    except InvalidSpecifier as error:
        raise ArtifactError(f"{what} cannot be read: {text!r}") from error


def _conda_spec(name: str, specifiers: SpecifierSet) -> str:
    parts = sorted(part for specifier in specifiers for part in _conda_parts(specifier))
    return f"{name} {','.join(parts)}" if parts else name


def _conda_parts(specifier: Specifier) -> tuple[str, ...]:
    """One clause of PEP 440 as conda writes it; only ``~=`` and ``==`` differ."""
    match specifier.operator:
        case "~=":
            return f">={specifier.version}", f"{specifier.version.rpartition('.')[0]}.*"
        case "==" if specifier.version.endswith(".*"):
            return (specifier.version,)
        case "===":
            return (f"=={specifier.version}",)
        case operator:
            return (f"{operator}{specifier.version}",)
