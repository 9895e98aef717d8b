from __future__ import annotations

import socket
from pathlib import Path

import pytest

from peel.errors import ToolError, UsageError
from peel.tools import system


def test_os_release_is_read_with_and_without_quotes() -> None:
    text = "# a comment\nNAME=Fedora\nPRETTY_NAME=\"Debian GNU/Linux 12 (bookworm)\"\nID='x'\nnonsense\n"
    assert system.parse_os_release(text) == {
        "NAME": "Fedora",
        "PRETTY_NAME": "Debian GNU/Linux 12 (bookworm)",
        "ID": "x",
    }


def test_a_machine_without_os_release_is_unknown(tmp_path: Path) -> None:
    assert system.distribution(tmp_path) == "unknown"


def test_the_second_place_of_os_release_counts_too(tmp_path: Path) -> None:
    (tmp_path / "usr/lib").mkdir(parents=True)
    (tmp_path / "usr/lib/os-release").write_text("NAME=Plain\n")
    assert system.distribution(tmp_path) == "Plain"


@pytest.mark.parametrize(
    ("printed", "version"),
    [
        ("buildah version 1.28.2 (image-spec 1.1.0-rc2, runtime-spec 1.0.2-dev)", (1, 28, 2)),
        ("runc version 1.1.5+ds1\ncommit: x", (1, 1, 5)),
        ("docker-registry github.com/docker/distribution 2.8.2+ds1", (2, 8, 2)),
        ("conda-lock, version 4.0.3", (4, 0, 3)),
        ("no number", ()),
    ],
)
def test_the_version_is_the_first_dotted_number(printed: str, version: system.Version) -> None:
    assert system.parse_version(printed) == version


def test_a_missing_program_is_named_with_what_to_do() -> None:
    with pytest.raises(ToolError, match="no-such-program is not installed") as error:
        system.require_version("no-such-program", (1, 2))
    assert "no-such-program >= 1.2" in str(error.value.hint)


def test_a_program_that_is_too_old_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "buildah").write_text("#!/bin/sh\necho buildah version 1.27.9\n")
    (tmp_path / "buildah").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    with pytest.raises(ToolError, match=r"buildah 1\.27\.9 is too old: 1\.28 or newer"):
        system.require_version("buildah", (1, 28))


def test_a_program_that_says_no_version_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "buildah").write_text("#!/bin/sh\necho hello\n")
    (tmp_path / "buildah").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    with pytest.raises(ToolError, match="does not say which version"):
        system.ask_version("buildah")


def test_a_free_port_can_be_bound() -> None:
    port = system.free_port()
    with socket.socket() as own:
        own.bind(("127.0.0.1", port))


def test_a_port_in_use_is_a_usage_error_that_names_the_option() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(UsageError, match=f"port {port} of 127.0.0.1 cannot be used") as error:
            system.free_port(port)
    assert "--port" in str(error.value.hint)


@pytest.mark.parametrize("port", [-1, 65536])
def test_what_is_no_port_is_a_usage_error(port: int) -> None:
    with pytest.raises(UsageError, match="cannot be used"):
        system.free_port(port)


def test_room_is_measured_where_a_directory_will_be(tmp_path: Path) -> None:
    assert system.free_bytes(tmp_path / "not" / "yet") > 0
