"""``peel demo``: all of peel, on real JupyterLab; and its digest wherever and whenever it runs."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from e2e.catalogues import DEMO, Demo
from e2e.running import Peel, containers_of, mounts_beneath

ELSEWHERE = {
    "TZ": "Pacific/Chatham", "LANG": "tr_TR.UTF-8", "LC_ALL": "tr_TR.UTF-8", "PYTHONHASHSEED": "4711",
    "USER": "somebody", "LOGNAME": "somebody", "HOSTNAME": "elsewhere", "UMASK": "027",
}  # fmt: skip


def test_a_demo_says_that_both_builds_agreed_and_every_kernel_passed(demo: Demo) -> None:
    assert demo.said["schema"] == 1
    assert demo.said["identical"] is True
    assert demo.said["image"] == DEMO
    assert [(kernel["name"], kernel["passed"]) for kernel in demo.said["kernels"]] == [("science", True)]
    assert demo.said["kernels"][0]["version"].startswith("3.11.")
    assert demo.said["kernels"][0]["prefix"] == "/opt/peel/envs/science"


def test_a_demo_leaves_no_container_no_mount_and_nothing_half_done(demo: Demo) -> None:
    assert containers_of(demo.peel.store) == []
    assert mounts_beneath(demo.peel.catalogue) == []
    assert list((demo.peel.store / "tmp").iterdir()) == []
    assert sorted(path.name for path in demo.peel.catalogue.iterdir() if path.name.startswith(".")) == []


def test_list_and_show_know_what_a_demo_built(demo: Demo) -> None:
    listed = demo.peel.must("list", "--json").json["images"]
    assert [(image["image"], image["tag"], image["locked"], image["built"]) for image in listed] == [
        ("demo-lab", "r1_0_0", True, True)
    ]
    shown = demo.peel.must("show", DEMO).stdout
    assert demo.manifest in shown
    assert "jupyterlab" in shown
    assert "humanize" in shown


def test_a_demo_elsewhere_as_somebody_else_a_year_later_gives_the_same_digest(demo: Demo, tmp_path: Path) -> None:
    place = tmp_path / "another-place" / "demo"
    home = tmp_path / "other home"
    home.mkdir()
    later = ("faketime", "-f", "+1y") if shutil.which("faketime") else ()
    umask = ("/bin/sh", "-c", 'umask 027; exec "$@"', "sh")
    other = Peel(place, place / "store", home, {**demo.peel.env, **ELSEWHERE}, before=(*umask, *later))
    told = other.must("demo", place, cwd=home).stdout
    assert demo.manifest in told
    assert "with the same digest" in told
    for command in ("launch demo-lab:r1_0_0", "show demo-lab:r1_0_0", "build demo-lab:r1_0_0 --to oci:"):
        assert f"--store {place}/store {command}" in told


def test_a_demo_refuses_a_directory_that_holds_other_things(demo: Demo, tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    done = demo.peel.run("demo", tmp_path)
    assert done.status == 2
    assert "hint: " in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


@pytest.mark.parametrize("verb", ["list", "show", "lock", "build", "launch", "demo", "doctor"])
def test_every_verb_explains_itself(verb: str, tmp_path: Path) -> None:
    peel = Peel(tmp_path, tmp_path / "store", tmp_path)
    assert f"Usage: peel {verb}" in peel.must(verb, "--help").stdout
