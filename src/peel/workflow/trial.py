"""``peel try``: a locked environment made on this machine, or mounted into its image's base, and entered."""

from __future__ import annotations

import difflib
import os
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from peel.errors import DocumentError, ToolError, UsageError
from peel.model.declared import DeclaredEnvironment
from peel.model.locked import LockSet, Package
from peel.model.lockset import environment_lock_file
from peel.model.plan import BasePin
from peel.model.progress import Progress
from peel.model.trial import entering, entering_argv, glibc_need, is_older, without_python
from peel.model.values import Digest, ImageRef, Platform, PythonVersion
from peel.store.catalogue import Catalogue
from peel.store.store import Store
from peel.tools import process, system
from peel.tools.buildah import Buildah, RunOptions, Volume
from peel.tools.micromamba import Solver
from peel.workflow.base import fetch_base
from peel.workflow.containers import import_base, import_image
from peel.workflow.fetching import Sources
from peel.workflow.trial_captured import captured_upon
from peel.workflow.trial_files import TrialFiles, in_base_hint

_RUN: Final = "/run/peel-try"
_WORK_INSIDE: Final = "/work"
_SOURCES: Final = {"script": "a script", "dockerfile": "a Dockerfile", "image": "an image"}
_TERMINAL: Final = ("TERM", "COLORTERM", "NO_COLOR", "LANG")

_OUTER: Final = f"""\
# Notes how the program ended: buildah has words of its own for a status that is not 0.
"$@"
echo "$?" >{_RUN}/status/code
"""


@dataclass(frozen=True, slots=True)
class Trial:
    """An environment that is there to be entered.

    ``place`` is where its files lie on this machine, None where that is in an image only; ``prefix`` is where they say
    that they are: in the base, another path.
    """

    ref: ImageRef
    environment: DeclaredEnvironment
    python: str
    place: Path | None
    prefix: str
    enter: Callable[[Sequence[str]], int]
    """Run a command in it, or a shell where it is empty; how that ended, as shells put it."""


@dataclass(frozen=True, slots=True)
class _Chosen:
    """One environment of a lock set, for one platform."""

    locks: LockSet
    environment: DeclaredEnvironment
    platform: Platform
    packages: tuple[Package, ...]

    @property
    def python(self) -> str:
        """The version of its Python, "" when it has none."""
        if self.environment.is_captured:
            return self.locks.lock.captured[self.platform.subdir][self.environment.name].python
        found = (p.version for p in self.packages if p.manager == "conda" and p.name == "python")
        return next(found, "")

    def write_setup(self, work: Path) -> Path | None:
        """The payload's own setup script, written where nobody else writes; None when it has none."""
        attached = self.environment.attached.get("setup")
        if attached is None:
            return None
        path = work / "setup.sh"
        path.write_bytes(self.locks.attached[attached.sha256])
        path.chmod(0o644)
        return path

    def files(self, store: Store, sources: Sources, progress: Progress) -> TrialFiles:
        """What is linked."""
        python = PythonVersion.parse(self.python) if self.python else None
        return TrialFiles(self.environment.name, self.packages, python, store, sources, progress)


def newest_lock_with(payload: str, catalogue: Catalogue, *, image: str | None = None) -> ImageRef:
    """The newest lock set that has this environment, of one image or of any.

    Raises UsageError, with the nearest name there is, when none has it.
    """
    locks = [
        catalogue.image_lock(ImageRef(name, tag))
        for name in ([image] if image else catalogue.images())
        for tag in catalogue.tags(name)
    ]
    found = [lock for lock in locks if payload in {environment.name for environment in lock.declared.environments}]
    if not found:
        known = sorted({environment.name for lock in locks for environment in lock.declared.environments})
        raise _no_such(payload, known, f"no lock set{f' of {image}' if image else ''} has")
    newest = max(found, key=lambda lock: (lock.epoch, lock.image, lock.tag))
    return ImageRef(newest.image, newest.tag)


def prepare_here(
    ref: ImageRef, payload: str, *, catalogue: Catalogue, store: Store, find_solver: Callable[[], Solver],
    sources: Sources, progress: Progress,
) -> Trial:  # fmt: skip
    """Have a locked environment on this machine.

    Raises UsageError when there is none of that name, ToolError when this machine cannot run it, and as
    ``TrialFiles.made_here`` does.
    """
    chosen = _choose(ref, payload, catalogue)
    if chosen.environment.is_captured:
        raise UsageError(
            f"{payload} was captured from {_SOURCES[chosen.environment.kind]}, and works at its own prefix only",
            hint=in_base_hint(payload),
        )
    _refuse_newer_glibc(chosen)
    lock = catalogue.lock_directory(ref) / environment_lock_file(payload)
    place = chosen.files(store, sources, progress).made_here(find_solver, lock.absolute(), chosen.platform)

    def enter(command: Sequence[str]) -> int:
        with store.work() as work:
            file = work / "enter.sh"
            setup = chosen.write_setup(work)
            text = entering(payload, str(place), chosen.environment.variables, str(setup) if setup else None)
            file.write_text(text, encoding="utf-8")
            return process.attend(process.Command(entering_argv(str(file), command), without_python(dict(os.environ))))

    return Trial(ref, chosen.environment, chosen.python, place, str(place), enter)


def prepare_in_base(
    ref: ImageRef, payload: str, *, catalogue: Catalogue, store: Store, find_buildah: Callable[[], Buildah],
    sources: Sources, progress: Progress,
) -> Trial:  # fmt: skip
    """Have a locked environment, to be entered at its own prefix in the base that its image is locked with.

    Raises as ``prepare_here`` does, ToolError also when buildah is missing or fails.
    """
    chosen = _choose(ref, payload, catalogue)
    environment, lock = chosen.environment, chosen.locks.lock
    pin = BasePin(lock.declared.base, Digest(lock.base[chosen.platform.subdir].digest))
    base = fetch_base(pin, chosen.platform, store, sources, progress)
    buildah = find_buildah()
    if environment.is_captured:
        place = None
        image = import_image(
            captured_upon(base, chosen.locks, payload, chosen.platform, store, sources), store, buildah
        )
    else:
        place = chosen.files(store, sources, progress).made_for(environment.prefix)
        image = import_base(base, store, buildah)

    def enter(command: Sequence[str]) -> int:
        with store.work() as work, buildah.container(image) as container:
            inside = _Inside(work, environment, place, chosen.write_setup(work))
            ended = buildah.attend(container, inside.argv(command), **inside.options(lock.declared.launch.user))
            return inside.status(ended)

    return Trial(ref, environment, chosen.python, place, environment.prefix, enter)


@dataclass(frozen=True, slots=True)
class _Inside:
    """What a container of the base sees of an environment, and of where it is tried."""

    work: Path
    environment: DeclaredEnvironment
    place: Path | None
    setup: Path | None

    def argv(self, command: Sequence[str]) -> tuple[str, ...]:
        """The program to start in the container, which finds its files in it."""
        environment = self.environment
        setup = f"{_RUN}/setup.sh" if self.setup else None
        text = entering(environment.name, environment.prefix, environment.variables, setup)
        for name, content in (("enter.sh", text), ("outer.sh", _OUTER)):
            (self.work / name).write_text(content, encoding="utf-8")
            (self.work / name).chmod(0o644)
        status = self.work / "status"
        status.mkdir()
        status.chmod(0o777)  # the image's user writes there; what holds it is closed to others on this machine
        outer = ("/bin/bash", "--noprofile", "--norc", f"{_RUN}/outer.sh")
        return (*outer, *entering_argv(f"{_RUN}/enter.sh", command))

    def options(self, user: str) -> RunOptions:
        """How it is started: as the image's user, in the directory that the caller is in, which it may read."""
        volumes = [
            *([Volume(self.place, self.environment.prefix)] if self.place else ()),
            Volume(self.work / "enter.sh", f"{_RUN}/enter.sh"),
            Volume(self.work / "outer.sh", f"{_RUN}/outer.sh"),
            Volume(self.work / "status", f"{_RUN}/status", "rw"),
            *([Volume(self.setup, f"{_RUN}/setup.sh")] if self.setup else ()),
        ]
        here = Path.cwd()
        seen = ":" not in str(here)  # which a mount has no notation for
        env = {name: os.environ[name] for name in _TERMINAL if name in os.environ}
        return {
            "volumes": [*volumes, *([Volume(here, _WORK_INSIDE)] if seen else ())],
            "workdir": _WORK_INSIDE if seen else "/tmp",  # noqa: S108  (the container's own)
            "env": {**env, "HOME": "/tmp", "PYTHONNOUSERSITE": "1"},  # noqa: S108
            "user": user,
            "network": "host",
        }

    def status(self, ended: int) -> int:
        """How the program ended. Raises ToolError when it never began, whose reason buildah has printed."""
        with suppress(OSError, ValueError):
            return int((self.work / "status" / "code").read_text(encoding="utf-8"))
        if ended > process.SIGNALLED:
            return ended
        raise ToolError(f"buildah ended with status {ended} before the program did", hint="what it printed says why")


def _choose(ref: ImageRef, payload: str, catalogue: Catalogue) -> _Chosen:
    platform = Platform.from_machine(os.uname().machine)
    locks = catalogue.lock_set(ref)
    environments = {environment.name: environment for environment in locks.lock.declared.environments}
    if payload not in environments:
        raise _no_such(payload, sorted(environments), f"{ref} does not have")
    if platform.subdir not in locks.lock.declared.platforms:
        raise DocumentError(
            f"{ref} is not locked for {platform}, which this machine is",
            hint="declare the platform in the image, and lock it anew",
        )
    if locks.lock.imported:
        raise UsageError(
            f"{ref} was imported as an image: what it holds is known, but not where its files are from",
            hint=f"start the whole image: peel launch {ref}",
        )
    packages = tuple(locks.packages(platform, payload))
    return _Chosen(locks, environments[payload], platform, packages)


def _no_such(payload: str, known: Sequence[str], lead: str) -> UsageError:
    near = difflib.get_close_matches(payload, known, n=1)
    hint = f"did you mean {near[0]}?" if near else f"locked are: {', '.join(known)}" if known else "lock one: peel lock"
    return UsageError(f"{lead} an environment {payload!r}", hint=hint)


def _refuse_newer_glibc(chosen: _Chosen) -> None:
    """Raise ToolError, before anything is made, where this machine's C library is too old for what is locked."""
    name = chosen.environment.name
    need, here = glibc_need(chosen.locks.installed[chosen.platform.subdir, name]), system.glibc()
    if need is not None and (here is None or is_older(here, need.version)):
        has = here or "another C library"
        raise ToolError(
            f"{need.package} of {name} needs glibc {need.version}, and this machine has {has}", hint=in_base_hint(name)
        )
