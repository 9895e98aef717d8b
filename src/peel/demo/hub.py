"""A JupyterHub on loopback that offers a menu, with configurable-http-proxy and labs in podman's containers."""

from __future__ import annotations

import json
import os
import secrets
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Final

import httpx

from peel.errors import ToolError
from peel.interrupts import uninterrupted
from peel.tools import npm, process, system
from peel.tools.podman import serve_podman

_PROXY: Final = ("configurable-http-proxy@5", "configurable-http-proxy")
_READY_SECONDS: Final = 60.0
_END_SECONDS: Final = 30.0
_POLL_SECONDS: Final = 0.1
_LAST_LINES: Final = 15
_CONFIG: Final = '''\
"""JupyterHub as ``peel demo --hub`` runs it; all of it is on loopback."""

from peel.demo.local_spawner import LocalSpawner
from peel.spawner import use_menu

use_menu(c, {menu})

c.JupyterHub.bind_url = "http://127.0.0.1:{port}"
c.JupyterHub.hub_bind_url = "http://127.0.0.1:{hub_port}"
c.JupyterHub.cookie_secret_file = {cookie}
c.JupyterHub.db_url = {database}
c.JupyterHub.authenticator_class = "dummy"
c.DummyAuthenticator.password = {password}
c.Authenticator.allow_all = True
c.Authenticator.username_pattern = "[a-z][a-z0-9]{{0,30}}"
c.ConfigurableHTTPProxy.command = [{proxy}]
c.ConfigurableHTTPProxy.api_url = "http://127.0.0.1:{proxy_port}"
c.ConfigurableHTTPProxy.pid_file = {pid}

c.JupyterHub.spawner_class = LocalSpawner
c.Spawner.default_url = "/lab"
c.Spawner.start_timeout = 300
c.Spawner.http_timeout = 90
c.DockerSpawner.client_kwargs = {{"base_url": {socket}, "timeout": 300}}
c.DockerSpawner.pull_policy = "ifnotpresent"
c.DockerSpawner.network_name = "host"
c.DockerSpawner.use_internal_ip = True
c.DockerSpawner.remove = True
c.DockerSpawner.extra_host_config = {{
    "read_only": True,
    "cap_drop": ["ALL"],
    "security_opt": ["no-new-privileges"],
    "tmpfs": {{"/tmp": "mode=1777"}},
    "ulimits": [{{"Name": name, "Soft": 20000, "Hard": 20000}} for name in ("nofile", "nproc")],
}}
c.LocalSpawner.homes = {homes}
'''


@dataclass(frozen=True, slots=True)
class Hub:
    """A hub that answers: anybody may log in with the password; ``log`` is what it and its labs' spawner say."""

    url: str
    password: str
    config: Path
    log: Path

    def wait(self) -> None:
        """Wait for ever."""
        while True:
            time.sleep(3600)


def refuse_unfit() -> None:
    """Raise ToolError where a hub cannot run: for want of packages, or of rights."""
    if os.geteuid() != 0:
        raise ToolError("the hub's labs are run by root's podman, and this is another user", hint="run it as root")
    lacking = [name for name in ("jupyterhub", "dockerspawner") if find_spec(name) is None]
    if lacking:
        raise ToolError(f"not installed: {', '.join(lacking)}", hint="pip install 'peel-images[hub]'")


@contextmanager
def serve_hub(menu: Path, place: Path, *, downloads: Path, registries_conf: Path) -> Iterator[Hub]:
    """Run a hub that offers ``menu`` until left; its files and the users' homes are beneath ``place``.

    ``downloads`` keeps what npm brings. ``registries_conf`` says how images are pulled. Raises ToolError when one of
    the programs is missing or fails.
    """
    refuse_unfit()
    proxy = npm.install(*_PROXY, downloads / "configurable-http-proxy")
    place.mkdir(parents=True, exist_ok=True)
    with serve_podman(registries_conf) as socket:
        port, hub_port, proxy_port = (system.free_port(None) for _ in range(3))
        password, config = secrets.token_urlsafe(9), place / "jupyterhub_config.py"
        values = {
            "menu": str(menu), "cookie": str(place / "cookie_secret"), "database": f"sqlite:///{place}/hub.sqlite",
            "password": password, "proxy": str(proxy), "pid": str(place / "proxy.pid"), "socket": socket,
            "homes": str(place / "homes"),
        }  # fmt: skip
        quoted = {name: json.dumps(value) for name, value in values.items()}
        config.unlink(missing_ok=True)
        config.touch(0o600)  # it holds the password
        config.write_text(_CONFIG.format(port=port, hub_port=hub_port, proxy_port=proxy_port, **quoted))
        hub = Hub(f"http://127.0.0.1:{port}", password, config, place / "hub.log")
        with _running(hub, place):
            yield hub


@contextmanager
def _running(hub: Hub, place: Path) -> Iterator[None]:
    argv = (sys.executable, "-m", "jupyterhub", "-f", str(hub.config))
    beside = {"PATH": f"{Path(sys.executable).parent}:{process.inherit().get('PATH', '')}"}
    with (
        hub.log.open("wb") as log,
        process.start(process.Command(argv, process.inherit(beside), place), stdout=log, stderr=log) as child,
    ):
        _await(hub, lambda: child.poll() is not None)
        try:
            yield
        finally:  # told to end, it stops its labs and its proxy; podman removes what is left
            with uninterrupted():
                process.stop(child, grace=_END_SECONDS)


def _await(hub: Hub, ended: Callable[[], bool]) -> None:
    for _ in range(round(_READY_SECONDS / _POLL_SECONDS)):
        if ended():
            break
        with suppress(httpx.TransportError):
            if httpx.get(f"{hub.url}/hub/health", trust_env=False).is_success:
                return
        time.sleep(_POLL_SECONDS)
    last = hub.log.read_text(errors="replace").splitlines()[-_LAST_LINES:]
    lines = "".join(f"\n  {line}" for line in last)
    raise ToolError(f"the hub did not start:{lines}", hint=f"its log is {hub.log}")
