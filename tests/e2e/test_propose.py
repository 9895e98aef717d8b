"""Payload authors: an environment is tried and proposed against a real image, whose lab is never touched."""

from __future__ import annotations

from e2e.catalogues import Demo
from e2e.running import Peel, containers_of, refused


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
