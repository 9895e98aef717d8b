"""buildah as a maker of images: what a container has become, and what a Dockerfile says; both as OCI layouts."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import Final

from peel.errors import ToolError
from peel.interrupts import uninterrupted
from peel.tools import process, skopeo
from peel.tools.buildah import Buildah, Network, Storage, remove_image

_LAYOUT: Final = "layout"
"""A directory of its own for each image: an existing index would accumulate manifests."""


def commit_argv(storage: Storage, container: str, layout: str) -> tuple[str, ...]:
    """The argv that writes a container as an image, next to the working directory."""
    return process.argv_of(
        "buildah", storage.argv, "commit",
        "--quiet",
        "--format", "oci",
        "--disable-compression",
        container,
        f"oci:{layout}:image",  # relative: buildah 1.28 refuses upper-case letters in a path
    )  # fmt: skip


def commit(buildah: Buildah, container: str, work: Path) -> Path:
    """Write a container as an image into an OCI layout beneath ``work``. Raises ToolError when buildah fails."""
    command = process.Command(commit_argv(buildah.storage, container, _LAYOUT), process.inherit(), cwd=work)
    process.run(command)
    return work / _LAYOUT


def build_argv(
    buildah: Buildah, dockerfile: Path, context: Path, name: str, *, base: str, network: Network
) -> tuple[str, ...]:
    """The argv that builds a Dockerfile into the storage as ``name``; all that runs has the image's isolation."""
    return process.argv_of(
        buildah.isolation.offline_prefix(network),
        "buildah", buildah.storage.argv, "build",
        "--quiet",
        "--format", "oci",
        "--pull-never",  # every image that it is built on is there, by digest
        "--no-cache",
        "--layers=false",
        "--rm", "--force-rm",  # or containers of stages stay
        "--build-arg", f"BASE={base}",
        buildah.isolation.argv,
        buildah.isolation.ulimits,
        buildah.isolation.network_argv(network),
        "--tag", name,
        "--file", str(dockerfile),
        str(context),
    )  # fmt: skip


def build(
    buildah: Buildah, dockerfile: Path, context: Path, work: Path, *, base: str, network: Network, timeout: float
) -> process.Completed:
    """Build a Dockerfile; its image is in an OCI layout beneath ``work`` if the status is 0. ``timeout`` in seconds.

    ``base`` is what the build argument BASE stands for. Raises ToolError when buildah is missing or out of time.
    """
    name = f"localhost/peel-capture:{work.name.lower().strip('.-_') or 'image'}"
    argv = build_argv(buildah, dockerfile, context, name, base=base, network=network)
    try:
        done = process.run(process.Command(argv, process.inherit()), check=False, timeout=timeout)
        if done.status == 0:
            (work / _LAYOUT).mkdir()
            skopeo.copy(buildah.storage.reference(name), "oci:.:image", cwd=work / _LAYOUT, preserve_digests=False)
        return done
    finally:
        with uninterrupted(), suppress(ToolError):
            remove_image(buildah.storage, name)


def built_layout(work: Path) -> Path:
    """Where ``build`` left its image."""
    return work / _LAYOUT
