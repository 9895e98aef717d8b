"""Requirements files as people write them: what is asked for, and what cannot be locked."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from peel.errors import DocumentError
from peel.model.requirements import Requirements, marker_environment, read_requirements

X86 = marker_environment("3.12", "x86_64")
HASH = "a" * 64


def read(text: str, others: Mapping[str, str] | None = None, environment: Mapping[str, str] = X86) -> Requirements:
    files = {"dir/requirements.txt": text, **(others or {})}

    def open_file(name: str) -> str:
        if name not in files:
            raise DocumentError(f"{name}: no such file")
        return files[name]

    return read_requirements("dir/requirements.txt", open_file, environment)


def test_comments_continuations_extras_and_blank_lines_are_read_as_pip_reads_them() -> None:
    found = read("# all\n\nnumpy>=2,<3  # arrays\nrich[jupyter] \\\n  ==14.*\n\tipykernel\n")
    assert found.requirements == ("ipykernel", "numpy<3,>=2", "rich[jupyter]==14.*")


def test_markers_are_decided_for_the_python_and_the_machine() -> None:
    text = "a; python_version >= '3.12'\nb; python_version < '3'\nc; platform_machine == 'aarch64'\nd; extra == 'x'\n"
    assert read(text).requirements == ("a",)
    assert read(text, environment=marker_environment("3.12.1", "aarch64")).requirements == ("a", "c")


def test_other_files_are_read_from_where_they_are_named() -> None:
    others = {"dir/more/base.txt": "-r ../deep.txt\nb\n", "dir/more/../deep.txt": "c\n", "dir/limits.txt": "b<2\nz<1\n"}
    found = read("-r more/base.txt\n--constraint=limits.txt\n-climits.txt\na\n", others)
    assert (found.requirements, found.constraints) == (("a", "b<2", "c"), ("z<1",))


def test_two_lines_about_one_package_hold_together() -> None:
    assert read("a>1\nA[x]<3\n").requirements == ("a[x]<3,>1",)


def test_hashes_are_kept_by_package() -> None:
    found = read(f"a==1 --hash=sha256:{HASH} \\\n    --hash sha256:{'b' * 64}\n")
    assert found.hashes == {"a": (HASH, "b" * 64)}
    assert found.requirements == ("a==1",)


def test_indexes_are_known_with_whether_they_are_the_only_ones() -> None:
    assert read("-i https://one/simple\na\n").indexes == ("https://one/simple",)
    assert read("-i https://one/simple\na\n").only
    extra = read("--extra-index-url https://t:$TOKEN@two/simple\na\n")
    assert (extra.indexes, extra.only) == (("https://t:$TOKEN@two/simple",), False)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "dir/requirements.txt: requires nothing"),
        ("a\nb=>1\n", "dir/requirements.txt:2:2: not a requirement: 'b=>1'"),
        ("a\n\n# x\n-e .\n", "dir/requirements.txt:4: --editable cannot be locked"),
        ("--find-links ./wheels\na\n", "dir/requirements.txt:1: --find-links cannot be locked"),
        ("--pre\na\n", "dir/requirements.txt:1: --pre cannot be locked"),
        ("./local.whl\n", "dir/requirements.txt:1: './local.whl' has no name"),
        ("git+https://host/a\n", "has no name"),
        ("a @ https://host/a.tar.gz\n", "only wheels can be locked"),
        ("a==1 --hash=md5:abc\n", "hashes should be sha256:HEX"),
        ("-r gone.txt\n", "dir/gone.txt: no such file"),
        ("-r requirements.txt\n", "files name each other without end"),
        ("a @ https://h/a.whl\na @ https://h/b.whl\n", "asked for at two addresses"),
        ("a; python_version <<< '3'\n", "dir/requirements.txt:1"),
    ],
)
def test_what_cannot_be_locked_is_told_with_file_and_line(text: str, words: str) -> None:
    with pytest.raises(DocumentError) as refused:
        read(text)
    assert words in refused.value.message


@given(st.text(max_size=80))
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        assert read(text).requirements
    except DocumentError as error:
        assert error.message.startswith("dir/")  # noqa: PT017 - either will do
