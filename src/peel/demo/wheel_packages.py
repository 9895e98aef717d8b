"""Which conda packages a set of wheels becomes: decided without touching a file."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from peel.demo.conda_archive import Package
from peel.demo.depends import conda_depends, exactly_python, python_depends
from peel.demo.wheels import Wheel
from peel.model.values import PythonVersion

Pinned = Mapping[PythonVersion, tuple[Wheel, ...]]


@dataclass(frozen=True, slots=True)
class WheelPackage:
    """A package, the wheel it is made from, and the Python it is for; None where any will do."""

    package: Package
    wheel: Wheel
    python: PythonVersion | None


def plan_wheels(pinned: Pinned) -> tuple[WheelPackage, ...]:
    """The packages of all pinned wheels, sorted by file name.

    A pure-Python wheel becomes one noarch package when it asks for the same under every Python of the channel, else one
    for each Python that pins it; a binary wheel becomes a package of its Python.
    """
    anywhere = {wheel.name: wheel.requires for wheels in pinned.values() for wheel in wheels}
    requires = {
        python: {**anywhere, **{each.name: each.requires for each in pinned[python]}} for python in sorted(pinned)
    }
    users: dict[Wheel, list[PythonVersion]] = {}
    for python, wheels in pinned.items():
        for wheel in wheels:
            users.setdefault(wheel, []).append(python)
    planned = [made for wheel, pythons in users.items() for made in _plan(wheel, pythons, requires)]
    return tuple(sorted(planned, key=lambda made: made.package.file_name))


def _plan(
    wheel: Wheel,
    users: Iterable[PythonVersion],
    requires: Mapping[PythonVersion, Mapping[str, tuple[str, ...]]],
) -> Iterator[WheelPackage]:
    depends = {
        python: conda_depends(wheel.name, {**known, wheel.name: wheel.requires}, python)
        for python, known in requires.items()
    }
    if wheel.pure and len(set(depends.values())) == 1:
        anywhere = (python_depends(wheel.requires_python), *next(iter(depends.values())))
        yield WheelPackage(_package(wheel, "py", anywhere), wheel, None)
        return
    for python in users:
        exact = (exactly_python(python), *_glibc(wheel), *depends[python])
        package = _package(wheel, f"py{python.major}{python.minor}", exact)
        yield WheelPackage(package, wheel, None if wheel.pure else python)


def _glibc(wheel: Wheel) -> tuple[str, ...]:
    return (f"__glibc >=2.{wheel.glibc}",) if wheel.glibc else ()


def _package(wheel: Wheel, build: str, depends: tuple[str, ...]) -> Package:
    return Package(
        name=wheel.name,
        version=wheel.version,
        build=f"{build}h{wheel.digest.hex[:7]}_0",
        depends=tuple(sorted(depends)),
        timestamp=wheel.timestamp,
        licence=wheel.licence,
        summary=f"stand-in made from {wheel.path.name}: {wheel.summary}",
        home=wheel.home,
        noarch=wheel.pure,
        entry_points=wheel.entry_points,
        licences=wheel.licences,
    )
