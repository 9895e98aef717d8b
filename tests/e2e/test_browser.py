"""What a user sees: the launcher of the demo's lab, in a real browser."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from e2e.browsers import cards, needs_browser, open_browser, open_lab
from e2e.catalogues import DEMO
from e2e.running import Peel

pytestmark = needs_browser

SECTIONS = ("Notebook", "Console")


@pytest.fixture
def url(own_demo: Peel) -> Iterator[str]:
    """A lab that runs as long as the test."""
    with own_demo.start("launch", DEMO) as child:
        assert child.stdout is not None
        yield child.stdout.readline().strip()
        child.send_signal(signal.SIGINT)
        child.communicate(timeout=60)


def test_the_launcher_shows_the_payload_kernels_and_not_the_labs_own(url: str, tmp_path: Path) -> None:
    with open_browser(tmp_path) as browser:
        open_lab(browser, url)
        for place in (tmp_path / "launcher.png", os.environ.get("PEEL_SCREENSHOT")):
            if place:
                assert browser.save_screenshot(str(place))
        shown = {section: list(cards(browser, section)) for section in SECTIONS}
    assert shown == {section: ["Science (Python 3.11)"] for section in SECTIONS}
