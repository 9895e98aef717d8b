"""``peel demo``: all of peel on a catalogue of its own, with real packages."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from time import monotonic
from typing import Final

from peel.demo.catalogue import Sources, conda_forge, write_catalogue
from peel.demo.registry import serve_registry
from peel.demo.stand_ins import make_stand_ins
from peel.errors import DifferenceError, PeelError, ToolError, UsageError
from peel.model.plan import Plan, make_plan
from peel.model.progress import Progress
from peel.model.values import ImageRef, Platform
from peel.store.catalogue import Catalogue
from peel.store.store import Store
from peel.tools.conda_lock import CondaLock
from peel.tools.micromamba import find_solver
from peel.workflow.build import Built
from peel.workflow.doctor import Purpose, examine, install_command, missing
from peel.workflow.lab import KernelCheck
from peel.workflow.launch import check_image
from peel.workflow.lock import LockOptions, lock_image
from peel.workflow.record import accept, refuse_differences

REF: Final = ImageRef("demo-lab", "r1_0_0")
_BASE: Final = "library/peel-demo-base"

Build = Callable[[Plan, Store, Progress], Built]


@dataclass(frozen=True, slots=True)
class Demo:
    """What the demo did; ``seconds`` is how long all of it took."""

    catalogue: Path
    store: Store
    plan: Plan
    built: Built
    checks: Sequence[KernelCheck]
    stand_ins: bool
    seconds: float

    @property
    def manifest(self) -> str:
        """The digest that both builds gave."""
        return str(self.built.manifest.digest)

    def story(self, program: str) -> Iterator[str]:
        """What was done and how to go on, in lines; ``program`` is how this peel can be called."""
        peel = f"{program} -C {self.catalogue} --store {self.store.root}"
        sources = (
            "stand-ins made from Debian's and PyPI's packages" if self.stand_ins else "almalinux:9 and conda-forge"
        )
        yield f"Declared   {REF.image}: a lab and a payload, in {self.catalogue}/envs ({sources})"
        yield f"Locked     {REF}, each environment apart, in {self.catalogue}/lockfiles/{REF.image}/{REF.tag}"
        yield f"Built      {len(self.built.layers)} layers on the base {self.plan.base.pinned}"
        yield "Built      once more from an empty store, with the same digest:"
        yield f"           {self.manifest}"
        for check in self.checks:
            version = check.version.partition(" ")[0]
            yield f"Ran        a cell in kernel {check.name}: Python {version} in {check.prefix}"
        yield f"All of it took {self.seconds:.0f} s. To go on:"
        yield f"  {peel} launch {REF}"
        yield f"  {peel} show {REF}"
        yield f"  {peel} build {REF} --to oci:{self.catalogue}/image"
        yield f"  {peel} lock {REF.image}:r1_0_1"


def run_demo(directory: Path, *, online: bool, build: Build, progress: Progress) -> Demo:
    """Make a catalogue, lock it, build it twice in separate stores, compare, launch and check.

    Raises UsageError for a directory that holds other things, ToolError, before anything is made, for a machine that
    lacks what the demo needs, and whatever a step raises.
    """
    began = monotonic()
    _refuse_used(directory)
    _refuse_unfit(online=online)
    directory.mkdir(parents=True, exist_ok=True)
    try:
        return _run(directory, online=online, build=build, progress=progress, began=began)
    except PeelError as error:
        again = f"to try again, remove {directory} first"
        raise type(error)(error.message, hint=f"{error.hint}\n{again}" if error.hint else again) from None


def _run(directory: Path, *, online: bool, build: Build, progress: Progress, began: float) -> Demo:
    with ExitStack() as held:
        sources = held.enter_context(_sources(directory, progress) if not online else _online())
        write_catalogue(directory, sources, image=REF.image)
        catalogue, store = Catalogue.open(directory), Store(directory / "store")
        held.enter_context(store.using())
        store.remember_catalogue(directory)
        conda_lock = CondaLock(find_solver(variable=os.environ.get("PEEL_MICROMAMBA")), secrets={})
        lock_image(
            REF, catalogue=catalogue, store=store, conda_lock=conda_lock, options=LockOptions(), progress=progress
        )
        plan = make_plan(catalogue.lock_set(REF), Platform.from_machine(os.uname().machine))
        progress.step(f"building {REF}")
        built = build(plan, store, progress)
        accept(built, catalogue, store)
        _build_again(plan, built, directory, build, progress)
    checks = check_image(plan, catalogue, store, port=None, home=None, progress=progress)
    if not all(check.passed for check in checks):
        failed = "; ".join(f"{check.name}: {check.detail}" for check in checks if not check.passed)
        raise DifferenceError(f"the demo's image was built, but a kernel fails: {failed}")
    return Demo(directory, store, plan, built, checks, not online, monotonic() - began)


def _refuse_used(directory: Path) -> None:
    if directory.exists() and (not directory.is_dir() or any(directory.iterdir())):
        raise UsageError(f"{directory} is there already", hint="name a new or empty directory: peel demo DIR")
    if directory.as_uri() != f"file://{directory}":  # which conda-lock would not find again
        raise UsageError(f"{directory} cannot be written into a URL as it is", hint="choose a name of plain letters")


def _refuse_unfit(*, online: bool) -> None:
    """Raise ToolError for a machine that the demo cannot run on as it is."""
    machine = f"{os.uname().sysname} on {os.uname().machine}"
    if not online and machine != "Linux on x86_64":
        raise ToolError(
            f"the demo's stand-ins are made for Linux on x86_64, and this is {machine}",
            hint="peel demo --online takes almalinux and conda-forge instead",
        )
    purposes = [Purpose.BUILD if online else Purpose.DEMO]
    with TemporaryDirectory(prefix="peel-demo-") as place:
        found = examine(Path(place), Path(place) / "containers", solver_variable=os.environ.get("PEEL_MICROMAMBA"))
    if lacking := ", ".join(finding.tool.program for finding in missing(found, purposes)) or found.isolation_problem:
        command = " ".join(install_command(found, purposes))
        raise ToolError(
            f"the demo lacks what it needs on this machine: {lacking}",
            hint=f"run: {command}" if command else "peel doctor --for demo says more; without apt, try --online",
        )


def _build_again(plan: Plan, first: Built, directory: Path, build: Build, progress: Progress) -> None:
    progress.step("building once more, from an empty store")
    with TemporaryDirectory(prefix=".second-", dir=directory) as place:
        second = build(plan, Store(Path(place) / "store"), progress)
        refuse_differences(plan, first.recorded, second.recorded)


@contextmanager
def _sources(directory: Path, progress: Progress) -> Iterator[Sources]:
    """The stand-ins, made and served: the base by a registry on loopback, under the name that production uses."""
    cache = cache_of_demos()
    made = make_stand_ins(directory, cache=cache, progress=progress.step)
    wheel = next((made.wheels.directory / "simple").glob("*/*.whl"))
    with (
        serve_registry(made.base.layout, _BASE, tag=made.base.tag) as served,
        registries_conf_named(served.registries_conf),
    ):
        base = f"{served.reference.rpartition(':')[0]}@{made.base.digest}"
        yield Sources(base=base, channel=made.channel.url, pip=f"humanize @ {wheel.as_uri()}")


@contextmanager
def _online() -> Iterator[Sources]:
    yield conda_forge()


@contextmanager
def registries_conf_named(path: Path) -> Iterator[None]:
    """Let skopeo find the registry on loopback, as anybody would who exports the variable for a mirror."""
    name = "CONTAINERS_REGISTRIES_CONF"
    before = os.environ.get(name)
    os.environ[name] = str(path)
    try:
        yield
    finally:
        os.environ.pop(name)
        if before is not None:
            os.environ[name] = before


def cache_of_demos() -> Path:
    """Where downloads of stand-ins are kept from one demo to the next."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "peel" / "demo"
