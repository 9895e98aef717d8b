"""The stand-ins, made from the real mirrors, linked by py-rattler and run inside the base image."""

from __future__ import annotations

import io
import json
import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import zstandard

from peel.demo.stand_ins import StandIns, make_stand_ins
from peel.layers.glibc import find_glibc

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.skipif(os.geteuid() != 0, reason="chroot needs root"),
]

CHROOT = shutil.which("chroot") or "chroot"
LINK = Path(__file__).with_name("link_stand_ins.py")


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="module")
def stand_ins(tmp_path_factory: pytest.TempPathFactory, cache: Path) -> StandIns:
    return make_stand_ins(tmp_path_factory.mktemp("demo"), cache=cache, progress=lambda _: None)


@pytest.fixture(scope="module")
def root(stand_ins: StandIns, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The base image, unpacked: the channel's pythons may be newer than the host's C library."""
    directory = tmp_path_factory.mktemp("root")
    manifest = json.loads(_blob(stand_ins, stand_ins.base.digest.hex).read_bytes())
    (layer,) = manifest["layers"]
    with tarfile.open(_blob(stand_ins, layer["digest"].removeprefix("sha256:"))) as tar:
        tar.extraction_filter = getattr(tarfile, "fully_trusted_filter", None)  # unknown to Python before 3.11.4
        tar.extractall(directory)  # noqa: S202 - an image that we have made
    return directory


def _blob(stand_ins: StandIns, digest: str) -> Path:
    return stand_ins.base.layout / "blobs" / "sha256" / digest


def _link(stand_ins: StandIns, root: Path, prefix: str, *specs: str) -> None:
    directory, cache = f"{root}{prefix}", str(root.with_name("rattler-cache"))
    subprocess.run([sys.executable, LINK, stand_ins.channel.url, directory, prefix, cache, *specs], check=True)


def _inside(root: Path, *argv: str) -> str:
    environment = {"PATH": "/usr/bin", "HOME": "/root", "LC_ALL": "C.UTF-8"}
    done = subprocess.run([CHROOT, root, *argv], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def _files(directory: Path) -> Iterator[tuple[str, bytes]]:
    for path in sorted(directory.rglob("*")):
        if path.is_file():
            yield str(path.relative_to(directory)), path.read_bytes()


def test_the_lab_runs_on_python_3_13_with_the_channels_own_libraries(stand_ins: StandIns, root: Path) -> None:
    _link(stand_ins, root, "/opt/lab", "jupyterlab", "python 3.13.*")

    program = "import bz2, ctypes, curses, lzma, readline, sqlite3, ssl, sys, uuid, zlib; print(sys.prefix)"
    assert _inside(root, "/opt/lab/bin/python", "-c", program) == "/opt/lab\n"
    loaded = "import ssl, pathlib, _ssl, ctypes; print(ctypes.CDLL('libssl.so.3')._name, ssl.OPENSSL_VERSION)"
    assert "libssl.so.3 OpenSSL 3." in _inside(root, "/opt/lab/bin/python", "-c", loaded)
    assert _inside(root, "/opt/lab/bin/jupyter", "lab", "--version").startswith("4.6.")
    paths = _inside(
        root,
        "/opt/lab/bin/python",
        "-c",
        "import sysconfig as s; print(s.get_paths()['purelib'], s.get_config_var('BINDIR'))",
    )
    assert paths == "/opt/lab/lib/python3.13/site-packages /opt/lab/bin\n"


def test_a_payload_runs_on_python_3_11(stand_ins: StandIns, root: Path) -> None:
    _link(stand_ins, root, "/opt/payload", "ipykernel", "numpy", "pip", "python 3.11.*")

    program = "import ipykernel, numpy; print(numpy.eye(2).sum())"
    assert _inside(root, "/opt/payload/bin/python", "-c", program) == "2.0\n"
    assert _inside(root, "/opt/payload/bin/f2py", "-v").startswith("2.")
    assert "numpy" in _inside(root, "/opt/payload/bin/pip", "list")


def test_the_base_is_fit_for_a_lab(stand_ins: StandIns, root: Path) -> None:
    manifest = json.loads(_blob(stand_ins, stand_ins.base.digest.hex).read_bytes())
    layers = [
        (_blob(stand_ins, each["digest"].removeprefix("sha256:")), each["mediaType"]) for each in manifest["layers"]
    ]

    assert find_glibc(layers, "the stand-in") == "2.41"
    assert "not AlmaLinux" in manifest["annotations"]["org.opencontainers.image.description"]
    assert (root / "tmp").stat().st_mode & 0o7777 == 0o1777
    assert _inside(root, "/bin/bash", "-lc", "id -un; true && echo ok").split() == ["root", "ok"]
    assert "BEGIN CERTIFICATE" in (root / "etc/ssl/certs/ca-certificates.crt").read_text()


def test_a_second_run_needs_no_mirror_and_has_the_same_bytes(
    stand_ins: StandIns, cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))  # neither apt-get nor anything else
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    monkeypatch.setattr(sys, "executable", "/nonexistent/python")  # no pip

    again = make_stand_ins(tmp_path / "Demo again", cache=cache, progress=lambda _: None)

    assert again.base.digest == stand_ins.base.digest
    first, second = stand_ins.channel.directory.parent, again.channel.directory.parent
    for before, after in zip(_files(first), _files(second), strict=True):
        assert before == after, before[0]


def test_no_two_packages_of_one_environment_write_one_path(stand_ins: StandIns) -> None:
    archives = sorted(stand_ins.channel.directory.rglob("*.conda"))
    packages = [(_info(archive, "index.json"), _info(archive, "paths.json")) for archive in archives]

    for python in ("3.11", "3.13"):
        fitting = [paths for index, paths in packages if _is_for(python, index)]
        owned = Counter(path["_path"] for paths in fitting for path in paths["paths"])
        assert [path for path, count in owned.items() if count > 1] == []


def _info(archive: Path, name: str) -> Any:
    with zipfile.ZipFile(archive) as bundle:
        packed = bundle.read(f"info-{archive.stem}.tar.zst")
    raw = zstandard.ZstdDecompressor().stream_reader(packed).read()
    with tarfile.open(fileobj=io.BytesIO(raw)) as tar:
        file = tar.extractfile(f"info/{name}")
        assert file is not None
        return json.load(file)


def _is_for(python: str, index: Any) -> bool:
    if index["name"] == "python":
        return bool(index["version"].startswith(f"{python}."))
    other = "py311" if python == "3.13" else "py313"
    return other not in index["build"]
