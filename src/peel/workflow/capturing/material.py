"""What capturing takes: the base to run in, and where things come from and go to."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from peel.model.declared import DeclaredEnvironment
from peel.model.oci import BaseImage
from peel.model.progress import Progress
from peel.model.values import Platform
from peel.store.store import Store
from peel.tools.buildah import Buildah
from peel.workflow.fetching import Sources


@dataclass(frozen=True, slots=True)
class Material:
    """Collaborators of a capture; ``buildah`` is asked for only when something has to run."""

    platform: Platform
    base: BaseImage
    reference: str
    """What the base is declared as."""
    glibc: str
    store: Store
    sources: Sources
    buildah: Callable[[], Buildah]
    progress: Progress


def origin_of(environment: DeclaredEnvironment) -> str:
    """What errors call an environment that is captured."""
    return f"envs/{environment.name}"
