"""The cases of payload authors: how long a proposal takes, and how soon its environment can be entered."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path

from cases import Bench
from material import REF, Place, copy_store
from measuring import Contender, Row, alternate, call

_ENVIRONMENT = """\
channels: ["{channel}"]
dependencies: [python 3.11.*, "numpy >=2", "ipykernel >=6"]
"""


_PAYLOAD = """\
schema: 1
kind: conda
kernel: {{name: {name}, display_name: {name}}}
"""
_IMAGE = """\
schema: 1
base: {base}
lab: {{environment: lab/environment.yml}}
payloads: [{payloads}]
tags: rsp
"""


def proposing(bench: Bench) -> Iterator[Row]:
    """A small payload against the demo: with no layer at hand, as a new one beside a lab that is, and once more."""
    cold, warm = Place(bench.work / "proposed", bench.work / "proposed-cold"), bench.work / "proposed-warm"
    for name in ("envs", "lockfiles"):
        shutil.copytree(bench.demo.catalogue / name, cold.catalogue / name)
    place = cold.with_store(warm)
    shutil.copytree(bench.demo.store / "blobs", warm / "blobs")
    for name in ("format", "oci-layout", "layers", "index.json"):
        _copy(bench.demo.store / name, warm / name)
    file = bench.work / "environment.yml"
    file.write_text(_ENVIRONMENT.format(channel=(bench.demo.catalogue / "channel").as_uri()))
    names = (f"proposed-{number}" for number in count())
    call(_propose(place, file, "again"))
    first, new, again = alternate(
        bench.rounds,
        Contender(
            lambda: call(_propose(cold, file, next(names))), lambda: copy_store(bench.demo.store, cold.store)
        ),
        Contender(lambda: call(_propose(place, file, next(names)))),
        Contender(lambda: call(_propose(place, file, "again"))),
    )  # fmt: skip
    yield Row("propose a small payload, cold", "", first, "s", 60, "archives at hand, no layer, no container image")
    yield Row("propose a small payload, the lab at hand", "", new, "s", 15)
    yield Row("propose the same once more", "", again, "s", None)


def trying(bench: Bench) -> Iterator[Row]:
    """The demo's payload entered in its base: made anew, and found again."""
    place = bench.demo.with_store(bench.work / "tried")
    copy_store(bench.demo.store, place.store)
    argv = place.peel("try", "science", "--image", str(REF), "--in-base", "--quiet", "--", "true")
    call(argv)
    made = place.store / "environments"
    anew, found = alternate(
        bench.short_rounds, Contender(lambda: call(argv), lambda: shutil.rmtree(made)), Contender(lambda: call(argv))
    )
    yield Row("try, the environment made anew", "", anew, "s", 10)
    yield Row("try, the environment found again", "", found, "s", 2)


def many(bench: Bench) -> Iterator[Row]:
    """Images of one and of eight like payloads, whose layers are of different prefixes and so shared by nobody."""
    place = Place(bench.work / "many", bench.work / "many-store")
    shutil.copytree(bench.demo.catalogue / "envs", place.catalogue / "envs")
    channel, counts = (bench.demo.catalogue / "channel").as_uri(), (1, 8)
    names = [f"like-{number}" for number in range(max(counts))]
    for name in names:
        (place.catalogue / "envs" / name).mkdir()
        (place.catalogue / "envs" / name / "environment.yml").write_text(_ENVIRONMENT.format(channel=channel))
        (place.catalogue / "envs" / name / "payload.yaml").write_text(_PAYLOAD.format(name=name))
    copy_store(bench.demo.store, place.store)
    taken, layers = {}, {}
    for number in counts:
        image, ref = f"many-{number}", f"many-{number}:r1_0_0"
        (place.catalogue / "envs" / f"{image}.yaml").write_text(
            _IMAGE.format(base=bench.demo.plan().base.reference, payloads=", ".join(names[:number]))
        )
        call(place.peel("lock", ref, "--quiet"))
        (taken[number],) = alternate(
            bench.rounds,
            Contender(
                lambda ref=ref: call(place.peel("build", ref, "--quiet")),  # type: ignore[misc]
                lambda: shutil.rmtree(place.store / "layers", ignore_errors=True),
            ),
        )
        layers[number] = len(json.loads(call(place.peel("build", ref, "--json", "--quiet")))["layers"])
    told = f"{taken[1]:.1f} s and {layers[1]} layers with one, {taken[8]:.1f} s and {layers[8]} with eight"
    yield Row(
        "cold build of an image with eight payloads", "eight images with one", taken[8] / (8 * taken[1]), "x", 1, told
    )


def _propose(place: Place, file: Path, name: str) -> list[str]:
    return place.peel("propose", str(file), "--name", name, "--quiet")


def _copy(source: Path, target: Path) -> None:
    if source.is_dir():
        shutil.copytree(source, target)
    else:
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, target)


PAYLOAD_CASES: dict[str, Callable[[Bench], Iterator[Row]]] = {
    "propose": proposing, "try": trying, "many": many,
}  # fmt: skip
