"""``peel build``: what is reused, what is made again, where images go; and that nothing but the lock set matters."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
from pathlib import Path
from typing import Any

import pytest

from channels import index, make_package
from e2e.catalogues import (
    DEMO,
    TINY,
    Demo,
    contents_of,
    declare_channel,
    declare_tiny,
    forget_artifacts,
    forget_layers,
    record_of,
)
from e2e.running import Peel, becomes_true, containers_of, mounts_beneath, path_without, processes_naming, refused
from peel.demo.registry import serve_registry

NEXT = "tiny:1.0.1"


def test_a_warm_build_reuses_every_layer(demo: Demo) -> None:
    built = demo.peel.must("build", DEMO, "--json").json
    assert built["manifest"] == demo.manifest
    assert all(layer["reused"] for layer in built["layers"])
    assert {"diff_id", "digest", "size", "reused", "contents"} == set(built["layers"][0])


def test_one_small_package_changed_makes_one_layer_new(own_tiny: Peel, tiny: Demo) -> None:
    channel = own_tiny.catalogue / "channel"
    shutil.copytree(tiny.peel.catalogue / "channel", channel)
    make_package(channel, "small", "2.0", files={"share/small.txt": "two\n"})
    declare_channel(own_tiny, index(channel))
    own_tiny.must("lock", NEXT)
    built = own_tiny.must("build", NEXT, "--json").json
    made = [layer["contents"] for layer in built["layers"] if not layer["reused"]]
    assert len(made) == 1, made
    assert made[0].startswith("lab: ")
    assert built["manifest"] != tiny.manifest


def test_a_dry_run_prints_the_plan_and_builds_nothing(own_tiny: Peel) -> None:
    forget_layers(own_tiny)
    before = contents_of(own_tiny.store)
    told = own_tiny.must("build", TINY, "--dry-run", "--json").json
    assert [layer["reused"] for layer in told["layers"]] == [False] * len(told["layers"])
    assert contents_of(own_tiny.store) == before


def test_a_build_without_network_and_channel_works_from_the_store(own_tiny: Peel, tiny: Demo) -> None:
    forget_layers(own_tiny)
    declare_tiny(own_tiny.catalogue, "docker.io/library/gone:1", "file:///gone")  # a build never reads declarations
    offline = own_tiny.under("unshare", "--net", "--")
    built = offline.must("build", TINY, "--json").json
    assert built["manifest"] == tiny.manifest
    assert not any(layer["reused"] for layer in built["layers"] if layer["contents"] != "base")


@pytest.mark.parametrize("isolation", ["runc", "chroot"])
def test_every_isolation_gives_the_same_image(own_tiny: Peel, tiny: Demo, tmp_path: Path, isolation: str) -> None:
    if isolation == "runc" and shutil.which("runc") is None:
        pytest.skip("runc is not installed")
    forget_layers(own_tiny)
    path = path_without(tmp_path / "bin", *({"runc", "crun"} - {isolation}))
    built = own_tiny.with_env(PATH=str(path)).must("build", TINY, "--json").json
    chosen = json.loads((own_tiny.store / "containers" / "isolation.json").read_text())
    assert chosen["isolation"] == isolation
    assert built["manifest"] == tiny.manifest


def test_a_killed_build_leaves_nothing_that_the_next_cannot_use(own_tiny: Peel, tiny: Demo) -> None:
    forget_layers(own_tiny)
    for seconds in (0.7, 1.5, 2.5):
        own_tiny.cut_off("build", TINY, after=seconds, by=signal.SIGKILL)
        becomes_true(lambda: processes_naming(str(own_tiny.store)) == [], "what it started has ended")
    assert own_tiny.must("build", TINY, "--json").json["manifest"] == tiny.manifest
    assert list((own_tiny.store / "tmp").iterdir()) == []
    assert mounts_beneath(own_tiny.store) == []


def test_a_build_killed_while_it_compiles_leaves_no_container_after_the_next(own_tiny: Peel) -> None:
    forget_layers(own_tiny)
    with own_tiny.start("build", TINY) as child:
        becomes_true(lambda: _is_running_in_a_container(own_tiny), "the compiler runs")
        child.kill()
    becomes_true(lambda: processes_naming(str(own_tiny.store)) == [], "what it started has ended")
    own_tiny.must("build", TINY)
    assert containers_of(own_tiny.store) == []


def _is_running_in_a_container(peel: Peel) -> bool:
    return any(" run " in line and "compile.py" in line for line in processes_naming(str(peel.store)))


def test_a_record_that_disagrees_is_left_alone_and_what_differs_is_named(own_tiny: Peel) -> None:
    path = record_of(own_tiny, TINY)
    record: Any = json.loads(path.read_text())
    layer = record["platforms"]["linux-64"]["layers"][0]
    layer["diff_id"] = "sha256:" + "0" * 64
    path.write_text(json.dumps(record))
    before = path.read_bytes()
    refused(own_tiny.run("build", TINY), 1, layer["contents"], "0" * 64)
    assert path.read_bytes() == before


def test_a_layout_goes_to_a_real_registry_and_back_with_every_digest_kept(demo: Demo, tmp_path: Path) -> None:
    out, back = tmp_path / "image", tmp_path / "back"
    demo.peel.must("build", DEMO, "--to", f"oci:{out}:here")
    inspected = json.loads(skopeo("inspect", f"oci:{out}:here"))
    assert inspected["Digest"] == demo.manifest
    with serve_registry(out, "library/demo-lab", tag="here") as served:
        skopeo(
            "copy", "--preserve-digests", "--src-tls-verify=false", f"docker://{served.local}", f"oci:{back}:there"
        )  # fmt: skip
    entries = json.loads((back / "index.json").read_text())["manifests"]
    assert [entry["digest"] for entry in entries] == [demo.manifest]


def test_a_loaded_image_is_one_that_buildah_lists_with_its_own_id(own_tiny: Peel, tmp_path: Path, tiny: Demo) -> None:
    conf = tmp_path / "storage.conf"
    conf.write_text(f'[storage]\ndriver = "overlay"\ngraphroot = "{tmp_path}/graph"\nrunroot = "{tmp_path}/run"\n')
    elsewhere = own_tiny.with_env(CONTAINERS_STORAGE_CONF=str(conf))
    config = elsewhere.must("build", TINY, "--load", "--json").json["config"]
    listed = subprocess.run(
        ["buildah", "images", "--json", "--no-trunc"],
        env=elsewhere.variables,
        check=True,
        capture_output=True,
        text=True,
    )
    images = {
        name: image["id"].removeprefix("sha256:") for image in json.loads(listed.stdout) for name in image["names"]
    }
    assert images == {f"localhost/{TINY}": config.removeprefix("sha256:")}
    assert tiny.said["config"] == config


def test_a_lock_set_that_has_been_built_is_not_locked_again(own_tiny: Peel) -> None:
    before = contents_of(own_tiny.catalogue / "lockfiles")
    done = own_tiny.run("lock", TINY)
    refused(done, 2, "immutable")
    assert f"peel lock {NEXT}" in done.stderr
    assert contents_of(own_tiny.catalogue / "lockfiles") == before


def test_locking_twice_writes_the_same_bytes(own_tiny: Peel) -> None:
    record_of(own_tiny, TINY).unlink()
    before = contents_of(own_tiny.catalogue / "lockfiles")
    assert own_tiny.must("lock", TINY, "--json").json["changed"] is False
    assert contents_of(own_tiny.catalogue / "lockfiles") == before
    own_tiny.must("lock", TINY, "--check")


def test_a_check_names_the_declaration_that_changed(own_tiny: Peel) -> None:
    spec = own_tiny.catalogue / "envs" / "lab" / "environment.yml"
    spec.write_text(spec.read_text().replace("3.13.*", ">=3.13"))
    refused(own_tiny.run("lock", TINY, "--check"), 1, "python >=3.13")


def test_artifacts_that_are_gone_from_the_store_are_fetched_again(own_tiny: Peel, tiny: Demo) -> None:
    forget_layers(own_tiny)
    forget_artifacts(own_tiny)
    assert own_tiny.must("build", TINY, "--json").json["manifest"] == tiny.manifest


def skopeo(*arguments: str) -> str:
    return subprocess.run(["skopeo", *arguments], check=True, capture_output=True, text=True).stdout
