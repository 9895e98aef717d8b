"""``peel launch`` on the demo's image: what it shows, what it keeps to itself, and what it leaves behind."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import httpx
import pytest

from e2e.catalogues import DEMO, Demo, clone
from e2e.running import Peel, becomes_true, containers_of, mounts_beneath, processes_naming, refused
from peel.tools.jupyter import JupyterServer

HOSTILE = "raise SystemExit('a package in the home has stopped the lab')\n"
USER = 1000


@pytest.fixture(scope="module")
def lab(demo: Demo, tmp_path_factory: pytest.TempPathFactory) -> Iterator[JupyterServer]:
    """The lab with a home that holds packages which break whoever imports them, and one that a kernel may."""
    home = tmp_path_factory.mktemp("home")
    for package in ("traitlets", "jupyter_server", "jupyterlab", "tornado"):
        _install(home, "3.13", package, HOSTILE)
    _install(home, "3.11", "their_own", "WHERE = __file__\n")
    for path in (home, *home.rglob("*")):
        os.chown(path, USER, USER)
    with _launched(clone(demo.peel, tmp_path_factory.mktemp("lab")), "--home", home) as (server, _):
        yield server


def test_check_runs_a_cell_in_every_payload_kernel(own_demo: Peel) -> None:
    done = own_demo.must("launch", DEMO, "--check", "--json").json
    assert done["passed"] is True
    assert [kernel["name"] for kernel in done["kernels"]] == ["science"]


def test_the_server_offers_the_payload_kernels_only(lab: JupyterServer) -> None:
    assert [(spec.name, spec.display_name) for spec in lab.kernelspecs()] == [("science", "Science (Python 3.11)")]


def test_packages_in_the_home_cannot_stop_the_lab(lab: JupyterServer) -> None:
    assert httpx.get(f"{lab.url}/api/status", params={"token": lab.token}).status_code == 200


def test_a_kernel_sees_the_packages_in_the_home_and_nothing_of_the_lab(lab: JupyterServer) -> None:
    code = (
        "import os, sys, numpy, their_own\n"
        "print(their_own.WHERE)\n"
        "of_the_lab = [path for path in sys.path if 'peel/lab' in path]\n"
        "print(of_the_lab, os.environ.get('PYTHONNOUSERSITE'), os.environ['OMP_NUM_THREADS'])"
    )
    result = lab.run_cell("science", code, timeout=60)
    assert result.status == "ok", result.error
    where, environment = result.text.strip().splitlines()
    assert where == "/home/lab/.local/lib/python3.11/site-packages/their_own/__init__.py"
    assert environment == "[] None 2"


def test_the_token_is_in_no_list_of_processes(lab: JupyterServer) -> None:
    assert processes_naming(lab.token) == []


def test_who_has_no_token_is_refused(lab: JupyterServer) -> None:
    assert httpx.get(f"{lab.url}/api/kernelspecs").status_code == 403


@pytest.mark.parametrize("ending", [signal.SIGINT, signal.SIGTERM])
def test_a_lab_that_is_told_to_end_leaves_nothing(own_demo: Peel, tmp_path: Path, ending: signal.Signals) -> None:
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    peel = own_demo.with_env(TMPDIR=str(temporary))
    before = _left_behind(peel)
    with _launched(peel) as (server, child):
        assert _left_behind(peel) != before
        child.send_signal(ending)
        _, said = child.communicate(timeout=60)
    assert child.returncode == 6, said
    assert "Traceback" not in said
    assert server.token not in said
    becomes_true(lambda: _left_behind(peel) == before, "all that the launch made is gone", within=10)
    with pytest.raises(httpx.TransportError):
        httpx.get(f"{server.url}/api")


def test_a_port_in_use_is_refused_with_a_hint(own_demo: Peel) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        refused(own_demo.run("launch", DEMO, "--port", str(port)), 2, str(port))


def test_an_image_that_is_not_built_is_refused_with_the_command_that_builds_it(demo: Demo, tmp_path: Path) -> None:
    done = replace(demo.peel, store=tmp_path / "empty").run("launch", DEMO)
    refused(done, 2)
    assert f"peel build {DEMO}" in done.stderr


@contextmanager
def _launched(peel: Peel, *arguments: str | Path) -> Iterator[tuple[JupyterServer, subprocess.Popen[str]]]:
    with peel.start("launch", DEMO, *arguments) as child:
        assert child.stdout is not None
        found = re.fullmatch(r"(http://127\.0\.0\.1:\d+)/lab\?token=(\w+)\n", child.stdout.readline())
        assert found is not None, child.communicate(timeout=60)[1]
        yield JupyterServer(found[1], found[2]), child
        if child.poll() is None:
            child.send_signal(signal.SIGINT)
            child.communicate(timeout=60)


def _left_behind(peel: Peel) -> Mapping[str, list[str]]:
    """All that a launch makes and has to remove."""
    return {
        "containers": containers_of(peel.store),
        "mounts": mounts_beneath(peel.store),
        "directories": sorted(path.name for path in Path(peel.env["TMPDIR"]).iterdir()),
        "work": sorted(path.name for path in (peel.store / "tmp").iterdir()),
        "processes": sorted(processes_naming(f"{peel.store}/containers")),
    }


def _install(home: Path, python: str, package: str, code: str) -> None:
    place = home / ".local" / "lib" / f"python{python}" / "site-packages" / package
    place.mkdir(parents=True)
    (place / "__init__.py").write_text(code)
