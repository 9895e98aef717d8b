"""A registry on loopback that serves an OCI layout under the name that production uses."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

import httpx

from peel.errors import ToolError
from peel.tools import process

_HOST: Final = "127.0.0.1"
_ATTEMPTS: Final = 5
_READY_SECONDS: Final = 15.0
_POLL_SECONDS: Final = 0.05
_CONFIGURATION = """\
version: 0.1
log: {{level: error, accesslog: {{disabled: true}}}}
storage: {{filesystem: {{rootdirectory: "{directory}"}}, delete: {{enabled: false}}}}
http: {{addr: "{host}:{port}"}}
"""
_REMAP = """\
unqualified-search-registries = []

[[registry]]
prefix = "{prefix}"
location = "{host}:{port}/{path}"
insecure = true
"""


@dataclass(frozen=True, slots=True)
class ServedImage:
    """An image that a loopback registry serves.

    With ``registries_conf`` (containers-registries.conf(5)) the name that production uses, ``reference``, is looked up
    here; ``local`` is the same image by the registry's own address. buildah takes the file's path from
    CONTAINERS_REGISTRIES_CONF, skopeo before 1.14 only from ``--registries-conf``.
    """

    reference: str
    local: str
    registries_conf: Path


@contextmanager
def serve_registry(layout: Path, name: str, *, tag: str, registry: str = "docker.io") -> Iterator[ServedImage]:
    """Serve the image called ``tag`` in an OCI layout as ``registry/name`` until left; every digest is kept.

    ``name`` is for example ``library/almalinux``. Raises ToolError when docker-registry or skopeo is missing or fails.
    """
    with TemporaryDirectory(prefix="peel-registry-") as directory, ExitStack() as running:
        port = _start(Path(directory), running)
        local = f"{_HOST}:{port}/{name}:{tag}"
        process.run(push_command(layout, tag, local))
        remap = Path(directory, "registries.conf")
        remap.write_text(_REMAP.format(prefix=f"{registry}/{name}", host=_HOST, port=port, path=name))
        yield ServedImage(f"{registry}/{name}:{tag}", local, remap)


@contextmanager
def serve_empty_registry(directory: Path) -> Iterator[tuple[str, Path]]:
    """Serve a registry that keeps what it is given beneath ``directory``, until left.

    Yields ``HOST:PORT``, and a registries.conf that lets tools use it without a certificate. Raises ToolError when
    docker-registry is missing or fails.
    """
    directory.mkdir(parents=True, exist_ok=True)
    with ExitStack() as running:
        host = f"{_HOST}:{_start(directory, running)}"
        conf = directory / "registries.conf"
        conf.write_text(f'[[registry]]\nlocation = "{host}"\ninsecure = true\n')
        yield host, conf


def push_command(layout: Path, tag: str, destination: str) -> process.Command:
    """The command that copies an image of a layout to a registry as it is."""
    argv = (
        "skopeo", "copy", "--quiet",
        "--preserve-digests",  # else layers are compressed again
        "--dest-tls-verify=false",  # the registry is on loopback and speaks plain HTTP
        f"oci:.:{tag}",  # in its directory: no character of its path can then mean something to skopeo
        f"docker://{destination}",
    )  # fmt: skip
    return process.Command(argv, env=process.inherit(), cwd=layout)


def _start(directory: Path, running: ExitStack) -> int:
    """Start a registry that ends with ``running``; the port it listens on."""
    for _ in range(_ATTEMPTS):
        port = _free_port()
        with ExitStack() as attempt:
            ended = _serve(directory, port, attempt)
            if _becomes_ready(port, ended):
                running.push(attempt.pop_all())
                return port
    raise ToolError(f"docker-registry did not start on any of {_ATTEMPTS} ports", hint="run it by hand to see why")


def _serve(directory: Path, port: int, running: ExitStack) -> Callable[[], bool]:
    configuration = directory / "registry.yml"
    configuration.write_text(_CONFIGURATION.format(directory=directory / "storage", host=_HOST, port=port))
    if process.find("docker-registry") is None:
        raise ToolError("docker-registry is not installed", hint="apt-get install docker-registry")
    command = process.Command(("docker-registry", "serve", str(configuration)), env=process.inherit())
    child = running.enter_context(process.start(command))
    return lambda: child.poll() is not None


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((_HOST, 0))
        port: int = probe.getsockname()[1]
        return port


def _becomes_ready(port: int, ended: Callable[[], bool]) -> bool:
    """Whether the registry answers before it ends: another program may have taken the port since it was free."""
    for _ in range(round(_READY_SECONDS / _POLL_SECONDS)):
        if ended():
            return False
        with suppress(httpx.TransportError):
            if httpx.get(f"http://{_HOST}:{port}/v2/", trust_env=False).status_code == httpx.codes.OK:
                return not ended()
        time.sleep(_POLL_SECONDS)
    return False
