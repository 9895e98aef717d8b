"""``peel check``, for real: the demo keeps the launch contract, and a spoilt image is told where it breaks it."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from e2e.catalogues import DEMO, Demo
from e2e.running import Peel, containers_of, path_without, processes_naming
from peel.model.checks import NAMES

needs_podman = pytest.mark.skipif(shutil.which("podman") is None, reason="podman is not installed")

_PATCH = """\
schema: 1
reason: what nobody should do
files:
  - {path: /usr/local/share/peel/kernels/science, source: files/launcher, mode: "0755"}
  - {path: /srv/open.txt, source: files/open.txt, mode: "0666"}
remove_files: [/etc/profile.d/peel.sh]
"""
_LAUNCHER = """\
#!/bin/bash
export PYTHONNOUSERSITE=1 VIRTUAL_ENV=/opt/peel/lab
exec /opt/peel/envs/science/bin/python -m ipykernel_launcher "$@"
"""


@needs_podman
def test_the_demo_keeps_the_launch_contract_and_nothing_is_left(demo: Demo) -> None:
    done = demo.peel.must("check", DEMO, "--json")
    said = done.json
    assert (said["schema"], said["image"]) == (1, DEMO)
    assert [(check["name"], check["passed"], check["hint"]) for check in said["checks"]] == [
        (name, True, "") for name in NAMES
    ]
    assert containers_of(demo.peel.store) == []
    assert processes_naming("/usr/local/share/peel/start.py") == []


@needs_podman
def test_an_image_that_was_spoilt_is_told_where(own_demo: Peel) -> None:
    patches = own_demo.catalogue / "envs" / "patches"
    (patches / "files").mkdir(parents=True)
    (patches / "spoilt.yaml").write_text(_PATCH)
    (patches / "files" / "launcher").write_text(_LAUNCHER)
    (patches / "files" / "open.txt").write_text("anybody\n")
    own_demo.must("patch", DEMO, "spoilt", "--as", "spoilt")
    done = own_demo.run("check", "demo-lab:spoilt", "--json", "--skip", "nublado", "--skip", "hub")
    failed = {check["name"]: check["detail"] for check in done.json["checks"] if not check["passed"]}
    assert done.status == 1
    assert failed.keys() == {"kernels", "modes", "terminal"}
    assert "science: inherits PYTHONNOUSERSITE" in failed["kernels"]
    assert "science: inherits VIRTUAL_ENV" in failed["kernels"]
    assert "science: does not see the packages in the user's home" in failed["kernels"]
    assert failed["modes"] == "/srv/open.txt: writable by all (0666)"
    assert failed["terminal"].endswith("not /opt/peel/envs/science")


def test_what_cannot_be_tried_here_is_skipped_and_says_why(demo: Demo, tmp_path: Path) -> None:
    without = demo.peel.with_env(PATH=str(path_without(tmp_path / "bin", "podman")))
    said = without.must("check", DEMO, "--json", "--only", "true", "--only", "labels").json
    assert [(check["name"], check["passed"], check.get("skipped", False)) for check in said["checks"]] == [
        ("labels", True, False), ("true", False, True),
    ]  # fmt: skip
    assert "podman is not installed" in said["checks"][1]["detail"]
