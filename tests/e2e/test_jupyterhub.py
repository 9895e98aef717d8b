"""A real JupyterHub starts the demo's image for a user, who opens a notebook in a real browser."""

from __future__ import annotations

import os
import secrets
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import WebDriverWait

from e2e.browsers import PATIENCE, cards, needs_browser, open_browser, run_in_new_notebook
from e2e.catalogues import DEMO, Demo, brought_by_npm
from e2e.running import becomes_true, processes_naming
from peel.model.plan import make_plan
from peel.model.values import ImageRef, Platform
from peel.store.catalogue import Catalogue
from peel.store.store import Store
from peel.tools import system
from peel.tools.buildah import Volume
from peel.tools.podman import open_podman
from peel.workflow.containers import chosen_buildah, import_image
from peel.workflow.launch import built_image

pytestmark = [
    *needs_browser,
    pytest.mark.skipif(not (shutil.which("npm") and shutil.which("podman")), reason="npm or podman is not installed"),
]

USER = 12345
_CELL = "import os, sys; print(sys.prefix, os.getuid(), os.environ['JUPYTERHUB_USER'])"
_CONFIG = """\
c.JupyterHub.bind_url = "http://127.0.0.1:{port}"
c.JupyterHub.hub_bind_url = "http://127.0.0.1:{hub_port}"
c.JupyterHub.cookie_secret_file = "{place}/cookie_secret"
c.JupyterHub.db_url = "sqlite:///{place}/hub.sqlite"
c.JupyterHub.authenticator_class = "dummy"
c.DummyAuthenticator.password = "{password}"
c.Authenticator.allow_all = True
c.ConfigurableHTTPProxy.command = ["{proxy}"]
c.ConfigurableHTTPProxy.api_url = "http://127.0.0.1:{proxy_port}"
c.ConfigurableHTTPProxy.pid_file = "{place}/proxy.pid"
c.JupyterHub.spawner_class = "simple"
c.Spawner.cmd = ["{place}/spawn"]
c.Spawner.default_url = "/lab"
c.Spawner.start_timeout = 90
"""
_SPAWN = """\
#!/bin/sh
# What a container spawner does: hand the hub's variables into a container of the image.
for name in $(env | sed -n 's/^\\(JUPYTERHUB_[A-Z_]*\\)=.*/\\1/p; s/^\\(JPY_[A-Z_]*\\)=.*/\\1/p'); do
    set -- "$@" --env "$name"
done
exec {before} "$@" {after}
"""


@dataclass(frozen=True, slots=True)
class Hub:
    url: str
    password: str
    place: Path


@pytest.fixture(scope="module")
def proxy(downloads: str) -> Path:
    """configurable-http-proxy, as npm brings it; kept from one run of the tests to the next."""

    return brought_by_npm(downloads, "configurable-http-proxy@5") / ".bin" / "configurable-http-proxy"


@pytest.fixture(scope="module")
def hub(demo: Demo, proxy: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hub]:
    """A hub that starts the demo's image, with a read-only root and without capabilities."""
    place = tmp_path_factory.mktemp("hub")
    home = place / "home"
    home.mkdir()
    os.chown(home, USER, USER)
    store, catalogue, ref = Store(demo.peel.store), Catalogue.open(demo.peel.catalogue), ImageRef.parse(DEMO)
    plan = make_plan(catalogue.lock_set(ref), Platform("linux-64"))
    buildah = chosen_buildah(store)
    image = import_image(built_image(plan, catalogue, store), store, buildah)
    with open_podman(buildah) as podman, podman.container(image) as root:
        argv = podman._run_argv(
            "peel-hub-test", root, ("/usr/local/share/peel/entry", "/usr/local/share/jupyterlab/runlab"),
            user=f"{USER}:{USER}", network="host", workdir="/home/lab", env={"HOME": "/home/lab"},
            volumes=[Volume(home, "/home/lab", "rw")],
        )  # fmt: skip
        cut = argv.index("--rootfs")
        quoted = [" ".join(f"'{word}'" for word in part) for part in (argv[:cut], argv[cut:])]
        (place / "spawn").write_text(_SPAWN.format(before=quoted[0], after=quoted[1]))
        (place / "spawn").chmod(0o755)
        with serve_hub(place, proxy) as served:
            yield served
        subprocess.run(
            [*podman._argv(), "rm", "--force", "--ignore", "peel-hub-test"], check=False, capture_output=True
        )


@contextmanager
def serve_hub(place: Path, proxy: Path) -> Iterator[Hub]:
    port, hub_port, proxy_port = (system.free_port(None) for _ in range(3))
    password = secrets.token_hex(8)
    config = place / "jupyterhub_config.py"
    config.write_text(
        _CONFIG.format(port=port, hub_port=hub_port, proxy_port=proxy_port, place=place, proxy=proxy, password=password)
    )
    env = {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}", "HOME": str(place), "LC_ALL": "C.UTF-8"}
    url = f"http://127.0.0.1:{port}"
    with (place / "log").open("wb") as log:
        hub = subprocess.Popen(
            [sys.executable, "-m", "jupyterhub", "-f", str(config)], cwd=place, env=env, stdout=log, stderr=log
        )
        try:
            becomes_true(lambda: hub.poll() is not None or _answers(url), "the hub answers")
            assert hub.poll() is None, (place / "log").read_text()[-3000:]
            yield Hub(url, password, place)
        finally:
            hub.terminate()
            hub.wait(timeout=60)


def _answers(url: str) -> bool:
    try:
        return httpx.get(f"{url}/hub/health", trust_env=False).status_code == httpx.codes.OK
    except httpx.TransportError:
        return False


def log_in(browser: webdriver.Chrome, hub: Hub, name: str) -> None:
    browser.get(f"{hub.url}/hub/login")
    browser.find_element(By.ID, "username_input").send_keys(name)
    browser.find_element(By.ID, "password_input").send_keys(hub.password)
    browser.find_element(By.ID, "login_submit").click()


def test_a_hub_starts_the_image_and_a_notebook_runs_in_the_payload(hub: Hub, tmp_path: Path) -> None:
    with open_browser(tmp_path) as browser:
        log_in(browser, hub, "somebody")
        try:
            WebDriverWait(browser, PATIENCE).until(lambda b: cards(b, "Notebook"))
            WebDriverWait(browser, PATIENCE).until(lambda b: not b.find_elements(By.ID, "jupyterlab-splash"))
            said = run_in_new_notebook(
                browser,
                "Science (Python 3.11)",
                "import os, sys; print(sys.prefix, os.getuid(), os.environ['JUPYTERHUB_USER'])",
            )
        finally:
            browser.save_screenshot(os.environ.get("PEEL_SCREENSHOT_HUB") or str(tmp_path / "hub.png"))
            (tmp_path / "log").write_bytes((hub.place / "log").read_bytes())
    assert said == f"/opt/peel/envs/science {USER} somebody"


def test_a_hub_that_ends_leaves_nothing_of_the_lab(hub: Hub) -> None:
    config = str(hub.place / "jupyterhub_config.py")
    asked = [sys.executable, "-m", "jupyterhub", "token", "--config", config, "somebody"]
    token = subprocess.run(asked, cwd=hub.place, capture_output=True, text=True, check=True).stdout.strip()
    headers = {"Authorization": f"token {token}"}
    stopped = httpx.delete(
        f"{hub.url}/hub/api/users/somebody/server", headers=headers, trust_env=False, timeout=60
    )  # fmt: skip
    assert stopped.status_code in {httpx.codes.NO_CONTENT, httpx.codes.ACCEPTED}
    becomes_true(lambda: not processes_naming("jupyterhub-singleuser"), "the lab is gone")
