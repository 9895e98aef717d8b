"""Making the layers that the store lacks: link, compile, write.

Linking is done by a pool of processes, compiling by the environment's own Python inside the base, and writing by
threads: reading, hashing and compressing all leave the interpreter to others.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import stat
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import (
    BrokenExecutor,
    Executor,
    Future,
    ProcessPoolExecutor,
    ThreadPoolExecutor,
    as_completed,
)
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

from peel.errors import DocumentError, ToolError
from peel.layers import bytecode
from peel.layers.blob import LayerBlob, write_blob
from peel.layers.bytecode import Compiled, Refused
from peel.layers.compress import Compression
from peel.layers.link import link_conda
from peel.layers.tar import canonical
from peel.layers.wheel import link_wheel
from peel.model.entry import Entry
from peel.model.locked import Package
from peel.model.oci import BaseImage, Descriptor
from peel.model.plan import EnvironmentLayer, GlueLayer, Interpreter, LayerStep, Plan, compression_of, layer_key
from peel.model.progress import Progress
from peel.model.values import Digest, PythonVersion
from peel.store.fetch import Artifact
from peel.store.store import LayerRecord, Store
from peel.tools.buildah import Buildah, Volume
from peel.tools.process import INTERRUPTS
from peel.workflow.containers import import_base
from peel.workflow.fetching import Sources, fetch_artifacts

LayerMaker = Callable[[Plan, Sequence[LayerStep], BaseImage], None]
"""Makes layers and leaves them in the store, each under its key."""

_SCRIPT: Final = "/run/peel/compile.py"
_LISTING: Final = "/run/peel/sources"
_OUT: Final = "/run/peel/bytecode"

_MOST_NAMED: Final = 3

_MOST_PROCESSES: Final = 4
"""Each takes some 50 MiB while it links, and a whole build is to stay below 512 MiB (docs/benchmarks.md)."""

_WRITERS: Final = 2
"""How many layers are written at once: while one is read, another is compressed."""

_THREADS: Final = 2
"""With which each writer compresses: enough for one to use both cores on the last, large layer."""

_Linked = Mapping[str, tuple[Entry, ...]]
"""By archive's file name, the entries of each linked package."""

_Linking = Mapping[Future[tuple[Entry, ...]], str]
"""The file name of the archive that each task links."""


@dataclass(frozen=True, slots=True)
class Workshop:
    """What making layers takes; ``buildah`` is asked for only when something has to run."""

    store: Store
    buildah: Callable[[], Buildah]
    sources: Sources
    progress: Progress

    def make(self, plan: Plan, missing: Sequence[LayerStep], base: BaseImage) -> None:
        """Make these layers of a plan. A LayerMaker."""
        layers = [step for step in missing if isinstance(step, EnvironmentLayer)]
        fetch_artifacts(_artifacts(layers), self.store, self.sources, self.progress)
        with self.store.work() as work, _pool() as pool, _writers() as writers:
            writing = [
                self._write(writers, plan, step, step.entries, work) for step in missing if isinstance(step, GlueLayer)
            ]
            # All at once, so that one environment is linked, or written, while another one compiles.
            places = [(steps, work / str(number)) for number, steps in enumerate(_by_environment(layers))]
            linking = [self._link(pool, steps, place) for steps, place in places]
            for (steps, place), tasks in zip(places, linking, strict=True):
                linked = self._linked(steps, tasks)
                compiled = self._compile(steps, linked, base, place)
                writing += [
                    self._write(writers, plan, step, _entries_of(step, linked, compiled), work) for step in steps
                ]
            self._keep(writing)

    def _link(self, pool: Executor, steps: Sequence[EnvironmentLayer], work: Path) -> _Linking:
        """Begin to stage the packages of these layers, and of the Python that compiles them."""
        packages = {package.file_name: package for package in _needed(steps)}
        stage = work / "stage"
        stage.mkdir(parents=True)
        prefix, python = steps[0].prefix, _python(steps[0].interpreter)
        # the largest first, so that no process is left alone with one at the end
        return {
            pool.submit(link_package, package, self.store.blobs.path(package.digest), prefix, python, stage): name
            for name, package in sorted(packages.items(), key=lambda item: (-item[1].size, item[0]))
        }

    def _linked(self, steps: Sequence[EnvironmentLayer], tasks: _Linking) -> _Linked:
        with self.progress.bar(f"linking {steps[0].environment}", len(tasks), "items") as advance:
            linked = {}
            for task in as_completed(tasks):
                linked[tasks[task]] = task.result()
                advance(1)
        return linked

    def _compile(self, steps: Sequence[EnvironmentLayer], linked: _Linked, base: BaseImage, work: Path) -> Compiled:
        """Compile the packages of these layers."""
        out = work / "bytecode"
        out.mkdir()
        interpreter = steps[0].interpreter
        if interpreter is None:
            return Compiled(out)
        prefix = steps[0].prefix
        sources = {
            package.file_name: bytecode.sources(linked[package.file_name], prefix, interpreter.version)
            for step in steps
            for package in step.packages
        }
        refused: Sequence[Refused] = ()
        if any(sources.values()):
            count = sum(len(found) for found in sources.values())
            self.progress.step(
                f"compiling {count} files with {steps[0].environment}'s own Python {interpreter.package.version}"
            )
            (work / "sources").write_bytes(bytecode.listing(sources))
            _make_executable(linked[interpreter.package.file_name])
            refused = self._run_compiler(prefix, base, work)
            self._warn_of(refused, steps[0].environment)
        return Compiled(out, frozenset(source.path for source in refused))

    def _warn_of(self, refused: Sequence[Refused], environment: str) -> None:
        if refused:
            names = ", ".join(source.path for source in refused[:_MOST_NAMED])
            more = ", …" if len(refused) > _MOST_NAMED else ""
            self.progress.warn(f"{environment}: files that do not compile: {len(refused)} ({names}{more})")

    def _run_compiler(self, prefix: str, base: BaseImage, work: Path) -> Sequence[Refused]:
        buildah = self.buildah()
        image = import_base(base, self.store, buildah)
        argv = bytecode.argv(prefix=prefix, script=_SCRIPT, out=_OUT, listing=_LISTING, workers=_processes())
        volumes = [
            Volume(work / "stage", prefix),
            Volume(work / "bytecode", _OUT, "rw"),
            Volume(work / "sources", _LISTING),
            Volume(bytecode.SCRIPT, _SCRIPT),
        ]
        with buildah.container(image) as container:
            done = buildah.run(
                container, argv, volumes=volumes, env=bytecode.ENVIRONMENT, user="0:0", workdir="/",
                capabilities="none",  # packages brought the Python that runs here
            )  # fmt: skip
        return bytecode.refused(done.text)

    def _write(
        self, writers: Executor, plan: Plan, step: LayerStep, entries: Iterable[Entry], work: Path
    ) -> tuple[Digest, Future[LayerBlob]]:
        key, locked = layer_key(step, plan), compression_of(step, plan)
        compression = Compression(locked.codec, locked.library, locked.level, locked.mode)
        return key, writers.submit(write_layer, tuple(entries), compression, work / key.hex)

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


def _by_environment(steps: Sequence[EnvironmentLayer]) -> Sequence[Sequence[EnvironmentLayer]]:
    names = dict.fromkeys(step.environment for step in steps)
    return [[step for step in steps if step.environment == name] for name in names]


def _artifacts(steps: Sequence[EnvironmentLayer]) -> Sequence[Artifact]:
    packages = {package.digest: package for package in _needed(steps)}
    return [Artifact(p.file_name, p.url, p.digest, p.size) for p in packages.values()]


def _needed(steps: Sequence[EnvironmentLayer]) -> Iterator[Package]:
    for step in steps:
        yield from step.packages
        yield from step.interpreter.closure if step.interpreter else ()


def _python(interpreter: Interpreter | None) -> PythonVersion | None:
    return interpreter.version if interpreter else None


def _entries_of(step: EnvironmentLayer, linked: _Linked, compiled: Compiled) -> Iterator[Entry]:
    """What the packages of a layer consist of, their bytecode included."""
    for package in step.packages:
        owned = linked[package.file_name]
        yield from owned
        if step.interpreter:
            yield from bytecode.entries(compiled, owned, step.prefix, step.interpreter.version)


def _make_executable(entries: Iterable[Entry]) -> None:
    """Let a staged package run: modes are otherwise in its entries only."""
    for entry in entries:
        if entry.mode & stat.S_IXUSR and isinstance(entry.source, Path):
            entry.source.chmod(0o755)


def link_package(
    package: Package, archive: Path, prefix: str, python: PythonVersion | None, stage: Path
) -> tuple[Entry, ...]:
    """Link one package, whatever it is, into a stage. Raises ArtifactError, or DocumentError for a homeless wheel."""
    if package.manager == "conda":
        link: Callable[..., tuple[Entry, ...]] = partial(link_conda, python=python)
    elif python is not None:
        link = partial(link_wheel, python=python)
    else:
        raise DocumentError(f"{package.file_name} is a wheel, but its environment has no python")
    return link(
        archive,
        name=package.name,
        version=package.version,
        file_name=package.file_name,
        digest=package.digest,
        prefix=prefix,
        stage=stage,
        omit=frozenset(package.omit),
    )


def write_layer(entries: Sequence[Entry], compression: Compression, destination: Path) -> LayerBlob:
    """Write one layer."""
    return write_blob(canonical(entries), compression, destination, threads=_THREADS)


def _processes() -> int:
    """How many processes work at once: as many as may run here, but no more than a build has memory for."""
    return min(len(os.sched_getaffinity(0)), _MOST_PROCESSES)


@contextmanager
def _pool() -> Iterator[Executor]:
    """Processes that leave an interrupt to the parent, which then starts nothing more."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__])
    pool = ProcessPoolExecutor(_processes(), mp_context=context, initializer=_belong_to_parent)
    # an interrupt amid the start of a process would leave one that nobody waits for, and that complains
    before = signal.pthread_sigmask(signal.SIG_BLOCK, INTERRUPTS)
    try:
        pool.submit(os.getpid).result()
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        yield pool
    except BrokenExecutor:
        raise ToolError(
            "a process that was making layers was killed",
            hint="most often by the kernel, for want of memory: dmesg says so; free some, and build again",
        ) from None
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        pool.shutdown(wait=True, cancel_futures=True)


@contextmanager
def _writers() -> Iterator[Executor]:
    """Threads that write layers; on an interrupt, none begins another."""
    writers = ThreadPoolExecutor(_WRITERS, thread_name_prefix="writer")
    try:
        yield writers
    finally:
        writers.shutdown(wait=True, cancel_futures=True)


def _belong_to_parent() -> None:
    """Leave interrupts to the parent; but end with it, even if it is killed: else a worker would wait for ever."""
    for number in (signal.SIGINT, signal.SIGHUP):  # which a terminal sends to all of its processes
        signal.signal(number, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    if (parent := multiprocessing.parent_process()) is not None:
        parent.join()
        os._exit(1)
