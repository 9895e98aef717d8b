"""Making the layers that the store lacks: link, compile, write.

Linking is done by a pool of processes, compiling by the environment's own Python inside the base, and writing by
threads: reading, hashing and compressing all leave the interpreter to others.
"""

from __future__ import annotations

import stat
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Executor, Future, as_completed
from dataclasses import dataclass
from pathlib import Path
from typing import Final, assert_never

from peel.errors import ArtifactError
from peel.layers import bytecode
from peel.layers.blob import LayerBlob, write_blob
from peel.layers.bytecode import Compiled, Refused
from peel.layers.compress import Compression, compression_here
from peel.layers.tar import canonical
from peel.model.entry import Entry
from peel.model.oci import BaseImage, Descriptor
from peel.model.plan import (
    CapturedLayer,
    EnvironmentLayer,
    GlueLayer,
    LayerStep,
    PatchLayer,
    Plan,
    compression_of,
    layer_key,
)
from peel.model.progress import Progress
from peel.model.values import Digest
from peel.store.fetch import Artifact
from peel.store.store import LayerRecord, Store
from peel.tools.buildah import Buildah
from peel.workflow.base import glibc_of
from peel.workflow.capturing.capture import capture
from peel.workflow.capturing.material import Material
from peel.workflow.compiling import run_compiler, warn_of
from peel.workflow.fetching import Sources, fetch_artifacts
from peel.workflow.linking import Installation, Installed, installation_for, installation_of, link_package
from peel.workflow.pools import linkers, writers

LayerMaker = Callable[[Plan, Sequence[LayerStep], BaseImage], None]
"""Makes layers and leaves them in the store, each under its key."""


_THREADS: Final = 2
"""With which each writer compresses: enough for one to use both cores on the last, large layer."""


@dataclass(frozen=True, slots=True)
class _Batch:
    """Layers that are ready together, and what is to be installed for them."""

    steps: tuple[LayerStep, ...]
    wanted: tuple[Installation, ...] = ()


@dataclass(frozen=True, slots=True)
class _Linking:
    """An installation that has begun: where, and the file name of the archive that each task links."""

    wanted: Installation
    work: Path
    tasks: Mapping[Future[tuple[Entry, ...]], str]


@dataclass(frozen=True, slots=True)
class Workshop:
    """What making layers takes; ``buildah`` is asked for only when something has to run."""

    store: Store
    buildah: Callable[[], Buildah]
    sources: Sources
    progress: Progress
    any_capture: bool = False
    """Whether a captured layer that is made again may become another one: somebody compares afterwards."""

    def make(self, plan: Plan, missing: Sequence[LayerStep], base: BaseImage) -> None:
        """Make these layers of a plan. A LayerMaker."""
        for step in missing:
            if isinstance(step, CapturedLayer):
                self._capture_again(plan, step, base)
        batches = list(_batches(missing))
        fetch_artifacts(_artifacts(batches), self.store, self.sources, self.progress)
        with self.store.work() as work, linkers() as processes, writers() as threads:
            # All at once, so that one environment is linked, or written, while another one compiles.
            begun = [
                [self._link(processes, wanted, work / f"{number}-{wanted.environment}") for wanted in batch.wanted]
                for number, batch in enumerate(batches)
            ]
            writing = []
            for batch, linking in zip(batches, begun, strict=True):
                installed = [self._install(one, base) for one in linking]
                ready = [(step, tuple(_entries_of(step, installed))) for step in batch.steps]
                writing += [self._write(threads, plan, step, entries, work) for step, entries in ready]
            self._keep(writing)

    def _capture_again(self, plan: Plan, step: CapturedLayer, base: BaseImage) -> None:
        """Make a captured layer once more. Raises ArtifactError when it is another one now."""
        material = Material(
            platform=plan.platform, base=base, reference=plan.base.reference,
            glibc=glibc_of(base, self.store, plan.base.reference), store=self.store, sources=self.sources,
            buildah=self.buildah, progress=self.progress,
        )  # fmt: skip
        compression = compression_here(plan.compression.codec, plan.compression.level)
        again = capture(step.declared, step.files, compression, material, source=step.source).blob
        if again.diff_id != step.diff_id and not self.any_capture:
            raise ArtifactError(
                f"{step.contents}: made again it is {again.diff_id}, and {step.diff_id} was captured",
                hint="what made it is not the same every time; an archive keeps what was captured: --archive",
            )
        blob = Descriptor(again.media_type, again.digest, again.size)
        self.store.remember_layer(layer_key(step, plan), LayerRecord(blob, again.diff_id))

    def _link(self, processes: Executor, wanted: Installation, work: Path) -> _Linking:
        """Begin to stage the packages of an installation, and of the Python that compiles them."""
        stage, root, python = work / "stage", wanted.prefix, wanted.python
        stage.mkdir(parents=True)
        # the largest first, so that no process is left alone with one at the end
        tasks = {
            processes.submit(link_package, package, self.store.blobs.path(package.digest), root, python, stage): name
            for name, package in sorted(wanted.staged.items(), key=lambda item: (-item[1].size, item[0]))
        }
        return _Linking(wanted, work, tasks)

    def _install(self, linking: _Linking, base: BaseImage) -> Installed:
        """Have all of it linked, and compile what its packages bring."""
        wanted, tasks = linking.wanted, linking.tasks
        linked = {}
        with self.progress.bar(f"linking {wanted.environment}", len(tasks), "items") as advance:
            for task in as_completed(tasks):
                linked[tasks[task]] = task.result()
                advance(1)
        brought = {p.file_name: wanted.bring(p, linked[p.file_name]) for p in wanted.packages}
        if wanted.interpreter:
            _make_executable(linked[wanted.interpreter.package.file_name])
        return Installed(wanted, brought, self._compile(wanted, brought, base, linking.work))

    def _compile(
        self, wanted: Installation, brought: Mapping[str, Sequence[Entry]], base: BaseImage, work: Path
    ) -> Compiled:
        out, interpreter = work / "bytecode", wanted.interpreter
        out.mkdir()
        if interpreter is None:
            return Compiled(out)
        sources = {
            name: bytecode.sources(entries, wanted.prefix, interpreter.version) for name, entries in brought.items()
        }
        refused: Sequence[Refused] = ()
        if any(sources.values()):
            count = sum(len(found) for found in sources.values())
            self.progress.step(
                f"compiling {count} files with {wanted.environment}'s own Python {interpreter.package.version}"
            )
            (work / "sources").write_bytes(bytecode.listing(sources))
            refused = self._run_compiler(wanted.prefix, base, work)
            warn_of(refused, wanted.environment, self.progress)
        return Compiled(out, frozenset(source.path for source in refused))

    def _run_compiler(self, prefix: str, base: BaseImage, work: Path) -> Sequence[Refused]:
        return run_compiler(prefix, work, base=base, store=self.store, buildah=self.buildah)

    def _write(
        self, threads: Executor, plan: Plan, step: LayerStep, entries: Sequence[Entry], work: Path
    ) -> tuple[Digest, Future[LayerBlob]]:
        key, locked = layer_key(step, plan), compression_of(step, plan)
        compression = compression_here(locked.codec, locked.level)  # build_image says whether another library will do
        return key, threads.submit(write_layer, entries, compression, work / key.hex)

    def _keep(self, writing: Sequence[tuple[Digest, Future[LayerBlob]]]) -> None:
        """Put layers into the store as they get ready, so that an interrupted build goes on where it was."""
        keys = {task: key for key, task in writing}
        with self.progress.bar("writing layers", len(keys), "items") as advance:
            for task in as_completed(keys):
                made = task.result()
                self.store.blobs.adopt(made.path, made.digest)
                blob = Descriptor(made.media_type, made.digest, made.size)
                self.store.remember_layer(keys[task], LayerRecord(blob, made.diff_id))
                advance(1)


def _batches(missing: Sequence[LayerStep]) -> Iterator[_Batch]:
    """The glue, which is at hand; then each environment, and each patch layer."""
    yield _Batch(tuple(step for step in missing if isinstance(step, GlueLayer)))
    layers = [step for step in missing if isinstance(step, EnvironmentLayer)]
    for name in dict.fromkeys(step.environment for step in layers):
        steps = tuple(step for step in layers if step.environment == name)
        yield _Batch(steps, (installation_of(steps),))
    for step in missing:
        if isinstance(step, PatchLayer):
            yield _Batch((step,), tuple(installation_for(patched) for patched in step.prefixes))


def _entries_of(step: LayerStep, installed: Sequence[Installed]) -> Iterator[Entry]:
    """All that a layer holds."""
    match step:
        case GlueLayer():
            yield from step.entries
        case CapturedLayer():
            raise TypeError(f"{step.contents} is captured, not put together")
        case EnvironmentLayer():
            yield from installed[0].entries(step.packages)
        case PatchLayer():
            for one, patched in zip(installed, step.prefixes, strict=True):
                yield from one.patch_entries(patched.change.gone)
            yield from step.entries
        case _:
            assert_never(step)


def _artifacts(batches: Iterable[_Batch]) -> Sequence[Artifact]:
    staged = (package for batch in batches for one in batch.wanted for package in one.staged.values())
    packages = {package.digest: package for package in staged}
    return [Artifact(p.file_name, p.url, p.digest, p.size) for p in packages.values()]


def _make_executable(entries: Iterable[Entry]) -> None:
    """Let a staged package run: modes are otherwise in its entries only."""
    for entry in entries:
        if entry.mode & stat.S_IXUSR and isinstance(entry.source, Path):
            entry.source.chmod(0o755)


def write_layer(entries: Sequence[Entry], compression: Compression, destination: Path) -> LayerBlob:
    """Write one layer."""
    return write_blob(canonical(entries), compression, destination, threads=_THREADS)
