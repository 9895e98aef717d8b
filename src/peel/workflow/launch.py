"""``peel launch``: a built image, run on this machine."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from peel.errors import UsageError
from peel.model.oci import Descriptor, describe
from peel.model.oci_parse import manifest_type, parse_manifest
from peel.model.plan import CapturedLayer, EnvironmentLayer, PatchLayer, Plan
from peel.model.progress import Progress
from peel.model.values import Digest
from peel.store.catalogue import Catalogue
from peel.store.store import Store
from peel.tools import system
from peel.workflow.build import PLAN_ANNOTATION
from peel.workflow.containers import chosen_buildah, import_image
from peel.workflow.lab import ExpectedKernel, KernelCheck, Running, check, launch


def run_image(
    plan: Plan,
    catalogue: Catalogue,
    store: Store,
    *,
    port: int | None,
    home: Path | None,
    progress: Progress,
    announce: Callable[[str], None],
) -> None:
    """Run the lab until it ends or is interrupted; its URL goes to ``announce`` once it answers."""
    with _running(plan, catalogue, store, port=port, home=home, progress=progress) as running:
        announce(running.url)
        progress.step("press Ctrl-C to stop the lab")
        running.wait()


def check_image(
    plan: Plan, catalogue: Catalogue, store: Store, *, port: int | None, home: Path | None, progress: Progress
) -> Sequence[KernelCheck]:
    """Start the lab, and every payload's kernel through it; what each said of itself.

    Raises UsageError for an image that was imported whole: which kernels it should have, nobody knows.
    """
    if catalogue.image_lock(plan.ref).imported:
        raise UsageError(
            f"{plan.ref} was imported as an image, so nobody knows which kernels it should have",
            hint=f"start what it starts, and look: peel launch {plan.ref}",
        )
    with _running(plan, catalogue, store, port=port, home=home, progress=progress) as running:
        progress.step("running a cell in every payload's kernel")
        return check(running, expected_kernels(plan))


@contextmanager
def _running(
    plan: Plan, catalogue: Catalogue, store: Store, *, port: int | None, home: Path | None, progress: Progress
) -> Iterator[Running]:
    _refuse_labless(plan, catalogue)
    system.free_port(port)  # before the work, not after it
    image = built_image(plan, catalogue, store)
    engine = chosen_buildah(store)
    progress.step(f"starting the lab (isolation: {engine.isolation.name})")
    with launch(import_image(image, store, engine), engine=engine, port=port, home=home) as running:
        yield running


def _refuse_labless(plan: Plan, catalogue: Catalogue) -> None:
    """Raise UsageError for an image without a lab; of one that was imported whole, nobody knows what it starts."""
    lock = catalogue.image_lock(plan.ref)
    if not (lock.declared.has_lab or lock.imported):
        raise UsageError(
            f"{plan.ref} has no lab: it was imported from a list of packages",
            hint=f"peel build {plan.ref} --load; then run it with buildah or podman",
        )


def built_image(plan: Plan, catalogue: Catalogue, store: Store) -> Descriptor:
    """The manifest of a plan that has been built: the one recorded, else the one that goes by its name in the store.

    A name alone may be another catalogue's. Raises UsageError when the store has neither, or another plan's.
    """
    found = _recorded_image(plan, catalogue, store) or store.image(plan.ref, plan.platform)
    if found is None:
        raise UsageError(f"{plan.ref} is not built in this store", hint=f"peel build {plan.ref}")
    if not _is_of(plan, found, store):
        raise UsageError(
            f"what this store has as {plan.ref} was built from another lock", hint=f"peel build {plan.ref}"
        )
    return found


def _is_of(plan: Plan, found: Descriptor, store: Store) -> bool:
    """Whether an image is what this plan makes; one that was imported as it is says nothing of a plan."""
    if plan.is_base:
        return found.digest == plan.base.digest
    manifest = parse_manifest(store.blobs.read(found.digest), str(plan.ref))
    return dict(manifest.annotations).get(PLAN_ANNOTATION) == str(plan.digest)


def _recorded_image(plan: Plan, catalogue: Catalogue, store: Store) -> Descriptor | None:
    record = catalogue.record(plan.ref)
    recorded = record.platforms.get(plan.platform.subdir) if record else None
    if recorded is None or not store.blobs.has(Digest(recorded.manifest)):
        return None
    raw = store.blobs.read(Digest(recorded.manifest))
    return describe(manifest_type(raw, str(plan.ref)), raw)


def expected_kernels(plan: Plan) -> Sequence[ExpectedKernel]:
    """Every payload's kernel, and the Python and prefix it must run in."""
    pythons = {
        step.environment: step.interpreter.package.version
        for step in plan.layers
        if isinstance(step, EnvironmentLayer) and step.interpreter
    }
    patched = [prefix for step in plan.layers if isinstance(step, PatchLayer) for prefix in step.prefixes]
    pythons |= {each.change.environment: each.interpreter.package.version for each in patched if each.interpreter}
    pythons |= {step.environment: step.python for step in plan.layers if isinstance(step, CapturedLayer)}
    environments = (step for step in plan.layers if isinstance(step, EnvironmentLayer | CapturedLayer))
    prefixes = {step.environment: step.prefix for step in environments}
    return [ExpectedKernel(kernel, prefixes[name], pythons[name]) for name, kernel in plan.kernels]
