"""``peel site`` of the demo and of a patched tag, in a real browser."""

from __future__ import annotations

import os
from pathlib import Path

from selenium.webdriver import Keys
from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import WebDriverWait

from e2e.browsers import PATIENCE, needs_browser, open_browser, refuse_barriers
from e2e.catalogues import DEMO
from e2e.running import Peel

pytestmark = needs_browser

_PATCH = "schema: 1\nreason: <b>humanize</b> is not to be used\nwheels: {remove: [humanize]}\n"


def test_a_package_is_found_and_a_patch_told_on_pages_that_fit_a_phone(
    own_demo: Peel, tmp_path: Path, axe: str
) -> None:
    (own_demo.catalogue / "envs" / "patches").mkdir()
    (own_demo.catalogue / "envs" / "patches" / "no-humanize.yaml").write_text(_PATCH)
    own_demo.must("patch", DEMO, "no-humanize", "--as", "r1_0_0_rsp1", "--no-build")
    said = own_demo.must("site", tmp_path / "site", "--json").json
    assert (said["tags"], said["unreadable"]) == (2, [])
    with open_browser(tmp_path) as browser:
        browser.get((tmp_path / "site" / "packages.html").as_uri())
        browser.find_element(By.ID, "query").send_keys("humanize")
        hits = WebDriverWait(browser, PATIENCE).until(lambda b: b.find_elements(By.CSS_SELECTOR, "#hits a"))
        assert [hit.text for hit in hits] == ["humanize"]
        browser.find_element(By.ID, "query").send_keys(Keys.ENTER)
        WebDriverWait(browser, PATIENCE).until(lambda b: "all.html#humanize" in b.current_url)
        browser.get((tmp_path / "site" / "lineage.html").as_uri())
        assert "<b>humanize</b> is not to be used" in browser.find_element(By.TAG_NAME, "main").text
        browser.set_window_size(500, 900)
        for page in ("index.html", "images/demo-lab.html", "tags/demo-lab/r1_0_0/index.html"):
            browser.get((tmp_path / "site" / page).as_uri())
            wider = browser.execute_script("return document.documentElement.scrollWidth - window.innerWidth")
            assert wider <= 0, page
        browser.save_screenshot(os.environ.get("PEEL_SCREENSHOT_SITE") or str(tmp_path / "site.png"))
        assert [entry for entry in browser.get_log("browser") if entry["level"] == "SEVERE"] == []
        for page in sorted((tmp_path / "site").rglob("*.html")):
            browser.get(page.as_uri())
            refuse_barriers(browser, axe)
