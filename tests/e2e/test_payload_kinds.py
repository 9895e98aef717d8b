"""One image with payloads of all five kinds: each kernel runs in its own prefix, and all of it is built again alike."""

from __future__ import annotations

import gzip
import hashlib
import io
import os
import shutil
import signal
import tarfile
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from e2e.browsers import (
    cards,
    needs_browser,
    new_launcher,
    open_browser,
    open_lab,
    run_in_new_notebook,
    type_in_new_terminal,
)
from e2e.catalogues import DEMO, Demo, base_of, clone
from e2e.images import Image
from e2e.running import Peel, becomes_true, containers_of, mounts_beneath, refused
from peel.demo.registry import serve_registry
from peel.demo.wheel_index import make_wheel_index, serve_wheel_index

KINDS = "kinds:1.0.0"
SCIENCE = "/opt/peel/envs/science"
PAYLOADS = ("science", "wheels", "scripted", "dockered", "taken")
TITLES = {name: name for name in PAYLOADS} | {"science": "Science (Python 3.11)"}
_IMAGE = """\
schema: 1
base: {base}
lab: {{environment: lab/environment.yml}}
payloads: [{payloads}]
tags: semver
compat: [nublado]
"""
_PAYLOAD = """\
schema: 1
kind: {kind}
kernel: {{name: {name}, display_name: {name}}}
"""
_INSTALL = """\
#!/bin/bash
# As lsstinstall is: a tool of its own, an archive, a prefix.
set -eu
cp "$PEEL_INPUTS/busybox" "$TMPDIR/busybox"
chmod 755 "$TMPDIR/busybox"
mkdir -p "$PREFIX"
"$TMPDIR/busybox" tar -x -z -f "$PEEL_INPUTS/$1" -C "$PREFIX"
printf 'installed with %s\\n' "$2" >"$PREFIX/installed.txt"
"""
_DOCKERFILE = """\
ARG BASE
FROM {demo} AS demo
FROM $BASE
COPY --from=demo {science} /opt/peel/envs/dockered
COPY note.txt /opt/peel/envs/dockered/note.txt
RUN chmod 600 /opt/peel/envs/dockered/note.txt
"""


@dataclass(frozen=True, slots=True)
class Kinds:
    """The catalogue, what locking warned of, and what the build said."""

    peel: Peel
    warned: str
    built: Any


def declare(peel: Peel, name: str, kind: str, more: str = "", **files: str | bytes) -> None:
    """Write a payload's declaration and the files beside it; ``__`` in their names stands for a dot."""
    place = peel.catalogue / "envs" / name
    place.mkdir(exist_ok=True)
    (place / "payload.yaml").write_text(_PAYLOAD.format(kind=kind, name=name) + more)
    for file, contents in files.items():
        path = place / file.replace("__", ".")
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(contents if isinstance(contents, bytes) else contents.encode())


def declare_image(peel: Peel, base: str, *payloads: str) -> None:
    (peel.catalogue / "envs" / "kinds.yaml").write_text(_IMAGE.format(base=base, payloads=", ".join(payloads)))


def packed_prefix(image: Image, prefix: str) -> bytes:
    """What an image has beneath a prefix, as an installer would ship it."""
    packed, root = io.BytesIO(), f"{prefix.strip('/')}/"
    with tarfile.open(fileobj=packed, mode="w") as tar:
        for member in image.own_members():
            if member.path.startswith(root) and member.path != root and not member.path.endswith(".pyc"):
                info = tarfile.TarInfo(member.path.removeprefix(root))
                info.mode, info.type, info.linkname = member.info.mode, member.info.type, member.info.linkname
                info.linkname = info.linkname.removeprefix(root)
                info.size = len(member.data)
                tar.addfile(info, io.BytesIO(member.data))
    return gzip.compress(packed.getvalue(), 1, mtime=0)


@pytest.fixture(scope="module")
def exported(demo: Demo, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The demo's image as a layout."""
    layout = tmp_path_factory.mktemp("exported") / "layout"
    demo.peel.must("build", DEMO, "--to", f"oci:{layout}", "--quiet")
    return layout


@pytest.fixture(scope="module")
def kinds(demo: Demo, exported: Path, tmp_path_factory: pytest.TempPathFactory, downloads: str) -> Iterator[Kinds]:
    """The image, locked and built; its sources are served as long as tests run."""
    place = tmp_path_factory.mktemp("kinds")
    peel = clone(demo.peel, place)
    with ExitStack() as serving:
        served = serving.enter_context(serve_registry(exported, "library/demo-lab", tag="r1_0_0"))
        peel = peel.with_env(CONTAINERS_REGISTRIES_CONF=str(served.registries_conf))
        index = make_wheel_index(place / "index", cache=Path(downloads) / "peel" / "demo", progress=lambda _: None)
        url = serving.enter_context(serve_wheel_index(index))
        declare_all(peel, demo, exported, url, served.reference.rpartition(":")[0])
        locked = peel.must("lock", KINDS)
        built = peel.must("build", KINDS, "--json").json
        yield Kinds(peel, locked.stderr, built)


def declare_all(peel: Peel, demo: Demo, exported: Path, index: str, repository: str) -> None:
    image = Image.load(exported, demo.manifest)
    tree = peel.catalogue / "tree.tar.gz"
    tree.write_bytes(packed_prefix(image, SCIENCE))
    busybox = Path(shutil.which("busybox") or "")
    inputs = "".join(
        f"  {name}: {{url: 'file://{path}', sha256: {hashlib.sha256(path.read_bytes()).hexdigest()}}}\n"
        for name, path in (("busybox", busybox), ("tree.tar.gz", tree))
    )
    channel = (demo.peel.catalogue / "channel").as_uri()
    pinned = f"{repository}@{demo.manifest}"
    declare_image(peel, base_of(demo.peel), *PAYLOADS)
    declare(
        peel, "wheels", "pip", f'python: "3.11"\nchannels: ["{channel}"]\n',
        requirements__txt=f"# what a kernel needs\n--index-url {index}\nhumanize>=4  # numbers for people\n"
        "numpy ; python_version < '3'\n-c limits.txt\n", limits__txt="humanize<5\nnumpy<1\n",
    )  # fmt: skip
    declare(peel, "scripted", "script", f"arguments: [tree.tar.gz, it's me]\ninputs:\n{inputs}", install__sh=_INSTALL)
    declare(
        peel, "dockered", "dockerfile", "context: context\n",
        Dockerfile=_DOCKERFILE.format(demo=pinned, science=SCIENCE),
    )  # fmt: skip
    (peel.catalogue / "envs" / "dockered" / "context").mkdir()
    (peel.catalogue / "envs" / "dockered" / "context" / "note.txt").write_text("from the context\n")
    declare(peel, "taken", "image", f"image: {repository}:r1_0_0\ndirectory: {SCIENCE}\n")


def test_every_kernel_runs_in_its_own_prefix(kinds: Kinds) -> None:
    said = kinds.peel.must("launch", "--check", KINDS, "--json").json
    assert {check["name"]: (check["passed"], check["prefix"]) for check in said["kernels"]} == {
        name: (True, f"/opt/peel/envs/{name}") for name in PAYLOADS
    }


@pytest.mark.parametrize("_", [pytest.param(None, marks=needs_browser, id="chromium")])
def test_a_browser_shows_and_runs_every_kernel_and_a_terminal_has_the_first_ones_environment(
    kinds: Kinds, tmp_path: Path, _: None
) -> None:
    titles = {title: name for name, title in TITLES.items()}
    home = tmp_path / "home"
    home.mkdir()
    os.chown(home, 1000, 1000)
    with kinds.peel.start("launch", KINDS, "--home", home) as lab, open_browser(tmp_path) as browser:
        assert lab.stdout is not None
        open_lab(browser, lab.stdout.readline().strip())
        assert sorted(cards(browser, "Notebook")) == sorted(titles)
        for title, name in titles.items():
            said = run_in_new_notebook(browser, title, "import sys; print(sys.prefix)")
            assert said == f"/opt/peel/envs/{name}"
            new_launcher(browser)
        type_in_new_terminal(browser, 'echo "$CONDA_PREFIX" $(command -v python) >told.txt')
        becomes_true(lambda: (home / "told.txt").exists() and (home / "told.txt").read_text(), "the terminal answers")
        browser.save_screenshot(os.environ.get("PEEL_SCREENSHOT_KINDS") or str(tmp_path / "kinds.png"))
        lab.send_signal(signal.SIGINT)
        lab.communicate(timeout=60)
    assert (home / "told.txt").read_text().split() == [SCIENCE, f"{SCIENCE}/bin/python"]


def test_another_store_gives_the_same_digest_and_what_ran_offline_is_run_again(kinds: Kinds, tmp_path: Path) -> None:
    said = kinds.peel.with_env(TZ="Asia/Tokyo").must("verify", KINDS, "--json").json
    assert (said["identical"], said["not_remade"]) == (True, ["taken: captured from an image"])
    elsewhere = replace(kinds.peel, store=tmp_path / "store")
    archive = tmp_path / "archive"
    kinds.peel.must("archive", KINDS, "--to", str(archive))
    offline = elsewhere.under("sh", "-c", 'umask 077; exec unshare --net -- "$@"', "sh")
    assert offline.must("build", KINDS, "--archive", str(archive), "--json").json["manifest"] == kinds.built["manifest"]


def test_what_is_captured_holds_nothing_of_how_it_was_made(kinds: Kinds, tmp_path: Path) -> None:
    kinds.peel.must("build", KINDS, "--to", f"oci:{tmp_path / 'out'}", "--quiet")
    image = Image.load(tmp_path / "out", kinds.built["manifest"])
    members = {member.path: member for member in image.own_members()}
    note, told = members["opt/peel/envs/dockered/note.txt"], members["opt/peel/envs/scripted/installed.txt"]
    assert (note.data, note.info.mode) == (b"from the context\n", 0o644)
    assert told.data == b"installed with it's me\n"
    captured = [m for m in members.values() if m.path.startswith(("opt/peel/envs/scripted/", "opt/peel/envs/taken/"))]
    assert {(m.info.uid, m.info.gid, m.info.mtime) for m in captured} == {(0, 0, 315532800)}
    assert not [path for path in members if path.startswith(("run", "tmp", "etc/hosts"))]


def test_constraints_hold_and_markers_are_decided(kinds: Kinds) -> None:
    lock = (kinds.peel.catalogue / "lockfiles" / "kinds" / "1.0.0" / "wheels.conda-lock.yml").read_text()
    packages = {p["name"]: p["manager"] for p in yaml.safe_load(lock)["package"]}
    assert (packages["humanize"], packages["ipykernel"]) == ("pip", "conda")
    assert "numpy" not in packages


def test_what_was_captured_is_tried_in_its_base_and_nowhere_else(kinds: Kinds) -> None:
    code = "import sys; print(sys.prefix, open(sys.prefix + '/note.txt').read().strip())"
    tried = kinds.peel.must("try", "dockered", "--in-base", "--quiet", "--", "python", "-c", code)
    assert tried.stdout == "/opt/peel/envs/dockered from the context\n"
    refused(kinds.peel.run("try", "dockered", "--", "true"), 2, "captured from a Dockerfile", "--in-base dockered")
    assert containers_of(kinds.peel.store) == []


def test_show_and_diff_know_what_was_captured(kinds: Kinds) -> None:
    shown = kinds.peel.must("show", KINDS).stdout
    assert "scripted: captured from a script" in shown
    assert "dockered: captured from a Dockerfile" in shown
    said = kinds.peel.must("diff", DEMO, KINDS, "--json").json
    assert set(PAYLOADS) <= set(said["environments"])


def test_a_patch_of_a_captured_environment_is_refused_and_one_of_files_is_a_layer(kinds: Kinds) -> None:
    patches = kinds.peel.catalogue / "envs" / "patches"
    patches.mkdir()
    (patches / "packages.yaml").write_text("schema: 1\nreason: x\nenvironments: [scripted]\npackages: {add: [numpy]}\n")
    (patches / "files.yaml").write_text("schema: 1\nreason: x\nremove_files: [/opt/peel/envs/scripted/installed.txt]\n")
    refused(kinds.peel.run("patch", KINDS, "packages", "--as", "1.0.1"), 3, "'scripted' was captured", "kind script")
    said = kinds.peel.must("patch", KINDS, "files", "--as", "1.0.2", "--json").json
    assert [layer["contents"] for layer in said["new"]] == ["patch: files"]


def bad(kinds: Kinds, place: Path, name: str, kind: str, more: str = "", **files: str | bytes) -> Peel:
    """A catalogue with this one payload, which cannot be locked."""
    catalogue = place / "catalogue"
    shutil.copytree(kinds.peel.catalogue / "envs", catalogue / "envs")
    peel = replace(kinds.peel, catalogue=catalogue)
    shutil.rmtree(catalogue / "envs" / name, ignore_errors=True)
    declare(peel, name, kind, more, **files)
    declare_image(peel, base_of(kinds.peel), name)
    return peel


SCRIPTS = {
    "fails": ("echo trying; echo no such thing >&2; exit 3", "failed with status 3", "no such thing"),
    "asks": ("read -r answer", "failed with status 1", "install.sh"),
    "hangs": ("sleep 60", "did not end within 3 s", "install.sh"),
    "writes elsewhere": (
        'mkdir -p "$PREFIX"; touch /etc/mine "$PREFIX/a"; rm /etc/os-release', "/etc/mine", "/etc/os-release (removed)",
    ),
    "leaves processes": ('mkdir -p "$PREFIX"; sleep 50 & sleep 1; disown', "left processes running", "sleep"),
    "installs nothing": ("true", "nothing was installed in /opt/peel/envs/bad", ""),
    "has no kernel": ('mkdir -p "$PREFIX"; touch "$PREFIX/a"', "there is no ipykernel", ""),
    "is setuid": ('mkdir -p "$PREFIX"; touch "$PREFIX/a"; chmod 4755 "$PREFIX/a"', "another user's rights", "/a"),
    "makes a pipe": ('mkdir -p "$PREFIX"; mkfifo "$PREFIX/a"', "neither a file, a directory nor a link", "/a"),
    "asks the network": ("exec 3<>/dev/tcp/192.0.2.1/80", "failed with status 1", "network"),
}  # fmt: skip


@pytest.mark.parametrize(("script", "one", "other"), SCRIPTS.values(), ids=SCRIPTS)
def test_a_script_that_does_not_install_is_told_of(
    kinds: Kinds, tmp_path: Path, script: str, one: str, other: str
) -> None:
    peel = bad(kinds, tmp_path, "bad", "script", "timeout: 3\n", install__sh=f"#!/bin/bash\n{script}\n")
    refused_locking(peel, one, other)


DOCKERFILES = {
    "another base": ("FROM docker.io/library/debian:12\n", "Dockerfile:1: ", "neither the image's base nor pinned"),
    "an address": ("ARG BASE\nFROM $BASE\nADD https://example.org/x /x\n", "Dockerfile:3: ", "ADD fetches"),
    "a secret": ("ARG BASE\nFROM $BASE\nRUN --mount=type=secret,id=x cat /run/x\n", "Dockerfile:3: ", "--mount"),
    "no instruction": ("ARG BASE\nFROM $BASE\nINSTALL python\n", "Dockerfile:3:1: ", "'INSTALL'"),
    "a failing step": ("ARG BASE\nFROM $BASE\nRUN echo not today >&2 && exit 7\n", "cannot be built", "not today"),
    "files elsewhere": ("ARG BASE\nFROM $BASE\nRUN touch /usr/lib/mine\n", "outside of", "/usr/lib/mine"),
}  # fmt: skip


@pytest.mark.parametrize(("text", "one", "other"), DOCKERFILES.values(), ids=DOCKERFILES)
def test_a_dockerfile_that_cannot_be_built_again_is_told_of(
    kinds: Kinds, tmp_path: Path, text: str, one: str, other: str
) -> None:
    refused_locking(bad(kinds, tmp_path, "bad", "dockerfile", Dockerfile=text), one, other)


def test_an_image_without_the_directory_is_told_of(kinds: Kinds, tmp_path: Path) -> None:
    declared = (kinds.peel.catalogue / "envs" / "taken" / "payload.yaml").read_text()
    reference = declared.split("image: ")[1].split("\n")[0]
    more = f"image: {reference}\ndirectory: /opt/nowhere\n"
    refused_locking(bad(kinds, tmp_path, "bad", "image", more), "has no directory /opt/nowhere")


def refused_locking(peel: Peel, *words: str) -> None:
    """See that locking is refused with these words, and leaves neither a lock set nor a container."""
    done = peel.run("lock", KINDS)
    refused(done, done.status, *words)
    assert done.status in {3, 5}
    assert not (peel.catalogue / "lockfiles" / "kinds" / "1.0.0" / "image.lock.yaml").exists()
    assert containers_of(peel.store) == []
    assert mounts_beneath(peel.store) == []
