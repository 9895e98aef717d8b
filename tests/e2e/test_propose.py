"""Payload authors: an environment is tried and proposed against a real image, whose lab is never touched."""

from __future__ import annotations

from pathlib import Path

import yaml

from e2e.catalogues import DEMO, Demo, contents_of
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


def test_the_demos_payload_is_tried_in_its_base_as_the_image_has_it(own_demo: Peel) -> None:
    code = "import json, sys, os, numpy, humanize; print(json.dumps([sys.prefix, os.environ['OMP_NUM_THREADS']]))"
    done = own_demo.must("try", "science", "--in-base", "-q", "--", "python", "-c", code)
    assert done.json == ["/opt/peel/envs/science", "2"]
    assert done.stderr == ""
    assert own_demo.run("try", "science", "--in-base", "-q", "--", "sh", "-c", "exit 7").status == 7
    assert containers_of(own_demo.store) == []
    assert list((own_demo.store / "tmp").iterdir()) == []


def test_a_payload_that_is_not_locked_cannot_be_tried(demo: Demo) -> None:
    refused(demo.peel.run("try", "sciense"), 2, "sciense", "did you mean science?")


def test_an_environment_is_proposed_locked_built_and_its_kernel_runs_while_the_lab_stays(
    own_demo: Peel, tmp_path: Path
) -> None:
    channel = yaml.safe_load((own_demo.catalogue / "envs/science/environment.yml").read_text())["channels"][0]
    (tmp_path / "sky.yml").write_text(MESSY.format(channel=channel))
    before = contents_of(own_demo.catalogue)
    refused_told = own_demo.run("propose", tmp_path / "sky.yml", "--json")
    assert (refused_told.status, refused_told.json["passed"]) == (1, False)
    assert [f["code"] for f in refused_told.json["findings"] if f["level"] == "error"] == ["no-ipykernel"]
    assert contents_of(own_demo.catalogue) == before
    told = own_demo.must("propose", tmp_path / "sky.yml", "--add-ipykernel", "--json").json
    assert (told["name"], told["image"], told["passed"], told["kind"]) == ("sky-survey", DEMO, True, "conda")
    assert told["kernel"]["prefix"] == "/opt/peel/envs/sky-survey"
    assert told["kernel"]["version"].startswith("3.11.")
    assert {each["environment"] for each in told["shared"]} == {"lab", "science"}
    assert told["seconds"] < 60
    assert told["written"] == [
        f"envs/sky-survey/{name}" for name in ("environment.yml", "given/sky.yml", "payload.yaml")
    ]  # fmt: skip
    after = contents_of(own_demo.catalogue)
    assert {name: after[name] for name in before} == before
    assert containers_of(own_demo.store) == []
    assert mounts_beneath(own_demo.store) == []
    assert list((own_demo.store / "tmp").iterdir()) == []
    shown = own_demo.must("propose", own_demo.catalogue / "envs/sky-survey", "--markdown").stdout  # as in CI
    assert shown.startswith(f"### PASS: payload `sky-survey` for `{DEMO}`")
