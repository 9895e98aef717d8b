"""An author's environment file is made into one that can be declared, and every change is told."""

from __future__ import annotations

from typing import Any

import pytest

import history_samples as samples
from peel.errors import DocumentError
from peel.model.proposal.environment import Tidied, judge_requirements, tidy
from peel.model.values import Platform
from peel.store.documents import parse_yaml
from test_model_proposal import REQUIREMENTS, SPHEREX


def read(text: str, **options: Any) -> Tidied:
    parsed = parse_yaml(text, "env.yml")
    given = {"platform": Platform("linux-64"), "channels": ("conda-forge",), **options}
    return tidy(parsed.data, parsed.lines, "env.yml", **given)


def codes(tidied: Tidied) -> list[str]:
    return [finding.code for finding in tidied.findings]


def test_a_plain_file_stays_as_it_is() -> None:
    tidied = read("channels: [conda-forge]\ndependencies: [python 3.13.*, 'numpy >=2']\n")
    assert not tidied.changed
    assert codes(tidied) == []
    assert tidied.as_document() == {"channels": ["conda-forge"], "dependencies": ["python 3.13.*", "numpy >=2"]}


def test_a_file_as_people_write_it_loses_what_no_lock_knows() -> None:
    tidied = read(samples.ENVIRONMENT)
    assert tidied.name == "Old Stack"
    assert tidied.channels == ("conda-forge", "defaults")
    assert tidied.dependencies[0] == "python=3.7.6=h0371630_2"
    assert tidied.dependencies[-1] == "pip"
    assert tidied.pip == ("wrapt==1.11.1", "https://wheels.example/ab/humanize-4.1.0-py3-none-any.whl")
    assert (tidied.changed, codes(tidied)) == (True, ["key-dropped", "pip-added"])


def test_an_environment_as_a_mission_wrote_it_is_read() -> None:
    tidied = read(SPHEREX, extra=("ipykernel",))
    assert tidied.channels == ("conda-forge", "default")
    assert tidied.dependencies == ("numpy", "ipykernel", "pip")
    assert tidied.pip == ("lsst-ctrl-mpexec",)
    (unpinned,) = [finding for finding in tidied.findings if finding.code == "unpinned"]
    assert unpinned.message == "asked for in any version: numpy, lsst-ctrl-mpexec"


def test_without_channels_those_of_the_image_are_taken_and_told() -> None:
    for text in ("dependencies: [python >=3]\n", "channels: [nodefaults]\ndependencies: [python >=3]\n"):
        tidied = read(text, channels=("ours",))
        assert (tidied.channels, codes(tidied), tidied.changed) == (("ours",), ["no-channels"], True)


def test_channels_on_the_command_line_replace_those_of_the_file() -> None:
    tidied = read("channels: [conda-froge]\ndependencies: [python >=3]\n", instead=("conda-forge",))
    assert (tidied.channels, tidied.changed) == (("conda-forge",), True)


def test_selectors_as_keys_are_followed() -> None:
    tidied = read("channels: [c]\ndependencies: [a=1, {sel(linux): b=1}, {sel(osx): [c=1]}, {sel(unix): [d=1, e=1]}]\n")
    assert tidied.dependencies == ("a=1", "b=1", "d=1", "e=1")


def test_options_of_pip_become_what_a_lock_knows_of_them() -> None:
    lines = ["--index-url https://one.example/simple", "--extra-index-url=https://two.example/simple", "--pre", "a==1"]
    tidied = read(f"channels: [c]\ndependencies: [pip >=24, {{pip: {lines}}}]\n")
    document = tidied.as_document()
    assert document["pip-repositories"] == ["https://one.example/simple", "https://two.example/simple"]
    assert document["allow-pypi-requests"] is False
    assert document["dependencies"] == ["pip >=24", {"pip": ["a==1"]}]
    assert codes(tidied) == ["index", "index", "option-dropped"]


@pytest.mark.parametrize("line", ["-e .", ".", "./mine", "git+https://host/x", "x @ git+https://host/x", "/opt/x"])
def test_what_no_lock_can_hold_fails_a_proposal_with_its_line(line: str) -> None:
    tidied = read(f"channels: [c]\ndependencies:\n  - python >=3\n  - pip:\n    - {line}\n")
    (found,) = [finding for finding in tidied.findings if finding.level == "error"]
    assert (found.code, found.message) == ("no-wheel", f"env.yml:5: cannot be locked: {line}")


def test_another_file_of_requirements_is_an_error_not_a_silence() -> None:
    tidied = read("channels: [c]\ndependencies: [python >=3, {pip: [-r more.txt]}]\n")
    assert [finding.level for finding in tidied.findings if finding.code == "other-file"] == ["error"]


def test_variables_become_the_payloads_own() -> None:
    tidied = read("channels: [c]\nvariables: {A: 1, 'no name': x}\ndependencies: [python >=3]\n")
    assert tidied.variables == {"A": "1"}


def test_what_says_nothing_is_left_out_and_told() -> None:
    tidied = read("channels: [c]\nprefix: /home/me\ndependencies:\n- python >=3\n-\n- pip:\n")
    assert tidied.dependencies == ("python >=3",)
    assert codes(tidied) == ["empty-item", "empty-pip", "key-dropped"]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("channels: [c]\ndependencies:\n- 3.11\n", "env.yml:3: cannot be a dependency"),
        ("channels: [c]\ndependencies:\n- {conda: [a]}\n", "env.yml:3: cannot be a dependency"),
        ("channels: [c]\ndependencies:\n- {sel(vms): a}\n", "env.yml:3: a selector that is not known: 'vms'"),
        ("channels: conda-forge\ndependencies: [a]\n", "env.yml:1: channels: not a list"),
        ("channels: [c]\ndependencies: {a: 1}\n", "dependencies: not a list"),
        ("channels: [c]\ndependencies: []\n", "env.yml:2: dependencies: asks for nothing"),
    ],
)
def test_what_can_be_no_environment_is_refused_with_its_line(text: str, words: str) -> None:
    with pytest.raises(DocumentError) as raised:
        read(text)
    assert words in raised.value.message


def test_of_a_requirements_file_the_lines_without_a_version_are_told() -> None:
    (found,) = judge_requirements(REQUIREMENTS + "lsst-sphgeom[extra] ; python_version > '3'\n")
    assert found.message == "asked for in any version: astropy, lsst-sphgeom[extra] ; python_version > '3'"
    assert judge_requirements("numpy==2.1\n# scipy\n") == []
