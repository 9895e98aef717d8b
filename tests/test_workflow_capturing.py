"""What was captured, judged: where it was written, what its binaries need, and what leads out of it."""

from __future__ import annotations

import shutil
import tarfile
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from layers_of import make_layer, member
from peel.errors import ArtifactError, DocumentError
from peel.layers.captured import take
from peel.layers.tar import canonical
from peel.model.oci import BaseImage, Config
from peel.model.progress import Silent
from peel.model.values import Digest, Platform
from peel.store.store import Store
from peel.workflow.capturing.judge import Judged, judge
from peel.workflow.capturing.material import Material
from peel.workflow.fetching import Sources

PREFIX = "/opt/env"
KERNEL = {"opt/env/lib/python3.11/site-packages/ipykernel_launcher.py": b""}
BASE = {
    "etc/os-release": b"x", "usr/bin/bash": b"x", "usr/lib/libc.so.6": b"x", "usr/lib/libselinux.so.1": b"x",
    "usr/lib/libacl.so.1": b"x",
    "opt/.keep": b"",
}  # fmt: skip
TAR = Path(shutil.which("tar") or "/bin/ls").resolve()


def no_buildah() -> None:
    raise AssertionError("nothing has to run for this")


@pytest.fixture
def material(tmp_path: Path) -> Material:
    store = Store(tmp_path / "store")
    layer = make_layer(tmp_path, BASE, more=[member("bin", tarfile.SYMTYPE, "usr/bin")])
    with layer.open() as file:
        store.blobs.put_bytes(file.read())
    base = BaseImage(b"{}", Config("amd64", diff_ids=(Digest.of(b"x"),)), (layer.blob,))
    platform = Platform("linux-64")
    return Material(platform, base, "docker.io/a/base:1", "2.99", store, Sources(), no_buildah, Silent())  # type: ignore[arg-type]


def judged(
    tmp_path: Path,
    material: Material,
    files: Mapping[str, bytes],
    *more: tarfile.TarInfo,
    allowed: Sequence[str] = (),
    own_launcher: bool = False,
) -> Judged:
    work = tmp_path / "work"
    work.mkdir(exist_ok=True)
    taken = take([make_layer(tmp_path, files, more=more)], lambda path: path, work, origin="a test")
    return judge(
        taken, PREFIX, allowed=allowed, own_launcher=own_launcher, origin="envs/mine", material=material
    )  # fmt: skip


def program(path: str, text: str) -> tuple[Mapping[str, bytes], str]:
    return {**KERNEL, path: text.encode()}, path


def test_only_what_lies_in_the_prefix_becomes_a_layer(tmp_path: Path, material: Material) -> None:
    stubs = {"etc/hosts": b"", "run/x": b"", "tmp/y": b"", "var/tmp/z": b""}
    found = judged(tmp_path, material, {**KERNEL, **stubs}, member("opt", tarfile.DIRTYPE))
    assert {entry.path for entry in found.entries} == KERNEL.keys()
    assert found.notices == ()


def test_what_lies_elsewhere_is_listed_and_refused(tmp_path: Path, material: Material) -> None:
    removed = member("etc/.wh.os-release")
    with pytest.raises(DocumentError) as refused:
        judged(tmp_path, material, {**KERNEL, "usr/lib/mine": b"", "srv/new": b""}, removed)
    assert refused.value.message.splitlines() == [
        "envs/mine: something was written outside of /opt/env:", "  /etc/os-release (removed)", "  /srv/new",
        "  /usr/lib/mine",
    ]  # fmt: skip


def test_paths_that_are_allowed_become_part_of_the_image(tmp_path: Path, material: Material) -> None:
    found = judged(tmp_path, material, {**KERNEL, "srv/data/x": b""}, allowed=["/srv/data"])
    assert "srv/data/x" in {entry.path for entry in found.entries}


def test_nothing_in_the_prefix_and_nothing_that_starts_a_kernel_are_refused(tmp_path: Path, material: Material) -> None:
    with pytest.raises(DocumentError, match="nothing was installed in /opt/env"):
        judged(tmp_path, material, {"tmp/x": b""})
    with pytest.raises(DocumentError, match="there is no ipykernel in /opt/env"):
        judged(tmp_path, material, {"opt/env/x": b""})
    assert judged(tmp_path, material, {"opt/env/x": b""}, own_launcher=True).entries


def test_a_binary_for_a_newer_glibc_is_refused_by_name(tmp_path: Path, material: Material) -> None:
    files = {**KERNEL, "opt/env/bin/tar": TAR.read_bytes()}
    assert judged(tmp_path, material, files).entries
    with pytest.raises(DocumentError, match=r"/opt/env/bin/tar needs glibc 2\.\d+, and the base has 2\.5"):
        judged(tmp_path, replace(material, glibc="2.5"), files)


def test_a_binary_for_another_machine_is_refused_by_name(tmp_path: Path, material: Material) -> None:
    files = {**KERNEL, "opt/env/bin/tar": TAR.read_bytes()}
    with pytest.raises(DocumentError, match="/opt/env/bin/tar is made for x86_64, not for ppc64le"):
        judged(tmp_path, replace(material, platform=Platform("linux-ppc64le")), files)


def test_libraries_that_are_nowhere_are_told(tmp_path: Path, material: Material) -> None:
    lacking = replace(material, base=replace(material.base, layers=()))
    notices = judged(tmp_path, lacking, {**KERNEL, "opt/env/bin/tar": TAR.read_bytes()}).notices
    assert "/opt/env/bin/tar needs libc.so.6, which neither the environment nor the base has" in notices
    assert judged(tmp_path, material, {**KERNEL, "opt/env/bin/tar": TAR.read_bytes()}).notices == ()


def test_links_and_scripts_that_lead_out_are_told(tmp_path: Path, material: Material) -> None:
    script, gone = member("opt/env/bin/run"), member("opt/env/gone", tarfile.SYMTYPE, "nowhere")
    script.mode = 0o755
    links = [
        member("opt/env/base", tarfile.SYMTYPE, "/bin/bash"),
        member("opt/env/out", tarfile.SYMTYPE, "/build/tree/x"),
        member("opt/env/up", tarfile.SYMTYPE, "../../etc/os-release"),
    ]
    found = judged(tmp_path, material, KERNEL, gone, *links)
    assert found.notices == (
        "/opt/env/gone is a link to nowhere, which is not there",
        "/opt/env/out is a link to /build/tree/x, which neither the environment nor the base has",
    )


def test_nothing_is_staged_through_a_link(tmp_path: Path, material: Material) -> None:
    victim = tmp_path / "victim"
    victim.mkdir()
    hostile = [member("opt/env/a", tarfile.SYMTYPE, str(victim)), member("opt/env/a/b", tarfile.SYMTYPE, "/etc/passwd")]
    found = judged(tmp_path, material, KERNEL, *hostile)
    with pytest.raises(ArtifactError, match="opt/env/a"):
        canonical(found.entries)
    assert list(victim.iterdir()) == []


@pytest.mark.parametrize(
    ("line", "told"),
    [("#!/bin/bash", False), ("#!/opt/env/x", False), ("#!/build/bin/python -s", True), ("#!", False)],
)  # fmt: skip
def test_what_runs_a_script_is_looked_for(tmp_path: Path, material: Material, line: str, told: bool) -> None:
    work = tmp_path / "work"
    work.mkdir()
    taken = take(
        [make_layer(tmp_path, {**KERNEL, "opt/env/x": b"", "opt/env/bin/run": f"{line}\n".encode()})],
        lambda path: path, work, origin="a test",
    )  # fmt: skip
    taken.entries["opt/env/bin/run"] = replace(taken.entries["opt/env/bin/run"], mode=0o755)
    found = judge(taken, PREFIX, allowed=(), own_launcher=False, origin="envs/mine", material=material)
    assert bool(found.notices) is told
