"""Payload authors: an environment is tried and proposed against a real image, whose lab is never touched."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from e2e.catalogues import DEMO, Demo, clone, contents_of
from e2e.running import Peel, containers_of, mounts_beneath, refused

MESSY = """\
# the environment of a mission, as it was sent
name: Sky Survey
channels:
  - {channel}
prefix: /home/somebody/conda/envs/sky
variables:
  SKY_HOME: /data/sky
dependencies:
  - python=3.11
  - appnope     # [osx]
  - numpy >=2   # [linux]
  - sel(win): pywin32
"""


@pytest.fixture(scope="module")
def authors(demo: Demo, tmp_path_factory: pytest.TempPathFactory) -> Peel:
    """The demo once more, for all tests here: what one of them proposes is in nobody's way."""
    return clone(demo.peel, tmp_path_factory.mktemp("authors"))


def test_the_demos_payload_is_tried_in_its_base_as_the_image_has_it(authors: Peel) -> None:
    code = "import json, sys, os, numpy, humanize; print(json.dumps([sys.prefix, os.environ['OMP_NUM_THREADS']]))"
    done = authors.must("try", "science", "--in-base", "-q", "--", "python", "-c", code)
    assert done.json == ["/opt/peel/envs/science", "2"]
    assert done.stderr == ""
    assert authors.run("try", "science", "--in-base", "-q", "--", "sh", "-c", "exit 7").status == 7
    assert containers_of(authors.store) == []
    assert list((authors.store / "tmp").iterdir()) == []


def test_a_payload_that_is_not_locked_cannot_be_tried(demo: Demo) -> None:
    refused(demo.peel.run("try", "sciense"), 2, "sciense", "did you mean science?")


def test_an_environment_is_proposed_locked_built_and_its_kernel_runs_while_the_lab_stays(
    authors: Peel, tmp_path: Path
) -> None:
    channel = yaml.safe_load((authors.catalogue / "envs/science/environment.yml").read_text())["channels"][0]
    (tmp_path / "sky.yml").write_text(MESSY.format(channel=channel))
    before = contents_of(authors.catalogue)
    refused_told = authors.run("propose", tmp_path / "sky.yml", "--json")
    assert (refused_told.status, refused_told.json["passed"]) == (1, False)
    assert [f["code"] for f in refused_told.json["findings"] if f["level"] == "error"] == ["no-ipykernel"]
    assert contents_of(authors.catalogue) == before
    told = authors.must("propose", tmp_path / "sky.yml", "--add-ipykernel", "--json").json
    assert (told["name"], told["image"], told["passed"], told["kind"]) == ("sky-survey", DEMO, True, "conda")
    assert told["kernel"]["prefix"] == "/opt/peel/envs/sky-survey"
    assert told["kernel"]["version"].startswith("3.11.")
    assert {each["environment"] for each in told["shared"]} == {"lab", "science"}
    assert told["seconds"] < 60
    assert told["written"] == [
        f"envs/sky-survey/{name}" for name in ("environment.yml", "given/sky.yml", "payload.yaml")
    ]  # fmt: skip
    after = contents_of(authors.catalogue)
    assert {name: after[name] for name in before} == before
    assert containers_of(authors.store) == []
    assert mounts_beneath(authors.store) == []
    assert list((authors.store / "tmp").iterdir()) == []
    shown = authors.must("propose", authors.catalogue / "envs/sky-survey", "--markdown").stdout  # as in CI
    assert shown.startswith(f"### PASS: payload `sky-survey` for `{DEMO}`")


def test_a_requirements_file_becomes_a_payload_on_the_images_python(demo: Demo, authors: Peel, tmp_path: Path) -> None:
    (wheel,) = demo.peel.catalogue.glob("wheels/simple/humanize/*.whl")
    (tmp_path / "requirements.txt").write_text(
        f"# what we need\nhumanize @ {wheel.as_uri()}\nappnope; sys_platform == 'darwin'\n"
    )
    told = authors.must("propose", tmp_path / "requirements.txt", "--name", "reqs", "--json").json
    assert (told["kind"], told["passed"], told["python"]) == ("pip", True, "3.11.2")
    managers = {package["name"]: package["manager"] for package in told["packages"]}
    assert (managers["humanize"], managers["ipykernel"], managers["python"]) == ("pip", "conda", "conda")
    assert "appnope" not in managers
    payload = yaml.safe_load((authors.catalogue / "envs/reqs/payload.yaml").read_text())
    assert (payload["kind"], payload["python"]) == ("pip", "3.11")


def test_a_script_that_writes_outside_fails_with_the_paths_and_leaves_nothing(authors: Peel, tmp_path: Path) -> None:
    (tmp_path / "install.sh").write_text('#!/bin/bash\nmkdir -p "$PREFIX" /opt/outside\n>/opt/outside/file\n')
    before = contents_of(authors.catalogue)
    told = authors.run("propose", tmp_path / "install.sh", "--name", "scripted", "--json")
    assert (told.status, told.json["kind"], told.json["passed"]) == (1, "script", False)
    (found,) = [finding for finding in told.json["findings"] if finding["level"] == "error"]
    assert "/opt/outside/file" in found["message"]
    assert contents_of(authors.catalogue) == before
    assert containers_of(authors.store) == []
    assert list((authors.store / "tmp").iterdir()) == []
