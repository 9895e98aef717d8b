"""The part of locking that captures: every environment that is not put together from packages."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from peel.layers.compress import Compression
from peel.model.declared import Declared
from peel.model.lockset import ImageLock, LockedBase, LockedCapture
from peel.model.plan import BasePin
from peel.model.progress import Progress
from peel.model.values import Digest, Platform
from peel.store.documents import to_yaml
from peel.store.store import Store
from peel.tools.buildah import Buildah
from peel.workflow.base import fetch_base
from peel.workflow.capturing.capture import capture
from peel.workflow.capturing.material import Material
from peel.workflow.fetching import Sources


def capture_all(
    declared: Declared,
    files: Mapping[str, bytes],
    bases: Mapping[str, LockedBase],
    compression: Compression,
    *,
    store: Store,
    sources: Sources,
    buildah: Callable[[], Buildah],
    progress: Progress,
    kept: ImageLock | None,
) -> dict[str, dict[str, LockedCapture]]:
    """Per platform, per environment: what was captured, or what a lock that is ``kept`` says. Raises as ``capture``."""
    environments = [environment for environment in declared.environments if environment.is_captured]
    if not environments:
        return {}
    if kept is not None:
        return dict(kept.captured)
    captured: dict[str, dict[str, LockedCapture]] = {}
    for name in declared.platforms:
        platform, locked = Platform(name), bases[name]
        base = fetch_base(BasePin(declared.base, Digest(locked.digest)), platform, store, sources, progress)
        material = Material(platform, base, declared.base, locked.glibc, store, sources, buildah, progress)
        found = {each.name: capture(each, files, compression, material) for each in environments}
        captured[name] = {
            environment: LockedCapture(
                diff_id=str(each.blob.diff_id), digest=str(each.blob.digest), size=each.blob.size, files=each.files,
                python=each.python, source=each.source,
            )
            for environment, each in found.items()
        }  # fmt: skip
    return captured


def no_packages() -> bytes:
    """conda-lock's file of an environment that is captured: there are none of its packages."""
    return to_yaml({"version": 1, "metadata": {}, "package": []})
