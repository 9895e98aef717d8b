"""System packages read from an image's layers; rpm's database is one that rpm itself has written."""

from __future__ import annotations

import shutil
import sqlite3
import struct
import subprocess
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from layers_of import WHITEOUT, make_layer
from peel.errors import ArtifactError
from peel.layers import rpm_database
from peel.layers.image_files import take_files
from peel.layers.layer_stream import ImageLayer
from peel.layers.system_packages import SystemPackage, is_system_record, system_packages_of

DATABASE = "var/lib/rpm/rpmdb.sqlite"
_SPEC = """\
Name: {name}
{epoch}Version: {version}
Release: {release}
Summary: tiny
License: MIT
BuildArch: noarch
%description
Nothing at all.
%files
"""
_STATUS = b"""\
Package: libc6
Status: install ok installed
Architecture: amd64
Version: 2.36-9+deb12u4
Description: a library
 Version: of something else

Package: gone
Status: deinstall ok config-files
Architecture: amd64
Version: 1.0

Package: bash
Status: hold ok installed
Architecture: amd64
Version: 5.2.15-2+b2
"""


@pytest.fixture
def work(tmp_path: Path) -> Path:
    (tmp_path / "work").mkdir()
    return tmp_path / "work"


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What rpm wrote after it was told of three packages."""
    if shutil.which("rpmbuild") is None:
        pytest.skip("needs Debian's rpm")
    place = tmp_path_factory.mktemp("rpm")
    made = [("openssl", "1", "3.0.7", "27.el9"), ("bash", "", "5.1.8", "9.el9"), ("zlib", "", "1.3~rc1", "1")]
    for name, epoch, version, release in made:
        spec = place / f"{name}.spec"
        epoch_line = f"Epoch: {epoch}\n" if epoch else ""
        spec.write_text(_SPEC.format(name=name, epoch=epoch_line, version=version, release=release))
        run("rpmbuild", "-bb", "--quiet", "--define", f"_topdir {place}/top", str(spec))
    run("rpm", "--dbpath", f"{place}/db", "--initdb")
    rpms = sorted(map(str, place.glob("top/RPMS/noarch/*.rpm")))
    run("rpm", "--dbpath", f"{place}/db", "-i", "--justdb", "--nodeps", "--nosignature", *rpms)
    listed = run("rpm", "--dbpath", f"{place}/db", "-qa")
    assert len(listed.splitlines()) == 3
    return place / "db" / "rpmdb.sqlite"


def run(*argv: str) -> str:
    return subprocess.run(argv, check=True, capture_output=True, text=True).stdout


def find(work: Path, *layers: ImageLayer) -> tuple[SystemPackage, ...] | None:
    return system_packages_of(take_files(layers, is_system_record, work, origin="the base"))


def named(found: tuple[SystemPackage, ...] | None) -> list[str]:
    assert found is not None
    return [f"{package.name} {package.version} {package.arch}" for package in found]


def test_debs_are_those_that_are_installed(work: Path, tmp_path: Path) -> None:
    found = find(work, make_layer(tmp_path, {"var/lib/dpkg/status": _STATUS}))
    assert named(found) == ["bash 5.2.15-2+b2 amd64", "libc6 2.36-9+deb12u4 amd64"]


def test_an_image_made_without_dpkg_has_a_file_per_deb(work: Path, tmp_path: Path) -> None:
    text = b"Package: tzdata\nVersion: 2024a-0+deb12u1\nArchitecture: all\nMaintainer: n\n"
    files = {"var/lib/dpkg/status.d/tzdata": text, "var/lib/dpkg/status.d/tzdata.md5sums": b"abc  usr/share/x\n"}
    assert named(find(work, make_layer(tmp_path, files))) == ["tzdata 2024a-0+deb12u1 all"]


def test_the_highest_layer_counts(work: Path, tmp_path: Path) -> None:
    lower = make_layer(tmp_path, {"var/lib/dpkg/status": _STATUS})
    upper = make_layer(tmp_path, {"var/lib/dpkg/status": _STATUS.replace(b"deb12u4", b"deb12u7")})
    assert "libc6 2.36-9+deb12u7 amd64" in named(find(work, lower, upper))
    assert find(work, lower, make_layer(tmp_path, {"var/lib/dpkg": WHITEOUT})) is None


def test_an_image_without_a_database_has_no_known_system_packages(work: Path, tmp_path: Path) -> None:
    assert find(work, make_layer(tmp_path, {"etc/os-release": b"ID=other\n", "var/lib/rpm/Packages": b"old"})) is None


@pytest.mark.parametrize("line", [b"Version: 1 2\n", b"Version: \n", b"", b"Version: \x1b[31m\n"])
def test_a_deb_that_is_none_is_refused_by_name(line: bytes, work: Path, tmp_path: Path) -> None:
    layer = make_layer(tmp_path, {"var/lib/dpkg/status": b"Package: a\nArchitecture: all\n" + line})
    with pytest.raises(ArtifactError, match=r"the base: /var/lib/dpkg/status holds what is no package: 'a'"):
        find(work, layer)


@pytest.mark.parametrize("place", [DATABASE, "usr/lib/sysimage/rpm/rpmdb.sqlite"])
def test_rpms_are_read_from_what_rpm_wrote(place: str, database: Path, work: Path, tmp_path: Path) -> None:
    found = find(work, make_layer(tmp_path, {place: database.read_bytes()}))
    assert named(found) == ["bash 5.1.8-9.el9 noarch", "openssl 1:3.0.7-27.el9 noarch", "zlib 1.3~rc1-1 noarch"]
    assert found is not None
    assert {package.manager for package in found} == {"rpm"}


def test_what_only_the_write_ahead_log_says_counts(database: Path, work: Path, tmp_path: Path) -> None:
    copy = tmp_path / "rpmdb.sqlite"
    shutil.copy(database, copy)
    connection = sqlite3.connect(copy)
    connection.execute("PRAGMA journal_mode = WAL")
    with connection:
        connection.execute("DELETE FROM Packages WHERE hnum = 1")
    log = Path(f"{copy}-wal")
    assert log.stat().st_size > 0
    files = {DATABASE: copy.read_bytes(), f"{DATABASE}-wal": log.read_bytes()}
    connection.close()
    assert len(named(find(work, make_layer(tmp_path, files)))) == 2


def _changed(database: Path, place: Path, change: Callable[[sqlite3.Connection], object]) -> bytes:
    copy = place / "changed.sqlite"
    shutil.copy(database, copy)
    connection = sqlite3.connect(copy)
    connection.execute("PRAGMA journal_mode = DELETE")
    with connection:
        change(connection)
    connection.close()
    return copy.read_bytes()


def _header(*entries: tuple[int, int, int, int], data: bytes = b"a\0b\0c\0", lies: int = 0) -> bytes:
    index = b"".join(struct.pack(">IIII", *entry) for entry in entries)
    return struct.pack(">II", len(entries) + lies, len(data)) + index + data


GOOD = ((1000, 6, 0, 1), (1001, 6, 2, 1), (1002, 6, 4, 1))


@pytest.mark.parametrize(
    "header",
    [
        b"", b"\0" * 7, b"\0" * 8, b"\xff" * 8, b"\xff" * 400, _header(*GOOD, lies=1), _header(*GOOD, lies=70000),
        _header(*GOOD[:2]), _header((1000, 6, 99, 1), *GOOD[1:]), _header((1000, 6, 2**32 - 1, 1), *GOOD[1:]),
        _header((1000, 8, 0, 2), *GOOD[1:]), _header(*GOOD, data=b"a\0b\0c"), _header(*GOOD, data=b"\x1b\0b\0c\0"),
        _header(*GOOD, (1003, 4, 0, 2)), _header(*GOOD, (1003, 4, 5, 1)), _header(*GOOD, data=b"a" * 500 + b"\0"),
    ],
    ids=range(16),
)  # fmt: skip
def test_a_header_that_lies_is_refused_by_name(header: bytes, database: Path, work: Path, tmp_path: Path) -> None:
    data = _changed(database, tmp_path, lambda db: db.execute("UPDATE Packages SET blob = ?", (header,)))
    with pytest.raises(ArtifactError, match=rf"the base: /{DATABASE} holds what is no package"):
        find(work, make_layer(tmp_path, {DATABASE: data}))


def test_a_plain_header_that_is_made_by_hand_is_read(database: Path, work: Path, tmp_path: Path) -> None:
    header = _header(*GOOD, (1003, 4, 6, 1), data=b"a\0b\0c\0" + (7).to_bytes(4, "big"))
    data = _changed(database, tmp_path, lambda db: db.execute("UPDATE Packages SET blob = ?", (header,)))
    assert set(named(find(work, make_layer(tmp_path, {DATABASE: data})))) == {"a 7:b-c "}


def test_keys_are_no_packages(database: Path, work: Path, tmp_path: Path) -> None:
    header = _header((1000, 6, 0, 1), (1001, 6, 11, 1), (1002, 6, 11, 1), data=b"gpg-pubkey\x001\0")
    data = _changed(database, tmp_path, lambda db: db.execute("UPDATE Packages SET blob = ?", (header,)))
    assert named(find(work, make_layer(tmp_path, {DATABASE: data}))) == []


_ENDLESS = "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n) SELECT x AS blob FROM n WHERE x < 0"


@pytest.mark.parametrize(
    "change",
    [
        "DROP TABLE Packages",
        f"CREATE VIEW P AS {_ENDLESS}; DROP TABLE Packages; CREATE VIEW Packages AS {_ENDLESS}",
        "DROP TABLE Packages; CREATE TABLE Packages (other)",
        "DROP TABLE Packages; CREATE VIRTUAL TABLE Packages USING fts5(blob)",
    ],
)
def test_a_database_without_the_table_is_refused(change: str, database: Path, work: Path, tmp_path: Path) -> None:
    data = _changed(database, tmp_path, lambda db: db.executescript(change))
    with pytest.raises(ArtifactError, match="cannot be read as a database of rpm"):
        find(work, make_layer(tmp_path, {DATABASE: data}))


def test_a_database_that_keeps_sqlite_busy_for_ever_is_given_up(
    database: Path, work: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rpm_database, "_MOST_STEPS", 0)
    many = "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n LIMIT 2000) SELECT ? FROM n"
    insert = f"INSERT INTO Packages (blob) {many}"
    data = _changed(database, tmp_path, lambda db: db.execute(insert, (_header(*GOOD),)))
    with pytest.raises(ArtifactError, match="interrupted"):
        find(work, make_layer(tmp_path, {DATABASE: data}))


@pytest.mark.parametrize("end", [0, 10, 100, 5000])
def test_a_database_that_is_cut_off_is_refused(end: int, database: Path, work: Path, tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match=rf"/{DATABASE} cannot be read as a database of rpm"):
        find(work, make_layer(tmp_path, {DATABASE: database.read_bytes()[:end]}))


def test_noise_in_a_database_is_read_over_or_refused_but_never_escapes(
    database: Path, work: Path, tmp_path: Path
) -> None:
    whole = bytearray(database.read_bytes())
    for start in range(0, len(whole), 4001):
        noisy = bytes(whole[:start]) + b"\xa5" * 97 + bytes(whole[start + 97 :])
        layer = make_layer(tmp_path, {DATABASE: noisy})
        with suppress(ArtifactError):
            assert find(work, layer) is not None
