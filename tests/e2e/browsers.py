"""A real browser, and how it goes about JupyterLab."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from selenium import webdriver
from selenium.common.exceptions import (
    ElementClickInterceptedException,
    NoSuchElementException,
    StaleElementReferenceException,
    TimeoutException,
)
from selenium.webdriver import ActionChains, Keys
from selenium.webdriver.common.by import By
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.ui import WebDriverWait

PATIENCE = 90  # seconds
_TRIES = 6
FLAGS = (
    "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update",
    "--disable-sync", "--no-first-run", "--disable-dev-shm-usage", "--window-size=1280,900",
)  # fmt: skip

_PASSING = (StaleElementReferenceException, ElementClickInterceptedException, NoSuchElementException)
"""What happens while a page is being drawn."""

needs_browser = [
    pytest.mark.skipif(not shutil.which("chromedriver"), reason="chromium-driver is not installed"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),  # selenium leaves sockets to the collector
]
"""Marks of tests that open one."""


@contextmanager
def open_browser(place: Path, *more: str) -> Iterator[webdriver.Chrome]:
    """Chromium, with a profile of its own beneath ``place``; ``more`` are further flags."""
    options = webdriver.ChromeOptions()
    for flag in (*FLAGS, *more, f"--user-data-dir={place / 'profile'}"):
        options.add_argument(flag)
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(shutil.which("chromedriver")))
    try:
        yield driver
    finally:
        driver.quit()


def refuse_barriers(browser: webdriver.Chrome, axe: str, part: str = "html") -> None:
    """See that axe-core, whose source is given, finds no violation in a part of the page."""
    browser.execute_script(axe)
    found = browser.execute_async_script("axe.run(arguments[0]).then(arguments[1])", part)
    told = [(one["id"], one["help"], [node["html"][:200] for node in one["nodes"]]) for one in found["violations"]]
    assert told == []
    assert found["passes"]  # else there was nothing to look at


def open_lab(browser: webdriver.Chrome, url: str) -> None:
    """Open JupyterLab, and wait until its launcher can be used."""
    browser.get(url)
    WebDriverWait(browser, PATIENCE).until(lambda b: b.find_elements(By.CSS_SELECTOR, ".jp-LauncherCard"))
    WebDriverWait(browser, PATIENCE).until(lambda b: not b.find_elements(By.ID, "jupyterlab-splash"))


def cards(browser: webdriver.Chrome, section: str) -> dict[str, WebElement]:
    """The cards in one section of the launcher that is seen, by title."""
    for found in browser.find_elements(By.CSS_SELECTOR, ".jp-Launcher-section"):
        if found.is_displayed() and found.find_element(By.CSS_SELECTOR, ".jp-Launcher-sectionTitle").text == section:
            labels = found.find_elements(By.CSS_SELECTOR, ".jp-LauncherCard")
            return {card.find_element(By.CSS_SELECTOR, ".jp-LauncherCard-label").text: card for card in labels}
    return {}


def click_card(browser: webdriver.Chrome, section: str, title: str) -> None:
    """Click a card of the launcher; while it is drawn anew, its old elements are stale."""

    def clicked(driver: webdriver.Chrome) -> bool:
        cards(driver, section)[title].click()
        return True

    _patiently(browser).until(clicked)


def _patiently(browser: webdriver.Chrome) -> WebDriverWait[webdriver.Chrome]:
    return WebDriverWait(browser, PATIENCE, ignored_exceptions=(*_PASSING, KeyError))


def new_launcher(browser: webdriver.Chrome) -> None:
    """Open one more launcher, by the button beside the tabs."""
    buttons = browser.find_elements(By.CSS_SELECTOR, ".lm-TabBar-addButton")
    next(button for button in buttons if button.is_displayed()).click()
    _patiently(browser).until(lambda b: cards(b, "Notebook"))


def run_in_new_notebook(browser: webdriver.Chrome, kernel: str, code: str) -> str:
    """Open a notebook by the launcher's card, run a cell in it, and say what it printed."""
    click_card(browser, "Notebook", kernel)
    panel = ".jp-NotebookPanel:not(.lm-mod-hidden)"
    WebDriverWait(browser, PATIENCE).until(lambda b: b.find_elements(By.CSS_SELECTOR, f"{panel} .jp-Cell .cm-content"))
    WebDriverWait(browser, PATIENCE).until(
        lambda b: "Idle" in b.find_element(By.CSS_SELECTOR, f"{panel} .jp-Notebook-ExecutionIndicator").get_attribute(
            "data-status"
        ).title()
    )  # fmt: skip
    cell = f"{panel} .jp-Cell .cm-content"
    _patiently(browser).until(lambda b: _typed(b, cell, code))
    for _ in range(_TRIES):  # a kernel that is idle before the page is connected to it never hears of the cell
        if outputs := _outputs(browser, panel):
            return outputs[0]
        browser.find_element(By.CSS_SELECTOR, cell).click()
        ActionChains(browser).key_down(Keys.SHIFT).send_keys(Keys.ENTER).key_up(Keys.SHIFT).perform()
        with suppress(TimeoutException):
            WebDriverWait(browser, PATIENCE / _TRIES).until(lambda b: _outputs(b, panel))
    raise AssertionError(f"{kernel} printed nothing")


def _outputs(browser: webdriver.Chrome, panel: str) -> list[str]:
    with suppress(StaleElementReferenceException):
        found = browser.find_elements(By.CSS_SELECTOR, f"{panel} .jp-OutputArea-output")
        return [output.text.strip() for output in found if output.text.strip()]
    return []


def _typed(browser: webdriver.Chrome, cell: str, code: str) -> bool:
    """Type into a cell; whether all of it is there, since a notebook that is still being drawn loses keys."""
    browser.find_element(By.CSS_SELECTOR, cell).click()
    everything = ActionChains(browser).key_down(Keys.CONTROL).send_keys("a").key_up(Keys.CONTROL)
    everything.send_keys(Keys.DELETE, code).perform()
    return browser.find_element(By.CSS_SELECTOR, cell).text.strip() == code


def type_in_new_terminal(browser: webdriver.Chrome, line: str) -> None:
    """Open a terminal by the launcher's card, and type a line into it."""
    click_card(browser, "Other", "Terminal")
    screen = WebDriverWait(browser, PATIENCE).until(
        lambda b: b.find_elements(By.CSS_SELECTOR, ".jp-Terminal:not(.lm-mod-hidden) .xterm-helper-textarea")
    )[0]
    screen.send_keys(line + Keys.ENTER)
