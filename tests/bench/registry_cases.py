"""Tags, menus, publishing and the catalogue's pages: against skopeo where it does the same."""

from __future__ import annotations

import os
import secrets
import shutil
from collections.abc import Callable, Iterator
from itertools import count

from cases import Bench
from material import PEEL, REF
from measuring import Contender, Row, alternate, call

from many_lock_sets import write_many
from registries import published, real_registry, trusting

_PUBLISHED = "r1_0_0_pushed"
_MANY = 20_000
_IN_REGISTRY = 2_000


def tags(bench: Bench) -> Iterator[Row]:
    """Reading and ordering many tags, the command's own start included."""
    years, weeks = range(2000, 2100), range(1, 51)
    given = [f"w_{year}_{week:02}_c{cycle:04}.001" for year in years for week in weeks for cycle in range(4)]
    text = "\n".join(given).encode()
    (taken,) = alternate(bench.short_rounds, Contender(lambda: call([PEEL, "tag", "sort"], input=text)))
    yield Row(f"peel tag sort of {_MANY:,} tags", "", taken, "s", 0.5)


def menu(bench: Bench) -> Iterator[Row]:
    """A menu of a registry of many tags: of few that are shown, and of all of them."""
    place = bench.work / "menu"
    (place / "catalogue" / "envs").mkdir(parents=True)
    with real_registry(place / "registry") as host:
        env = _trusting(host, bench)
        published(host, [f"w_{2000 + n // 50}_{n % 50 + 1:02}" for n in range(_IN_REGISTRY)], name="bench/lab")
        source = f"  - {{name: lab, title: Lab, source: 'docker://{host}/bench/lab'"
        for shown, rule in ((78, ", dropdown: {weekly: {number: 78}}"), (_IN_REGISTRY, "")):
            (place / "catalogue" / "envs" / "menu.yaml").write_text(f"schema: 1\npayloads:\n{source}{rule}}}\n")
            argv = [PEEL, "-C", place / "catalogue", "menu", "--full", "--quiet"]
            (taken,) = alternate(bench.rounds, Contender(lambda argv=argv: call(argv, env=env)))
            yield Row(f"peel menu, {shown:,} of {_IN_REGISTRY:,} tags shown", "", taken, "s", 5)


def pushing(bench: Bench) -> Iterator[Row]:
    """Publishing an image of which one layer of 1 MiB is new, against skopeo copying the same layout."""
    _patch(bench)
    layout = bench.work / "pushed"
    call(bench.demo.peel("build", f"{REF.image}:{_PUBLISHED}", "--to", f"oci:{layout}", "--quiet"))
    numbers = count()
    with real_registry(bench.work / "push-registry") as host:
        env = _trusting(host, bench)
        repositories = {"peel": "", "skopeo": ""}

        def prepare(who: str) -> Callable[[], None]:
            def run() -> None:
                repositories[who] = f"{host}/{who}/lab-{next(numbers)}"
                call(bench.demo.peel("push", str(REF), repositories[who], "--quiet"), env=env)

            return run

        def peel() -> None:
            call(bench.demo.peel("push", f"{REF.image}:{_PUBLISHED}", repositories["peel"], "--quiet"), env=env)

        def copy() -> None:
            target = f"docker://{repositories['skopeo']}:{_PUBLISHED}"
            conf = env["CONTAINERS_REGISTRIES_CONF"]
            call(
                ["skopeo", "--registries-conf", conf, "copy", "--quiet", "--preserve-digests", f"oci:{layout}", target]
            )

        ours, theirs = alternate(
            bench.short_rounds, Contender(peel, prepare("peel")), Contender(copy, prepare("skopeo"))
        )
    yield Row("peel push, 1 MiB of it new", "", ours, "s", 2)
    yield Row("peel push, 1 MiB of it new", "skopeo copy", ours / theirs, "x", None, f"{ours:.2f} s and {theirs:.2f} s")


def site(bench: Bench) -> Iterator[Row]:
    """The pages of 500 lock sets of 300 packages, into a new directory."""
    place = bench.work / "site"
    write_many(place / "catalogue", 500, 300)
    argv = [PEEL, "-C", place / "catalogue", "site", place / "pages", "--quiet"]
    forget = Contender(lambda: call(argv), lambda: shutil.rmtree(place / "pages", ignore_errors=True))
    (taken,) = alternate(bench.rounds, forget)
    largest = max(page.stat().st_size for page in (place / "pages").rglob("*") if page.is_file())
    yield Row("peel site, 500 lock sets of 300 packages", "", taken, "s", 20)
    yield Row("… its largest page", "", largest / 1000, "kB", 200)


def _trusting(host: str, bench: Bench) -> dict[str, str]:
    conf = str(trusting(host, bench.work))
    os.environ["CONTAINERS_REGISTRIES_CONF"] = conf  # for what runs in this process
    return {**os.environ, "CONTAINERS_REGISTRIES_CONF": conf}


def _patch(bench: Bench) -> None:
    """The demo's image with one more layer, of bytes that nothing compresses."""
    patches = bench.demo.catalogue / "envs" / "patches"
    patches.mkdir(exist_ok=True)
    (patches / "data.bin").write_bytes(secrets.token_bytes(1 << 20))
    files = "files: [{path: /opt/peel/envs/science/share/data.bin, source: data.bin}]\n"
    (patches / "data.yaml").write_text(f"schema: 1\nreason: a bench\n{files}")
    shutil.rmtree(bench.demo.catalogue / "lockfiles" / REF.image / _PUBLISHED, ignore_errors=True)
    call(bench.demo.peel("patch", str(REF), "data", "--as", _PUBLISHED, "--quiet"))


REGISTRY_CASES: dict[str, Callable[[Bench], Iterator[Row]]] = {
    "tags": tags, "menu": menu, "push": pushing, "site": site,
}  # fmt: skip
