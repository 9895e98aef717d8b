"""The modes of installed files, held against what linking gives them."""

from __future__ import annotations

import tarfile
from pathlib import Path

import pytest

from archives import Item, conda, link, wheel
from linking import DIGEST, PYTHON, linked
from oracle import PREFIX
from peel.layers.link_python import SCRIPT_MODE
from peel.layers.modes import installed_modes
from peel.layers.wheel import link_wheel
from peel.layers.wheel_facts import installed_wheel_modes
from peel.model.entry import Kind

ITEMS = [
    Item("bin/run", b"x", mode=0o755), Item("bin/own", b"x", mode=0o700), Item("share/a", b"", mode=0o600),
    Item("bin/again", type=tarfile.LNKTYPE, target="bin/run"), link("bin/link", "run"),
    Item("site-packages/a.py", b"", mode=0o775),
]  # fmt: skip


@pytest.mark.parametrize("name", ["one-1.0-0.conda", "one-1.0-0.tar.bz2"])
def test_modes_of_a_conda_package_are_those_that_it_is_linked_with(name: str, tmp_path: Path) -> None:
    listed = [*ITEMS[:3], Item("bin/again", b"x"), *ITEMS[4:]]
    archive = conda(
        tmp_path / name, ITEMS, listed=listed, index={"noarch": "python"}, entry_points=["tool = one:main"]
    )  # fmt: skip
    entries = linked(archive, tmp_path / "stage")
    expected = {path: entry.mode for path, entry in entries.items() if entry.kind in {Kind.FILE, Kind.HARDLINK}}
    made = {"bin/tool": SCRIPT_MODE, "conda-meta/one-1.0-0.json": 0o644}
    assert {**installed_modes(archive, name, PYTHON), **made} == expected


def test_modes_of_a_wheel_are_those_that_it_is_linked_with(tmp_path: Path) -> None:
    files = {"one/__init__.py": b"", "one/run": b"x", "one-1.0.data/scripts/tool": b"#!python\n"}
    archive = wheel(tmp_path / "one-1.0-py3-none-any.whl", files, modes={"one/run": 0o100755})
    entries = link_wheel(
        archive, name="one", version="1.0", file_name=archive.name, digest=DIGEST, prefix=PREFIX, python=PYTHON,
        stage=tmp_path / "stage",
    )  # fmt: skip
    expected = {entry.path.removeprefix(f"{PREFIX[1:]}/"): entry.mode for entry in entries}
    made = {path: mode for path, mode in expected.items() if path.endswith(("/RECORD", "/INSTALLER"))}
    assert {**made, **installed_wheel_modes(archive, archive.name, PYTHON)} == expected
