"""The files of an environment that is tried: linked once for where they are to be, from the archives in the store."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from peel.errors import ToolError
from peel.layers.link import LINKER
from peel.model.entry import Entry
from peel.model.locked import Package
from peel.model.progress import Progress
from peel.model.trial import trial_key, without_python
from peel.model.values import Platform, PythonVersion
from peel.store.environments import DIRECTORY, make_once
from peel.store.fetch import Artifact
from peel.store.store import Store
from peel.tools import process
from peel.tools.micromamba import Solver, make_environment
from peel.workflow.fetching import Sources, fetch_artifacts
from peel.workflow.linking import link_package

_DIRECTORY_MODE: Final = 0o755
_PROBE_SECONDS: Final = 30.0


def in_base_hint(name: str) -> str:
    """What to do where this machine cannot run an environment."""
    return f"run it in the base of its image: peel try --in-base {name}"


@dataclass(frozen=True, slots=True)
class TrialFiles:
    """What is linked: the packages of one environment, and the Python among them, if there is one."""

    name: str
    packages: tuple[Package, ...]
    python: PythonVersion | None
    store: Store
    sources: Sources
    progress: Progress

    def made_here(self, find: Callable[[], Solver], lock: Path, platform: Platform) -> Path:
        """The environment for this machine, at the place that it names in its files.

        A micromamba links conda's packages as ``lock`` has them, peel's own linker the wheels. Raises ArtifactError for
        an archive that cannot be had, ToolError when a program fails or this machine cannot run what was made.
        """

        def make(place: Path) -> None:
            self._fetch()
            solver = find()
            self.progress.step(f"making {self.name} with {solver.title}")
            conda = {p.digest: (p.file_name, self._archive(p)) for p in self.packages if p.manager == "conda"}
            wheels = [package for package in self.packages if package.manager == "pip"]
            with self.store.work() as work:
                make_environment(solver, lock, place, platform=platform.subdir, archives=conda, work=work)
                self._link(wheels, str(place), work / "wheels")
                _merge(work / "wheels", place)
            _refuse_unfit(place, self.name)

        # the key names the store: the files of an environment name the place that it was made for
        return self._made(str(self.store.root / DIRECTORY), make)

    def made_for(self, prefix: str) -> Path:
        """The environment as an image has it at this prefix, to be mounted there; bytecode is left out.

        Raises ArtifactError for an archive that cannot be had.
        """

        def make(place: Path) -> None:
            self._fetch()
            with self.store.work() as work:
                self._link(self.packages, prefix, work / "stage")
                (work / "stage").rename(place)

        return self._made(prefix, make)

    def _made(self, prefix: str, make: Callable[[Path], None]) -> Path:
        def waiting() -> None:
            self.progress.step(f"waiting for another run that makes {self.name}")

        return make_once(self.store, trial_key(self.packages, prefix, linker=LINKER), make, waiting)

    def _fetch(self) -> None:
        artifacts = [Artifact(p.file_name, p.url, p.digest, p.size) for p in self.packages]
        fetch_artifacts(artifacts, self.store, self.sources, self.progress)

    def _archive(self, package: Package) -> Path:
        return self.store.blobs.path(package.digest)

    def _link(self, packages: Sequence[Package], prefix: str, stage: Path) -> None:
        stage.mkdir()
        with self.progress.bar(f"linking {self.name}", len(packages), "items") as advance:
            for package in packages:
                _set_modes(link_package(package, self._archive(package), prefix, self.python, stage))
                advance(1)
        for place, _, _ in os.walk(stage):
            Path(place).chmod(_DIRECTORY_MODE)  # whatever the umask: the user in an image is somebody else


def _set_modes(entries: Iterable[Entry]) -> None:
    """Give staged files the modes that are otherwise in their entries only."""
    for entry in entries:
        if isinstance(entry.source, Path):
            entry.source.chmod(entry.mode)


def _merge(stage: Path, place: Path) -> None:
    """Move all files to where they belong; of two at one path, the wheel's is the one that pip would leave there."""
    for folder, _, names in os.walk(stage):
        target = place / Path(folder).relative_to(stage)
        target.mkdir(exist_ok=True)
        for name in names:
            Path(folder, name).replace(target / name)


def _refuse_unfit(place: Path, name: str) -> None:
    """Raise ToolError when the environment's own Python does not start here: most often, glibc is too old for it."""
    python = place / "bin" / "python"
    if not python.exists():
        return
    command = process.Command((str(python), "-I", "-c", ""), without_python(dict(os.environ)))
    done = process.run(command, check=False, timeout=_PROBE_SECONDS)
    if done.status != 0:
        said = process.failure(command, done).message.partition("\n")[2].strip()
        raise ToolError(f"the Python of {name} does not start on this machine:\n  {said}", hint=in_base_hint(name))
