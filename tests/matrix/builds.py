"""One lock set, built in a root with one isolation and one storage driver, and how that differs from the record."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from roots import FOLDERS, Root, call

from peel.store.store import Store
from peel.tools.isolation import MEMORY

REF = "demo-lab:r1_0_0"
ISOLATIONS = ("runc", "chroot")
DRIVERS = ("overlay", "vfs")
_RUNTIMES = {"runc", "crun"}


@dataclass(frozen=True, slots=True)
class Demo:
    """A directory that ``peel demo`` has filled, its store beside the catalogue's other parts."""

    place: Path

    @property
    def record(self) -> Any:
        """What this machine's own build gave."""
        platforms = json.loads((_lock_set(self.place) / "record.json").read_bytes())["platforms"]
        (image,) = platforms.values()
        return image

    @property
    def setting(self) -> Setting:
        """With what this machine built it."""
        return _setting_of(self.place / "store")


@dataclass(frozen=True, slots=True)
class Setting:
    """What a build is kept apart with, and how its containers are stored."""

    isolation: str
    driver: str


@dataclass(frozen=True, slots=True)
class Outcome:
    """The manifest digest that a build gave, and what differs from the record: nothing, if all is well."""

    manifest: str
    differences: tuple[str, ...] = ()


def build(root: Root, setting: Setting, demo: Demo) -> Outcome:
    """Build the demo's lock set offline, from its artifacts alone, in a new store that is gone afterwards."""
    place = root.work / "builds" / f"{root.path.name}-{setting.isolation}-{setting.driver}"
    shutil.rmtree(place, ignore_errors=True)
    try:
        _lay_out(place, demo)
        _make_storage(root, place / "store", setting.driver)
        path = _path_without(root, _RUNTIMES - {setting.isolation}, place / "bin")
        done = root.peel(
            "-C", root.inside(place), "--store", root.inside(place / "store"), "build", REF, "--json", path=path
        )
        if done.returncode:
            return Outcome("", (f"failed: {_error_in(done.stderr)}",))
        used = _setting_of(place / "store")
        if used != setting:
            return Outcome("", (f"was built with {used.isolation} on {used.driver} instead",))
        return _compare(json.loads(done.stdout), demo.record)
    finally:
        shutil.rmtree(place)


def _lay_out(place: Path, demo: Demo) -> None:
    """A catalogue with the lock set but no record, and a store with base and archives but no layers."""
    shutil.copytree(demo.place / "envs", place / "envs")
    shutil.copytree(_lock_set(demo.place), _lock_set(place), ignore=shutil.ignore_patterns("record.json"))
    Store(place / "store")
    locks = "".join(path.read_text() for path in _lock_set(place).iterdir() if path.is_file())
    archives = (blob for blob in demo.place.glob("store/blobs/sha256/*") if blob.name in locks)
    for blob in {blob.name: blob for blob in (*archives, *demo.place.glob("base/blobs/sha256/*"))}.values():
        os.link(blob, place / "store" / "blobs" / "sha256" / blob.name)


def _lock_set(catalogue: Path) -> Path:
    return catalogue.joinpath("lockfiles", *REF.split(":"))


def _make_storage(root: Root, store: Path, driver: str) -> None:
    """Make the container storage before peel does, which keeps the driver of one that exists."""
    containers = root.inside(store / "containers")
    root.run(
        "buildah", "--root", f"{containers}/storage", "--runroot", f"{containers}/run", "--storage-driver", driver,
        "info",
    )  # fmt: skip


def _path_without(root: Root, absent: Collection[str], place: Path) -> str:
    """A PATH for a root with all of its programs but these."""
    place.mkdir()
    for folder in FOLDERS:
        found = root.path / folder.removeprefix("/")
        for program in found.iterdir() if found.is_dir() else ():
            link = place / program.name
            if program.name not in absent and not link.is_symlink():
                link.symlink_to(f"{folder}/{program.name}")
    return root.inside(place)


def _setting_of(store: Path) -> Setting:
    """What a store was built with: peel's note of the isolation, and the drivers that left images."""
    containers = store / "containers"
    drivers = [driver for driver in DRIVERS if (containers / "storage" / f"{driver}-images" / "images.json").exists()]
    return Setting(json.loads((containers / MEMORY).read_bytes())["isolation"], " and ".join(drivers))


def _compare(built: Any, record: Any) -> Outcome:
    return Outcome(built["manifest"], tuple(_differences(built, record)))


def _differences(built: Any, record: Any) -> Iterator[str]:
    """What is not as recorded, from the layers up."""
    recorded = {layer["contents"]: layer for layer in record["layers"]}
    made = {layer["contents"]: layer for layer in built["layers"] if layer["contents"] in recorded}
    yield from sorted(f"no layer {contents!r}" for contents in recorded.keys() - made.keys())
    yield from (f"{contents!r} was not made, but found" for contents, layer in made.items() if layer["reused"])
    for contents, layer in made.items():
        parts = (part for part in ("diff_id", "digest") if layer[part] != recorded[contents][part])
        if part := next(parts, None):
            yield f"{part} of {contents!r}: {layer[part]}"
    for part in ("config", "manifest"):
        if built[part] != record[part]:
            yield f"{part}: {built[part]}"


def _error_in(stderr: str) -> str:
    """The error that peel ended with, in one line."""
    lines = stderr.splitlines()
    return next((line for line in lines if line.startswith("error: ")), lines[-1] if lines else "it said nothing")


def make_demo(peel: Path, work: Path) -> Demo:
    """The demo as ``peel demo`` leaves it; one that an earlier run left in the work directory is used again."""
    demo = Demo(work / "demo")
    if not (_lock_set(demo.place) / "record.json").exists():
        call((peel, "demo", demo.place, "--quiet"))
    return demo
