"""What a bad document is told, to the line; and that a good one is read as it stands."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from peel.errors import DocumentError
from peel.model.declaration import EnvironmentSpec, ImageDeclaration
from peel.model.payloads import CondaPayload
from peel.store.documents import load, parse_plain, parse_yaml, to_json, to_yaml

IMAGE = "schema: 1\nbase: docker.io/library/almalinux:9\n"


def read(tmp_path: Path, data: str | bytes, model: type[Any] = ImageDeclaration) -> Any:
    path = tmp_path / "lab.yaml"
    path.write_bytes(data.encode() if isinstance(data, str) else data)
    return load(path, model, origin="envs/lab.yaml")


def refused(tmp_path: Path, data: str | bytes, model: type[Any] = ImageDeclaration) -> DocumentError:
    with pytest.raises(DocumentError) as raised:
        read(tmp_path, data, model)
    return raised.value


def test_an_unknown_key_is_told_with_its_line_and_the_nearest_key(tmp_path: Path) -> None:
    error = refused(tmp_path, f"{IMAGE}\n# a comment\npayload: [science]\n")
    assert error.message == "envs/lab.yaml:5: payload: unknown key; did you mean 'payloads'?"
    assert error.hint is not None
    assert "lab.yaml" in error.hint


def test_an_unknown_key_deep_inside_is_told_with_its_whole_place(tmp_path: Path) -> None:
    error = refused(tmp_path, f"{IMAGE}launch:\n  port: 8888\n  usr: 1:1\n")
    assert error.message == "envs/lab.yaml:5: launch.usr: unknown key; did you mean 'user'?"


def test_an_unknown_key_without_a_near_one_is_just_unknown(tmp_path: Path) -> None:
    assert refused(tmp_path, f"{IMAGE}zzz: 1\n").message == "envs/lab.yaml:3: zzz: unknown key"


def test_the_nearest_key_is_named_as_people_write_it(tmp_path: Path) -> None:
    text = "channels: [x]\ndependencies: [y]\npip-repository: []\n"
    assert "did you mean 'pip-repositories'?" in refused(tmp_path, text, EnvironmentSpec).message


@pytest.mark.parametrize(
    ("lines", "told"),
    [
        ("platforms: linux-64", ":3: platforms: should be a list, not 'linux-64'"),
        ("launch: {port: '8888'}", ":3: launch.port: should be a valid integer, not '8888'"),
        ("launch: {port: 70000}", ":3: launch.port: should be less than or equal to 65535, not 70000"),
        ("payloads:\n- science\n- 7", ":5: payloads[1]: should be a valid string, not 7"),
        ("launch: []", ":3: launch: should be a valid dictionary"),
        ("tags: latest", ":3: tags: should be 'rsp', 'semver' or 'calver', not 'latest'"),
    ],
)
def test_a_wrong_type_is_told_with_line_and_place(tmp_path: Path, lines: str, told: str) -> None:
    assert told in refused(tmp_path, f"{IMAGE}{lines}\n").message


def test_a_missing_key_is_told_where_it_should_stand(tmp_path: Path) -> None:
    text = "schema: 1\nkind: conda\nkernel:\n  name: science\n"
    assert refused(tmp_path, text, CondaPayload).message == "envs/lab.yaml:3: kernel.display_name: missing"


def test_every_fault_is_told_at_once(tmp_path: Path) -> None:
    message = refused(tmp_path, "schema: 2\nbase: x y\ntag: rsp\n").message
    assert [line.partition(": ")[0] for line in message.splitlines()] == [
        "envs/lab.yaml:1", "envs/lab.yaml:2", "envs/lab.yaml:3",
    ]  # fmt: skip


def test_a_dependency_of_the_wrong_kind_is_told_once(tmp_path: Path) -> None:
    message = refused(tmp_path, "channels: [x]\ndependencies:\n- python\n- 3.13\n", EnvironmentSpec).message
    assert message.startswith("envs/lab.yaml:4: dependencies[1]: ")
    assert len(message.splitlines()) == 1


def test_a_misspelt_pip_section_is_told_as_one(tmp_path: Path) -> None:
    message = refused(tmp_path, "channels: [x]\ndependencies:\n- pipp:\n    - wheel\n", EnvironmentSpec).message
    assert "dependencies[0].pipp: unknown key" in message
    assert "PipSection" not in message


def test_a_key_that_stands_twice_is_told_with_both_lines(tmp_path: Path) -> None:
    error = refused(tmp_path, f"{IMAGE}tags: rsp\n\nbase: other\n")
    assert (error.message, error.hint) == ("envs/lab.yaml:5: 'base' stands twice", "the first is on line 2")


def test_an_alias_that_holds_itself_is_refused(tmp_path: Path) -> None:
    assert "envs/lab.yaml:3: an alias" in refused(tmp_path, f"{IMAGE}links: &a\n  x: *a\n").message


def test_aliases_that_multiply_are_refused_before_they_fill_the_memory(tmp_path: Path) -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 9)]
    assert "alias" in refused(tmp_path, "\n".join(lines)).message


@pytest.mark.parametrize("tag", ["!!python/object/apply:os.system [x]", "!!python/name:os.system ''", "!mine [x]"])
def test_what_is_not_plain_data_is_refused(tmp_path: Path, tag: str) -> None:
    error = refused(tmp_path, f"{IMAGE}tags: {tag}\n")
    assert error.message.startswith("envs/lab.yaml:3")


def test_binary_data_and_sets_are_refused(tmp_path: Path) -> None:
    assert "not plain data" in refused(tmp_path, f"{IMAGE}tags: !!binary aGVsbG8=\n").message
    assert "envs/lab.yaml:3" in refused(tmp_path, f"{IMAGE}tags: !!set {{a, b}}\n").message


@pytest.mark.parametrize("text", ["", "\n\n", "# only a comment\n", "---\n"])
def test_an_empty_file_is_told_as_empty_or_as_no_document(tmp_path: Path, text: str) -> None:
    assert refused(tmp_path, text).message.startswith("envs/lab.yaml")


def test_a_list_in_place_of_a_document_is_refused(tmp_path: Path) -> None:
    assert "envs/lab.yaml:1: document: should be a valid dictionary" in refused(tmp_path, "- a\n").message


def test_two_documents_in_one_file_are_refused(tmp_path: Path) -> None:
    assert "envs/lab.yaml:3" in refused(tmp_path, f"{IMAGE}---\nschema: 1\n").message


@pytest.mark.parametrize("text", ["[" * 60 + "]" * 60, "[" * 100_000, "{a: " * 60 + "}" * 60])
def test_huge_nesting_is_one_error(tmp_path: Path, text: str) -> None:
    assert refused(tmp_path, text).message.startswith("envs/lab.yaml")


def test_bytes_that_are_not_utf8_are_told_with_their_place(tmp_path: Path) -> None:
    assert refused(tmp_path, b"base: caf\xe9\n").message == "envs/lab.yaml: not UTF-8 text (byte 9)"


def test_a_control_character_is_refused(tmp_path: Path) -> None:
    assert refused(tmp_path, f"{IMAGE}tags: \x1b[31m\n").message.startswith("envs/lab.yaml")


def test_a_missing_file_a_directory_and_a_huge_file_are_told(tmp_path: Path) -> None:
    with pytest.raises(DocumentError, match=r"^x: no such file$"):
        load(tmp_path / "none", ImageDeclaration, origin="x")
    with pytest.raises(DocumentError, match=r"^x: cannot be read: not a file$"):
        load(tmp_path, ImageDeclaration, origin="x")
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(DocumentError, match=r"^x: cannot be read: not a file$"):
        load(tmp_path / "pipe", ImageDeclaration, origin="x")
    huge = tmp_path / "huge"
    with huge.open("wb") as file:
        file.truncate(65 * 2**20)
    with pytest.raises(DocumentError, match="larger than 64 MiB"):
        load(huge, ImageDeclaration, origin="x")


@pytest.mark.parametrize(
    "value",
    [f"'{'x' * 10_000}'", f"0x{'f' * 10_000}", f"!{'t' * 10_000} x", f"{{{'k' * 10_000}: 1, {'k' * 10_000}: 1}}"],
)
def test_a_huge_value_is_shown_in_part(tmp_path: Path, value: str) -> None:
    error = refused(tmp_path, f"{IMAGE}tags: {value}\n")
    assert error.message.startswith("envs/lab.yaml:3:")
    assert len(error.message) < 500


def test_syntax_errors_are_told_with_line_and_column(tmp_path: Path) -> None:
    assert refused(tmp_path, f"{IMAGE}tags: [rsp\n").message.startswith("envs/lab.yaml:4:1: not valid: ")


def test_tabs_are_told(tmp_path: Path) -> None:
    assert refused(tmp_path, f"{IMAGE}launch:\n\tport: 1\n").message.startswith("envs/lab.yaml:4:1: not valid: ")


def test_windows_line_ends_and_a_byte_order_mark_are_read(tmp_path: Path) -> None:
    text = "\ufeff" + IMAGE.replace("\n", "\r\n")
    assert read(tmp_path, text).base == "docker.io/library/almalinux:9"
    assert "envs/lab.yaml:3: x" in refused(tmp_path, f"{IMAGE}x: 1\n".replace("\n", "\r\n")).message


def test_keys_that_are_no_plain_text_are_refused(tmp_path: Path) -> None:
    assert refused(tmp_path, "[a, b]: 1\n").message == "envs/lab.yaml:1: a key has to be plain text"
    assert refused(tmp_path, "null: 1\n").message == "envs/lab.yaml:1: a key has to be plain text"


@pytest.mark.parametrize("scalar", ["!!int x", "!!float y", "!!bool maybe", "0x", "!!int 1_", "1" * 5000])
def test_numbers_that_are_none_are_refused(tmp_path: Path, scalar: str) -> None:
    assert refused(tmp_path, f"schema: {scalar}\n").message.startswith("envs/lab.yaml:1")


def test_a_date_stays_the_text_that_was_written() -> None:
    assert parse_yaml("tag: 2026-11-23\n", "x").data == {"tag": "2026-11-23"}


def test_every_key_and_item_has_its_line() -> None:
    parsed = parse_yaml("a:\n  b: 1\n  c:\n\n  - x\n  - y: 2\n", "x")
    assert parsed.lines[("a", "b")] == 2
    assert parsed.lines[("a", "c")] == 3
    assert parsed.lines[("a", "c", 0)] == 5
    assert parsed.lines[("a", "c", 1, "y")] == 6


@given(st.text())
@example("? [")
@example("a: !<!> b")
@example("&a [*a]")
@example("? {? {}: 1}")
@example("%YAML 9.9\n---\na")
@example("a: !!float 1e999999\nb: .nan")
@example("!!int ''")
@example("!!bool ''")
@example("!!merge '<<'")
@example("=: =")
def test_whatever_the_text_it_is_data_or_one_document_error(text: str) -> None:
    with suppress(DocumentError):
        parse_yaml(text, "x")


@given(st.binary(max_size=200))
@example(b"\xff")
@example(b"!!timestamp 2026-99-99")
@example(b"2026-99-99")
@example(b"!!int ''")
@example(b"? []")
@example(b"[" * 2000)
def test_another_programs_file_is_data_or_one_document_error(data: bytes) -> None:
    with suppress(DocumentError):
        parse_plain(data, "x")


PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(st.characters(exclude_categories=["Cs", "Cc"])),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text("abcz", min_size=1), inner, max_size=4),
    max_leaves=12,
)


@given(PLAIN)
def test_what_is_written_as_yaml_is_read_back(data: Any) -> None:
    assert parse_plain(to_yaml(data), "x") == data


def test_written_yaml_keeps_the_order_of_keys_and_never_folds() -> None:
    assert to_yaml({"z": "word " * 60, "a": {"x": [1, 2]}}) == b"z: '" + b"word " * 60 + b"'\na:\n  x: [1, 2]\n"


def test_written_json_sorts_its_keys() -> None:
    assert to_json({"b": "ü", "a": 1}) == '{\n  "a": 1,\n  "b": "ü"\n}\n'.encode()
