"""Declarations come into the catalogue whole, at the end, and over nobody's work; a context holds plain files only."""

from __future__ import annotations

from pathlib import Path

import pytest

from peel.errors import DocumentError, ToolError, UsageError
from peel.workflow.propose.given import read_given
from peel.workflow.propose.place import put_in_place, refuse_overwriting

FILES = {"payload.yaml": b"schema: 1\n", "given/environment.yml": b"name: x\n"}


def test_a_new_declaration_appears_with_all_its_files_and_modes_that_others_can_read(tmp_path: Path) -> None:
    place = tmp_path / "envs" / "mine"
    assert put_in_place(place, FILES) == [place / "given/environment.yml", place / "payload.yaml"]
    assert {str(p.relative_to(place)): p.read_bytes() for p in place.rglob("*") if p.is_file()} == FILES
    assert place.stat().st_mode & 0o777 == 0o755
    assert [path.name for path in place.parent.iterdir()] == ["mine"]


def test_what_cannot_be_written_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(ToolError):
        put_in_place(tmp_path / "envs" / "mine", {"a": b"", "a/b": b""})  # a file in the place of a directory
    assert list((tmp_path / "envs").iterdir()) == []


def test_only_what_changed_is_written_and_what_lies_beside_it_stays(tmp_path: Path) -> None:
    place = tmp_path / "mine"
    put_in_place(place, FILES)
    (place / "logo.svg").write_text("<svg/>")
    assert put_in_place(place, {**FILES, "payload.yaml": b"schema: 1\nkind: pip\n"}) == [place / "payload.yaml"]
    assert put_in_place(place, {"payload.yaml": b"schema: 1\nkind: pip\n"}) == []
    assert (place / "logo.svg").exists()


def test_another_file_is_overwritten_by_force_only(tmp_path: Path) -> None:
    put_in_place(tmp_path / "mine", FILES)
    refuse_overwriting(tmp_path / "mine", FILES, force=False)
    other = {**FILES, "payload.yaml": b"other\n"}
    with pytest.raises(UsageError, match=r"payload\.yaml is there already, and says something else"):
        refuse_overwriting(tmp_path / "mine", other, force=False)
    refuse_overwriting(tmp_path / "mine", other, force=True)


def test_a_link_in_a_context_is_refused_wherever_it_leads(tmp_path: Path) -> None:
    (tmp_path / "Dockerfile").write_text("FROM scratch\n")
    (tmp_path / "secrets").symlink_to("/etc/passwd")
    with pytest.raises(DocumentError, match=r"secrets: is no plain file"):
        read_given(str(tmp_path))


def test_a_requirements_file_brings_no_file_from_elsewhere(tmp_path: Path) -> None:
    (tmp_path / "outside.txt").write_text("scipy\n")
    place = tmp_path / "mine"
    (place / "more").mkdir(parents=True)
    (place / "more/base.txt").write_text("-c ../bounds.txt\n--requirement=own.txt\nnumpy\n")
    (place / "more/own.txt").write_text("scipy\n")
    (place / "bounds.txt").write_text("numpy<3\n")
    (place / "requirements.txt").write_text("-r more/base.txt\n-r ../outside.txt\nastropy\n")
    found = read_given(str(place / "requirements.txt")).files or {}
    assert sorted(found) == ["bounds.txt", "more/base.txt", "more/own.txt"]
