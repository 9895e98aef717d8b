"""Patches in a catalogue: found by name or path, read with their files, and nothing from outside."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest

from peel.errors import DocumentError
from peel.store.catalogue import MOST_PATCHED, Catalogue

PATCH = "schema: 1\nreason: CVE-2026-1\nremove_files: [/etc/old]\n"


@pytest.fixture
def patches(tmp_path: Path) -> Path:
    """The directory of a catalogue with one patch."""
    directory = tmp_path / "envs" / "patches"
    directory.mkdir(parents=True)
    (directory / "2026-11-openssl.yaml").write_text(PATCH)
    return directory


@pytest.fixture
def catalogue(patches: Path) -> Catalogue:
    return Catalogue(patches.parent.parent)


def with_file(patches: Path, *, sha256: str = "") -> None:
    file = "{path: /etc/x, source: files/x" + (f", sha256: {sha256}" if sha256 else "") + "}"
    (patches / "2026-11-openssl.yaml").write_text(f"schema: 1\nreason: r\nfiles:\n  - {file}\n")


@pytest.mark.parametrize("name", ["2026-11-openssl", "2026-11-openssl.yaml", "envs/patches/2026-11-openssl.yaml"])
def test_a_patch_is_found_by_its_name_or_path(name: str, catalogue: Catalogue) -> None:
    found = catalogue.patch(name)
    assert (found.name, found.declaration.reason) == ("2026-11-openssl", "CVE-2026-1")
    assert found.sha256 == hashlib.sha256(PATCH.encode()).hexdigest()


def test_a_path_from_where_one_stands_is_understood(
    catalogue: Catalogue, patches: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(patches.parent)
    assert catalogue.patch("patches/2026-11-openssl.yaml").name == "2026-11-openssl"
    assert catalogue.patch(str(patches / "2026-11-openssl.yaml")).name == "2026-11-openssl"


def test_patches_are_no_images(catalogue: Catalogue) -> None:
    assert list(catalogue.images()) == []
    assert list(catalogue.patches()) == ["2026-11-openssl"]


def test_a_patch_that_is_not_there_is_told_with_the_nearest_one(catalogue: Catalogue) -> None:
    with pytest.raises(DocumentError, match=r"^envs/patches/2026-11-opensl.yaml: no such file") as caught:
        catalogue.patch("2026-11-opensl")
    assert caught.value.hint == "did you mean '2026-11-openssl'?"


@pytest.mark.parametrize("name", ["../outside.yaml", "/tmp/outside.yaml", "envs/other/outside.yaml", "Not a name", ""])
def test_a_patch_lies_where_patches_lie(name: str, catalogue: Catalogue) -> None:
    with pytest.raises(DocumentError, match=r"is not beneath envs/patches/|not a patch's name"):
        catalogue.patch(name)


def test_a_bad_patch_is_told_by_file_line_and_key(catalogue: Catalogue, patches: Path) -> None:
    (patches / "2026-11-openssl.yaml").write_text("schema: 1\nreason: r\npackage: {}\n")
    with pytest.raises(DocumentError, match=r"^envs/patches/2026-11-openssl.yaml:3: package: unknown key"):
        catalogue.patch("2026-11-openssl")


def test_its_files_come_with_it(catalogue: Catalogue, patches: Path) -> None:
    (patches / "files").mkdir()
    (patches / "files" / "x").write_bytes(b"contents")
    with_file(patches, sha256=hashlib.sha256(b"contents").hexdigest())
    assert catalogue.patch("2026-11-openssl").contents == {"/etc/x": b"contents"}


def test_a_file_with_other_contents_than_the_patch_says_is_refused(catalogue: Catalogue, patches: Path) -> None:
    (patches / "files").mkdir()
    (patches / "files" / "x").write_bytes(b"changed")
    with_file(patches, sha256="f" * 64)
    with pytest.raises(DocumentError, match=r"files: /etc/x: envs/patches/files/x has sha256 [0-9a-f]{64}, not f{64}$"):
        catalogue.patch("2026-11-openssl")


def test_a_file_that_is_missing_is_named(catalogue: Catalogue, patches: Path) -> None:
    with_file(patches)
    with pytest.raises(DocumentError, match=r"files: /etc/x: envs/patches/files/x: no such file"):
        catalogue.patch("2026-11-openssl")


def test_a_large_file_belongs_into_a_package(catalogue: Catalogue, patches: Path) -> None:
    (patches / "files").mkdir()
    with (patches / "files" / "x").open("wb") as file:
        file.truncate(MOST_PATCHED + 1)
    with_file(patches)
    with pytest.raises(DocumentError, match="is larger than 4 MiB"):
        catalogue.patch("2026-11-openssl")


@pytest.mark.parametrize("what", ["file", "directory", "patch"])
def test_nothing_is_read_through_a_link_out_of_the_catalogue(
    what: str, catalogue: Catalogue, patches: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    outside = tmp_path_factory.mktemp("outside")
    (outside / "x").write_bytes(b"secret")
    with_file(patches)
    if what == "directory":
        (patches / "files").symlink_to(outside)
    elif what == "file":
        (patches / "files").mkdir()
        (patches / "files" / "x").symlink_to(outside / "x")
    else:
        (patches / "2026-11-openssl.yaml").rename(outside / "p.yaml")
        (patches / "2026-11-openssl.yaml").symlink_to(outside / "p.yaml")
    with pytest.raises(DocumentError, match="a link leads out of the catalogue"):
        catalogue.patch("2026-11-openssl")


def test_what_is_no_file_is_not_waited_for(catalogue: Catalogue, patches: Path) -> None:
    (patches / "files").mkdir()
    os.mkfifo(patches / "files" / "x")
    with_file(patches)
    with pytest.raises(DocumentError, match="no such file"):
        catalogue.patch("2026-11-openssl")
