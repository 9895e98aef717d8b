"""Which packages a command asks for: from a file that decides, or from the solver."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from peel.errors import UsageError
from peel.solver import engine
from peel.solver.files import Pinned, Wanted, load_file
from peel.solver.installed import load_installed, load_pins, python_pin
from peel.solver.package import Package, spec_name
from peel.solver.request import Request
from peel.solver.settings import Priority, Settings, virtual_packages


@dataclass(frozen=True, slots=True)
class Asked:
    """What the command line asks for, after the environment's answers were put in where it is silent."""

    prefix: Path
    specs: tuple[str, ...]
    channels: tuple[str, ...]
    files: tuple[Path, ...]
    categories: tuple[str, ...]
    priority: Priority
    override_channels: bool = False
    with_dependencies: bool = True
    with_requested: bool = True


@dataclass(frozen=True, slots=True)
class Change:
    """What goes into a prefix and what leaves it. ``pip`` is what only pip could install."""

    link: tuple[Package, ...]
    unlink: tuple[Package, ...] = ()
    pip: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Movement:
    """How freely installed packages may move."""

    update: bool
    """Whether the packages asked for go to their newest version, even if the installed one would do."""
    everything: bool = False
    frozen: bool = False
    pinned: bool = True
    python_pinned: bool = True


def plan_creation(asked: Asked, settings: Settings) -> Change:
    """The packages of a new environment. Raises what ``load_file`` and ``engine.solve`` raise."""
    read = [load_file(path, subdir=settings.subdir, categories=asked.categories) for path in asked.files]
    pinned = [each for each in read if isinstance(each, Pinned)]
    if pinned:
        if len(read) > 1 or asked.specs:
            raise UsageError("A lock decides alone: no other file and no specs go with it")
        return Change(pinned[0].packages, pip=pinned[0].pip)
    wanted = _gather(asked, [each for each in read if isinstance(each, Wanted)])
    solved = engine.solve(make_request(wanted.specs, wanted.channels, asked.priority, settings)) if wanted.specs else ()
    return Change(_chosen(solved, wanted.specs, asked), pip=wanted.pip)


def plan_change(asked: Asked, movement: Movement, settings: Settings) -> Change:
    """What installing or updating would change. Whatever is installed stays, and stays as it is if it can."""
    installed = load_installed(asked.prefix)
    read = [load_file(path, subdir=settings.subdir, categories=asked.categories) for path in asked.files]
    if any(isinstance(each, Pinned) for each in read):
        raise UsageError("A lock makes a new environment: use it with create")
    wanted = _gather(asked, [each for each in read if isinstance(each, Wanted)])
    if not wanted.specs and not movement.everything:
        raise UsageError("Nothing is asked for", hint="name packages, for example 'numpy >=2'")
    solved = engine.solve(_keeping(installed, wanted, asked, movement, settings))
    return difference(installed, _chosen(solved, wanted.specs, asked, besides=installed))


def _keeping(
    installed: tuple[Package, ...], wanted: Wanted, asked: Asked, movement: Movement, settings: Settings
) -> Request:
    named = {spec_name(spec) for spec in wanted.specs}
    others = tuple(package for package in installed if package.name not in named)
    kept = () if movement.everything else others if movement.update else installed
    exactly = tuple(f"{package.name} =={package.version} {package.build}" for package in others if movement.frozen)
    request = make_request(wanted.specs, wanted.channels, asked.priority, settings)
    return replace(
        request,
        specs=(*wanted.specs, *(package.name for package in others)),
        kept=kept,
        constraints=(
            *exactly,
            *(load_pins(asked.prefix) if movement.pinned else ()),
            *(python_pin(installed, wanted.specs) if movement.python_pinned else ()),
        ),
    )


def make_request(specs: tuple[str, ...], channels: tuple[str, ...], priority: Priority, settings: Settings) -> Request:
    """A request for the solver, from the settings and this machine's virtual packages."""
    # Strictly, the first channel that has the name decides, also when nothing there satisfies the spec; py-rattler
    # looks for the first that satisfies it, unless the bare name is asked for as well.
    names = tuple(spec_name(spec) for spec in specs if "::" not in spec and "[" not in spec)
    return Request(
        specs=(*specs, *names) if priority is Priority.STRICT else specs,
        channels=channels,
        subdir=settings.subdir,
        cache=settings.package_cache / "cache",
        priority=priority,
        virtual=virtual_packages(settings.subdir, engine.host_virtual_packages(), settings.overrides),
    )


def difference(before: Sequence[Package], after: Sequence[Package]) -> Change:
    """What has to be linked and unlinked to get from one set of packages to another."""
    old = {package.identity for package in before}
    new = {package.identity for package in after}
    return Change(
        tuple(package for package in after if package.identity not in old),
        tuple(package for package in before if package.identity not in new),
    )


def _gather(asked: Asked, files: Sequence[Wanted]) -> Wanted:
    specs = [*asked.specs, *(spec for each in files for spec in each.specs)]
    named = [] if asked.override_channels else [channel for each in files for channel in each.channels]
    channels = dict.fromkeys([*asked.channels, *named]) or {"conda-forge": None}  # micromamba's own default
    pip = [requirement for each in files for requirement in each.pip]
    return Wanted(tuple(dict.fromkeys(specs)), tuple(channels), tuple(pip))


def _chosen(
    solved: Sequence[Package], specs: Sequence[str], asked: Asked, *, besides: Sequence[Package] = ()
) -> tuple[Package, ...]:
    """What ``--no-deps`` and ``--only-deps`` leave of a solution; packages installed already stay."""
    if asked.with_dependencies and asked.with_requested:
        return tuple(solved)
    named = {spec_name(spec) for spec in specs}
    taken = [package for package in solved if (package.name in named) == asked.with_requested]
    names = {package.name for package in taken}
    return (*taken, *(package for package in besides if package.name not in names))
