"""Lock sets made up in memory: an image's packages by environment, joined as if conda-lock had written them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from peel.model.condalock import CondaLockPackage, Hashes
from peel.model.declared import Declared
from peel.model.lockset import Formats, Group, ImageLock, LockedBase, LockedCompression, LockedPackage, LockedWith
from peel.model.values import Digest, ImageRef

REF = ImageRef("lab", "r1_0_0")
FORMATS = Formats(plan=1, linker=1, bytecode=1, layer=1, glue=1)
COMPRESSION = LockedCompression(codec="zstd", library="zstd 1.5.7", level=3, mode="multithreaded")


def make_declared(*payloads: str, **more: Any) -> Declared:
    """An image with a lab and these payloads; ``more`` goes over what it declares."""
    lab = {"name": "lab", "role": "lab", "prefix": "/opt/peel/lab", "channels": ["c"], "dependencies": ["jupyterlab"]}
    environments = [lab, *(payload(name) for name in payloads)]
    image = {
        "base": "docker.io/library/base:9", "platforms": ["linux-64"], "tags": "rsp", "launch": {}, "compression": {},
        "environments": environments, **more,
    }  # fmt: skip
    return Declared.model_validate(image)


def payload(name: str, **more: Any) -> dict[str, Any]:
    return {
        "name": name, "role": "payload", "prefix": f"/opt/peel/envs/{name}", "channels": ["c"],
        "dependencies": ["ipykernel"], "kernel": {"name": name, "display_name": name.title()}, **more,
    }  # fmt: skip


def locked(name: str, version: str = "1.0", *, depends: Sequence[str] = (), **more: Any) -> CondaLockPackage:
    """A package as conda-lock writes it."""
    data = {
        "name": name, "version": version, "manager": "conda", "platform": "linux-64",
        "url": f"https://host/channel/linux-64/{name}-{version}-0.conda", "dependencies": dict.fromkeys(depends, ""),
        "hash": Hashes(sha256=sha256(name, version)), **more,
    }  # fmt: skip
    return CondaLockPackage.model_validate(data)


def sha256(name: str, version: str = "1.0") -> str:
    return Digest.of(f"{name} {version}".encode()).hex


def group(name: str, *packages: CondaLockPackage) -> Group:
    """The layer of these packages."""
    return Group(
        name=name,
        packages=tuple(
            LockedPackage(name=p.name, file=p.file_name, sha256=p.hash.sha256 or sha256(p.name), size=100)
            for p in packages
        ),
    )


def make_lock(
    declared: Declared, layers: Mapping[str, Sequence[Group]], *, platform: str = "linux-64", **more: Any
) -> ImageLock:
    """An image's lock for one platform; ``layers`` is by environment."""
    fields: dict[str, Any] = {
        "schema": 1, "image": REF.image, "tag": REF.tag, "epoch": 1_700_000_000, "formats": FORMATS,
        "compression": COMPRESSION, "locked_with": LockedWith(conda_lock="4", solver="any"), "declared": declared,
        "base": {platform: LockedBase(digest=f"sha256:{'b' * 64}", glibc="2.34", layers=1)},
        "layers": {platform: {name: tuple(groups) for name, groups in layers.items()}}, **more,
    }  # fmt: skip
    return ImageLock(**fields)
