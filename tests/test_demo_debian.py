"""Which mirrors the stand-ins come from, what apt's answers mean, and what is in a .deb."""

from __future__ import annotations

import gzip
import io
import tarfile
from pathlib import Path

import pytest

from peel.demo.apt_sources import Source, load_sources, parse_lines, parse_stanzas, turn_to
from peel.demo.base import entry_of
from peel.demo.deb import Unpacked, read_control, read_data
from peel.demo.debian import fetch_debs, parse_printed_uris, verify
from peel.demo.pythons import upstream_version
from peel.errors import ArtifactError, ToolError
from peel.model.entry import Kind

STANZAS = """\
# a comment
Types: deb deb-src
URIs: http://mirror.example/debian
Suites: bookworm bookworm-updates
Components: main contrib
Signed-By:
 -----BEGIN PGP PUBLIC KEY BLOCK-----
 .
 abc

Types: deb
URIs: http://other.example/packages
Suites: nodistro
Components: main
Enabled: no
"""
LINES = """\
deb [arch=amd64 signed-by=/keys/a.gpg] http://mirror.example/debian bookworm main  # ours
deb-src http://mirror.example/debian bookworm main
deb http://mirror.example/security bookworm-security main
deb http://cloud.example/apt cloud-sdk main
"""
PRINTED = f"""\
Reading package lists...
'http://mirror.example/pool/z/zlib1g_1%3a1.3.dfsg-1_amd64.deb' zlib1g_1%3a1.3.dfsg-1_amd64.deb 88720 SHA256:{"b" * 64}
'http://mirror.example/pool/b/bash_5.2.37-2%2bb10_amd64.deb' bash_5.2.37-2+b10_amd64.deb 1500792 SHA256:{"a" * 64}
"""


def test_deb822_sources_are_read_with_their_keys_and_without_the_disabled() -> None:
    found = parse_stanzas(STANZAS)

    assert [source.suite for source in found] == ["bookworm", "bookworm-updates"]
    assert found[0].components == ("main", "contrib")
    assert found[0].signed_by.endswith(" .\n abc")
    assert parse_stanzas(found[0].stanza()) == found[:1]


def test_one_line_sources_are_read_without_the_source_packages() -> None:
    found = parse_lines(LINES)

    assert [source.suite for source in found] == ["bookworm", "bookworm-security", "cloud-sdk"]
    assert found[0].signed_by == "/keys/a.gpg"
    assert found[1].signed_by == ""


def test_the_machines_debian_mirrors_are_turned_to_another_suite() -> None:
    turned = turn_to("trixie", parse_lines(LINES))

    assert {source.suite for source in turned} == {"trixie", "trixie-security"}
    assert {source.uri for source in turned} == {"http://mirror.example/debian", "http://mirror.example/security"}


def test_a_machine_without_a_debian_mirror_is_told_what_to_do() -> None:
    with pytest.raises(ToolError, match="no mirror") as raised:
        turn_to("trixie", [Source("http://mirror.example/ubuntu", "noble", ("main",))])
    assert raised.value.hint


def test_both_kinds_of_apt_configuration_are_loaded(tmp_path: Path) -> None:
    (tmp_path / "sources.list.d").mkdir()
    (tmp_path / "sources.list").write_text(LINES)
    (tmp_path / "sources.list.d" / "debian.sources").write_text(STANZAS)

    assert len(load_sources(tmp_path)) == 5
    assert load_sources(tmp_path / "absent") == ()


def test_printed_uris_become_packages_sorted_by_name() -> None:
    bash, zlib = parse_printed_uris(PRINTED)

    assert (bash.name, bash.version, bash.size) == ("bash", "5.2.37-2+b10", 1500792)
    assert (zlib.name, zlib.version, zlib.digest.hex) == ("zlib1g", "1:1.3.dfsg-1", "b" * 64)
    assert zlib.path(Path("cache")) == Path("cache/debs", f"{'b' * 64}.deb")


def test_a_machine_without_apt_is_told_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))

    with pytest.raises(ToolError, match="apt-get is not installed") as raised:
        fetch_debs("trixie", ["bash"], cache=tmp_path)
    assert "--online" in str(raised.value.hint)


def test_a_cached_package_that_was_tampered_with_is_refused_and_removed(tmp_path: Path) -> None:
    (deb,) = (each for each in parse_printed_uris(PRINTED) if each.name == "bash")
    path = deb.path(tmp_path)
    path.parent.mkdir()
    path.write_bytes(b"something else")

    with pytest.raises(ArtifactError, match="bash_5"):
        verify(deb, path)
    assert not path.exists()


@pytest.mark.parametrize(
    ("debian", "upstream"),
    [
        ("3.5.9-1~deb13u1", "3.5.9"),
        ("1:1.3.dfsg+really1.3.1-1+deb13u1", "1.3.1"),
        ("6.5+20250216-2", "6.5"),
        ("3.13.5-2+deb13u5", "3.13.5"),
        ("8.2-6", "8.2"),
    ],
)
def test_an_upstream_version_is_what_conda_can_order(debian: str, upstream: str) -> None:
    assert upstream_version(debian) == upstream


def _tar(*members: tuple[tarfile.TarInfo, bytes]) -> bytes:
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode="w") as tar:
        for info, data in members:
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return gzip.compress(raw.getvalue())


def _member(name: str, kind: bytes = tarfile.REGTYPE, target: str = "") -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname, info.mode, info.mtime = kind, target, 0o755, 7
    return info


def _deb(path: Path, data: bytes) -> Path:
    members = {
        "debian-binary": b"2.0\n",
        "control.tar.gz": _tar((_member("./control"), b"Package: x\n")),
        "data.tar.gz": data,
    }
    archive = b"!<arch>\n"
    for name, content in members.items():
        archive += f"{name:<16}{0:<12}{0:<6}{0:<6}{100644:<8}{len(content):<10}`\n".encode()
        archive += content + b"\n" * (len(content) % 2)
    path.write_bytes(archive)
    return path


def test_a_deb_gives_files_links_and_directories_with_hard_links_as_files(tmp_path: Path) -> None:
    data = _tar(
        (_member("./", tarfile.DIRTYPE), b""),
        (_member("./usr/bin/tool"), b"code"),
        (_member("./usr/bin/same", tarfile.LNKTYPE, "./usr/bin/tool"), b""),
        (_member("./usr/bin/link", tarfile.SYMTYPE, "tool"), b""),
    )
    deb = _deb(tmp_path / "x.deb", data)

    assert list(read_data(deb)) == [
        Unpacked("usr/bin/tool", 0o755, 7, data=b"code"),
        Unpacked("usr/bin/same", 0o755, 7, data=b"code"),
        Unpacked("usr/bin/link", 0o777, 7, target="tool"),
    ]
    assert read_control(deb) == "Package: x\n"


@pytest.mark.parametrize(
    "member",
    [_member("../escape"), _member("/etc/passwd"), _member("./dev/sda", tarfile.BLKTYPE)],
    ids=["climbing", "absolute", "device"],
)
def test_a_deb_that_reaches_outside_or_holds_a_device_is_refused(tmp_path: Path, member: tarfile.TarInfo) -> None:
    deb = _deb(tmp_path / "x.deb", _tar((member, b"")))

    with pytest.raises(ArtifactError, match=r"x\.deb"):
        list(read_data(deb))


@pytest.mark.parametrize("keep", [4, 70, 250])
def test_a_truncated_deb_is_one_clear_error(tmp_path: Path, keep: int) -> None:
    deb = _deb(tmp_path / "x.deb", _tar((_member("./file"), bytes(range(256)) * 40)))
    deb.write_bytes(deb.read_bytes()[:keep])

    with pytest.raises(ArtifactError, match=r"x\.deb"):
        list(read_data(deb))


def test_files_in_bin_and_lib_are_merged_into_usr() -> None:
    assert entry_of(Unpacked("bin/sh", 0o777, 1, target="dash")).path == "usr/bin/sh"
    assert entry_of(Unpacked("lib64/ld.so", 0o755, 1, data=b"x")).path == "usr/lib64/ld.so"
    assert entry_of(Unpacked("libexec", 0o755, 1, is_directory=True)).kind is Kind.DIRECTORY
