"""The door to other programs: what goes in, what comes out, and that nothing is left running."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import pytest

from peel.errors import ToolError
from peel.tools import process
from peel.tools.process import Command


def shell(script: str, *, env: dict[str, str] | None = None) -> Command:
    return Command(("/bin/sh", "-c", script), env or process.inherit())


def test_what_a_program_prints_is_kept_apart() -> None:
    done = process.run(shell("echo out; echo err >&2"))
    assert (done.status, done.stdout, done.stderr, done.text) == (0, b"out\n", b"err\n", "out\n")


def test_a_program_reads_what_it_is_given_and_else_nothing() -> None:
    assert process.run(Command(("/bin/cat",), process.inherit(), stdin=b"given")).stdout == b"given"
    assert process.run(Command(("/bin/cat",), process.inherit())).stdout == b""


def test_arguments_are_never_read_by_a_shell() -> None:
    hostile = "$(touch /tmp/never); `id` && \"x\" 'y'"
    assert process.run(Command(("/bin/echo", hostile), process.inherit())).text == f"{hostile}\n"


def test_children_get_a_fixed_locale_and_nothing_that_was_not_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", "/mine")
    monkeypatch.setenv("LC_ALL", "de_DE")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    monkeypatch.setenv("https_proxy", "http://proxy")
    printed = process.run(Command(("/usr/bin/env",), process.inherit({"EXTRA": "1"}))).text.splitlines()
    assert {"LC_ALL=C.UTF-8", "TZ=UTC", "EXTRA=1", "https_proxy=http://proxy"} <= set(printed)
    assert not [line for line in printed if line.startswith(("PYTHONPATH", "AWS_"))]


def test_a_failure_shows_the_last_lines_and_the_status() -> None:
    with pytest.raises(ToolError) as raised:
        process.run(shell("for n in $(seq 100); do echo line $n >&2; done; exit 7"))
    assert raised.value.message.startswith("sh failed with status 7: ")
    assert raised.value.message.endswith("  line 100")
    assert "line 80\n" not in raised.value.message


def test_a_failure_may_be_looked_at_instead() -> None:
    assert process.run(shell("exit 3"), check=False).status == 3


def test_tokens_and_passwords_are_in_no_message() -> None:
    with pytest.raises(ToolError) as raised:
        process.run(shell("echo https://user:hunter2@host/t/tk-123/c >&2; exit 1 # https://host/t/tk-456/x"))
    for secret in ("hunter2", "tk-123", "tk-456"):
        assert secret not in raised.value.message
    assert "/t/<hidden>/" in raised.value.message


def test_bytes_that_are_no_text_do_not_hide_a_failure() -> None:
    with pytest.raises(ToolError, match="status 1"):
        process.run(shell(r"printf '\377\376' >&2; exit 1"))


def test_a_program_that_is_not_there_is_told_with_what_to_do() -> None:
    with pytest.raises(ToolError, match="nosuchprogram is not installed") as raised:
        process.run(Command(("nosuchprogram",), process.inherit()))
    assert raised.value.hint == "peel doctor names what is missing"


def test_a_file_that_is_no_program_is_told(tmp_path: Path) -> None:
    (tmp_path / "text").write_text("hello")
    with pytest.raises(ToolError, match="cannot be started"):
        process.run(Command((str(tmp_path / "text"),), process.inherit()))


def test_a_program_that_takes_too_long_is_ended_with_its_children(tmp_path: Path) -> None:
    with pytest.raises(ToolError, match=r"did not end within 0.5 s"):
        process.run(shell(f"sleep 600 & echo $! > {tmp_path}/pid; wait"), timeout=0.5)
    assert gone(int((tmp_path / "pid").read_text()))


def test_on_leaving_a_started_program_and_its_children_are_gone(tmp_path: Path) -> None:
    with process.start(
        shell(f"trap '' TERM; sleep 600 & echo $! > {tmp_path}/pid; touch {tmp_path}/up; wait")
    ) as child:
        while not (tmp_path / "up").exists():
            time.sleep(0.01)
        process.stop(child, first=signal.SIGKILL)
    assert child.returncode is not None
    assert gone(int((tmp_path / "pid").read_text()))


def gone(pid: int) -> bool:
    """Whether a process ends within some seconds; a zombie that nobody waits for has ended."""
    for _ in range(500):
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return True
        if Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z":
            return True
        time.sleep(0.01)
    return False


def test_an_argv_is_put_together_from_parts() -> None:
    assert process.argv_of("a", Path("/b"), None, ["c", "d"]) == ("a", "/b", "c", "d")


def test_an_attended_program_has_our_own_streams_and_its_status_is_told(capfd: pytest.CaptureFixture[str]) -> None:
    assert process.attend(shell("echo out; echo err >&2; exit 9")) == 9
    assert capfd.readouterr() == ("out\n", "err\n")


def test_an_attended_program_that_a_signal_ends_is_told_as_shells_tell_it() -> None:
    assert process.attend(shell("kill -KILL $$")) == process.SIGNALLED + signal.SIGKILL


def test_an_attended_program_that_is_not_there_is_a_tool_error() -> None:
    with pytest.raises(ToolError, match="is not installed"):
        process.attend(Command(("no-such-program-of-peel",), process.inherit()))
