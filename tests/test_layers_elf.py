"""What binaries say of themselves; this machine's own are the examples."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from peel.layers.elf import is_elf, read_elf


def test_a_program_of_this_machine_tells_machine_glibc_and_libraries() -> None:
    found = read_elf(Path(shutil.which("tar") or "/bin/ls").resolve())
    assert found is not None
    assert found.machine == os.uname().machine
    assert (2, 2) < found.glibc < (3, 0)
    assert "libc.so.6" in found.needed


def test_a_static_program_asks_for_no_glibc() -> None:
    busybox = shutil.which("busybox")
    if busybox is None:
        pytest.skip("busybox is not installed")
    found = read_elf(Path(busybox))
    assert found is not None
    assert (found.glibc, found.needed) == ((0, 0), ())


@pytest.mark.parametrize("data", [b"", b"#!/bin/sh\n", b"\x7fEL"])
def test_what_is_no_binary_is_told_from_one(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "x").write_bytes(data)
    assert not is_elf(tmp_path / "x")


@pytest.mark.parametrize("length", [4, 16, 64, 1000, 5000])
def test_a_binary_cut_short_does_no_harm(tmp_path: Path, length: int) -> None:
    whole = Path(shutil.which("tar") or "/bin/ls").resolve().read_bytes()
    (tmp_path / "x").write_bytes(whole[:length])
    assert is_elf(tmp_path / "x")
    read_elf(tmp_path / "x")  # whatever it says, it says it without an error
