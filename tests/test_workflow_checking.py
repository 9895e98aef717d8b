"""Checks of what an image holds, failing as well as passing; how it runs is checked for real in tests/e2e."""

from __future__ import annotations

import tarfile
from dataclasses import replace
from pathlib import Path

import pytest

from layers_of import make_layer, member
from locksets import group, locked, make_declared, make_lock
from peel.errors import UsageError
from peel.model.checks import NAMES, Check
from peel.model.glue import START
from peel.model.glue.places import ENTRY
from peel.model.locked import join
from peel.model.oci import Config, Descriptor, ImageSettings, Manifest
from peel.model.plan import make_plan
from peel.model.values import Digest, ImageRef, Platform, PythonVersion
from peel.store.store import Store
from peel.workflow.build import PLAN_ANNOTATION
from peel.workflow.checking import held
from peel.workflow.checking.checking import chosen_names
from peel.workflow.checking.homes import OWN_MODULE, break_home, furnish
from peel.workflow.checking.hub_api import serve_hub_api
from peel.workflow.checking.subject import Subject


@pytest.fixture
def subject(tmp_path: Path) -> Subject:
    declared = make_declared("science", compat=["nublado"])
    lab = [locked("jupyterlab"), locked("python", "3.13.1"), locked("jupyterlab-widgets", "3.0")]
    science = [locked("ipykernel"), locked("python", "3.11.2"), locked("ipywidgets", "8.1")]
    lock = make_lock(declared, {"lab": [group("g", *lab)], "science": [group("g", *science)]})
    lock = lock.model_copy(update={"formats": lock.formats.model_copy(update={"glue": 2})})
    locks = join(ImageRef("lab", "r1_0_0"), lock, {"lab": lab, "science": science}, "a test")
    plan = make_plan(locks, Platform("linux-64"))
    labels = {
        "org.opencontainers.image.title": "lab", "org.opencontainers.image.version": "r1_0_0",
        "org.opencontainers.image.created": "now", "org.opencontainers.image.base.name": "base",
        "org.opencontainers.image.base.digest": "d", PLAN_ANNOTATION: str(plan.digest),
    }  # fmt: skip
    settings = ImageSettings(entrypoint=(ENTRY,), cmd=(START,), labels=tuple(sorted(labels.items())))
    blob = Descriptor("application/vnd.oci.image.config.v1+json", Digest.of(b"{}"), 2)
    return Subject(locks, plan, Store(tmp_path / "store"), blob, Manifest(blob, ()), Config("amd64", settings))


def with_layer(subject: Subject, place: Path, *files: str, more: tuple[tarfile.TarInfo, ...] = ()) -> Subject:
    layer = make_layer(place, dict.fromkeys(files, b"x"), more=more)
    with layer.open() as file:
        subject.store.blobs.put_bytes(file.read())
    return replace(subject, manifest=replace(subject.manifest, layers=(*subject.manifest.layers, layer.blob)))


def link(path: str, target: str) -> tarfile.TarInfo:
    return member(path, tarfile.SYMTYPE, target)


def of_mode(path: str, mode: int, kind: bytes = tarfile.REGTYPE) -> tarfile.TarInfo:
    made = member(path, kind)
    made.mode = mode
    return made


def test_an_image_that_starts_something_else_is_told(subject: Subject) -> None:
    assert held.entrypoint(subject).passed
    other = replace(subject, config=replace(subject.config, settings=ImageSettings(entrypoint=("/tini",), cmd=("sh",))))
    assert held.entrypoint(other).detail == "entry point ['/tini'], command ['sh']"


def test_labels_that_are_missing_or_of_another_plan_are_told(subject: Subject) -> None:
    assert held.labels(subject).passed
    other = ImageSettings(labels=((PLAN_ANNOTATION, "sha256:other"),))
    found = held.labels(replace(subject, config=replace(subject.config, settings=other)))
    assert not found.passed
    assert "org.opencontainers.image.title is missing" in found.detail
    assert f"{PLAN_ANNOTATION} is sha256:other" in found.detail


def test_more_than_a_node_should_pull_is_told(subject: Subject, tmp_path: Path) -> None:
    large = with_layer(subject, tmp_path, "a")
    assert held.size(large, 10**9).passed
    assert held.size(large, 10).failed


def test_widgets_are_looked_for_in_lab_and_payload(subject: Subject) -> None:
    assert held.widgets(subject).passed
    payload = ("linux-64", "science")
    newer = {**subject.locks.installed, payload: (*subject.locks.installed[payload], locked("ipympl", "0.9"))}
    found = held.widgets(replace(subject, locks=replace(subject.locks, installed=newer)))
    assert found.detail == "science: ipympl 0.9 needs ipympl 0 in the lab, which has none"


def test_start_paths_are_followed_through_links(subject: Subject, tmp_path: Path) -> None:
    old = link("opt/lsst/software/jupyterlab/runlab.sh", "../../../../usr/local/share/jupyterlab/runlab")
    whole = with_layer(with_layer(subject, tmp_path, START[1:]), tmp_path, "x", more=(old,))
    assert held.of_layers(whole, lambda _: None)[0].passed
    lost = with_layer(subject, tmp_path, "x", more=(link(START[1:], "/nowhere"), old))
    assert "/opt/lsst/software/jupyterlab/runlab.sh leads nowhere" in held.of_layers(lost, lambda _: None)[0].detail


@pytest.mark.parametrize(
    ("file", "told"),
    [
        (of_mode("opt/peel/lab/bin/x", 0o4755), "/opt/peel/lab/bin/x: setuid or setgid (4755)"),
        (of_mode("usr/bin/su", 0o4755), ""),
        (of_mode("srv/x", 0o666), "/srv/x: writable by all (0666)"),
        (of_mode("srv/d", 0o777, tarfile.DIRTYPE), "/srv/d: writable by all (0777)"),
        (of_mode("tmp", 0o1777, tarfile.DIRTYPE), ""),
    ],
)
def test_modes_that_let_anybody_do_anything_are_told(
    subject: Subject, tmp_path: Path, file: tarfile.TarInfo, told: str
) -> None:
    found = held.of_layers(with_layer(subject, tmp_path, "a", more=(file,)), lambda _: None)[1]
    assert (found.passed, found.detail if told else "") == (not told, told)


def test_a_mode_that_a_later_layer_mends_is_none(subject: Subject, tmp_path: Path) -> None:
    bad = with_layer(subject, tmp_path, "a", more=(of_mode("srv/x", 0o666),))
    assert held.of_layers(with_layer(bad, tmp_path, "srv/x"), lambda _: None)[1].passed


def test_the_pythons_of_all_environments_are_known(subject: Subject) -> None:
    assert list(subject.pythons()) == [PythonVersion(3, 11), PythonVersion(3, 13)]


def test_checks_are_chosen_by_name() -> None:
    assert chosen_names([], []) == set(NAMES)
    assert chosen_names(["uid", "hub"], ["hub"]) == {"uid"}
    with pytest.raises(UsageError, match="there is no check 'hubb'"):
        chosen_names([], ["hubb"])


def test_homes_are_furnished_for_every_python(tmp_path: Path) -> None:
    pythons = [PythonVersion(3, 11), PythonVersion(3, 13)]
    good, bad = tmp_path / "good", tmp_path / "bad"
    furnish(good, pythons, 12345) if good.mkdir() is None else None
    bad.mkdir()
    break_home(bad, pythons, 12345)
    assert len(list(good.rglob(f"{OWN_MODULE}.py"))) == len(pythons)
    assert len(list(bad.rglob("sitecustomize.py"))) == len(pythons)
    assert bad.joinpath(".jupyter", "jupyter_server_config.py").exists()


def test_a_check_that_could_not_be_made_has_neither_passed_nor_failed() -> None:
    skipped = Check("hub", passed=False, detail="no podman", skipped=True)
    assert not skipped.failed
    assert skipped.as_json() == {"name": "hub", "passed": False, "detail": "no podman", "hint": "", "skipped": True}


def test_the_hubs_api_says_which_version_it_is() -> None:
    import httpx  # noqa: PLC0415 - for this test alone

    with serve_hub_api("6.1.1") as port:
        answer = httpx.get(f"http://127.0.0.1:{port}/hub/api", trust_env=False)
        assert (answer.json(), answer.headers["X-JupyterHub-Version"]) == ({"version": "6.1.1"}, "6.1.1")
        assert httpx.post(f"http://127.0.0.1:{port}/hub/api/x", json={}, trust_env=False).status_code == 200
