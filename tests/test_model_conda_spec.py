"""Match specs as conda has them: what they ask, and whom they let pass."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from peel.errors import DocumentError
from peel.model.conda_record import Record, lock_dependencies
from peel.model.conda_spec import build_number_in, build_of, depends_allow, parse_conda_spec, spec_name


@pytest.mark.parametrize(
    ("spec", "version", "build", "allowed"),
    [
        ("a", "1", "x", True),
        ("a *", "1", "x", True),
        ("a >=1,<2", "1.5", "", True),
        ("a >=1,<2", "2.0", "", False),
        ("a >=3.11,<3.12.0a0", "3.12.0a0", "", False),
        ("a >= 1, < 2", "1.9", "", True),
        ("a>=2", "1.9", "", False),
        ("a 1.2", "1.2.0", "", True),
        ("a 1.2", "1.2.1", "", False),
        ("a ==1.2", "1.2.1", "", False),
        ("a=1.2", "1.2.1", "", True),
        ("a=1.2", "1.21", "", False),
        ("a 1.2.*", "1.2", "", True),
        ("a 1.2.*", "1.3", "", False),
        ("a 1.2*", "1.21", "", False),
        ("a !=1.2", "1.2.0", "", False),
        ("a !=1.2.*", "1.2.7", "", False),
        ("a !=1.2.*", "1.3", "", True),
        ("a ~=1.2.3", "1.2.9", "", True),
        ("a ~=1.2.3", "1.3.0", "", False),
        ("a 1.*|3.*", "3.1", "", True),
        ("a 1.*|3.*", "2.1", "", False),
        ("a 3.11.* *_cpython", "3.11.4", "h1_0_cpython", True),
        ("a 3.11.* *_cpython", "3.11.4", "h1_0_pypy", False),
        ("a=1.2=h0_0", "1.2", "h0_0", True),
        ("a=1.2=h0_0", "1.2.1", "h0_0", False),
        ("a[version='>=1,<2',build='h*']", "1.1", "h1", True),
        ("a[version='>=1,<2']", "2", "h1", False),
        ("conda-forge::a >=1", "2", "", True),
        ("a >1!0", "5", "", False),
    ],
)
def test_a_spec_lets_pass_what_conda_lets_pass(spec: str, version: str, build: str, *, allowed: bool) -> None:
    assert parse_conda_spec(spec).allows(version, build) is allowed


@pytest.mark.parametrize(
    "text", ["", " ", "-c", "a >=", "a >>2", "a 1 2 3", "a >=1;2", "a (1)", "a[url='file:///x']", "a[sha256", "!a"]
)
def test_what_is_no_spec_is_refused_by_name(text: str) -> None:
    with pytest.raises(DocumentError, match=r"^here: .* is no package spec$"):
        parse_conda_spec(text, "here")


def test_a_dependency_that_cannot_be_read_lets_everything_pass() -> None:
    assert depends_allow("a (>=1|<2),!=3 weird and long", "3", "")


def test_what_is_more_than_name_version_and_build_is_known_to_be_more() -> None:
    assert not parse_conda_spec("a >=1 h*").other
    assert parse_conda_spec("a[version='>=1',build_number='>2']").other
    assert parse_conda_spec("c::a").channel == "c"


def test_dependencies_are_written_as_conda_lock_writes_them() -> None:
    depends = ["zlib", "python >=3.11,<3.12.0a0", "python_abi 3.11.* *_cp311", "foo =1.2", "foo >=1.1", "__glibc >=2"]
    assert lock_dependencies(depends) == {
        "__glibc": ">=2", "foo": "1.2.*,>=1.1", "python": ">=3.11,<3.12.0a0", "python_abi": "3.11.*", "zlib": "",
    }  # fmt: skip


def test_a_build_is_read_off_a_file_name() -> None:
    assert build_of("openssl-3.5.0-h1_2.conda") == build_of("openssl-3.5.0-h1_2.tar.bz2") == "h1_2"
    assert [build_number_in(text) for text in ("h1_2", "py311_0", "0", "h1a2b3c4_7", "custom")] == [2, 0, 0, 7, 0]
    assert build_of("no conda package") == ""


def test_a_later_build_is_newer_and_an_equal_version_is_not() -> None:
    old = Record("a", "1.0", "h_0", 0, "linux-64", "a-1.0-h_0.conda")
    assert Record("a", "1.0", "h_1", 1, "linux-64", "").is_newer_than(old)
    assert not Record("a", "1.0.0", "h_0", 0, "linux-64", "").is_newer_than(old)


@given(st.text(max_size=40))
def test_any_text_is_a_spec_or_refused(text: str) -> None:
    try:
        spec = parse_conda_spec(text)
    except DocumentError:
        return
    assert spec.name == spec_name(text)
    assert spec.allows("1.0", "h_0") in {True, False}
