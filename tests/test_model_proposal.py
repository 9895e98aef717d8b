"""What authors bring is told apart by its contents, and channels are judged as people misspell them."""

from __future__ import annotations

import pytest

import history_samples as samples
from peel.errors import DocumentError
from peel.model.proposal.channels import judge_channels, nearest
from peel.model.proposal.findings import error, in_order, named, note, warning
from peel.model.proposal.recognise import Form, recognise
from peel.model.proposal.selectors import follow, holds, key_selector
from peel.model.values import Platform

LINUX, ARM = Platform("linux-64"), Platform("linux-aarch64")

DOCKERFILE = """\
# syntax=docker/dockerfile:1
# what we need
ARG BASE=almalinux:9
FROM --platform=linux/amd64 $BASE AS build
RUN pip install numpy
"""
SCRIPT = "#!/bin/sh\nset -e\nFROM=here\n"
REQUIREMENTS = """\
# for the notebooks
-r base.txt
--index-url https://index.example/simple
numpy>=2  # arrays
scipy[extra] ~= 1.14; python_version >= "3.11"
humanize @ https://wheels.example/humanize-4.1.0-py3-none-any.whl
requests==2.32.3 \\
    --hash=sha256:abababababababababababababababababababababababababababababababab
git+https://host.example/x.git
astropy
"""
SPHEREX = """\
name: spherex
channels:
  - conda-forge
  - default
dependencies:
  - numpy
#  - only-on-the-other-machine
  - pip:
    - lsst-ctrl-mpexec
"""


@pytest.mark.parametrize(
    ("text", "form"),
    [
        (samples.ENVIRONMENT, Form.ENVIRONMENT),
        (samples.LOOSE, Form.ENVIRONMENT),
        (SPHEREX, Form.ENVIRONMENT),
        (samples.EXPLICIT, Form.LIST),
        (samples.EXPORT, Form.LIST),
        (REQUIREMENTS, Form.REQUIREMENTS),
        ("numpy\n", Form.REQUIREMENTS),
        ("-e .\n", Form.REQUIREMENTS),
        ("numpy\nthis line is none\nscipy\n", Form.REQUIREMENTS),
        (SCRIPT, Form.SCRIPT),
        (DOCKERFILE, Form.DOCKERFILE),
        ("from scratch\ncopy . /opt\n", Form.DOCKERFILE),
    ],
)
def test_a_file_is_what_its_contents_say(text: str, form: Form) -> None:
    assert recognise(text, "some.file") is form


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "some.file: is empty"),
        ("# only remarks\n", "some.file: is empty"),
        ("<html>\n", "some.file:1: is a page of HTML"),
        ('{"a": 1}\n', "some.file:1: is a JSON document"),
        ("# README\n\nHello, this is a text about things.\nAnd more of it.\n", "some.file:3"),
        ("kind: Pod\n", "some.file:1: is a YAML document with kind"),
        ("\0\0", "binary"),
    ],
)
def test_what_nobody_could_say_is_refused_with_line_and_hint(text: str, words: str) -> None:
    with pytest.raises(DocumentError) as raised:
        recognise(text, "some.file")
    assert words in raised.value.message
    assert "import reads" not in f"{raised.value.message}{raised.value.hint}"


@pytest.mark.parametrize(
    ("selector", "on_linux", "on_arm"),
    [
        ("linux", True, True),
        ("unix", True, True),
        ("osx", False, False),
        ("win or linux64", True, False),
        ("not win", True, True),
        ("linux and aarch64", False, True),
        ("not aarch64", True, False),
        ("py<39", None, None),
        ("osx and py<39", False, False),
        ("linux or py<39", True, True),
    ],
)
def test_a_selector_holds_for_a_platform_or_not_or_is_not_understood(
    selector: str, on_linux: object, on_arm: object
) -> None:
    assert (holds(selector, LINUX), holds(selector, ARM)) == (on_linux, on_arm)


def test_selectors_in_remarks_are_followed_without_moving_a_line() -> None:
    text = "dependencies:\n  - a  # [osx]\n  - b  # [linux]\n  - c # [linux64] fast\n  - d  # [py<39]\n  - e  # [sic\n"
    followed = follow(text, LINUX, [ARM])
    assert followed.text.split("\n")[1] == ""
    assert followed.text.count("\n") == text.count("\n")
    assert (followed.dropped, followed.unknown) == (("a  # [osx]",), ("d  # [py<39]",))
    assert followed.differing == ("c # [linux64] fast",)


def test_a_key_may_hold_a_selector() -> None:
    assert key_selector("sel(linux)") == "linux"
    assert key_selector("pip") is None


@pytest.mark.parametrize(
    ("channel", "meant"),
    [
        ("default", "defaults"),
        ("conda-froge", "conda-forge"),
        ("condaforge", "conda-forge"),
        ("Conda-Forge", "conda-forge"),
        ("our-labb", "our-lab"),
        ("conda-forge", ""),
        ("something-else", ""),
        ("https://host.example/conda-froge", ""),
        ("conda-forge/label/dev", ""),
    ],
)
def test_a_misspelt_channel_is_told_by_the_known_one_that_is_near(channel: str, meant: str) -> None:
    assert nearest(channel, ["our-lab"]) == meant


def test_channels_are_judged_by_what_is_known_of_them() -> None:
    channels = [
        "conda-forge",
        "defaults",
        "https://repo.anaconda.com/pkgs/main",
        "conda-froge",
        "https://new.example/c",
    ]
    found = list(judge_channels(channels, {"conda-forge"}))
    assert [finding.code for finding in found] == ["defaults", "defaults", "misspelt-channel", "new-channel"]
    assert "'conda-forge'" in found[2].message
    assert list(judge_channels(["defaults"], {"defaults"})) == []


def test_findings_are_told_the_gravest_first_and_once() -> None:
    found = [note("a", "one"), error("b", "two"), warning("c", "three"), note("a", "one"), error("d", "four")]
    assert [finding.message for finding in in_order(found)] == ["two", "four", "three", "one"]


def test_of_many_names_the_first_are_told() -> None:
    assert named(["a", "b"]) == "a, b"
    assert named(["a", "b", "c"], most=2) == "a, b and 1 more"
