"""The cases of historical images: verify, patch, diff, import, and what a node pulls after a patch."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from typing import Any

import layers_against_tar as layers
import yaml
from cases import Bench, recorded
from material import BEFORE, REF, Place, change_one_package, copy_store
from measuring import Contender, Peak, Row, alternate, call, peak_of
from synthetic import PATCH, SYNTHETIC, make_synthetic

from locksets import group, locked, make_declared, make_lock
from peel.model.lockset import LOCK_FILE, environment_lock_file
from peel.model.values import ImageRef
from peel.store.catalogue import Catalogue
from peel.store.documents import to_yaml
from peel.store.store import Store

_KIB = 1 << 10
_MIB = 1 << 20
_SMALL = "2026-11-small"
_SMALL_PATCH = """\
schema: 1
reason: another build of one small package
packages:
  replace: {webencodings: "webencodings=*=again_1"}
"""


def verifying(bench: Bench) -> Iterator[Row]:
    """``peel verify`` against a cold build: it is one, and compares."""
    cold = bench.demo.with_store(bench.work / "cold")
    ours, theirs = alternate(
        bench.rounds,
        Contender(lambda: call(bench.demo.peel("verify", str(REF), "--quiet"))),
        Contender(
            lambda: call(cold.peel("build", str(REF), "--quiet")), lambda: copy_store(bench.demo.store, cold.store)
        ),
    )
    yield Row("peel verify", "a cold build", ours / theirs, "x", 1.1, f"{ours:.1f} s and {theirs:.1f} s")


def patching(bench: Bench) -> Iterator[Row]:
    """One small package of the demo patched, then one of 600: all that comes after the solve."""
    place = change_one_package(bench.demo, bench.work)
    _write_patch(place, _SMALL, _SMALL_PATCH)
    call(place.peel("build", str(BEFORE), "--quiet"))
    yield _after_the_solve("patch of one small package, after the solve", place, BEFORE, _SMALL, bench.short_rounds, 5)
    shutil.rmtree(place.store)
    shutil.rmtree(place.catalogue)
    large = make_synthetic(bench.demo, bench.work)
    call(large.peel("build", str(SYNTHETIC), "--quiet"))
    yield _after_the_solve("patch of one package of 600, after the solve", large, SYNTHETIC, PATCH, bench.rounds, 10)
    told = _patched(large, SYNTHETIC, PATCH, "r1_0_0_rsp80")
    new, whole = _new_bytes(told), _bytes(large, ImageRef(SYNTHETIC.image, "r1_0_0_rsp80"))
    detail = f"{_packages(large)} packages, {whole / 1e9:.1f} GB of blobs; {_shared(told)}"
    yield Row("bytes not shared after that patch", "", 100 * new / whole, "%", 1, detail)
    peak = peak_of(large.peel("patch", str(SYNTHETIC), PATCH, "--as", "r1_0_0_rsp90", "--quiet"))
    yield _peak_row("memory of that patch, its solve included", peak)
    shutil.rmtree(large.store)
    shutil.rmtree(large.catalogue)


def _after_the_solve(what: str, place: Place, ref: ImageRef, patch: str, rounds: int, target: float) -> Row:
    """A whole patch without what ``--dry-run`` does: start, read the lock set, solve. The layer is made every time."""
    tags = (f"r1_0_0_rsp{number}" for number in range(1, rounds + 1))
    before = {path.name for path in (place.store / "layers").iterdir()}

    def forget() -> None:
        for path in (place.store / "layers").iterdir():
            if path.name not in before:
                path.unlink()

    solve, whole = alternate(
        rounds,
        Contender(lambda: call(place.peel("patch", str(ref), patch, "--dry-run", "--quiet"))),
        Contender(lambda: _patched(place, ref, patch, next(tags)), forget),
    )
    return Row(what, "", whole - solve, "s", target, f"{whole:.1f} s in all, {solve:.1f} s of them with --dry-run")


def _write_patch(place: Place, name: str, text: str) -> None:
    directory = place.catalogue / "envs" / "patches"
    directory.mkdir(exist_ok=True)
    (directory / f"{name}.yaml").write_text(text)


def _patched(place: Place, ref: ImageRef, patch: str, tag: str, *options: str) -> dict[str, Any]:
    said = call(place.peel("patch", str(ref), patch, "--as", tag, "--json", "--quiet", *options))
    found: dict[str, Any] = json.loads(said)
    return found


def _new_bytes(told: dict[str, Any]) -> int:
    return sum(layer["size"] for layer in told["new"])


def _shared(told: dict[str, Any]) -> str:
    return f"{len(told['kept'])} layers kept, {len(told['new'])} new"


def _packages(place: Place) -> int:
    locks = Catalogue.open(place.catalogue).lock_set(SYNTHETIC)
    return sum(len(found) for found in locks.installed.values())


def _bytes(place: Place, ref: ImageRef) -> int:
    record = Catalogue.open(place.catalogue).record(ref)
    return sum(layer.size for image in record.platforms.values() for layer in image.layers) if record else 0


def _peak_row(what: str, peak: Peak) -> Row:
    return Row(what, "", peak.together / _MIB, "MiB", 512, f"largest process {peak.largest / _MIB:.0f} MiB")


def pulling(bench: Bench) -> Iterator[Row]:
    """What a node that holds the demo's image must pull after a patch of one small package."""
    place = change_one_package(bench.demo, bench.work)
    _write_patch(place, _SMALL, _SMALL_PATCH)
    call(place.peel("build", str(BEFORE), "--quiet"))
    for mode in ("overlay", "replace"):
        told = _patched(place, BEFORE, _SMALL, f"r1_0_0_{mode}", "--mode", mode)
        pulled = _new_bytes(told) / _KIB
        yield Row(f"to pull after a one-package patch: peel, {mode}", "", pulled, "KiB", None, _shared(told))
    plan, store = place.plan(BEFORE), Store(place.store)
    lab = [step for step in plan.layers if step.contents.startswith("lab: ")]
    tree = layers.unpack([recorded(step, plan, store) for step in lab], store, bench.work / "lab")
    out = bench.work / "whole-lab"
    layers.as_one_layer(tree, out)()
    whole = out.stat().st_size
    out.unlink()
    what = "to pull after a one-package patch: one layer per environment"
    yield Row(what, "", whole / _KIB, "KiB", None, "the lab's")
    for used in (tree.root, place.catalogue, place.store):
        shutil.rmtree(used)


def comparing(bench: Bench) -> Iterator[Row]:
    """``peel diff`` of two locks of 600 packages."""
    place = Place(bench.work / "compared", bench.work / "compared-store")
    old, new = (_write_lock(place, tag, changed) for tag, changed in (("r1_0_0", 0), ("r1_0_1", 60)))
    run = place.peel("diff", old, new, "--platform", "linux-64")
    (taken,) = alternate(bench.short_rounds, Contender(lambda: call(run)))
    yield Row("peel diff, two locks of 600 packages", "", taken, "s", 0.5)


def _write_lock(place: Place, tag: str, changed: int) -> str:
    packages = [locked(f"package-{n:03}", "2.0" if n < changed else "1.0", depends=["python"]) for n in range(600)]
    lock = make_lock(make_declared(), {"lab": [group("shared/0", *packages)]}, tag=tag)
    document = {"version": 1, "metadata": {}, "package": [package.model_dump(mode="json") for package in packages]}
    files = {LOCK_FILE: to_yaml(lock.as_document()), environment_lock_file("lab"): yaml.safe_dump(document).encode()}
    ref = ImageRef(lock.image, tag)
    Catalogue(place.catalogue).write_lock_set(ref, files)
    return str(ref)


def importing(bench: Bench) -> Iterator[Row]:
    """``peel import`` of an explicit list of 300 packages, nothing fetched."""
    place = Place(bench.work / "imported", bench.work / "imported-store")
    (place.catalogue / "envs").mkdir(parents=True)
    lines = [f"https://channel.invalid/main/linux-64/package-{n:03}-1.0-0.conda#{n:032x}" for n in range(300)]
    listed = bench.work / "explicit.txt"
    listed.write_text("\n".join(["# platform: linux-64", "@EXPLICIT", *lines, ""]))
    run = place.peel("import", str(listed), "old:r1", "--partial", "--dry-run", "--platform", "linux-64", "--quiet")
    (taken,) = alternate(bench.short_rounds, Contender(lambda: call(run)))
    yield Row("peel import, an explicit list of 300, without hashing", "", taken, "s", 0.5)


HISTORY_CASES: dict[str, Callable[[Bench], Iterator[Row]]] = {
    "diff": comparing,
    "import": importing,
    "verify": verifying,
    "pull": pulling,
    "patch": patching,
}
