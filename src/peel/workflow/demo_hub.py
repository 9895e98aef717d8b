"""``peel demo --hub``: two payloads' images, published in a registry, offered by a JupyterHub, started by podman."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from peel.demo.catalogue import write_menu, write_other
from peel.demo.hub import Hub, refuse_unfit, serve_hub
from peel.demo.registry import serve_empty_registry
from peel.model.menu.offer import Offer
from peel.model.plan import make_plan
from peel.model.progress import Progress
from peel.model.repository import Repository
from peel.model.values import ImageRef, Platform, canonical_json
from peel.store.catalogue import Catalogue
from peel.store.files import write_whole
from peel.store.store import Store
from peel.tools.conda_lock import CondaLock
from peel.tools.micromamba import find_solver
from peel.workflow.demo import REF, Build, cache_of_demos, registries_conf_named
from peel.workflow.lock import LockOptions, lock_image
from peel.workflow.menu.make import make_menu, now
from peel.workflow.push import Publishing, push_image
from peel.workflow.push_aliases import AliasRules
from peel.workflow.pushable import pushable_image
from peel.workflow.record import accept

OTHER: Final = ImageRef("plain-lab", "1.0.0")
"""The second image: the same lab, another payload, another tag policy."""

_NAMESPACE: Final = "demo"


@contextmanager
def open_hub(catalogue: Catalogue, store: Store, *, build: Build, progress: Progress) -> Iterator[Hub]:
    """Run a hub that offers the images of a finished demo, until left.

    The second image is declared, locked and built when it is not there yet. Raises ToolError for what is missing, and
    whatever a step raises.
    """
    refuse_unfit()
    _make_other(catalogue, store, build, progress)
    place = catalogue.root / "hub"
    with serve_empty_registry(place / "registry") as (host, conf), registries_conf_named(conf):
        repositories = {ref.image: Repository(host, f"{_NAMESPACE}/{ref.image}") for ref in (REF, OTHER)}
        for ref, alias in ((REF, "recommended"), (OTHER, "latest")):
            progress.step(f"pushing {ref} to {repositories[ref.image]}")
            how = Publishing([repositories[ref.image]], AliasRules(asked=[alias]))
            push_image(pushable_image(ref, (), catalogue, store), how, store, progress)
        science, plain = (str(repositories[ref.image]) for ref in (REF, OTHER))
        write_menu(catalogue.root, science=science, plain=plain)
        offer = make_menu(catalogue.menu(), catalogue, now=now(), progress=progress)
        menu = _written(offer, place)
        progress.step("starting JupyterHub")
        with serve_hub(menu, place, downloads=cache_of_demos() / "hub", registries_conf=conf) as hub:
            yield hub


def is_finished(directory: Path) -> bool:
    """Whether a demo was made here, and can be used again."""
    catalogue = Catalogue(directory)
    return catalogue.has_lock(REF) and catalogue.record(REF) is not None


def _make_other(catalogue: Catalogue, store: Store, build: Build, progress: Progress) -> None:
    if not catalogue.has_lock(OTHER):
        declared = catalogue.declared(REF.image)
        write_other(catalogue.root, base=declared.base, channel=declared.lab.channels[0], image=OTHER.image)
        conda_lock = CondaLock(find_solver(variable=os.environ.get("PEEL_MICROMAMBA")), secrets={})
        lock_image(
            OTHER, catalogue=catalogue, store=store, conda_lock=conda_lock, options=LockOptions(), progress=progress
        )
    for ref in (REF, OTHER):
        plan = make_plan(catalogue.lock_set(ref), Platform.from_machine(os.uname().machine))
        progress.step(f"building {ref}")
        accept(build(plan, store, progress), catalogue, store)


def _written(offer: Offer, place: Path) -> Path:
    menu = place / "menu.json"
    write_whole(menu, canonical_json(offer.as_json()))
    return menu
