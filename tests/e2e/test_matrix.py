"""One lock set, built again with everything around it changed: always the recorded digest.

Every case shows that its change took effect, and skips, with the reason, where a machine cannot make it. The buildahs
of other Debian releases are compared by ``nox -s matrix``.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import zstandard

from e2e.catalogues import TINY, Demo, forget_layers
from e2e.images import Image
from e2e.running import Peel, buildah, path_without
from peel.layers.bytecode import SCRIPT
from peel.layers.compress import compression_here, open_compressor

SOMEBODY = 4711
_AS_SOMEBODY = """\
for name in passwd group subuid subgid; do mount --bind "$1/$name" "/etc/$name"; done
shift
exec setpriv --reuid {uid} --regid {uid} --clear-groups \\
    --inh-caps=-all,+dac_read_search --ambient-caps=-all,+dac_read_search -- "$@"
"""  # the one privilege left: to read this Python, which may lie in root's home
_LOOK = """\
import getpass, json, locale, os, sys, time
print(json.dumps({
    "umask": os.umask(0),
    "zone": time.localtime(0).tm_gmtoff,
    "locale": locale.setlocale(locale.LC_ALL, ""),
    "encoding": sys.getfilesystemencoding(),
    "home": os.path.expanduser("~"),
    "directory": os.getcwd(),
    "random hashes": sys.flags.hash_randomization,
    "user": getpass.getuser(),
    "uid": os.getuid(),
    "half-year": time.time() // (182 * 86400),
    "cores": len(os.sched_getaffinity(0)),
}))
"""

Change = Callable[[Peel, Path], Peel]


def umask(peel: Peel, _: Path) -> Peel:
    return peel.under("sh", "-c", 'umask 077; exec "$@"', "sh")


def time_zone(peel: Peel, _: Path) -> Peel:
    return peel.with_env(TZ="CHAST-12:45CHADT")


def language(peel: Peel, place: Path) -> Peel:
    """Turkish: its dotless i has broken many a program that folds case."""
    made = subprocess.run(
        ["localedef", "-i", "tr_TR", "-f", "UTF-8", str(place / "tr_TR.UTF-8")],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    if made.returncode:
        pytest.skip(f"no Turkish locale can be made (Debian's package locales has its source): {made.stderr.strip()}")
    return peel.with_env(LOCPATH=str(place), LANG="tr_TR.UTF-8", LC_ALL="tr_TR.UTF-8")


def encoding(peel: Peel, _: Path) -> Peel:
    return peel.with_env(LC_ALL="C", PYTHONUTF8="0", PYTHONCOERCECLOCALE="0")


def home(peel: Peel, place: Path) -> Peel:
    elsewhere = place / "another home"
    elsewhere.mkdir()
    return replace(peel, home=elsewhere)


def working_directory(peel: Peel, place: Path) -> Peel:
    return peel.under("env", "--chdir", str(place))


def hash_seed(peel: Peel, _: Path) -> Peel:
    return peel.with_env(PYTHONHASHSEED="0")


def user_name(peel: Peel, _: Path) -> Peel:
    return peel.with_env(USER="somebody", LOGNAME="somebody")


def clock(peel: Peel, _: Path) -> Peel:
    if shutil.which("faketime") is None:
        pytest.skip("faketime is not installed")
    return peel.under("faketime", "-f", "+1y")


def cores(peel: Peel, _: Path) -> Peel:
    usable = sorted(os.sched_getaffinity(0))
    if len(usable) == 1:
        pytest.skip("there is only one core")
    return peel.under("taskset", "--cpu-list", str(usable[0]))


CHANGES: dict[str, dict[str, Change]] = {
    "surroundings": {
        "umask": umask, "zone": time_zone, "home": home, "directory": working_directory,
        "random hashes": hash_seed, "user": user_name, "cores": cores,
    },
    "language": {"locale": language},
    "encoding": {"encoding": encoding},
    "clock": {"half-year": clock},
}  # fmt: skip
"""What a build is surrounded by, in as many builds as contradict each other: every fact with what changes it."""


@pytest.mark.parametrize("changes", CHANGES.values(), ids=CHANGES)
def test_a_build_elsewhere_gives_the_recorded_digest_with_other(
    own_tiny: Peel, tiny: Demo, tmp_path: Path, changes: dict[str, Change]
) -> None:
    elsewhere = own_tiny
    for change in changes.values():
        elsewhere = change(elsewhere, tmp_path)
    before, after = seen_by(own_tiny), seen_by(elsewhere)
    assert [fact for fact in changes if before[fact] == after[fact]] == []
    assert built_anew(elsewhere) == tiny.manifest


def test_a_build_in_a_store_of_another_path_gives_the_recorded_digest(
    own_tiny: Peel, tiny: Demo, tmp_path: Path
) -> None:
    elsewhere = replace(own_tiny, store=tmp_path / "A Longer Path" / "für den Store" / ("x" * 60))
    elsewhere.store.parent.mkdir(parents=True)
    own_tiny.store.rename(elsewhere.store)
    assert built_anew(elsewhere) == tiny.manifest
    assert not own_tiny.store.exists()


def test_a_build_by_another_user_gives_the_recorded_digest(own_tiny: Peel, tiny: Demo, somebody: Peel) -> None:
    assert seen_by(own_tiny)["uid"] == 0
    assert seen_by(somebody)["uid"] == SOMEBODY
    assert built_anew(somebody) == tiny.manifest
    assert {path.stat().st_uid for path in somebody.store.glob("layers/*")} == {SOMEBODY}


@pytest.mark.parametrize("driver", ["overlay", "vfs"])
@pytest.mark.parametrize("isolation", ["runc", "chroot"])
def test_a_build_gives_the_recorded_digest_with(
    own_tiny: Peel, tiny: Demo, tmp_path: Path, isolation: str, driver: str
) -> None:
    make_storage(own_tiny, driver)
    path = path_without(tmp_path / "bin", *({"runc", "crun"} - {isolation}))
    digest = built_anew(own_tiny.with_env(PATH=str(path)))
    chosen = json.loads((own_tiny.store / "containers" / "isolation.json").read_text())
    if chosen["isolation"] != isolation:
        pytest.skip(f"{isolation} does not work here: {chosen['refused']}")
    assert drivers_with_images(own_tiny) == [driver]
    assert digest == tiny.manifest


@pytest.mark.parametrize("threads", [1, 2, 3, 5])
def test_a_layer_gets_the_recorded_digest_from_compression_threads(tiny: Demo, threads: int) -> None:
    most = 0
    for recorded in Image.load(tiny.peel.store, tiny.manifest).manifest["layers"][1:]:  # the first is the base's
        digest, running = compressed_anew(tiny.peel.store, recorded["digest"], threads)
        assert digest == recorded["digest"]
        most = max(most, running)
    assert most == threads


@pytest.fixture
def somebody(own_tiny: Peel) -> Iterator[Peel]:
    """The catalogue and its store as another user has them, who is not root and has the store to themselves."""
    if os.geteuid() != 0 or shutil.which("newuidmap") is None:
        pytest.skip("only root can become another user, who needs newuidmap (Debian's package uidmap)")
    place = Path(tempfile.mkdtemp(prefix="peel-somebody-"))  # pytest's directories are closed to other users
    try:
        for part in ("catalogue", "store"):
            shutil.copytree(own_tiny.store.parent / part, place / part)  # copies: nobody else's files change hands
        peel = _as_somebody(replace(own_tiny, catalogue=place / "catalogue", store=place / "store"), place)
        _refuse_machines_without_user_namespaces(peel)
        yield peel
    finally:
        shutil.rmtree(place)


def _as_somebody(peel: Peel, place: Path) -> Peel:
    for name in ("home", "run", "tmp", "etc"):
        (place / name).mkdir(mode=0o700)
    _write_accounts(place / "etc", place / "home")
    for path in (place, *place.rglob("*")):
        os.chown(path, SOMEBODY, SOMEBODY, follow_symlinks=False)
    become = ("sh", "-euc", _AS_SOMEBODY.format(uid=SOMEBODY), "sh", str(place / "etc"))
    peel = replace(peel, home=place / "home", before=("unshare", "--mount", "--", *become))
    return peel.with_env(XDG_RUNTIME_DIR=str(place / "run"), TMPDIR=str(place / "tmp"))


def _write_accounts(etc: Path, home: Path) -> None:
    """The files that name this user, for a mount namespace of their own: the machine's stay as they are."""
    (etc / "passwd").write_text(f"root:x:0:0::/root:/bin/sh\nsomebody:x:{SOMEBODY}:{SOMEBODY}::{home}:/bin/sh\n")
    (etc / "group").write_text(f"root:x:0:\nsomebody:x:{SOMEBODY}:\n")
    for name in ("subuid", "subgid"):
        (etc / name).write_text("somebody:200000:65536\n")


def _refuse_machines_without_user_namespaces(peel: Peel) -> None:
    """Skip where this user may not make containers, or may not read what peel mounts into them."""
    done = subprocess.run(
        [*peel.before, "buildah", "unshare", "cat", str(SCRIPT)],
        env=peel.variables, capture_output=True, text=True, check=False,
    )  # fmt: skip
    if done.returncode:
        pytest.skip(f"another user cannot build here: {done.stderr.strip()}")


def seen_by(peel: Peel) -> Any:
    """What a Python sees of its surroundings that is started as this peel is."""
    done = subprocess.run(
        [*peel.before, sys.executable, "-c", _LOOK],
        env=peel.variables, capture_output=True, text=True, check=True,
    )  # fmt: skip
    return json.loads(done.stdout)


def built_anew(peel: Peel) -> str:
    """The manifest digest of a build that made every layer itself."""
    forget_layers(peel)
    built = peel.must("build", TINY, "--json").json
    assert not any(layer["reused"] for layer in built["layers"] if layer["contents"] != "base")
    return str(built["manifest"])


def make_storage(peel: Peel, driver: str) -> None:
    """Make the store's container storage before peel does, which keeps the driver of one that exists."""
    (peel.store / "containers" / "storage" / f"{driver}-images").mkdir(parents=True)
    done = subprocess.run([*buildah(peel.store), "info"], capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"the storage driver {driver} does not work here: {done.stderr.strip()}")


def drivers_with_images(peel: Peel) -> list[str]:
    """The storage drivers that hold an image in the store's container storage, and so held the containers."""
    lists = sorted((peel.store / "containers" / "storage").glob("*-images/images.json"))
    return [path.parent.name.removesuffix("-images") for path in lists if json.loads(path.read_bytes())]


def compressed_anew(store: Path, digest: str, threads: int) -> tuple[str, int]:
    """A layer's digest when compressed by so many threads, and how many there were indeed."""
    before = running_threads()
    made, most = hashlib.sha256(), 0
    with (
        (store / "blobs" / "sha256" / digest.removeprefix("sha256:")).open("rb") as blob,
        open_compressor(compression_here(), Hashed(made), threads=threads) as compressor,
    ):
        for piece in zstandard.ZstdDecompressor().read_to_iter(blob):
            compressor.write(piece)
            most = max(most, running_threads() - before)
    return f"sha256:{made.hexdigest()}", most


class Hashed:
    """A sink that keeps nothing but a digest of what it is given."""

    def __init__(self, digest: hashlib._Hash) -> None:
        self._digest = digest

    def write(self, data: bytes) -> None:
        self._digest.update(data)


def running_threads() -> int:
    """How many threads this process has."""
    return sum(1 for _ in Path("/proc/self/task").iterdir())
