"""What a proposal is warned of becomes part of its report."""

from __future__ import annotations

from peel.model.progress import Silent
from peel.workflow.propose.heard import Heard


def test_warnings_are_kept_once_and_in_order() -> None:
    heard = Heard(Silent())
    for text in ("one", "two", "one"):
        heard.warn(text)
    assert [(finding.level, finding.message) for finding in heard.findings()] == [
        ("warning", "one"),
        ("warning", "two"),
    ]
    assert Heard(Silent()).findings() == []


def test_of_many_warnings_the_first_are_told_and_the_rest_counted() -> None:
    heard = Heard(Silent())
    for number in range(20):
        heard.warn(f"number {number}")
    told = [finding.message for finding in heard.findings()]
    assert told[:2] == ["number 0", "number 1"]
    assert told[5:] == ["and 15 more of this kind; peel lock tells all"]


def test_progress_is_passed_on() -> None:
    steps: list[str] = []

    class Recorder(Silent):
        def step(self, text: str) -> None:
            steps.append(text)

    heard = Heard(Recorder())
    heard.step("begins")
    with heard.bar("works", 3, "items") as advance:
        advance(1)
    assert steps == ["begins"]
