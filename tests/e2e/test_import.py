"""``peel import``, for real: a list that a channel's packages were exported to, and images as they were published."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from channels import index, make_package, repodata_record
from e2e.catalogues import DEMO, TINY, Demo, base_of, contents_of
from e2e.images import Image
from e2e.running import Peel, refused
from peel.demo.registry import serve_registry
from peel.tools import process

OFFLINE = ("unshare", "--net", "--")
HISTORY = "history:w_2021_14"
PREFIX = "/opt/lsst/software/stack/conda"

needs_registry = pytest.mark.skipif(process.find("docker-registry") is None, reason="docker-registry is not installed")


def packages_of_the_lab(peel: Peel) -> list[Any]:
    """What conda-lock locked for the lab of the tiny catalogue, in the order of linking that an old list would have."""
    (path,) = peel.catalogue.glob("lockfiles/tiny/*/lab.conda-lock.yml")
    found = {package["name"]: package for package in yaml.safe_load(path.read_text())["package"]}
    order: list[str] = []

    def visit(name: str) -> None:
        if name in found and name not in order:
            for needed in found[name]["dependencies"]:
                visit(needed)
            order.append(name)

    for name in sorted(found):
        visit(name)
    return [found[name] for name in order]


def explicit(packages: list[Any]) -> str:
    """As ``conda list --explicit`` of years ago wrote it: without hashes."""
    urls = "".join(f"{package['url']}\n" for package in packages)
    return f"# This file may be used to create an environment using:\n# platform: linux-64\n@EXPLICIT\n{urls}"


def exported(packages: list[Any]) -> str:
    archives = [Path(package["url"].removeprefix("file://")) for package in packages]
    records = [repodata_record(path) for path in archives]
    return "# platform: linux-64\n" + "".join(f"{r['name']}={r['version']}={r['build']}\n" for r in records)


def test_an_exported_list_of_real_packages_is_imported_built_and_runs(own_tiny: Peel, tmp_path: Path) -> None:
    packages = packages_of_the_lab(own_tiny)
    (tmp_path / "old.env").write_text(explicit(packages))
    (tmp_path / "older.txt").write_text(exported(packages))
    argv = ("--base", base_of(own_tiny), "--prefix", PREFIX, "--environment", "stack")
    told = own_tiny.must("import", tmp_path / "old.env", HISTORY, *argv, "--json").json
    assert told["environments"] == {"stack": {"conda": len(packages), "pip": 0, "missing": 0}}
    channel = packages[0]["url"].rsplit("/", 2)[0]
    own_tiny.must("import", tmp_path / "older.txt", "history:w_2021_15", *argv, "--channel", channel)
    built = own_tiny.under(*OFFLINE).must("build", HISTORY, "--json").json
    layers = {layer["diff_id"] for layer in built["layers"]}
    again = own_tiny.must("build", "history:w_2021_15", "--json").json
    assert {layer["diff_id"] for layer in again["layers"]} == layers
    assert all(layer["reused"] for layer in again["layers"])

    out = tmp_path / "out"
    own_tiny.must("build", HISTORY, "--to", f"oci:{out}")
    members = {member.path: member for member in Image.load(out, built["manifest"]).own_members()}
    inside = PREFIX.lstrip("/")
    assert f"{inside}/share/small.txt" in members
    assert f"{inside}/lib/python3.13/site-packages/jupyterlab/__pycache__/part7.cpython-313.pyc" in members
    records = {path.rpartition("/")[2] for path in members if f"{inside}/conda-meta/" in path and path.endswith("json")}
    assert len(records) == len(packages)


def test_an_imported_environment_runs_in_its_image(own_tiny: Peel, tmp_path: Path) -> None:
    (tmp_path / "old.env").write_text(explicit(packages_of_the_lab(own_tiny)))
    own_tiny.must("import", tmp_path / "old.env", HISTORY, "--base", base_of(own_tiny), "--prefix", PREFIX)
    refused(own_tiny.run("launch", HISTORY), 2, "has no lab: it was imported from a list of packages")
    conf = tmp_path / "storage.conf"
    conf.write_text(f'[storage]\ndriver = "vfs"\ngraphroot = "{tmp_path}/graph"\nrunroot = "{tmp_path}/run"\n')
    elsewhere = own_tiny.with_env(CONTAINERS_STORAGE_CONF=str(conf))
    elsewhere.must("build", HISTORY, "--load")
    command = "import sys, jupyterlab.part7; print(sys.prefix, jupyterlab.part7.value())"
    env = elsewhere.variables
    container = subprocess.run(
        ["buildah", "from", f"localhost/{HISTORY}"], env=env, check=True, capture_output=True, text=True
    ).stdout.strip()
    ran = subprocess.run(
        ["buildah", "run", "--isolation", "chroot", container, "--", f"{PREFIX}/bin/python", "-c", command],
        env=env, check=True, capture_output=True, text=True,
    )  # fmt: skip
    assert ran.stdout == f"{PREFIX} 7\n"


def test_the_demos_image_is_imported_from_a_layout_and_built_to_the_byte(
    own_demo: Peel, demo: Demo, tmp_path: Path
) -> None:
    out = tmp_path / "published"
    demo.peel.must("build", DEMO, "--to", f"oci:{out}:here")
    told = own_demo.must("import", f"oci:{out}", HISTORY, "--json").json
    assert told["format"] == "image"
    locked = {name: len(list(lines_of(demo.peel, name))) for name in ("lab", "science")}
    counted = {name: found["conda"] + found["pip"] for name, found in told["environments"].items()}
    assert counted == locked
    built = own_demo.under(*OFFLINE).must("build", HISTORY, "--json").json
    assert built["manifest"] == demo.manifest
    shown = own_demo.must("show", HISTORY, "--json").json["platforms"]["linux-64"]
    assert (shown["manifest"], shown["imported"]) == (demo.manifest, "oci layout")
    assert {"jupyterlab", "python"} <= {package["name"] for package in shown["environments"]["lab"]["packages"]}
    written = b"".join(contents_of(own_demo.catalogue / "lockfiles" / "history").values())
    assert str(tmp_path).encode() not in written
    refused(own_demo.run("launch", HISTORY, "--check"), 2, "nobody knows which kernels")
    with own_demo.start("launch", HISTORY, "--quiet") as lab:
        assert lab.stdout is not None
        assert lab.stdout.readline().startswith("http://127.0.0.1:")
        lab.send_signal(signal.SIGINT)
        lab.wait(60)


def lines_of(peel: Peel, environment: str) -> list[str]:
    """The packages of an environment of the demo's lock."""
    path = peel.catalogue / "lockfiles" / "demo-lab" / "r1_0_0" / f"{environment}.conda-lock.yml"
    return [line for line in path.read_text().splitlines() if line.startswith("- name: ")]


@needs_registry
@pytest.mark.parametrize("form", ["oci", "v2s2"])
def test_an_image_of_a_real_registry_is_imported_and_built_to_the_byte(
    own_tiny: Peel, tmp_path: Path, form: str
) -> None:
    out = tmp_path / "published"
    own_tiny.must("build", TINY, "--to", f"oci:{out}:here")
    with serve_registry(out, "library/tiny", tag="here") as served:
        source = served.local
        if form == "v2s2":  # as a registry had it before OCI: other media types, gzip instead of zstd
            source = source.replace(":here", ":docker")
            plain, docker = (f"dir:{tmp_path / name}" for name in ("plain", "docker"))
            skopeo("copy", "--src-tls-verify=false", "--dest-decompress", f"docker://{served.local}", plain)
            skopeo("copy", "--format=v2s2", "--dest-compress", plain, docker)
            skopeo("copy", "--dest-tls-verify=false", "--preserve-digests", docker, f"docker://{source}")
        digest = json.loads(skopeo("inspect", "--tls-verify=false", f"docker://{source}"))["Digest"]
        registries = tmp_path / "registries.conf"
        host = source.partition("/")[0]
        registries.write_text(f'[[registry]]\nlocation = "{host}"\ninsecure = true\n')
        peel = own_tiny.with_env(CONTAINERS_REGISTRIES_CONF=str(registries))
        told = peel.must("import", f"docker://{source}", HISTORY, "--json").json
    assert told["environments"].keys() == {"lab", "calm"}
    built = peel.under(*OFFLINE).must("build", HISTORY, "--json").json
    assert built["manifest"] == digest
    lock = yaml.safe_load((own_tiny.catalogue / "lockfiles/history/w_2021_14/image.lock.yaml").read_text())
    assert lock["imported"] == f"docker://{source}"
    assert lock["declared"]["base"] == f"{source.rpartition(':')[0]}@{digest}"


PATCH = """\
schema: 1
reason: small.txt says the wrong thing
packages:
  raise: [small >=2]
"""


def raise_small(peel: Peel, channel: str) -> str:
    """A patch that raises the package small, in a channel that has a newer one; its name."""
    make_package(Path(channel.removeprefix("file://")), "small", "2.0", files={"share/small.txt": "two\n"})
    index(Path(channel.removeprefix("file://")))
    path = peel.catalogue / "envs" / "patches" / "2026-11-small.yaml"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(PATCH)
    return path.stem


def own_channel(peel: Peel, place: Path) -> str:
    """The tiny catalogue's channel once more, to be changed freely; its URL."""
    old = packages_of_the_lab(peel)[0]["url"].rsplit("/", 2)[0]
    shutil.copytree(old.removeprefix("file://"), place / "channel")
    return index(place / "channel")


@pytest.mark.parametrize("what", ["list", "image"])
def test_what_was_imported_is_patched_like_any_other_and_keeps_its_layers(
    own_tiny: Peel, tmp_path: Path, what: str
) -> None:
    channel = own_channel(own_tiny, tmp_path)
    if what == "list":
        old = packages_of_the_lab(own_tiny)[0]["url"].rsplit("/", 2)[0]
        (tmp_path / "old.env").write_text(explicit(packages_of_the_lab(own_tiny)).replace(old, channel))
        own_tiny.must("import", tmp_path / "old.env", HISTORY, "--base", base_of(own_tiny), "--prefix", PREFIX)
    else:
        own_tiny.must("build", TINY, "--to", f"oci:{tmp_path / 'published'}")
        own_tiny.must("import", f"oci:{tmp_path / 'published'}", HISTORY, "--channel", channel)
    before = own_tiny.must("build", HISTORY, "--json").json
    own_tiny.must("patch", HISTORY, raise_small(own_tiny, channel), "--as", "w_2021_14_1")
    after = own_tiny.must("build", "history:w_2021_14_1", "--json").json
    kept = [layer["digest"] for layer in before["layers"]]
    assert [layer["digest"] for layer in after["layers"]][: len(kept)] == kept
    assert len(after["layers"]) == len(kept) + 1
    own_tiny.must("build", "history:w_2021_14_1", "--to", f"oci:{tmp_path / 'out'}")
    top = {m.path: m for m in Image.load(tmp_path / "out", after["manifest"]).members(len(kept))}
    (path,) = (path for path in top if path.endswith("share/small.txt"))
    assert top[path].data == b"two\n"
    assert any(path.endswith("conda-meta/small-2.0-0.json") for path in top)
    assert any(path.endswith("conda-meta/.wh.small-1.0-0.json") for path in top)


def test_an_import_that_lacks_something_leaves_no_lock_set(own_tiny: Peel, tmp_path: Path) -> None:
    packages = packages_of_the_lab(own_tiny)
    text = explicit(packages).replace("file://", "file:///gone", 1)
    (tmp_path / "old.env").write_text(text)
    before = contents_of(own_tiny.catalogue / "lockfiles")
    done = own_tiny.run("import", tmp_path / "old.env", HISTORY, "--base", base_of(own_tiny))
    refused(done, 5, "1 artifact cannot be had", packages[0]["name"])
    assert contents_of(own_tiny.catalogue / "lockfiles") == before


def skopeo(*arguments: str) -> str:
    return subprocess.run(["skopeo", *arguments], check=True, capture_output=True, text=True).stdout
