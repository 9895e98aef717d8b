"""How soon a lab answers and a kernel runs its first cell, against the same programs started barely; and the checks."""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from cases import Bench
from material import REF
from measuring import Contender, Row, alternate, call

from peel.model.plan import make_plan
from peel.model.values import Platform
from peel.store.catalogue import Catalogue
from peel.store.store import Store
from peel.tools.buildah import Buildah, Volume
from peel.workflow.containers import chosen_buildah, import_image
from peel.workflow.lab import START_COMMAND, UNPRIVILEGED, launch
from peel.workflow.launch import built_image

_LAB = "/opt/peel/lab"
_SCIENCE = "/opt/peel/envs/science"
_BARE = (f"{_LAB}/bin/python", "-m", "jupyterlab", "--KernelSpecManager.allowed_kernelspecs={'bare'}")
_KERNELS = "/usr/local/share/jupyter/kernels/bare"


def starting(bench: Bench) -> Iterator[Row]:
    """The demo's lab until it answers, and a kernel's first cell, by peel's scripts and without."""
    store, catalogue = Store(bench.demo.store), Catalogue.open(bench.demo.catalogue)
    plan = make_plan(catalogue.lock_set(REF), Platform("linux-64"))
    engine = chosen_buildah(store)
    image = import_image(built_image(plan, catalogue, store), store, engine)
    ready: dict[str, list[float]] = {"peel": [], "bare": []}
    with tempfile.TemporaryDirectory() as place:
        Path(place).chmod(0o755)
        spec = {"argv": [f"{_SCIENCE}/bin/python", "-m", "ipykernel_launcher", "-f", "{connection_file}"],
                "display_name": "bare", "language": "python"}  # fmt: skip
        Path(place, "kernel.json").write_text(json.dumps(spec))
        volume = Volume(Path(place), _KERNELS)
        ours, theirs = alternate(
            bench.short_rounds,
            Contender(_start(engine, image, START_COMMAND, "science", (), ready["peel"])),
            Contender(_start(engine, image, _BARE, "bare", (volume,), ready["bare"])),
        )
    up = sorted(ready["peel"])[len(ready["peel"]) // 2], sorted(ready["bare"])[len(ready["bare"]) // 2]
    yield Row("lab answers", "bare JupyterLab", up[0] / up[1], "x", 1.3, f"{up[0]:.2f} s and {up[1]:.2f} s")
    cell = ours - up[0], theirs - up[1]
    told = f"{cell[0]:.2f} s and {cell[1]:.2f} s, the lab's end included"
    yield Row("first cell of a kernel", "a bare kernel", cell[0] / cell[1], "x", 1.3, told)


def _start(
    engine: Buildah, image: str, start: tuple[str, ...], kernel: str, volumes: tuple[Volume, ...], ready: list[float]
) -> Callable[[], None]:
    def run() -> None:
        began = time.monotonic()
        with launch(image, engine=engine, start=start, volumes=volumes, user=UNPRIVILEGED) as running:
            ready.append(time.monotonic() - began)
            result = running.server.run_cell(kernel, "print(1)", timeout=60.0)
        if result.text.strip() != "1":
            raise SystemExit(f"kernel {kernel} printed {result.text!r} {result.error}")

    return run


def checking(bench: Bench) -> Iterator[Row]:
    """``peel check`` of the demo's image, all of it."""
    (taken,) = alternate(bench.rounds, Contender(lambda: call(bench.demo.peel("check", str(REF), "--quiet"))))
    yield Row("peel check of the demo's image", "", taken, "s", 60)


START_CASES: dict[str, Callable[[Bench], Iterator[Row]]] = {"start": starting, "check": checking}
