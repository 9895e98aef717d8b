"""What a user sees: the launcher of the demo's lab, in a real browser."""

from __future__ import annotations

import os
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import WebDriverWait

from e2e.catalogues import DEMO
from e2e.running import Peel

pytestmark = [
    pytest.mark.skipif(not shutil.which("chromedriver"), reason="chromium-driver is not installed"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),  # selenium leaves sockets to the collector
]

FLAGS = (
    "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update",
    "--disable-sync", "--no-first-run", "--disable-dev-shm-usage", "--window-size=1280,900",
)  # fmt: skip
SECTIONS = ("Notebook", "Console")
PATIENCE = 90  # seconds


@pytest.fixture
def browser(tmp_path: Path) -> Iterator[webdriver.Chrome]:
    options = webdriver.ChromeOptions()
    for flag in (*FLAGS, f"--user-data-dir={tmp_path / 'profile'}"):
        options.add_argument(flag)
    service = webdriver.ChromeService(shutil.which("chromedriver"))
    driver = webdriver.Chrome(options=options, service=service)
    try:
        yield driver
    finally:
        driver.quit()


@pytest.fixture
def url(own_demo: Peel) -> Iterator[str]:
    """A lab that runs as long as the test."""
    with own_demo.start("launch", DEMO) as child:
        assert child.stdout is not None
        yield child.stdout.readline().strip()
        child.send_signal(signal.SIGINT)
        child.communicate(timeout=60)


def test_the_launcher_shows_the_payload_kernels_and_not_the_labs_own(
    browser: webdriver.Chrome, url: str, tmp_path: Path
) -> None:
    browser.get(url)
    WebDriverWait(browser, PATIENCE).until(lambda b: b.find_elements(By.CSS_SELECTOR, ".jp-LauncherCard"))
    WebDriverWait(browser, PATIENCE).until(lambda b: not b.find_elements(By.ID, "jupyterlab-splash"))
    for place in (tmp_path / "launcher.png", os.environ.get("PEEL_SCREENSHOT")):
        if place:
            assert browser.save_screenshot(str(place))
    cards = {section: _cards(browser, section) for section in SECTIONS}
    assert cards == {section: ["Science (Python 3.11)"] for section in SECTIONS}


def _cards(browser: webdriver.Chrome, section: str) -> list[str]:
    """The titles of the cards in one section of the launcher."""
    for found in browser.find_elements(By.CSS_SELECTOR, ".jp-Launcher-section"):
        if found.find_element(By.CSS_SELECTOR, ".jp-Launcher-sectionTitle").text == section:
            return [card.text for card in found.find_elements(By.CSS_SELECTOR, ".jp-LauncherCard-label")]
    return []
