"""What is measured: the demo's catalogue and store, the same with one small package changed, and a large package."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from measuring import call

from channels import PLACEHOLDER, File, index, make_package
from peel.layers.archive import read_facts
from peel.layers.conda_stream import Part, members
from peel.model.entry import Kind
from peel.model.plan import Plan, layer_key, make_plan
from peel.model.values import Digest, ImageRef, Platform
from peel.store.catalogue import Catalogue
from peel.store.store import Store

PEEL = Path(sys.executable).with_name("peel")
REF = ImageRef("demo-lab", "r1_0_0")
BEFORE = ImageRef("demo-lab", "r1_0_0_before")
CHANGED = ImageRef("demo-lab", "r1_0_1")
LARGE = ImageRef("large-lab", "r1_0_0")
SMALL_PACKAGE = "webencodings"
_MIB = 1 << 20


def platform() -> Platform:
    """This machine's."""
    return Platform.from_machine(os.uname().machine)


@dataclass(frozen=True, slots=True)
class Place:
    """A catalogue and a store, and how peel is called on them."""

    catalogue: Path
    store: Path

    def peel(self, *arguments: str) -> list[str]:
        return [str(PEEL), "-C", str(self.catalogue), "--store", str(self.store), *arguments]

    def plan(self, ref: ImageRef = REF) -> Plan:
        return make_plan(Catalogue.open(self.catalogue).lock_set(ref), platform())

    def with_store(self, store: Path) -> Place:
        return Place(self.catalogue, store)


def copy_store(source: Path, target: Path) -> None:
    """Artifacts and blobs, as hard links; no layers, no containers."""
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir(parents=True)
    for name in ("blobs", "format", "oci-layout", "isolation.json"):
        if (source / name).is_dir():
            shutil.copytree(source / name, target / name, copy_function=os.link)
        elif (source / name).exists():
            shutil.copyfile(source / name, target / name)


def make_demo(work: Path) -> Place:
    """The demo, as ``peel demo`` leaves it."""
    call([PEEL, "demo", work / "demo", "--quiet"])
    return Place(work / "demo", work / "demo" / "store")


def change_one_package(demo: Place, work: Path) -> Place:
    """A catalogue that also locks BEFORE and CHANGED: another build of one small package is their only difference."""
    place = Place(work / "changed", work / "changed-store")
    for name in ("envs", "lockfiles"):
        shutil.copytree(demo.catalogue / name, place.catalogue / name)
    channel = _copy_channel(demo, place)
    for file in (place.catalogue / "envs").rglob("environment.yml"):
        file.write_text(file.read_text().replace((demo.catalogue / "channel").as_uri(), index(channel)))
    copy_store(demo.store, place.store)
    call(place.peel("lock", str(BEFORE), "--quiet"))
    call(place.peel("lock", str(CHANGED), "--quiet"))
    (archive,) = (channel / "noarch").glob(f"{SMALL_PACKAGE}-*.conda")
    _build_again(archive, channel)
    index(channel)
    call(place.peel("lock", str(CHANGED), "--quiet"))
    return place


def _copy_channel(demo: Place, place: Place) -> Path:
    channel = place.catalogue / "channel"
    shutil.copytree(demo.catalogue / "channel", channel, copy_function=os.link)
    for repodata in channel.glob("*/repodata.json"):
        repodata.unlink()  # a hard link, which index() would write through
    return channel


def _build_again(archive: Path, channel: Path) -> None:
    """Another build of a ``noarch: python`` package, which holds one file more."""
    facts = read_facts(archive, archive.name)
    files: dict[str, File | bytes] = {"site-packages/built_again.py": b"AGAIN = True\n"}
    for member, content in members(archive, archive.name, Part.PAYLOAD):
        if member.kind is Kind.FILE:
            files[member.path] = File(b"".join(content.chunks()), member.mode)
    make_package(
        channel, facts.name, facts.version, build="again_1", build_number=1, depends=facts.depends, files=dict(files),
        noarch="python", entry_points=facts.entry_points,
    )  # fmt: skip


def forget_layers(place: Place, ref: ImageRef, other_than: ImageRef) -> Callable[[], None]:
    """An action that makes the store forget the layers that one image has and the other has not."""
    store = Store(place.store)
    keep = set(_keys(place, other_than))
    forgotten = [key for key in _keys(place, ref) if key not in keep]

    def forget() -> None:
        for key in forgotten:
            record = store.layer(key)
            if record is not None:
                store.blobs.path(record.blob.digest).unlink()

    return forget


def _keys(place: Place, ref: ImageRef) -> Iterator[Digest]:
    plan = place.plan(ref)
    return (layer_key(step, plan) for step in plan.layers)


_LARGE_IMAGE = """\
schema: 1
base: {base}
platforms: [linux-64]
lab:
  environment: lab/environment.yml
  prefix: /opt/peel/lab
payloads: []
tags: rsp
"""


def make_large(demo: Place, work: Path, mebibytes: int) -> Place:
    """A catalogue and a store of the demo's lab with one more package: a single binary of this size with a prefix."""
    place = Place(work / f"large-{mebibytes}", work / f"large-store-{mebibytes}")
    channel = _copy_channel(demo, place)
    block = os.urandom(_MIB // 2) + bytes(_MIB // 2)
    binary = bytearray(PLACEHOLDER.encode() + b"/lib\0")
    for number in range(mebibytes):
        binary += number.to_bytes(8, "big") + block[8:]
    make_package(channel, "large", files={"lib/large.bin": File(bytes(binary), 0o755, PLACEHOLDER, "binary")})
    url = index(channel)
    envs = place.catalogue / "envs"
    (envs / "lab").mkdir(parents=True)
    base = demo.plan().base.reference
    (envs / f"{LARGE.image}.yaml").write_text(_LARGE_IMAGE.format(base=base))
    (envs / "lab" / "environment.yml").write_text(
        f"channels:\n  - {url}\ndependencies:\n  - python 3.13.*\n  - jupyterlab >=4.6\n  - large\n"
    )
    copy_store(demo.store, place.store)
    call(place.peel("lock", str(LARGE), "--quiet"))
    return place
