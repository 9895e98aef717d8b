"""``peel demo --hub``: a real JupyterHub offers images of two payloads, podman pulls them from a real registry."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import WebDriverWait

from e2e.browsers import PATIENCE, cards, needs_browser, open_browser, refuse_barriers, run_in_new_notebook
from e2e.catalogues import Demo, clone
from e2e.running import LONGEST, Peel, becomes_true, processes_naming

pytestmark = [
    *needs_browser,
    pytest.mark.skipif(not (shutil.which("npm") and shutil.which("podman")), reason="npm or podman is not installed"),
]

_CELL = "import os, sys; print(sys.prefix, os.getuid(), os.environ['JUPYTERHUB_USER'], os.environ['IMAGE_DESCRIPTION'])"
_STARTING = 120  # seconds: the image has to be pulled


@dataclass(frozen=True, slots=True)
class Hub:
    url: str
    password: str
    place: Path
    process: subprocess.Popen[str]

    @property
    def log(self) -> str:
        return (self.place / "hub.log").read_text(errors="replace")


@pytest.fixture(scope="module")
def hub(demo: Demo, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hub]:
    own = clone(demo.peel, tmp_path_factory.mktemp("hub"))
    (own.catalogue / "store").symlink_to(own.store)
    peel = Peel(own.catalogue, own.store, own.home, {**own.env, **_of_npm()})
    with peel.start("demo", own.catalogue, "--hub") as child:
        line = child.stdout.readline()
        assert line, child.stderr.read()
        url, _, password = line.strip().removesuffix(")").partition("  (any name, password ")
        yield Hub(url, password, own.catalogue / "hub", child)
        child.send_signal(signal.SIGINT)
        child.communicate(timeout=LONGEST)


def _of_npm() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if name.lower().startswith(("npm_config_", "node_extra"))}


def log_in(browser: webdriver.Chrome, hub: Hub, name: str) -> None:
    browser.get(f"{hub.url}/hub/login")
    browser.find_element(By.ID, "username_input").send_keys(name)
    browser.find_element(By.ID, "password_input").send_keys(hub.password)
    browser.find_element(By.ID, "login_submit").click()
    WebDriverWait(browser, PATIENCE).until(lambda b: b.find_elements(By.CSS_SELECTOR, ".peel-menu"))


def choose(browser: webdriver.Chrome, value: str) -> None:
    click(browser, f"input[value*='{value}']")


def start(browser: webdriver.Chrome) -> None:
    click(browser, "#spawn_form [type=submit]")


def click(browser: webdriver.Chrome, selector: str) -> None:
    found = browser.find_element(By.CSS_SELECTOR, selector)
    browser.execute_script("arguments[0].scrollIntoView({block: 'center', behavior: 'instant'})", found)
    found.click()


@pytest.mark.parametrize(
    ("user", "image", "kernel", "says"),
    [
        ("one", "/demo/demo-lab:recommended@", "Science (Python 3.11)", "/opt/peel/envs/science 1000 one Recommended"),
        ("two", "/demo/plain-lab:1.0.0@", "Plain (Python 3.13)", "/opt/peel/envs/plain 1000 two Release 1.0.0"),
    ],
)
def test_who_chooses_an_image_runs_a_cell_in_its_payload(
    hub: Hub, user: str, image: str, kernel: str, says: str, axe: str, tmp_path: Path
) -> None:
    with open_browser(tmp_path) as browser:
        log_in(browser, hub, user)
        legends = [legend.text for legend in browser.find_elements(By.CSS_SELECTOR, ".peel-menu legend")]
        assert legends == ["Science", "Plain Python", "Size", "Options"]
        refuse_barriers(browser, axe, ".peel-menu")
        browser.save_screenshot(os.environ.get("PEEL_SCREENSHOT_HUB_FORM") or str(tmp_path / "form.png"))
        choose(browser, image)
        start(browser)
        try:
            WebDriverWait(browser, _STARTING).until(lambda b: cards(b, "Notebook") or "Error:" in b.page_source)
            WebDriverWait(browser, PATIENCE).until(lambda b: not b.find_elements(By.ID, "jupyterlab-splash"))
            assert run_in_new_notebook(browser, kernel, _CELL).startswith(says)
        finally:
            browser.save_screenshot(os.environ.get("PEEL_SCREENSHOT_HUB") or str(tmp_path / "hub.png"))
            (tmp_path / "log").write_text(hub.log)


@contextmanager
def api_of(hub: Hub, user: str) -> Iterator[httpx.Client]:
    """The hub's API, as a user of it who has logged in."""
    with httpx.Client(base_url=hub.url, trust_env=False, timeout=60, follow_redirects=True) as client:
        client.get("/hub/login")
        form = {"username": user, "password": hub.password, "_xsrf": client.cookies.get("_xsrf", path="/hub/")}
        client.post("/hub/login", data=form).raise_for_status()
        headers = {"X-XSRFToken": client.cookies.get("_xsrf", path="/hub/")}
        token = client.post(f"/hub/api/users/{user}/tokens", headers=headers, json={}).json()["token"]
    with httpx.Client(
        base_url=hub.url, trust_env=False, timeout=60, headers={"Authorization": f"token {token}"}
    ) as client:
        yield client


@pytest.mark.parametrize(
    "options", [{"image": "evil.example.org/miner:latest"}, {"image": ["x"]}, {"cmd": ["sh"]}, {"size": "<b>huge</b>"}]
)
def test_the_hubs_api_starts_nothing_but_images_of_the_menu(hub: Hub, options: dict[str, object]) -> None:
    with api_of(hub, "three") as client:
        refused = client.post("/hub/api/users/three/server", json=options)
        assert refused.status_code == httpx.codes.BAD_REQUEST, refused.text
        assert "evil" not in refused.text
        assert "menu" in refused.text or "option" in refused.text


def test_an_image_that_left_the_menu_meanwhile_is_refused_on_the_form(hub: Hub, tmp_path: Path) -> None:
    menu = hub.place / "menu.json"
    whole = menu.read_text()
    with open_browser(tmp_path) as browser:
        log_in(browser, hub, "four")
        choose(browser, "/demo/plain-lab:1.0.0@")
        menu.write_text(whole.replace("plain-lab:1.0.0@", "plain-lab:1.0.1@"))
        try:
            start(browser)
            WebDriverWait(browser, PATIENCE).until(lambda b: "no longer, on the menu" in b.page_source)
            assert browser.find_elements(By.CSS_SELECTOR, "input[value*='/demo/plain-lab:1.0.1@']")
        finally:
            menu.write_text(whole)


def test_a_hub_that_ends_leaves_no_lab_and_no_mount(hub: Hub) -> None:
    hub.process.send_signal(signal.SIGINT)
    hub.process.wait(LONGEST)
    assert hub.process.returncode == 0
    becomes_true(lambda: not processes_naming("jupyterhub-singleuser"), "the labs are gone")
    socket = re.search(r"unix://(/[^\"]+)/podman[.]sock", (hub.place / "jupyterhub_config.py").read_text())
    assert socket is not None
    assert not Path(socket[1]).exists()
    assert socket[1] not in Path("/proc/self/mounts").read_text()
