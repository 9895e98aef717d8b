"""``peel diff`` of lock sets and of the images that were really built from them, in a layout and in a registry."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from channels import index, make_package
from e2e.catalogues import DEMO, TINY, Demo, declare_channel
from e2e.running import Peel, refused
from peel.demo.registry import serve_registry

NEXT = "tiny:1.0.1"
KEYS = ("shared", "new")


def lock_next(peel: Peel, tiny: Demo) -> None:
    """Another tag in which one small package is newer, and one is gone."""
    channel = peel.catalogue / "channel"
    shutil.copytree(tiny.peel.catalogue / "channel", channel)
    make_package(channel, "small", "2.0", files={"share/small.txt": "two\n"})
    declare_channel(peel, index(channel))
    peel.must("lock", NEXT)


def said(difference: Any) -> Any:
    """What a comparison says of packages, however the sides are named."""
    environments = difference["environments"]
    return {name: [found[key] for key in ("added", "removed", "changed")] for name, found in environments.items()}


RAISED = {
    "lab": [[], [], [{"name": "small", "from": "1.0 0", "to": "2.0 0", "kind": "raised"}]], "calm": [[], [], []]
}  # fmt: skip


def test_lock_sets_layouts_and_a_registry_say_the_same(own_tiny: Peel, tiny: Demo, tmp_path: Path) -> None:
    lock_next(own_tiny, tiny)
    planned = own_tiny.must("diff", TINY, "1.0.1", "--json").json
    assert said(planned) == RAISED
    assert planned["layers"]["new"] == 1
    assert planned["layers"]["new_bytes"] is None
    old, new = f"oci:{tmp_path}/old", f"oci:{tmp_path}/new"
    own_tiny.must("build", TINY, "--to", old)
    built = own_tiny.must("build", NEXT, "--to", new, "--json").json
    made = [layer["size"] for layer in built["layers"] if not layer["reused"]]

    found = own_tiny.must("diff", TINY, NEXT, "--json").json
    assert said(found) == RAISED
    assert (found["layers"]["new"], [found["layers"]["new_bytes"]]) == (1, made)
    assert found["layers"]["shared"] == len(built["layers"]) - 1
    assert found["layers"]["shared_bytes"] == sum(layer["size"] for layer in built["layers"]) - made[0]
    assert found["system"] == {"added": [], "removed": [], "changed": []}
    assert own_tiny.run("diff", TINY, NEXT, "--exit-code").status == 1

    images = own_tiny.must("diff", old, new, "--json").json
    assert {name.rpartition("/")[2]: changes for name, changes in said(images).items()} == RAISED
    assert images["layers"] == found["layers"] | {"pull": images["layers"]["pull"]}

    with serve_registry(tmp_path / "new", "library/tiny", tag="1.0.1") as served:
        remote = own_tiny.with_env(CONTAINERS_REGISTRIES_CONF=str(served.registries_conf))
        mixed = remote.must("diff", TINY, f"docker://{served.reference}", "--json").json
        assert said(mixed) == RAISED
        assert {key: mixed["layers"][key] for key in KEYS} == {key: found["layers"][key] for key in KEYS}
        assert mixed["launch"] == []
        absent = f"docker://{served.reference.rpartition(':')[0]}:absent"
        refused(remote.run("diff", TINY, absent), 5, "no image")


def test_a_built_image_does_not_differ_from_its_lock_set(demo: Demo, tmp_path: Path) -> None:
    layout = f"oci:{tmp_path}/out"
    demo.peel.must("build", DEMO, "--to", layout)
    done = demo.peel.must("diff", DEMO, layout, "--exit-code", "--quiet")
    assert done.stdout.splitlines()[1] == "no difference"
    back = demo.peel.must("diff", layout, DEMO, "--json").json
    assert back["differs"] is False
    assert back["unknown"] == []
    assert {name for name in back["environments"] if not name.startswith("/")} == {"lab", "science"}
