"""Patching an image that something else built: its layers stay, and its own records say what goes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from channels import index, make_package
from compiling import build_without_images, tree_of
from locksets import make_declared
from patching import Newest, declare
from peel.errors import ArtifactError, DocumentError, UsageError
from peel.layers.image_tree import ImageTree
from peel.layers.layer_stream import ImageLayer, layer_members
from peel.model.lockset import ImageLock, LockedBase, LockedWith
from peel.model.oci_parse import parse_manifest
from peel.model.plan import make_plan
from peel.model.progress import Silent
from peel.model.values import ImageRef, Platform
from peel.store.documents import to_yaml
from peel.tools.micromamba import Solver
from peel.workflow.build import Built
from peel.workflow.lock import FORMATS, locked_compression
from peel.workflow.patch import Order, Patched, Patcher
from small_images import write_layout
from tiny import ChannelLock, Tiny

OLD = ImageRef("old", "r1_0_0")
PREFIX = "/usr/share/conda"
ROOT = PREFIX[1:]
SITE = "lib/python3.13/site-packages"
TOOL = f"{SITE}/tool"
LINUX = Platform("linux-64")


def record(name: str, version: str, *files: str) -> tuple[str, tuple[bytes, int]]:
    document = {"name": name, "version": version, "build": "0", "subdir": "linux-64", "files": list(files)}
    return f"{ROOT}/conda-meta/{name}-{version}-0.json", (json.dumps(document).encode(), 0o644)


FILES = {
    f"{ROOT}/bin/python": (b"python", 0o755),
    f"{ROOT}/{TOOL}/__init__.py": (b"old", 0o644),
    f"{ROOT}/{TOOL}/gone.py": (b"old", 0o644),
    f"{ROOT}/{TOOL}/__pycache__/__init__.cpython-313.pyc": (b"old bytecode", 0o644),
    f"{ROOT}/{TOOL}/__pycache__/gone.cpython-313.pyc": (b"old bytecode", 0o644),
    f"{ROOT}/share/tool/only.txt": (b"old", 0o644),
    f"{ROOT}/share/users.txt": (b"somebody put it here", 0o644),
    **dict(
        [
            record("python", "3.13.1", "bin/python"),
            record("tool", "1.0", f"{TOOL}/__init__.py", f"{TOOL}/gone.py", "share/tool/only.txt", "stripped"),
        ]
    ),
}


class Imported:
    """A catalogue with an imported image, whose packages came from a channel that is still there."""

    def __init__(self, root: Path, **more: Any) -> None:
        self.tiny = Tiny(root)
        make_package(self.tiny.channel, "tool", "1.0", files={"share/x": ""})
        index(self.tiny.channel)
        self.take(FILES, **more)
        make_package(self.tiny.channel, "tool", "2.0", files={f"{TOOL}/__init__.py": "new", "share/new.txt": "new"})
        index(self.tiny.channel)

    def take(self, files: dict[str, tuple[bytes, int]], **more: Any) -> None:
        """Import an image of these files."""
        layout = self.tiny.root / "image"
        layout.mkdir(exist_ok=True)
        self.manifest = write_layout(layout, "1", files, **more)
        for blob in layout.glob("blobs/sha256/*"):
            self.tiny.store.blobs.put_bytes(blob.read_bytes())
        self.write_lock()

    def write_lock(self) -> None:
        environment = {
            "name": "conda", "role": "environment", "prefix": PREFIX, "channels": [index(self.tiny.channel)],
            "dependencies": [],
        }  # fmt: skip
        base = f"registry.invalid/old@{self.manifest}"
        declared = make_declared(environments=[environment], base=base)
        lock = ImageLock(
            schema=1, image=OLD.image, tag=OLD.tag, epoch=1, formats=FORMATS, compression=locked_compression(declared),
            locked_with=LockedWith(conda_lock="none", solver="none"), declared=declared,
            base={"linux-64": LockedBase(digest=str(self.manifest), glibc="2.34", layers=1)},
            layers={"linux-64": {"conda": ()}}, imported=base,
        )  # fmt: skip
        channel = ChannelLock(self.tiny.channel)
        records = {each["name"]: each for each in channel.records() if each["version"] != "2.0"}
        entries = [channel.package(records[name]) for name in ("python", "tool")]
        entries[0]["hash"] = {}  # of some packages nobody knows what they were
        files = {
            "conda.conda-lock.yml": yaml.safe_dump({"version": 1, "package": entries}).encode(),
            "image.lock.yaml": to_yaml(lock.as_document()),
        }
        self.tiny.catalogue.write_lock_set(OLD, files)

    def patch(self, *patches: str, origin: ImageRef = OLD, **more: Any) -> Patched:
        solver, solve = Solver(Path("none"), "micromamba", "2.0.0"), Newest(self.tiny.channel)
        patcher = Patcher(self.tiny.catalogue, self.tiny.store, solver, {}, (), Silent(), solve=solve)
        return patcher.patch(Order(origin, patches, **more))

    def build(self, ref: ImageRef) -> Built:
        return build_without_images(make_plan(self.tiny.catalogue.lock_set(ref), LINUX), self.tiny.store)

    def tree(self, built: Built) -> set[str]:
        """All files of the image."""
        blobs, tree = self.tiny.store.blobs, ImageTree()
        manifest = parse_manifest(blobs.read(built.manifest.digest), "a test")
        for blob in manifest.layers:
            layer = ImageLayer(blob, lambda digest=blob.digest: blobs.open(digest))
            for member in layer_members(layer, "a test"):
                tree.see(layer, member)
        return set(tree.within(PREFIX))


@pytest.fixture
def imported(tmp_path: Path) -> Imported:
    made = Imported(tmp_path)
    declare(made.tiny, packages={"raise": ["tool"]})
    return made


def test_the_patch_lies_on_all_layers_of_the_image(imported: Imported) -> None:
    done = imported.patch("fix")
    built = imported.build(done.ref)
    (layer,) = built.layers
    assert layer.step.contents == "patch: fix"
    manifest = parse_manifest(imported.tiny.store.blobs.read(built.manifest.digest), "a test")
    assert manifest.layers[0] == built.base.layers[0]
    assert built.base.digest == imported.manifest


def test_what_the_old_package_had_is_gone_bytecode_included_and_what_is_not_its_own_stays(imported: Imported) -> None:
    done = imported.patch("fix")
    assert imported.tree(imported.build(done.ref)) == {
        "bin/python", f"{TOOL}/__init__.py", "share/new.txt", "share/users.txt",
        "conda-meta/python-3.13.1-0.json", "conda-meta/tool-2.0-0.json",
    }  # fmt: skip
    gone = done.lock.patches[0].environments["linux-64"]["conda"].gone
    assert f"{TOOL}/__pycache__" in gone
    assert "share/tool" in gone
    assert "stripped" not in gone


def test_no_archive_of_what_stays_is_needed(imported: Imported) -> None:
    for archive in imported.tiny.channel.glob("*/*.conda"):
        if "tool-2.0" not in archive.name:
            archive.unlink()
    imported.build(imported.patch("fix").ref)


def test_a_patched_import_can_be_patched_again(imported: Imported) -> None:
    first = imported.patch("fix")
    declare(imported.tiny, "again", packages={"remove": ["tool"]})
    second = imported.patch("again", origin=first.ref)
    assert imported.tree(imported.build(second.ref)) == {
        "bin/python", "share/users.txt", "conda-meta/python-3.13.1-0.json",
    }  # fmt: skip
    assert [step.contents for step in make_plan(imported.tiny.catalogue.lock_set(second.ref), LINUX).layers] == [
        "patch: fix", "patch: again",
    ]  # fmt: skip


def test_a_wheel_over_a_conda_package_of_its_name_is_another_package(imported: Imported) -> None:
    wheel = f"{SITE}/tool-9.0.dist-info"
    files = {
        **FILES,
        f"{ROOT}/{wheel}/METADATA": (b"Metadata-Version: 2.1\nName: tool\nVersion: 9.0\n", 0o644),
        f"{ROOT}/{wheel}/RECORD": (f"tool/by_pip.py,,\n{wheel.rpartition('/')[2]}/METADATA,,\n".encode(), 0o644),
        f"{ROOT}/{TOOL}/by_pip.py": (b"pip", 0o644),
    }
    imported.take(files)
    lock = imported.tiny.catalogue.lock_directory(OLD) / "conda.conda-lock.yml"
    document = yaml.safe_load(lock.read_text())
    entry = {"name": "tool", "version": "9.0", "manager": "pip", "platform": "linux-64", "dependencies": {}, "hash": {}}
    document["package"].append({**entry, "url": "https://gone.invalid/tool-9.0-py3-none-any.whl"})
    lock.write_text(yaml.safe_dump(document))
    done = imported.patch("fix")
    assert done.lock.patches[0].environments["linux-64"]["conda"].removed == ("tool",)
    tree = imported.tree(imported.build(done.ref))
    assert {f"{TOOL}/by_pip.py", f"{wheel}/RECORD"} <= tree
    assert f"{TOOL}/gone.py" not in tree


def test_layers_of_an_imported_image_cannot_be_replaced(imported: Imported) -> None:
    with pytest.raises(UsageError, match="was imported"):
        imported.patch("fix", mode="replace")
    with pytest.raises(UsageError, match="has no lab"):
        imported.patch(lab="lab:r1_0_0")


def test_nothing_is_compiled_for_an_imported_image(imported: Imported) -> None:
    built = imported.build(imported.patch("fix").ref)
    assert [path for path in tree_of(built, imported.tiny.store) if path.endswith(".pyc")] == []


def test_a_directory_that_was_somebodys_own_is_told_of(tmp_path: Path) -> None:
    told = list[str]()

    class Telling(Silent):
        def warn(self, text: str) -> None:
            told.append(text)

    imported = Imported(tmp_path, directories={f"{ROOT}/share": 0o2775})
    declare(imported.tiny, packages={"raise": ["tool"]})
    solver, solve = Solver(Path("none"), "micromamba", "2.0.0"), Newest(imported.tiny.channel)
    Patcher(imported.tiny.catalogue, imported.tiny.store, solver, {}, (), Telling(), solve=solve).patch(
        Order(OLD, ("fix",))
    )
    assert told == [f"conda on linux-64: directories that belong to root from now on, with mode 755: 1 (/{ROOT}/share)"]


def test_a_link_on_the_way_to_a_packages_files_is_refused(tmp_path: Path) -> None:
    imported = Imported(tmp_path, symlinks={f"{ROOT}/moved": "share"})
    make_package(imported.tiny.channel, "tool", "3.0", files={"moved/x": ""})
    index(imported.tiny.channel)
    declare(imported.tiny, packages={"raise": ["tool"]})
    with pytest.raises(ArtifactError, match=f"/{ROOT}/moved is a link in the image"):
        imported.patch("fix")


def test_a_lock_set_that_lists_what_the_image_does_not_record_is_told(imported: Imported) -> None:
    lock = imported.tiny.catalogue.lock_directory(OLD) / "conda.conda-lock.yml"
    lock.write_text(lock.read_text().replace("name: python", "name: pythons"))
    with pytest.raises((ArtifactError, DocumentError), match="pythons"):
        imported.patch("fix")
