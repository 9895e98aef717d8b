from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from peel.errors import ToolError
from peel.tools.buildah import CHROOT
from peel.tools.isolation import Probe, Refusal
from peel.tools.system import PackageManager
from peel.workflow import doctor
from peel.workflow.doctor import TOOLS, Finding, Purpose, Report

ALL = tuple(Purpose)
WORKS = Probe(CHROOT, (Refusal("runc", "not installed"),))


def report(*absent: str, manager: PackageManager | None = PackageManager.APT, root: bool = True) -> Report:
    """A machine that has everything but these programs."""
    findings = tuple(
        Finding(tool, problem="not installed")
        if tool.program in absent
        else Finding(tool, Path("/usr/bin") / tool.program, "9.9")
        for tool in (*TOOLS, doctor.CONDA_LOCK, doctor.SOLVER)
    )
    return Report("Debian", manager, root, findings, WORKS, "", Path("/store"), doctor.ENOUGH_BYTES)


def names(findings: tuple[Finding, ...]) -> list[str]:
    return [finding.tool.program for finding in findings]


def programs(place: Path, monkeypatch: pytest.MonkeyPatch, **scripts: str) -> None:
    """Make these programs the whole PATH; an underscore in a name stands for a hyphen."""
    place.mkdir(exist_ok=True)
    for name, script in scripts.items():
        path = place / name.replace("_", "-")
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(0o755)
    monkeypatch.setenv("PATH", str(place))


def test_nothing_is_missing_on_a_machine_that_has_everything() -> None:
    assert doctor.missing(report(), ALL) == ()
    assert doctor.install_command(report(), ALL) == ()


def test_each_purpose_asks_for_no_more_than_it_needs() -> None:
    bare = report(*(tool.program for tool in TOOLS))
    assert names(doctor.missing(bare, [Purpose.BUILD])) == ["buildah", "skopeo"]
    assert names(doctor.missing(bare, [Purpose.DEMO])) == [
        "buildah", "skopeo", "docker-registry", "apt-get", "dpkg-deb",
    ]  # fmt: skip
    assert names(doctor.missing(bare, ALL))[5:] == [
        "chromium", "chromedriver", "busybox", "zstd", "faketime", "rpm", "npm", "podman",
    ]  # fmt: skip


def test_a_runtime_is_not_missing_while_another_isolation_works() -> None:
    assert doctor.missing(report("runc", "crun"), ALL) == ()


def test_the_command_is_the_one_of_the_machines_package_manager() -> None:
    absent = ("buildah", "chromedriver", "faketime")
    assert doctor.install_command(report(*absent), ALL) == (
        "apt-get", "install", "-y", "--no-install-recommends", "buildah", "chromium-driver", "faketime",
    )  # fmt: skip
    assert doctor.install_command(report(*absent, manager=PackageManager.DNF), ALL) == (
        "dnf", "install", "-y", "--setopt=install_weak_deps=False", "buildah", "chromedriver", "libfaketime",
    )  # fmt: skip


def test_a_runtime_comes_along_with_what_is_installed_anyway() -> None:
    assert doctor.install_command(report("buildah", "runc", "crun"), [Purpose.BUILD])[-2:] == ("buildah", "runc")
    assert doctor.install_command(report("buildah", "runc"), [Purpose.BUILD])[-1] == "buildah"
    assert doctor.install_command(report("runc", "crun"), [Purpose.BUILD]) == ()


def test_a_runtime_is_installed_where_no_isolation_works() -> None:
    stuck = dataclasses.replace(report(), isolation=Probe(None, ()), isolation_problem="none")
    assert doctor.install_command(stuck, [Purpose.BUILD])[-1] == "runc"


def test_what_no_package_brings_is_told_apart() -> None:
    found = report("docker-registry", "conda-lock", "buildah", manager=PackageManager.DNF)
    assert names(doctor.not_packaged(found, ALL)) == ["docker-registry", "conda-lock"]
    assert names(doctor.not_packaged(report("buildah", manager=None), ALL)) == ["buildah"]


def test_somebody_who_is_not_root_is_told_the_command() -> None:
    with pytest.raises(ToolError, match="only root") as error:
        doctor.install(report("buildah", root=False), [Purpose.BUILD], progress=print)
    assert error.value.hint == "run: sudo apt-get install -y --no-install-recommends buildah"


def test_installing_nothing_runs_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    programs(tmp_path / "bin", monkeypatch, apt_get=f"echo > {tmp_path}/called")
    doctor.install(report(), ALL, progress=print)
    assert not (tmp_path / "called").exists()


def test_stale_package_lists_are_renewed_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    script = f"""
        echo "$1 $DEBIAN_FRONTEND" >> {tmp_path}/calls
        [ "$1" = update ] && : > {tmp_path}/new
        [ -e {tmp_path}/new ]"""
    programs(tmp_path / "bin", monkeypatch, apt_get=script)
    said: list[str] = []
    doctor.install(report("buildah"), [Purpose.BUILD], progress=said.append)
    calls = (tmp_path / "calls").read_text().splitlines()
    assert calls == ["install noninteractive", "update noninteractive", "install noninteractive"]
    assert said == ["apt-get install -y --no-install-recommends buildah", "apt-get update"]


def test_a_package_manager_that_fails_twice_is_an_error_with_its_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    programs(tmp_path / "bin", monkeypatch, apt_get='[ "$1" = update ] || { echo "disk is full" >&2; exit 100; }')
    with pytest.raises(ToolError, match="disk is full"):
        doctor.install(report("buildah"), [Purpose.BUILD], progress=lambda _: None)


def test_installing_ends_with_an_error_that_names_what_is_left() -> None:
    with pytest.raises(ToolError, match="no package of this machine brings conda-lock") as error:
        doctor.install(report("conda-lock"), [Purpose.BUILD], progress=print)
    assert error.value.hint


def test_an_old_program_is_found_but_cannot_be_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    programs(tmp_path / "bin", monkeypatch, buildah="echo buildah version 1.20.1")
    found = doctor.look_for(TOOLS[0], tmp_path / "bin" / "buildah")
    assert (found.version, found.usable) == ("1.20.1", False)
    assert found.problem == "too old: 1.28 or newer is needed"


def test_a_broken_program_is_found_but_cannot_be_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    programs(tmp_path / "bin", monkeypatch, buildah="echo a library is missing >&2; exit 127")
    found = doctor.look_for(TOOLS[0], tmp_path / "bin" / "buildah")
    assert not found.usable
    assert "a library is missing" in found.problem


def test_a_machine_that_has_nothing_is_reported_and_raises_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    programs(tmp_path / "bin", monkeypatch)
    found = doctor.examine(tmp_path / "store", tmp_path / "store" / "containers", named_solver=tmp_path / "none")
    assert "buildah" in names(doctor.missing(found, [Purpose.BUILD]))
    assert (found.manager, found.isolation) == (None, None)
    assert "buildah is not installed" in found.isolation_problem
    assert found.free > 0
    assert not (tmp_path / "store").exists()


@pytest.mark.e2e
def test_this_machine_is_examined_with_its_isolation(tmp_path: Path) -> None:
    found = doctor.examine(tmp_path, tmp_path / "containers")
    assert found.isolation is not None
    assert found.isolation.isolation is not None
    assert {"buildah", "skopeo"}.isdisjoint(names(doctor.missing(found, [Purpose.BUILD])))
