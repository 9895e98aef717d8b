"""The options form in a real browser: accessible, on a phone, by keyboard, with and without scripts."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from selenium import webdriver
from selenium.webdriver import ActionChains, Keys
from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import WebDriverWait

from e2e.browsers import PATIENCE, needs_browser, open_browser, refuse_barriers
from e2e.running import Peel
from small_images import write_layouts

pytestmark = needs_browser

_WEEKLIES = [f"w_2077_{week:02}" for week in range(1, 41)]
_MENU = """\
schema: 1
title: Choose an image
payloads:
  - name: rubin
    title: Rubin Science Pipelines
    description: The pipelines and <b>what belongs to them</b>.
    source: oci:rubin
    repository: registry.example.org/rubin/lab
    recommended: recommended
  - {name: spherex, title: SPHEREx, source: "oci:spherex", repository: registry.example.org/spherex/lab, tags: semver}
sizes:
  - {name: small, title: Small, cpu: 1, memory: 4Gi}
  - {name: large, title: Large, cpu: 4, memory: 16Gi}
"""


@pytest.fixture(scope="module")
def menu(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of a form of two payloads, one of them with many tags."""
    place = tmp_path_factory.mktemp("menu")
    write_layouts(place / "rubin", [*_WEEKLIES, "r29_2_0_rsp2697", "d_2077_10_23"], {"recommended": "w_2077_39"})
    write_layouts(place / "spherex", ["2.1.0", "2.0.4", "2.0.3", "3.0.0-rc.1"], {})
    (place / "envs").mkdir()
    (place / "envs" / "menu.yaml").write_text(_MENU)
    peel = Peel(place, place / "store", place)
    with peel.start("menu", "--preview", "--quiet") as served:
        yield served.stdout.readline().strip()


@contextmanager
def phone(browser: webdriver.Chrome) -> Iterator[None]:
    size = {"width": 390, "height": 1700, "deviceScaleFactor": 2, "mobile": True}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    yield
    browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


def start(browser: webdriver.Chrome) -> str:
    """Press the button; what a hub would do."""
    browser.find_element(By.CSS_SELECTOR, "button[type=submit]").click()
    return said(browser)


def said(browser: webdriver.Chrome) -> str:
    return WebDriverWait(browser, PATIENCE).until(lambda b: b.find_elements(By.CSS_SELECTOR, ".said"))[0].text


def test_the_form_has_no_barrier_and_fits_desktop_and_phone(menu: str, tmp_path: Path, axe: str) -> None:
    with open_browser(tmp_path) as browser:
        browser.get(menu)
        refuse_barriers(browser, axe)
        browser.save_screenshot(os.environ.get("PEEL_SCREENSHOT_FORM") or str(tmp_path / "form.png"))
        for scheme in ("dark", "light"):
            browser.execute_cdp_cmd(
                "Emulation.setEmulatedMedia", {"features": [{"name": "prefers-color-scheme", "value": scheme}]}
            )
            with phone(browser):
                browser.get(menu)
                refuse_barriers(browser, axe)
                width = browser.execute_script("return document.documentElement.scrollWidth")
                assert width <= 390
                browser.save_screenshot(os.environ.get("PEEL_SCREENSHOT_PHONE") or str(tmp_path / "phone.png"))
        assert [entry for entry in browser.get_log("browser") if entry["level"] == "SEVERE"] == []


def test_the_recommended_image_is_first_and_chosen_and_groups_are_payloads(menu: str, tmp_path: Path) -> None:
    with open_browser(tmp_path) as browser:
        browser.get(menu)
        legends = [one.text for one in browser.find_elements(By.TAG_NAME, "legend")]
        assert legends == ["Rubin Science Pipelines", "SPHEREx", "Size", "Options"]
        first = browser.find_element(By.CSS_SELECTOR, ".peel-choice")
        assert "Recommended (Weekly 2077_39)" in first.text
        assert "<b>what belongs to them</b>" in browser.find_element(By.CSS_SELECTOR, ".peel-about").text
        assert first.find_element(By.TAG_NAME, "input").is_selected()
        assert "registry.example.org/rubin/lab:recommended@sha256:" in start(browser)


def test_who_uses_the_list_gets_its_image_and_finds_it_by_a_word(menu: str, tmp_path: Path) -> None:
    with open_browser(tmp_path) as browser:
        browser.get(menu)
        browser.find_element(By.CSS_SELECTOR, "input[type=search]").send_keys("2077_07")
        options = browser.find_elements(By.CSS_SELECTOR, "[data-payload=rubin] option")
        assert [option.text for option in options] == ["Weekly 2077_07"]
        assert "rubin/lab:w_2077_07@sha256:" in start(browser)
        again = browser.find_element(By.CSS_SELECTOR, "[data-payload=rubin] select")
        assert "w_2077_07" in again.get_attribute("value")  # what was started last is chosen again


def test_the_form_is_filled_in_by_keyboard_alone(menu: str, tmp_path: Path) -> None:
    with open_browser(tmp_path) as browser:
        browser.get(menu)
        keys = ActionChains(browser).send_keys(Keys.TAB, Keys.ARROW_DOWN)  # to the chosen image, and the next one
        keys.perform()
        assert "r29_2_0_rsp2697" in browser.switch_to.active_element.get_attribute("value")
        for _ in range(12):
            ActionChains(browser).send_keys(Keys.TAB).perform()
            if browser.switch_to.active_element.get_attribute("name") == "size":
                break
        ActionChains(browser).send_keys(Keys.ARROW_DOWN, Keys.TAB, Keys.SPACE, Keys.ENTER).perform()
        told = said(browser)
        assert "r29_2_0_rsp2697" in told
        assert "size large" in told
        assert "enable_debug True" in told


def test_without_scripts_the_form_works(menu: str, tmp_path: Path) -> None:
    with open_browser(tmp_path, "--blink-settings=scriptEnabled=false") as browser:
        browser.get(menu)
        assert browser.find_elements(By.CSS_SELECTOR, "input[type=search]") == []
        browser.find_element(By.CSS_SELECTOR, "input[value='dropdown:spherex']").click()
        options = browser.find_elements(By.CSS_SELECTOR, "[data-payload=spherex] option")
        next(option for option in options if option.text == "Release 2.0.3").click()
        assert "spherex/lab:2.0.3@sha256:" in start(browser)


def test_what_is_posted_beside_the_menu_is_refused_on_the_form(menu: str, tmp_path: Path) -> None:
    with open_browser(tmp_path) as browser:
        browser.get(menu)
        evil = json.dumps("evil.example.org/<img src=x onerror=alert(1)>")
        browser.execute_script(f"document.querySelector('input[type=radio]').value = {evil}")
        assert "not, or no longer, on the menu" in start(browser)
        assert browser.find_element(By.CSS_SELECTOR, ".said").get_attribute("role") == "alert"
        assert browser.find_elements(By.CSS_SELECTOR, "img") == []
