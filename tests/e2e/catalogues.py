"""Catalogues to build from: the whole demo, and a tiny one that still needs every step."""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from channels import index, make_package
from e2e.running import Peel
from peel.store.store import Store

DEMO = "demo-lab:r1_0_0"
TINY = "tiny:1.0.0"

_PYTHON = (
    "bzip2", "libexpat", "libffi", "liblzma", "libsqlite", "libuuid", "libzlib", "ncurses", "openssl",
    "python", "readline", "zstd",
)  # fmt: skip
_IMAGE = """\
schema: 1
base: {base}
platforms: [linux-64]
lab: {{environment: lab/environment.yml, prefix: /opt/peel/lab}}
payloads: [calm]
tags: semver
"""
_PAYLOAD = """\
schema: 1
kind: conda
environment: environment.yml
prefix: /opt/peel/envs/calm
kernel: {name: calm, display_name: Calm}
"""
_LAB = """\
channels: ["{channel}"]
dependencies: [python 3.13.*, jupyterlab]
"""
_CALM = """\
channels: ["{channel}"]
dependencies: [ipykernel]
"""


@dataclass(frozen=True, slots=True)
class Demo:
    """A finished demo: what ``peel demo --json`` said, and how to go on with it."""

    peel: Peel
    said: Any

    @property
    def manifest(self) -> str:
        return str(self.said["manifest"])


def made_once(place: Path, make: Callable[[Path], None]) -> Path:
    """A directory that the first of several processes fills, while the others wait."""
    done = place.with_suffix(".done")
    with place.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not done.exists():
            assert not place.exists(), f"{place} could not be made; the first test that asked for it says why"
            make(place)
            done.touch()
    return place


def brought_by_npm(downloads: str, package: str) -> Path:
    """The ``node_modules`` with a package, kept from one run of the tests to the next; skips where there is no npm."""
    if shutil.which("npm") is None:
        pytest.skip("npm is not installed")

    def make(place: Path) -> None:
        argv = ["npm", "install", "--silent", "--no-fund", "--no-audit", "--prefix", str(place), package]
        subprocess.run(argv, check=True, capture_output=True)

    kept = Path(downloads) / "peel" / "tests"
    kept.mkdir(parents=True, exist_ok=True)
    return made_once(kept / package.replace("@", "-"), make) / "node_modules"


def base_of(peel: Peel) -> str:
    """The base that a catalogue's one image is declared with."""
    lines = next(peel.catalogue.glob("envs/*.yaml")).read_text().splitlines()
    return next(line.removeprefix("base: ") for line in lines if line.startswith("base: "))


def declare_channel(peel: Peel, url: str) -> None:
    """Let both environments of a tiny catalogue come from this channel."""
    declare_tiny(peel.catalogue, base_of(peel), url)


def write_tiny(demo: Peel, place: Path) -> None:
    """A lab of a real Python and a package called jupyterlab, a payload of one small file; on the demo's base."""
    channel = place / "channel"
    _link_python(demo.catalogue / "channel", channel)
    code = {f"site-packages/jupyterlab/part{n}.py": f"def value():\n    return {n}\n" for n in range(300)}
    make_package(channel, "jupyterlab", depends=["python", "small"], noarch="python", files=code)
    make_package(channel, "small", files={"share/small.txt": "one\n"})
    make_package(channel, "ipykernel", files={"share/ipykernel.txt": "no Python here\n"})
    declare_tiny(place, base_of(demo), index(channel))
    Store(place / "store")
    _link_tree(demo.catalogue / "base" / "blobs", place / "store" / "blobs")  # no registry has to serve it


def declare_tiny(place: Path, base: str, channel: str) -> None:
    """Write its declarations."""
    files = {
        "tiny.yaml": _IMAGE.format(base=base),
        "lab/environment.yml": _LAB.format(channel=channel),
        "calm/payload.yaml": _PAYLOAD,
        "calm/environment.yml": _CALM.format(channel=channel),
    }
    for name, text in files.items():
        path = place / "envs" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def clone(peel: Peel, place: Path) -> Peel:
    """A catalogue and its store once more, to be changed freely; its container storage starts empty."""
    catalogue = place / "catalogue"
    for part in ("envs", "lockfiles"):
        shutil.copytree(peel.catalogue / part, catalogue / part)
    Store(place / "store")
    for part in ("blobs", "layers"):
        _link_tree(peel.store / part, place / "store" / part)
    shutil.copy(peel.store / "index.json", place / "store" / "index.json")
    return replace(peel, catalogue=catalogue, store=place / "store")


def forget_layers(peel: Peel) -> None:
    """Let everything be linked, compiled and written again."""
    for record in (peel.store / "layers").iterdir():
        record.unlink()


def forget_artifacts(peel: Peel) -> None:
    """Let every archive be fetched again."""
    locks = "".join(path.read_text() for path in peel.catalogue.glob("lockfiles/*/*/*.conda-lock.yml"))
    for blob in (peel.store / "blobs" / "sha256").iterdir():
        if blob.name in locks:
            blob.unlink()


def record_of(peel: Peel, ref: str) -> Path:
    """Where the record of an address lies."""
    return peel.catalogue.joinpath("lockfiles", *ref.split(":"), "record.json")


def contents_of(place: Path) -> dict[str, bytes]:
    """Every file beneath a directory."""
    return {str(path.relative_to(place)): path.read_bytes() for path in sorted(place.rglob("*")) if path.is_file()}


def _link_tree(source: Path, target: Path) -> None:
    shutil.copytree(source, target, copy_function=os.link, dirs_exist_ok=True)


def _link_python(source: Path, channel: Path) -> None:
    for archive in sorted(source.glob("*/*.conda")):
        name, version, _ = archive.name.rsplit("-", 2)
        if name in _PYTHON and not (name == "python" and not version.startswith("3.13.")):
            target = channel / archive.parent.name / archive.name
            target.parent.mkdir(parents=True, exist_ok=True)
            target.hardlink_to(archive)
