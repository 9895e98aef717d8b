"""All checks of an image, in their order."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import contextmanager

from peel.errors import ToolError, UsageError
from peel.model.checks import NAMES, Check
from peel.model.plan import Plan
from peel.model.progress import Progress
from peel.store.catalogue import Catalogue
from peel.store.store import Store
from peel.tools.podman import open_podman
from peel.workflow.checking import held
from peel.workflow.checking.runs import Runs
from peel.workflow.checking.subject import Subject, subject_of
from peel.workflow.containers import chosen_buildah, import_image
from peel.workflow.launch import built_image

_HELD = frozenset({"entrypoint", "start-paths", "labels", "size", "modes", "widgets"})
_STARTED = frozenset({"uid", "read-only", "kernels", "terminal"})


def chosen_names(only: Collection[str], skip: Collection[str]) -> frozenset[str]:
    """The checks that are asked for. Raises UsageError for one that there is not."""
    if unknown := sorted({*only, *skip} - set(NAMES)):
        raise UsageError(f"there is no check {unknown[0]!r}", hint=f"there are {', '.join(NAMES)}")
    return frozenset(only or NAMES) - frozenset(skip)


def check_contract(
    plan: Plan, catalogue: Catalogue, store: Store, *, names: Collection[str], most: int, progress: Progress
) -> tuple[Check, ...]:
    """Check a built image; ``most`` is how many bytes a node may have to pull.

    What cannot be tried on this machine is skipped, and says so. Raises UsageError for an image that is not built, or
    that was imported.
    """
    locks = catalogue.lock_set(plan.ref)
    if locks.lock.imported or not locks.lock.declared.has_lab:
        raise UsageError(f"{plan.ref} was imported, so nobody knows what it promises", hint="check an image with a lab")
    subject = subject_of(locks, plan, built_image(plan, catalogue, store), store)
    done = {check.name: check for check in _all(subject, names, most, progress) if check.name in names}
    return tuple(done[name] for name in NAMES if name in done)


def _all(subject: Subject, names: Collection[str], most: int, progress: Progress) -> Iterator[Check]:
    yield from _held(subject, names, most, progress)
    if set(names) - _HELD:
        yield from _run(subject, names, progress)


def _held(subject: Subject, names: Collection[str], most: int, progress: Progress) -> Iterator[Check]:
    yield held.entrypoint(subject)
    yield held.labels(subject)
    yield held.size(subject, most)
    yield held.widgets(subject)
    if {"start-paths", "modes"} & set(names):
        total = sum(blob.size for blob in subject.manifest.layers)
        with progress.bar("reading layers", total, "bytes") as advance:
            yield from held.of_layers(subject, advance)


def _run(subject: Subject, names: Collection[str], progress: Progress) -> Iterator[Check]:
    made = set[str]()
    try:
        with _runs(subject) as runs:
            for check in _runs_of(runs, names, progress):
                made.add(check.name)
                yield check
    except ToolError as error:
        left = [name for name in NAMES if name in names and name not in _HELD | made]
        for name in left:
            yield Check(name, passed=False, detail=error.message, hint=error.hint or "", skipped=True)


@contextmanager
def _runs(subject: Subject) -> Iterator[Runs]:
    """The image's file system, mounted, and a podman to run it."""
    buildah = chosen_buildah(subject.store)
    image = import_image(subject.raw, subject.store, buildah)
    with open_podman(buildah) as podman, podman.container(image) as root:
        yield Runs(subject, podman, root)


def _runs_of(runs: Runs, names: Collection[str], progress: Progress) -> Iterator[Check]:
    if "true" in names:
        progress.step("running /bin/true")
        yield runs.true()
    if _STARTED & set(names):
        progress.step("starting the lab by hand, read-only, as an unknown user; running kernels and a terminal")
        yield from runs.started()
    if "user-site" in names:
        progress.step("starting the lab in a hostile home")
        yield runs.user_site()
    if "nublado" in names:
        progress.step("starting the lab by Nublado's files")
        yield runs.nublado()
    if "hub" in names:
        progress.step("starting the lab under JupyterHub's variables")
        yield runs.hub()
