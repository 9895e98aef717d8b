"""What people see, whatever the text holds."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from peel.console import Console, human_size
from peel.errors import DocumentError


def test_an_error_and_its_hint_go_to_stderr(capsys: pytest.CaptureFixture[str]) -> None:
    Console().error(DocumentError("lab.yaml:3: tags: unknown", hint="write rsp"))
    out, err = capsys.readouterr()
    assert (out, err) == ("", "error: lab.yaml:3: tags: unknown\nhint: write rsp\n")


def test_an_error_without_a_hint_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    Console().error(DocumentError("bad"))
    assert capsys.readouterr().err == "error: bad\n"


@pytest.mark.parametrize("text", ["[/channel]", "[bold red]x", "[link=https://x]y[/link]", "a [/] b", ":smile:"])
def test_brackets_are_shown_and_never_read_as_markup(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    console = Console()
    console.error(DocumentError(text))
    console.step(text)
    console.line(text)
    out, err = capsys.readouterr()
    assert (out, err) == (f"{text}\n", f"error: {text}\n→ {text}\n")


@pytest.mark.parametrize("say", [Console.step, Console.warn, Console.line])
def test_escape_sequences_are_shown_harmless(
    say: Callable[[Console, str], None], capsys: pytest.CaptureFixture[str]
) -> None:
    say(Console(), "a\x1b[31m\x1b]0;title\x07\r\x9b2J\u202eb")
    shown = "".join(capsys.readouterr())
    assert "\\x1b[31m\\x1b]0;title\\x07\\x0d\\x9b2J" in shown
    assert not set(shown) & {"\x1b", "\x07", "\r", "\x9b", "\u202e"}


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_any_text_is_shown_as_printable_lines(capsys: pytest.CaptureFixture[str], text: str) -> None:
    Console().error(DocumentError(text))
    Console().line(text)
    assert all(c.isprintable() or c == "\n" for c in "".join(capsys.readouterr()))


def test_a_quiet_console_says_warnings_and_errors_only(capsys: pytest.CaptureFixture[str]) -> None:
    console = Console(quiet=True)
    console.step("working")
    with console.bar("fetching", 10, "bytes") as advance:
        advance(10)
    console.warn("look")
    assert capsys.readouterr().err == "warning: look\n"


def test_elsewhere_than_on_a_terminal_a_bar_is_one_plain_line(capsys: pytest.CaptureFixture[str]) -> None:
    with Console().bar("fetching 3 artifacts", 100, "bytes") as advance:
        advance(50)
    assert capsys.readouterr().err == "→ fetching 3 artifacts\n"


def test_a_digest_is_never_wrapped_or_cut(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "20")
    console, digest = Console(), f"sha256:{'a' * 64}"
    console.table(("IMAGE", "MANIFEST"), [("lab:r1", digest)])
    console.step(digest)
    out, err = capsys.readouterr()
    assert digest in out
    assert digest in err


def test_tables_align_words_left_and_numbers_right(capsys: pytest.CaptureFixture[str]) -> None:
    Console().table(("NAME", "SIZE"), [("a", "1 B"), ("long-name", "100 B")], right=("SIZE",))
    assert capsys.readouterr().out == "NAME        SIZE\na            1 B\nlong-name  100 B\n"


def test_json_drives_no_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    Console().json({"name": "\x1b[31m \x7f \x9b é"})
    assert capsys.readouterr().out.isascii()


@given(st.recursive(st.none() | st.integers() | st.text(), lambda x: st.lists(x) | st.dictionaries(st.text(), x)))
def test_json_is_read_back_as_it_was(value: Any) -> None:
    with pytest.MonkeyPatch.context() as patch:
        written: list[str] = []
        patch.setattr("sys.stdout.write", written.append)
        Console().json({"schema": 1, "value": value})
    assert json.loads("".join(written)) == {"schema": 1, "value": value}


@pytest.mark.parametrize(
    ("size", "text"),
    [(0, "0 B"), (1023, "1023 B"), (1024, "1.0 KiB"), (1536 * 1024, "1.5 MiB"), (5 * 2**30, "5.00 GiB")],
)
def test_sizes_are_told_as_people_read_them(size: int, text: str) -> None:
    assert human_size(size) == text
