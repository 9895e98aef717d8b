"""What is in the image that the demo built, read from its layers."""

from __future__ import annotations

import _imp
import hashlib
import stat
import subprocess
from dataclasses import dataclass, field
from pathlib import Path

import pytest

import oracle
from e2e.catalogues import Demo
from e2e.images import Image, Member
from peel.model.values import PythonVersion

LAB, SCIENCE = "opt/peel/lab", "opt/peel/envs/science"
UNCHECKED_HASH = b"\x01\0\0\0"
MAGIC = {"3.11": 3495, "3.13": 3571}
WRITABLE_BY_ALL = stat.S_IWOTH


@dataclass(slots=True)
class Survey:
    """All of the image's own layers, read once: what is kept of them is small."""

    modes: dict[str, int] = field(default_factory=dict)
    odd: list[str] = field(default_factory=list)
    sources: dict[str, bytes] = field(default_factory=dict)
    bytecode: dict[str, bytes] = field(default_factory=dict)
    owners: list[tuple[int, int, str, str]] = field(default_factory=list)
    leaks: list[str] = field(default_factory=list)

    def add(self, member: Member, forbidden: tuple[bytes, ...]) -> None:
        info, path = member.info, member.path
        self.modes[path] = info.mode
        self.owners.append((info.uid, info.gid, info.uname, info.gname))
        if not (info.isreg() or info.isdir() or info.issym() or info.islnk()):
            self.odd.append(path)
        self.leaks += [f"{path}: {text!r}" for text in forbidden if text in member.data or text in path.encode()]
        if info.islnk():  # its bytes are those of an earlier entry of the layer
            for kept in (self.sources, self.bytecode):
                if info.linkname in kept:
                    kept[path] = kept[info.linkname]
        elif info.isreg() and path.endswith(".py"):
            self.sources[path] = _source_hash(path, member.data)
        elif path.endswith(".pyc"):
            self.bytecode[path] = member.data[:16]


@pytest.fixture(scope="module")
def survey(demo: Demo) -> Survey:
    """The demo's image, and any word of where it was made."""
    where = (demo.peel.catalogue, demo.peel.store / "tmp", demo.peel.home)
    found, forbidden = Survey(), tuple(str(place).encode() for place in where)
    for member in Image.load(demo.peel.store, demo.manifest).own_members():
        found.add(member, forbidden)
    return found


def test_no_file_names_the_place_where_it_was_built(survey: Survey) -> None:
    assert survey.leaks == []


def test_nothing_is_setuid_or_writable_by_all_and_all_belongs_to_root(survey: Survey) -> None:
    links = {path for path, mode in survey.modes.items() if mode == 0o777}
    loose = {path for path, mode in survey.modes.items() if mode & WRITABLE_BY_ALL}
    assert [path for path, mode in survey.modes.items() if mode & (stat.S_ISUID | stat.S_ISGID)] == []
    assert loose <= links
    assert set(survey.owners) == {(0, 0, "", "")}
    assert survey.odd == []


def test_every_python_source_has_bytecode_that_is_its_own(survey: Survey) -> None:
    compiled = {pyc: _source_of(pyc) for pyc in survey.bytecode}
    assert len(compiled) > 5000
    assert sorted(path for path in compiled.values() if path not in survey.sources) == []
    for pyc, source in compiled.items():
        magic, flags, digest = _header(survey.bytecode[pyc])
        assert magic == MAGIC[_python_of(pyc)], pyc
        assert flags == UNCHECKED_HASH, pyc
        assert digest == survey.sources[source], f"{pyc} is stale"
    bare = {path for path in survey.sources if _python_of(path) in MAGIC} - set(compiled.values())
    assert [path for path in bare if not _is_meant_to_be_broken(path)] == []


def test_the_config_says_how_to_start_and_nothing_of_this_machine(demo: Demo) -> None:
    image = Image.load(demo.peel.store, demo.manifest)
    assert image.config["config"]["Cmd"] == ["/usr/local/share/jupyterlab/runlab"]
    assert "hostname" not in str(image.config).lower()
    assert "buildah" not in str(image.config).lower()
    assert len(image.config["rootfs"]["diff_ids"]) == len(image.manifest["layers"])


def test_every_diff_id_is_that_of_its_blob(demo: Demo) -> None:
    image = Image.load(demo.peel.store, demo.manifest)
    for layer, diff_id in zip(image.manifest["layers"][1:], image.config["rootfs"]["diff_ids"][1:], strict=True):
        blob = demo.peel.store / "blobs" / "sha256" / layer["digest"].removeprefix("sha256:")
        raw = subprocess.run(["zstd", "-dcq", blob], capture_output=True, check=True).stdout
        assert f"sha256:{hashlib.sha256(raw).hexdigest()}" == diff_id


@pytest.mark.parametrize(("prefix", "python"), [(LAB, "3.13"), (SCIENCE, "3.11")])
def test_the_linker_equals_rattler_in_every_file_of_every_package_of_the_channel(
    demo: Demo, prefix: str, python: str
) -> None:
    packages = [path for path in oracle.archives(demo.peel.catalogue / "channel") if _goes_to(path) == prefix]
    assert len(packages) > 3
    assert oracle.differences(packages, PythonVersion.parse(python), f"/{prefix}") == []


def _goes_to(package: Path) -> str:
    """The prefix a package is tried in: each once, those that any Python may have beside the lab's."""
    name, version, build = package.name.rsplit("-", 2)
    is_science = build.startswith("py311") or (name == "python" and version.startswith("3.11"))
    return SCIENCE if is_science else LAB


def _source_hash(path: str, data: bytes) -> bytes:
    """The hash that a pyc of this image's Python has of its source (PEP 552): keyed with its magic number."""
    if (python := _python_of(path)) not in MAGIC:
        return b""
    return _imp.source_hash(int.from_bytes(MAGIC[python].to_bytes(2, "little") + b"\r\n", "little"), data)


def _python_of(path: str) -> str:
    """Whose library a path lies in: ``3.13``; nothing when in none."""
    return path.partition("/lib/python")[2].partition("/")[0]


def _source_of(pyc: str) -> str:
    folder, _, name = pyc.rpartition("/__pycache__/")
    return f"{folder}/{name.split('.cpython-')[0]}.py"


def _header(data: bytes) -> tuple[int, bytes, bytes]:
    """Magic number, flags and source hash (PEP 552)."""
    assert data[2:4] == b"\r\n"
    return int.from_bytes(data[:2], "little"), data[4:8], data[8:16]


def _is_meant_to_be_broken(path: str) -> bool:
    """Sources that no Python compiles: test data of lib2to3 and its like, and templates."""
    return any(part in path for part in ("/lib2to3/tests/data/", "/test/", "/tests/", "bad_", "badsyntax", "template"))
