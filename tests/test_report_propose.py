"""The report of a proposal, for people, for programs and for a pull request."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from peel.console import Console
from peel.model.proposal.findings import Finding, error, note, warning
from peel.model.proposal.packages import ProposedPackage, Shared, judge_packages, share
from peel.report.propose import Form, proposal_json, show_proposal
from peel.workflow.lab import KernelCheck
from peel.workflow.propose.proposal import Proposal, ProposedLayers

NUMPY = ProposedPackage("numpy", "2.1", "conda", "https://host/forge", "aa" * 32, 3 << 20, 9 << 20, "BSD-3-Clause")
PYTHON = ProposedPackage("python", "3.13.1", "conda", "https://host/forge", "bb" * 32, 5 << 20, 20 << 20, "PSF-2.0")
WHEEL = ProposedPackage("humanize", "4.1", "pip", "wheels.example", "cc" * 32, 100, 300, "")
PROPOSAL = Proposal(
    name="mine", source="environment.yml", form="environment.yml", kind="conda", image="lab:r1_0_0",
    platform="linux-64", dry_run=False, packages=(NUMPY, PYTHON, WHEEL),
    shared=(Shared("sci", 1, 3 << 20),), findings=(warning("unpinned", "in any version: x", "pin it"), note("a", "b")),
    layers=ProposedLayers(6, 30 << 20, 2, 1 << 20),
    kernel=KernelCheck("mine", passed=True, version="3.13.1", prefix="/opt/peel/envs/mine"),
    written=("envs/mine/payload.yaml",), seconds=12.34,
)  # fmt: skip


def shown(proposal: Proposal, capsys: pytest.CaptureFixture[str], form: Form = "text") -> str:
    show_proposal(proposal, Console(), form=form)
    return capsys.readouterr().out


def test_a_report_tells_what_comes_how_big_and_what_to_do_next(capsys: pytest.CaptureFixture[str]) -> None:
    assert shown(PROPOSAL, capsys).splitlines() == [
        "mine: environment.yml (environment.yml), proposed to lab:r1_0_0 on linux-64",
        "  installs  2 conda packages, 1 wheel, Python 3.13.1",
        "  archives  8.0 MiB, 29.0 MiB installed",
        "  layers    adds 6 layers of 30.0 MiB to the image, 2 of them new",
        "  shares    1 package with sci: 3.0 MiB of archives",
        "  largest   python 3.13.1 (5.0 MiB), numpy 2.1 (3.0 MiB), humanize 4.1 (100 B)",
        "  kernel    mine: Python 3.13.1 in /opt/peel/envs/mine",
        "warning: in any version: x",
        "  hint: pin it",
        "note: b",
        "wrote envs/mine/payload.yaml",
        "next: name mine under payloads: in envs/lab.yaml, then peel lock lab:TAG",
        "next: try it: peel try mine",
        "PASS  mine works in lab:r1_0_0 (12.3 s)",
    ]


def test_any_error_fails_a_proposal_and_so_does_a_kernel_that_never_ran(capsys: pytest.CaptureFixture[str]) -> None:
    wrong = replace(PROPOSAL, findings=(error("x", "wrong"),))
    for proposal in (wrong, replace(PROPOSAL, kernel=None), replace(PROPOSAL, dry_run=True, findings=wrong.findings)):
        assert not proposal.passed
        assert shown(proposal, capsys).splitlines()[-1].startswith("FAIL  mine does not work in lab:r1_0_0 as it is")
    assert replace(PROPOSAL, kernel=None, dry_run=True).passed


def test_a_dry_run_says_what_is_here_and_what_would_be_fetched(capsys: pytest.CaptureFixture[str]) -> None:
    packages = (replace(NUMPY, size=None, installed=None, license=None), PYTHON)
    text = shown(replace(PROPOSAL, dry_run=True, packages=packages, kernel=None, layers=None, written=()), capsys)
    assert "archives  5.0 MiB are here already; 1 package would be fetched" in text
    assert text.splitlines()[-1] == "PASS  mine can be resolved for lab:r1_0_0; it was not built (12.3 s)"


def test_programs_get_everything_with_a_schema_and_sizes_only_where_they_are_known(
    capsys: pytest.CaptureFixture[str],
) -> None:
    told = json.loads(shown(PROPOSAL, capsys, "json"))
    assert (told["schema"], told["passed"], told["size"], told["installed"]) == (
        1,
        True,
        (8 << 20) + 100,
        (29 << 20) + 300,
    )
    assert told["layers"] == {"count": 6, "size": 30 << 20, "new": 2, "new_size": 1 << 20}
    assert proposal_json(replace(PROPOSAL, packages=(replace(NUMPY, size=None),)))["size"] is None


def test_nothing_of_a_stranger_becomes_markup_in_a_pull_request(capsys: pytest.CaptureFixture[str]) -> None:
    evil = "`</details> @everyone | [x](javascript:1)\n# big"
    proposal = replace(
        PROPOSAL, source=evil, packages=(replace(NUMPY, license=evil, version=evil),),
        findings=(Finding("error", "x", evil, evil),),
    )  # fmt: skip
    text = shown(proposal, capsys, "markdown")
    assert not [line for line in text.splitlines() if line.startswith(("# big", "@"))]
    for line in text.splitlines():
        outside = line.split("`")[::2]
        assert not [part for part in outside if "@everyone" in part or "javascript" in part], line
    assert text.startswith("### FAIL: payload `mine` for `lab:r1_0_0`")
    assert text.count("<details>") == text.count("\n</details>") == 1


def test_what_is_shared_is_told_by_archives_of_equal_contents() -> None:
    others = {"lab": {"bb" * 32: 5 << 20, "dd" * 32: 7}, "sci": {"dd" * 32: 7}}
    assert list(share(PROPOSAL.packages, others)) == [Shared("lab", 1, 5 << 20)]


def test_missing_hashes_and_licences_are_warnings_with_names() -> None:
    unknown = replace(NUMPY, name="vague", license="UNKNOWN")
    found = list(judge_packages([NUMPY, WHEEL, unknown, replace(NUMPY, name="unread", license=None)], ["numpy"]))
    assert [(each.code, each.message.rpartition(" ")[2]) for each in found] == [
        ("no-sha256", "numpy"), ("no-license", "vague"),
    ]  # fmt: skip
    assert "humanize, vague" in found[1].message
