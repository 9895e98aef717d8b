"""A catalogue of many made-up lock sets, always the same: its images grow tag by tag, and some tags are patched."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from locksets import group, locked, make_declared, make_lock, sha256
from peel.model.condalock import CondaLockPackage
from peel.model.lockset import LOCK_FILE, AppliedPatch, MadeFrom, Record, RecordedImage, RecordedLayer
from peel.model.values import Digest, ImageRef
from peel.store.catalogue import Catalogue
from peel.store.documents import to_yaml

SCIENCE = "science"
GROUPS = 8
_DAY = 86_400


def write_many(root: Path, lock_sets: int, packages: int, *, images: int = 5) -> Catalogue:
    """``lock_sets`` lock sets in ``images`` images, ``packages`` packages each; every third tag is not built.

    From one tag to the next, about a tenth of the packages move. Every seventh tag is a patch of the one before it.
    """
    catalogue = Catalogue(root)
    (root / "lockfiles").mkdir(parents=True)
    for number in range(lock_sets):
        image, place = f"image-{number % images}", number // images
        _write_one(catalogue, ImageRef(image, f"r1_{place // 10}_{place % 10}"), place, packages)
    return catalogue


def _write_one(catalogue: Catalogue, ref: ImageRef, place: int, packages: int) -> None:
    found = [locked(f"package-{n:03}", _version(n, place), depends=["python"]) for n in range(packages)]
    layers = {"lab": _groups(found[: packages // 2]), SCIENCE: _groups(found[packages // 2 :])}
    more: dict[str, Any] = {"image": ref.image, "tag": ref.tag, "epoch": 1_700_000_000 + place * _DAY}
    if place % 7 == 6:
        before = place - 1
        more["made_from"] = MadeFrom(
            image=ref.image, tag=f"r1_{before // 10}_{before % 10}", manifests={}, mode="overlay",
            patches=(AppliedPatch(name="2026-11-openssl", sha256=sha256("patch"), reason="a newer openssl"),),
        )  # fmt: skip
    lock = make_lock(make_declared(SCIENCE), layers, **more)
    catalogue.write_lock_set(ref, {LOCK_FILE: to_yaml(lock.as_document())})
    if place % 3:
        catalogue.write_record(ref, _record(ref, layers))


def _version(number: int, place: int) -> str:
    """A tenth of the packages, always other ones, have a new version in every tag."""
    return f"1.{(place + number) // 10}.0"


def _groups(packages: Sequence[CondaLockPackage]) -> list[Any]:
    return [group(f"shared/{n}", *packages[n::GROUPS]) for n in range(GROUPS) if packages[n::GROUPS]]


def _record(ref: ImageRef, layers: dict[str, list[Any]]) -> Record:
    recorded = []
    for name, groups in layers.items():
        for one in groups:
            digest = str(Digest.of(f"{name} {[package.sha256 for package in one.packages]}".encode()))
            size = 1_000_000 * (1 + int(digest[-2:], 16))
            recorded.append(RecordedLayer(diff_id=digest, digest=digest, size=size, contents=f"{name}: {one.name}"))
    manifest = str(Digest.of(str(ref).encode()))
    image = RecordedImage(manifest=manifest, config=manifest, plan=manifest, layers=tuple(recorded))
    return Record(schema=1, platforms={"linux-64": image})
