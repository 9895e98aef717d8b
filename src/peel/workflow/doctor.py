"""What this machine has of what peel needs, and the one command that brings the rest."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Final

from peel.errors import PeelError, ToolError
from peel.tools import buildah, isolation, micromamba, podman, process, skopeo, system
from peel.tools.system import PackageManager, Version

ENOUGH_BYTES: Final = 5 << 30
"""The room, in bytes, that the store wants for locking and building one image of ordinary size."""


class Purpose(StrEnum):
    """What a tool is needed for."""

    BUILD = "build"
    DEMO = "demo"
    HUB = "hub"
    TESTS = "tests"


@dataclass(frozen=True, slots=True)
class Tool:
    """A program that peel runs, from ``minimum`` on.

    ``apt`` and ``dnf`` are the packages that bring it; "" where there is none. ``needed`` is False for what peel can
    do without. ``asked`` is the argument on which it says its version.
    """

    program: str
    purposes: frozenset[Purpose]
    apt: str = ""
    dnf: str = ""
    minimum: Version = ()
    needed: bool = True
    asked: str = "--version"

    def package(self, manager: PackageManager) -> str:
        """The package that brings it; "" when there is none."""
        return {PackageManager.APT: self.apt, PackageManager.DNF: self.dnf}[manager]


_BUILD: Final = frozenset(Purpose)  # whoever runs the demo or the tests builds
_DEMO: Final = frozenset({Purpose.DEMO, Purpose.HUB, Purpose.TESTS})  # and the tests run the demo
_HUB: Final = frozenset({Purpose.HUB, Purpose.TESTS})  # with its hub
_TESTS: Final = frozenset({Purpose.TESTS})

TOOLS: Final = (
    Tool("buildah", _BUILD, "buildah", "buildah", minimum=buildah.MINIMUM),
    Tool("skopeo", _BUILD, "skopeo", "skopeo", minimum=skopeo.MINIMUM),
    Tool("runc", _BUILD, "runc", "runc", needed=False),  # any isolation will do: see Report.isolation
    Tool("crun", _BUILD, "crun", "crun", needed=False),
    Tool("unshare", _BUILD, "util-linux", "util-linux-core", needed=False),
    Tool("docker-registry", _DEMO, "docker-registry"),
    Tool("apt-get", _DEMO, "apt", "apt"),
    Tool("dpkg-deb", _DEMO, "dpkg", "dpkg"),
    Tool("chromium", _TESTS, "chromium", "chromium"),
    Tool("chromedriver", _TESTS, "chromium-driver", "chromedriver"),
    Tool("busybox", _TESTS, "busybox-static", "busybox", asked="--help"),
    Tool("zstd", _TESTS, "zstd", "zstd"),
    Tool("faketime", _TESTS, "faketime", "libfaketime"),
    Tool("rpm", _TESTS, "rpm", "rpm"),
    Tool("npm", _HUB, "npm", "npm"),
    Tool("podman", _HUB, "podman", "podman", minimum=podman.MINIMUM),
)
CONDA_LOCK: Final = Tool("conda-lock", _BUILD, minimum=(4, 0, 3))
SOLVER: Final = Tool("micromamba", _BUILD)


@dataclass(frozen=True, slots=True)
class Finding:
    """What came of looking for a tool; ``problem`` is empty when it will do, ``version`` when it said none."""

    tool: Tool
    path: Path | None = None
    version: str = ""
    problem: str = ""

    @property
    def usable(self) -> bool:
        """Whether it is there and new enough."""
        return not self.problem


@dataclass(frozen=True, slots=True)
class Report:
    """What decides whether peel can work here; ``free`` is in bytes, where the store is or will be.

    ``isolation`` is None when nothing could be tried; ``isolation_problem`` says why none works.
    """

    distribution: str
    manager: PackageManager | None
    root: bool
    findings: tuple[Finding, ...]
    isolation: isolation.Probe | None
    isolation_problem: str
    store: Path
    free: int

    @property
    def roomy(self) -> bool:
        """Whether an image of ordinary size has room."""
        return self.free >= ENOUGH_BYTES


def examine(
    store: Path, containers: Path, *, named_solver: Path | None = None, solver_variable: str | None = None
) -> Report:
    """Look at this machine: every tool, the isolation (tried in a storage beneath ``containers``), the room.

    The solver is looked for as ``peel lock`` does. What is missing or broken is in the report; nothing is raised.
    """
    findings = (
        *(look_for(tool, process.find(tool.program)) for tool in TOOLS),
        look_for(CONDA_LOCK, _beside_python("conda-lock") or process.find("conda-lock")),
        _look_for_solver(named_solver, solver_variable),
    )
    probe, problem = _probe(containers)
    return Report(
        distribution=system.distribution(),
        manager=system.package_manager(),
        root=system.is_root(),
        findings=findings,
        isolation=probe,
        isolation_problem=problem,
        store=store,
        free=system.free_bytes(store),
    )


def look_for(tool: Tool, path: Path | None) -> Finding:
    """What there is to say of a tool that lies at ``path``, or nowhere."""
    if path is None:
        return Finding(tool, problem="not installed")
    try:
        version = system.ask_version(str(path), tool.asked)
    except ToolError as error:
        return Finding(tool, path, problem=error.message)
    shown = system.show_version(version)
    if version < tool.minimum:
        return Finding(tool, path, shown, f"too old: {system.show_version(tool.minimum)} or newer is needed")
    return Finding(tool, path, shown)


def missing(report: Report, purposes: Collection[Purpose]) -> tuple[Finding, ...]:
    """What is needed for these purposes and cannot be used, in the order of the report."""
    return tuple(
        finding
        for finding in report.findings
        if finding.tool.needed and not finding.usable and finding.tool.purposes & set(purposes)
    )


def install_command(report: Report, purposes: Collection[Purpose]) -> tuple[str, ...]:
    """The argv that installs what is missing; empty when nothing is that a package of this machine would bring."""
    if (manager := report.manager) is None:
        return ()
    wanted = [finding.tool.package(manager) for finding in missing(report, purposes)]
    if not _isolated(report) or (wanted and not _has_runtime(report)):
        wanted.append("runc")  # chroot works nearly everywhere, but keeps less apart
    packages = sorted({package for package in wanted if package})
    return (*_INSTALL[manager], *packages) if packages else ()


def not_packaged(report: Report, purposes: Collection[Purpose]) -> tuple[Finding, ...]:
    """What is missing and no package of this machine brings; conda-lock and the solver come with peel, by pip."""
    manager = report.manager
    return tuple(found for found in missing(report, purposes) if manager is None or not found.tool.package(manager))


def install(report: Report, purposes: Collection[Purpose], *, progress: Callable[[str], None]) -> None:
    """Install what is missing, as root. Raises ToolError, its hint the command to run, for anybody else.

    Also raises ToolError when the package manager fails, or something is missing that it does not have.
    """
    command = install_command(report, purposes)
    if command and not report.root:
        raise ToolError("only root may install packages", hint=f"run: sudo {shlex.join(command)}")
    if command:
        progress(shlex.join(command))
        _install(command, progress)
    if left := not_packaged(report, purposes):
        names = ", ".join(finding.tool.program for finding in left)
        raise ToolError(f"no package of this machine brings {names}", hint="install it by hand; it must be on PATH")


_INSTALL: Final[Mapping[PackageManager, tuple[str, ...]]] = {
    PackageManager.APT: ("apt-get", "install", "-y", "--no-install-recommends"),
    PackageManager.DNF: ("dnf", "install", "-y", "--setopt=install_weak_deps=False"),
}


def _install(command: tuple[str, ...], progress: Callable[[str], None]) -> None:
    env = process.inherit({"DEBIAN_FRONTEND": "noninteractive"})
    if command[0] != PackageManager.APT:
        process.run(process.Command(command, env))
        return
    try:
        process.run(process.Command(command, env))
    except ToolError:  # most often its package lists are missing or out of date
        progress("apt-get update")
        process.run(process.Command(("apt-get", "update"), env))
        process.run(process.Command(command, env))


def _has_runtime(report: Report) -> bool:
    """Whether runc or crun is there."""
    return any(finding.usable and finding.tool.program in {"runc", "crun"} for finding in report.findings)


def _isolated(report: Report) -> bool:
    """Whether some isolation works, or none could be tried yet; buildah's package brings one."""
    return report.isolation is None or report.isolation.isolation is not None


def _beside_python(program: str) -> Path | None:
    """A program of the environment that peel itself is installed in."""
    path = Path(sys.executable).parent / program
    return path if path.is_file() else None


def _look_for_solver(named: Path | None, variable: str | None) -> Finding:
    try:
        solver = micromamba.find_solver(named, variable=variable)
    except PeelError as error:
        return Finding(SOLVER, problem=error.message)
    return Finding(SOLVER, solver.path, f"{solver.program} {solver.version}")


def _probe(containers: Path) -> tuple[isolation.Probe | None, str]:
    try:
        buildah.version()
        found = isolation.probe(buildah.open_storage(containers), containers / isolation.MEMORY)
    except PeelError as error:
        return None, error.message
    return found, "" if found.isolation else "none of them works on this machine"
