"""``peel diff`` as people and jobs call it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from layers_of import conda_meta
from locksets import locked
from peel.cli import app
from test_cli import run
from test_workflow_diff import NEW, OLD, Place


@pytest.fixture
def place(tmp_path: Path) -> Place:
    made = Place(tmp_path)
    made.lock(OLD, locked("a"))
    made.lock(NEW, locked("a", "2.0"))
    return made


def peel(place: Place, *argv: str, catalogue: Path | None = None) -> Result:
    options = ["-C", str(catalogue or place.root), "--store", str(place.store.root)]
    return CliRunner().invoke(app, [*options, "diff", *argv, "--platform", "linux-64"])


def test_lock_sets_are_named_in_full_or_by_another_tag(place: Place) -> None:
    full, short = (peel(place, "lab:r1_0_0", b) for b in ("lab:r1_0_1", "r1_0_1"))
    assert full.exit_code == short.exit_code == 0
    assert full.stdout == short.stdout
    assert full.stdout.startswith("lab:r1_0_0 → lab:r1_0_1\n1 raised; ")


def test_the_exit_code_says_whether_anything_differs_only_if_asked_to(place: Place) -> None:
    assert peel(place, "lab:r1_0_0", "r1_0_1", "--exit-code").exit_code == 1
    assert peel(place, "lab:r1_0_0", "r1_0_1").exit_code == 0
    assert peel(place, "lab:r1_0_0", "r1_0_0", "--exit-code").exit_code == 0


def test_programs_get_json_and_pull_requests_markdown(place: Place) -> None:
    found = json.loads(peel(place, "lab:r1_0_0", "r1_0_1", "--json").stdout)
    assert found["environments"]["lab"]["changed"] == [
        {"name": "a", "from": "1.0 0", "to": "2.0 0", "kind": "raised"}
    ]  # fmt: skip
    assert "| raised, major | `a` | `1.0 0` | `2.0 0` |" in peel(place, "lab:r1_0_0", "r1_0_1", "--markdown").stdout
    both = peel(place, "lab:r1_0_0", "r1_0_1", "--markdown", "--json")
    assert both.exit_code == 2
    assert "--json and --markdown" in both.stderr


def test_images_are_compared_without_a_catalogue(place: Place, tmp_path: Path) -> None:
    one, two = place.image("1", conda_meta("/opt/x", "a")), place.image("2", conda_meta("/opt/x", "a", "1.1"))
    (tmp_path / "empty").mkdir()
    done = peel(place, one.reference, two.reference, "--json", "--quiet", catalogue=tmp_path / "empty")
    assert done.exit_code == 0, done.stderr
    assert done.stderr == ""
    assert json.loads(done.stdout)["environments"]["/opt/x"]["changed"][0]["kind"] == "raised"


def test_two_lock_sets_need_no_store_and_make_none(place: Place, tmp_path: Path) -> None:
    elsewhere = tmp_path / "no-store"
    argv = ["-C", str(place.root), "--store", str(elsewhere), "diff", "lab:r1_0_0", "r1_0_1", "--platform", "linux-64"]
    assert CliRunner().invoke(app, argv).exit_code == 0
    assert not elsewhere.exists()


def test_the_shell_completes_lock_sets_and_the_tags_of_the_first_image(place: Place) -> None:
    def complete(*words: str) -> list[str]:
        line = f"peel -C {place.root} diff {' '.join(words)}"
        number = str(len(line.split()) - 1)
        return run(_PEEL_COMPLETE="complete_bash", COMP_WORDS=line, COMP_CWORD=number).stdout.split()

    assert complete("la") == ["lab:r1_0_0", "lab:r1_0_1"]
    assert complete("lab:r1_0_0", "r1") == ["r1_0_0", "r1_0_1"]
    assert complete("lab:r1_0_0", "la") == ["lab:r1_0_0", "lab:r1_0_1"]
    assert complete("oci:out", "r1") == []


def test_the_help_is_as_it_was_read_over(golden: Callable[[str, bytes], None]) -> None:
    golden("cli/diff.txt", run("diff", "--help").stdout.encode())


@pytest.mark.parametrize(
    ("a", "b", "status", "said"),
    [
        ("lab", "r1_0_1", 2, "no tag in 'lab'"), ("lab:r1_0_0", "r9", 3, "lab:r9 is not locked"),
        ("other:1", "lab:r1_0_0", 3, "image 'other' is not declared"), ("oci:nowhere", "lab:r1_0_0", 5, "nowhere"),
        ("oci:nowhere", "r1_0_1", 2, "'r1_0_1' is a tag of no image"), ("oci:", "oci:x", 2, "oci:"),
        ("lab:r1_0_0", "", 2, "no tag in ''"), ("lab:r1_0_0", "docker://a b", 2, "docker://a b"),
    ],
)  # fmt: skip
def test_what_cannot_be_compared_is_told_with_a_hint(a: str, b: str, status: int, said: str, place: Place) -> None:
    done = peel(place, a, b)
    assert done.exit_code == status, done.output
    assert done.stdout == ""
    assert done.stderr.startswith("error: ")
    assert said in done.stderr
    assert "hint: " in done.stderr
