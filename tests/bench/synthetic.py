"""A large catalogue, made up and always the same: 600 packages, 4 GB, 200,000 files, on the demo's base and Pythons."""

from __future__ import annotations

import os
import random
import shutil
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path

from material import Place, copy_store
from measuring import call

from channels import Content, File, index, make_package
from peel.model.values import ImageRef

SYNTHETIC = ImageRef("synthetic", "r1_0_0")
PATCH = "2026-11-one-package"
PATCHED_PACKAGE = "synth-042"
PACKAGES = 560
"""So many made-up packages beside the demo's python, ipykernel and what they need make 600."""

_TEXTS = 350
_SOURCES = 8
_TEXT_BYTES = 12_000
_LARGE_BYTES = 3_000_000

_IMAGE = """\
schema: 1
base: {base}
platforms: [linux-64]
lab:
  environment: lab/environment.yml
  prefix: /opt/peel/lab
payloads: [synthetic]
tags: rsp
"""

_PAYLOAD = """\
schema: 1
kind: conda
prefix: /opt/peel/envs/synthetic
kernel:
  name: synthetic
  display_name: Synthetic
"""

_PATCH = """\
schema: 1
reason: a newer build of one package
references: [CVE-2026-0001]
packages:
  raise: [{name} >=2]
"""


def make_synthetic(demo: Place, work: Path) -> Place:
    """The catalogue, locked; its archives are in the store, and its channel has version 2.0 of one package, too."""
    place = Place(work / "synthetic", work / "synthetic-store")
    channel = place.catalogue / "channel"
    shutil.copytree(demo.catalogue / "channel", channel, copy_function=os.link)
    for repodata in channel.glob("*/repodata.json"):
        repodata.unlink()  # a hard link, which index() would write through
    with ProcessPoolExecutor(os.cpu_count()) as pool:
        list(pool.map(partial(_make_one, channel, "1.0"), range(PACKAGES)))
    make_package(channel, "synth-all", "1.0", depends=[_name(number) for number in range(PACKAGES)])
    _declare(place, demo, index(channel))
    copy_store(demo.store, place.store)
    call(place.peel("lock", str(SYNTHETIC), "--quiet"))
    _make_one(channel, "2.0", int(PATCHED_PACKAGE.rpartition("-")[2]))
    index(channel)
    return place


def _declare(place: Place, demo: Place, url: str) -> None:
    files = {
        f"{SYNTHETIC.image}.yaml": _IMAGE.format(base=demo.plan().base.reference),
        "lab/environment.yml": f"channels:\n  - {url}\ndependencies:\n  - python 3.13.*\n  - jupyterlab >=4.6\n",
        "synthetic/payload.yaml": _PAYLOAD,
        "synthetic/environment.yml": (
            f"channels:\n  - {url}\ndependencies:\n  - python 3.11.*\n  - ipykernel\n  - numpy\n  - synth-all\n"
        ),
        f"patches/{PATCH}.yaml": _PATCH.format(name=PATCHED_PACKAGE),
    }
    for name, text in files.items():
        path = place.catalogue / "envs" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def _name(number: int) -> str:
    return f"synth-{number:03}"


def _make_one(channel: Path, version: str, number: int) -> None:
    """A package of one large file, some sources and many small files; half of every file compresses away."""
    name, chance = _name(number), random.Random(number)
    module = f"lib/python3.11/site-packages/{name.replace('-', '_')}"
    files: dict[str, Content] = {f"lib/{name}/large.bin": File(_bytes(chance, _LARGE_BYTES))}
    for count in range(_TEXTS):
        files[f"share/{name}/{count // 50:02}/{count:03}.dat"] = File(_bytes(chance, _TEXT_BYTES))
    for count in range(_SOURCES):
        files[f"{module}/part{count}.py"] = f"VERSION = {version!r}\n\n\ndef part() -> int:\n    return {count}\n"
    files[f"{module}/__init__.py"] = f"__version__ = {version!r}\n"
    make_package(channel, name, version, depends=["python 3.11.*"], files=files)


def _bytes(chance: random.Random, size: int) -> bytes:
    return chance.randbytes(size // 2) + bytes(size - size // 2)
