"""The cases: each measures one promise and yields its rows."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import layers_against_tar as layers
from material import CHANGED, LARGE, PEEL, REF, Place, change_one_package, copy_store, forget_layers, make_large
from measuring import Contender, Row, alternate, call, peak_of
from plain import PlainWay

from peel.model.plan import LayerStep, Plan, layer_key
from peel.store.store import LayerRecord, Store

_MIB = 1 << 20


@dataclass(frozen=True, slots=True)
class Bench:
    """The demo to measure, a directory to work in, and how often the long contenders run."""

    demo: Place
    work: Path
    rounds: int

    @property
    def short_rounds(self) -> int:
        return max(5, self.rounds)


def cold_build(bench: Bench) -> Iterator[Row]:
    """Lock and archives at hand, no layers: ``peel build`` against the plain way, as skopeo compresses by default."""
    cold = bench.demo.with_store(bench.work / "cold")
    store = Store(bench.demo.store)
    gzip = PlainWay(bench.demo.plan(), store, bench.demo.catalogue / "base", bench.work / "plain")
    zstd = replace(gzip, compression=("--dest-compress-format", "zstd", "--dest-compress-level", "3"))
    build = Contender(
        lambda: call(cold.peel("build", str(REF), "--quiet")), lambda: copy_store(bench.demo.store, cold.store)
    )
    against = "rattler, compileall, commit, skopeo copy"
    ours, theirs = alternate(bench.rounds, build, Contender(gzip.run, gzip.prepare))
    yield Row("cold build", f"{against} (gzip)", ours / theirs, "x", 0.5, f"{ours:.1f} s and {theirs:.1f} s")
    ours, theirs = alternate(1, build, Contender(zstd.run, zstd.prepare))
    yield Row(
        "cold build, one run", f"{against} (zstd -3)", ours / theirs, "x", 0.5, f"{ours:.1f} s and {theirs:.1f} s"
    )
    zstd.clear()


def warm_build(bench: Bench) -> Iterator[Row]:
    """Nothing changed; then one small package changed, with everything else at hand."""
    place = change_one_package(bench.demo, bench.work)
    call(place.peel("build", str(REF), "--quiet"))
    call(place.peel("build", str(CHANGED), "--quiet"))
    forget = forget_layers(place, CHANGED, REF)
    forget()
    told = json.loads(call(place.peel("build", str(CHANGED), "--quiet", "--json")))
    new = [layer["contents"] for layer in told["layers"] if not layer["reused"]]
    unchanged, changed = alternate(
        bench.short_rounds,
        Contender(lambda: call(place.peel("build", str(REF), "--quiet"))),
        Contender(lambda: call(place.peel("build", str(CHANGED), "--quiet")), forget),
    )
    yield Row("build, nothing changed", "", unchanged, "s", 1.0)
    yield Row("build, one small package changed", "", changed, "s", 3.0, f"new: {'; '.join(new)}")
    yield Row("layers made for one changed package", "", len(new), "layers", 1)


def layer_writing(bench: Bench) -> Iterator[Row]:
    """Canonical tar and compression against GNU tar and zstd of the same tree."""
    plan, store = bench.demo.plan(), Store(bench.demo.store)
    tree = layers.unpack([recorded(step, plan, store) for step in plan.layers], store, bench.work / "tree")
    out = bench.work / "written"
    out.mkdir()
    with layers.as_the_build_does(tree, out / "many") as write_many:
        theirs, one, many = alternate(
            bench.short_rounds,
            Contender(layers.gnu_tar(tree.root, out / "gnu.tar.zst")),
            Contender(layers.as_one_layer(tree, out / "one")),
            Contender(write_many),
        )
    shutil.rmtree(tree.root)
    against = "GNU tar | zstd -T2 -3, one file"
    yield Row("all files as one layer", against, one / theirs, "x", 1.2, f"{len(tree.whole)} entries")
    yield Row(
        "the demo's layers, as the build writes them", against, many / theirs, "x", 1.2, f"{len(tree.layers)} layers"
    )


def recorded(step: LayerStep, plan: Plan, store: Store) -> LayerRecord:
    """A layer of the demo's image."""
    found = store.layer(layer_key(step, plan))
    if found is None:
        raise SystemExit(f"the demo's store lacks the layer {step.contents!r}: build it again")
    return found


def memory(bench: Bench) -> Iterator[Row]:
    """The peak of a cold build, all processes together; then with a large package, and with one twice as large."""
    cold = bench.demo.with_store(bench.work / "cold")
    copy_store(bench.demo.store, cold.store)
    yield _peak("memory of a cold build", cold, str(REF))
    for mebibytes in (512, 1024):
        large = make_large(bench.demo, bench.work, mebibytes)
        yield _peak(f"memory with a package of {mebibytes} MiB, with a prefix", large, str(LARGE))
        shutil.rmtree(large.store)
        shutil.rmtree(large.catalogue)


def _peak(what: str, place: Place, ref: str) -> Row:
    peak = peak_of(place.peel("build", ref, "--quiet"))
    return Row(what, "", peak.together / _MIB, "MiB", 512, f"largest process {peak.largest / _MIB:.0f} MiB")


def commands(bench: Bench) -> Iterator[Row]:
    """What people wait for at a prompt."""
    usage, check = alternate(
        max(9, bench.rounds),
        Contender(lambda: call([PEEL, "--help"])),
        Contender(lambda: call(bench.demo.peel("lock", "--check", str(REF)))),
    )
    yield Row("peel --help", "", usage, "s", 0.25)
    yield Row("peel lock --check", "", check, "s", 0.3)


def whole_demo(bench: Bench) -> Iterator[Row]:
    """``peel demo``, first with nothing downloaded, then with what that left in the cache."""
    place, cache = bench.work / "whole", bench.work / "cache"

    def run() -> None:
        call([PEEL, "demo", place, "--quiet"], env={**os.environ, "XDG_CACHE_HOME": str(cache)})

    def forget(*paths: Path) -> None:
        for path in paths:
            shutil.rmtree(path, ignore_errors=True)

    empty, warm = alternate(
        bench.rounds,
        Contender(run, lambda: forget(place, cache)),
        Contender(run, lambda: forget(place)),
    )
    yield Row("peel demo, downloads at hand", "", warm, "s", 150)
    yield Row("peel demo, nothing downloaded", "", empty, "s", 150, "with the mirrors' time")


CASES: dict[str, Callable[[Bench], Iterator[Row]]] = {
    "commands": commands,
    "layers": layer_writing,
    "warm": warm_build,
    "cold": cold_build,
    "memory": memory,
    "demo": whole_demo,
}
