"""The declarations that people start from: all that can be known of them without a network."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from peel.model.condalock import CondaLockPackage, Hashes
from peel.model.declared import Declared, DeclaredEnvironment
from peel.model.groups import Sized, make_groups
from peel.model.locked import join
from peel.model.lockset import Formats, Group, ImageLock, LockedBase, LockedCompression, LockedPackage, LockedWith
from peel.model.plan import GlueLayer, Plan, make_plan
from peel.model.values import ImageRef, Platform
from peel.store.catalogue import Catalogue
from peel.tools.conda_lock import Request, write_inputs

ROOT = Path(__file__).parent.parent
CATALOGUE = Catalogue(ROOT)
REF = ImageRef("rsp-lab", "w_2026_47")
PARSE = """
import json, os, sys
from rattler import MatchSpec
for text in json.load(sys.stdin):
    MatchSpec(text, strict=False)
print("parsed", flush=True)
os._exit(0)
"""


@pytest.fixture(scope="module")
def declared() -> Declared:
    return CATALOGUE.declared("rsp-lab")


def test_every_declared_image_resolves() -> None:
    assert list(CATALOGUE.images()) == ["rsp-lab"]
    for image in CATALOGUE.images():
        assert CATALOGUE.declared(image).base == "docker.io/library/almalinux:9"


def test_every_directory_under_envs_is_used_by_an_image(declared: Declared) -> None:
    folders = {path.name for path in (ROOT / "envs").iterdir() if path.is_dir()}
    assert folders == {environment.name for environment in declared.environments}


def test_every_environment_comes_from_conda_forge_alone(declared: Declared) -> None:
    assert {environment.channels for environment in declared.environments} == {("conda-forge",)}


def test_every_dependency_is_a_spec_that_the_solver_reads(declared: Declared) -> None:
    specs = [text for environment in declared.environments for text in environment.dependencies]
    argv = [sys.executable, "-c", PARSE]  # py-rattler may crash at exit, so it gets a process of its own
    done = subprocess.run(argv, input=json.dumps(specs), capture_output=True, text=True, timeout=60, check=False)
    assert done.stdout == "parsed\n", done.stderr


def test_no_environment_asks_for_a_package_twice(declared: Declared) -> None:
    for environment in declared.environments:
        assert Counter(names(environment)).most_common(1)[0][1] == 1


def test_the_lab_has_what_a_spawner_starts_and_every_payload_what_a_kernel_starts_with(declared: Declared) -> None:
    assert {"python", "jupyterlab", "jupyterhub", "jupyterlab_widgets"} <= set(names(declared.lab))
    for payload in declared.payloads:
        assert "ipykernel" in names(payload)


def test_the_science_pipelines_are_the_newest_rubin_env_with_the_platforms_additions(declared: Declared) -> None:
    rubin = declared.payloads[0]
    assert {"rubin-env ==13.0.1", "rubin-env-rsp ==13.0.1"} <= set(rubin.dependencies)
    assert rubin.kernel is not None
    assert (rubin.kernel.name, rubin.kernel.display_name) == ("lsst", "LSST")


@pytest.mark.parametrize("name", ["lab", "rubin-env", "python", "machine-learning"])
def test_conda_lock_gets_its_inputs(declared: Declared, name: str, tmp_path: Path) -> None:
    environment = next(found for found in declared.environments if found.name == name)
    write_inputs(Request(environment, {"linux-64": "2.34"}), tmp_path)
    written = json.loads((tmp_path / "environment.yml").read_text())
    assert written["channels"] == ["conda-forge"]
    assert written["dependencies"] == list(environment.dependencies)
    virtual = json.loads((tmp_path / "virtual-packages.yml").read_text())
    assert virtual["subdirs"]["linux-64"]["packages"]["__glibc"] == "2.34"


def test_a_plan_is_made_when_something_has_been_locked(declared: Declared) -> None:
    plan = planned(declared)
    glue = plan.layers[-1]
    assert isinstance(glue, GlueLayer)
    paths = {entry.path: entry for entry in glue.entries}
    assert "usr/local/share/jupyter/kernels/lsst/kernel.json" in paths
    link = paths["opt/lsst/software/jupyterlab/runlab.sh"]
    assert f"{link.target}".removeprefix("/") in paths


def test_an_image_that_was_planned_starts_as_spawners_expect(declared: Declared) -> None:
    settings = planned(declared).settings
    assert (settings.user, settings.working_dir, settings.exposed_ports) == ("65534:65534", "/tmp", ("8888/tcp",))


def names(environment: DeclaredEnvironment) -> list[str]:
    return [text.split()[0] for text in environment.dependencies]


def planned(declared: Declared) -> Plan:
    """The plan of a lock in which every spec is one package and Python is there."""
    locks = {environment.name: locked(environment) for environment in declared.environments}
    groups = {
        name: tuple(
            Group(name=group, packages=tuple(pinned(member) for member in members))
            for group, members in make_groups([Sized(package.name, 1) for package in packages], limit=5)
        )
        for name, packages in locks.items()
    }
    lock = ImageLock(
        schema=1, image=REF.image, tag=REF.tag, epoch=0, formats=Formats(plan=1, linker=1, bytecode=1, layer=1, glue=1),
        compression=LockedCompression(codec="zstd", library="any", level=3, mode="multithreaded"),
        locked_with=LockedWith(conda_lock="any", solver="any"), declared=declared,
        base={"linux-64": LockedBase(digest=f"sha256:{'b' * 64}", glibc="2.34", layers=1)},
        layers={"linux-64": groups},
    )  # fmt: skip
    return make_plan(join(REF, lock, locks, "a test"), Platform("linux-64"))


def locked(environment: DeclaredEnvironment) -> list[CondaLockPackage]:
    return [
        CondaLockPackage(
            name=name, version="3.13.1", manager="conda", platform="linux-64", url=f"file:///channel/{name}-3.13.1-0.conda",
            hash=Hashes(),
        )
        for name in sorted({"python", *names(environment)})
    ]  # fmt: skip


def pinned(name: str) -> LockedPackage:
    return LockedPackage(name=name, file=f"{name}-3.13.1-0.conda", sha256="a" * 64, size=1)


def test_the_menu_is_one_and_no_image() -> None:
    menu = CATALOGUE.menu()
    assert [payload.name for payload in menu.payloads] == ["rsp"]
    assert menu.payloads[0].tags == CATALOGUE.declared("rsp-lab").tags
    assert "menu" not in CATALOGUE.images()
