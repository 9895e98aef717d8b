"""An image for the Rubin platform as it is built: its old paths, its kernel ``lsst``, and what payloads bring."""

from __future__ import annotations

import re
import shutil
import signal
from collections.abc import Iterator
from dataclasses import dataclass

import httpx
import pytest

from e2e.catalogues import Demo, base_of, clone
from e2e.images import Image
from e2e.running import Peel
from peel.model.checks import NAMES
from peel.tools.jupyter import JupyterServer

PLATFORM = "platform:1.0.0"
LAB, STACK, OWN = "/opt/peel/lab", "/opt/peel/envs/stack", "/opt/peel/envs/own"
LOGO = "<svg xmlns='http://www.w3.org/2000/svg'/>\n"
_IMAGE = """\
schema: 1
base: {base}
lab:
  environment: lab/environment.yml
  variables: {{ONLY_THE_LABS: "1"}}
payloads: [own, stack]
tags: semver
compat: [sciplat-2026]
links: {{/opt/lsst/sal: {stack}}}
"""
_STACK = """\
schema: 1
kind: conda
kernel: {name: lsst, display_name: LSST, logo: logo.svg}
setup: setup.sh
terminal: true
"""
_OWN = """\
schema: 1
kind: conda
kernel: {name: own, display_name: Own, launcher: launch.sh}
"""
_ENVIRONMENT = """\
channels: ["{channel}"]
dependencies: [python 3.11.*, ipykernel]
"""
_SETUP = 'export FROM_SETUP="$CONDA_PREFIX"\n'
_LAUNCH = f"""\
#!/bin/sh
exec {OWN}/bin/python -m ipykernel_launcher "$@"
"""
_LINKS = {
    "opt/lsst/software/jupyterlab/runlab.sh": "/usr/local/share/jupyterlab/runlab",
    "opt/lsst/software/jupyterlab/runlab": "/usr/local/share/jupyterlab/runlab",
    "opt/lsst/software/jupyterlab/lsst_kernel.json": "/usr/local/share/jupyter/kernels/lsst/kernel.json",
    "opt/lsst/software/jupyterlab/lsstlaunch.bash": "/usr/local/share/peel/kernels/lsst",
    "etc/nublado/lsst_kernel.json": "/usr/local/share/jupyter/kernels/lsst/kernel.json",
    "etc/nublado/lsstlaunch.bash": "/usr/local/share/peel/kernels/lsst",
    "etc/nublado/venv": LAB,
    "opt/lsst/sal": STACK,
}


@dataclass(frozen=True, slots=True)
class Platform:
    """The catalogue of the image, and the manifest that it was built to."""

    peel: Peel
    manifest: str


@pytest.fixture(scope="module")
def platform(demo: Demo, tmp_path_factory: pytest.TempPathFactory) -> Platform:
    """The image, locked and built upon the demo's base and lab."""
    peel = clone(demo.peel, tmp_path_factory.mktemp("platform"))
    channel = (demo.peel.catalogue / "channel").as_uri()
    files = {
        "platform.yaml": _IMAGE.format(base=base_of(demo.peel), stack=STACK),
        "stack/payload.yaml": _STACK, "stack/setup.sh": _SETUP, "stack/logo.svg": LOGO,
        "own/payload.yaml": _OWN, "own/launch.sh": _LAUNCH,
        "stack/environment.yml": _ENVIRONMENT.format(channel=channel),
        "own/environment.yml": _ENVIRONMENT.format(channel=channel),
    }  # fmt: skip
    for name, text in files.items():
        path = peel.catalogue / "envs" / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
    peel.must("lock", PLATFORM)
    return Platform(peel, peel.must("build", PLATFORM, "--json").json["manifest"])


@pytest.fixture(scope="module")
def lab(platform: Platform) -> Iterator[JupyterServer]:
    with platform.peel.start("launch", PLATFORM) as child:
        assert child.stdout is not None
        found = re.fullmatch(r"(http://127\.0\.0\.1:\d+)/lab\?token=(\w+)\n", child.stdout.readline())
        assert found is not None, child.communicate(timeout=60)[1]
        yield JupyterServer(found[1], found[2])
        child.send_signal(signal.SIGINT)
        child.communicate(timeout=60)


@pytest.mark.skipif(shutil.which("podman") is None, reason="podman is not installed")
def test_the_contract_is_kept_with_all_that_payloads_may_bring(platform: Platform) -> None:
    said = platform.peel.must("check", PLATFORM, "--json").json
    assert {check["name"] for check in said["checks"]} == set(NAMES)
    assert [check for check in said["checks"] if not check["passed"]] == []


def test_old_paths_lead_to_what_the_image_has(platform: Platform) -> None:
    members = {member.path: member for member in Image.load(platform.peel.store, platform.manifest).own_members()}
    links = {path: members[path].info.linkname for path in _LINKS}
    assert links == _LINKS
    assert {target[1:] for target in links.values()} <= members.keys()


def test_a_kernel_has_what_its_payload_brought(lab: JupyterServer) -> None:
    result = lab.run_cell("lsst", "import os, sys; print(os.environ['FROM_SETUP'], sys.prefix)", timeout=60)
    assert result.text.split() == [STACK, STACK]
    logo = httpx.get(f"{lab.url}/kernelspecs/lsst/logo-svg.svg", params={"token": lab.token})
    assert (logo.status_code, logo.text) == (200, LOGO)


def test_a_launcher_of_the_payloads_own_gets_nothing_of_the_labs(lab: JupyterServer) -> None:
    code = (
        "import os, sys\n"
        "names = ['ONLY_THE_LABS', 'JUPYTER_CONFIG_DIR', 'PYTHONNOUSERSITE', 'FROM_SETUP']\n"
        f"print(sys.prefix, '{LAB}/bin' in os.environ['PATH'], [name for name in names if name in os.environ])"
    )
    result = lab.run_cell("own", code, timeout=60)
    assert result.text.strip() == f"{OWN} False []", result.error
