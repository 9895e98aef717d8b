"""Packages, their JSON, the order they are linked in, and what they are read from."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from peel.errors import DocumentError
from peel.solver.files import Pinned, Wanted, load_file
from peel.solver.output import transaction_json
from peel.solver.package import Package, in_link_order, package_from_url, package_json, parse_package, spec_name

SHA = "0123456789abcdef" * 4


def package(name: str, *depends: str, version: str = "1.0") -> Package:
    return Package(name, version, "0", 0, "linux-64", f"{name}-{version}-0.conda", "", "", depends)


def test_a_package_is_linked_after_everything_it_depends_on() -> None:
    order = in_link_order(
        [package("app", "libbar >=1", "python"), package("libbar", "libfoo"), package("libfoo"), package("python")]
    )
    assert [each.name for each in order] == ["libfoo", "libbar", "python", "app"]


def test_the_link_order_does_not_depend_on_the_order_of_the_solution() -> None:
    packages = [package("c", "a"), package("b"), package("a"), package("d", "b", "c")]
    assert in_link_order(packages) == in_link_order(reversed(packages))


def test_a_dependency_cycle_still_has_an_order() -> None:
    order = in_link_order([package("python", "pip"), package("pip", "python"), package("app", "python")])
    assert [each.name for each in order] == ["pip", "python", "app"]


def test_a_timestamp_in_milliseconds_is_shown_in_seconds() -> None:
    record = {"name": "a", "version": "1", "build": "0", "timestamp": 1_700_000_000_123}
    assert package_json(parse_package(record, "here"))["timestamp"] == 1_700_000_000


def test_the_json_of_a_package_has_the_fields_of_micromamba_and_no_empty_hash() -> None:
    shown = package_json(package("a"))
    assert sorted(shown) == [
        "build", "build_number", "build_string", "channel", "constrains", "depends", "fn", "license", "name", "size",
        "subdir", "timestamp", "track_features", "url", "version",
    ]  # fmt: skip


def test_a_transaction_without_change_has_a_message_and_no_actions() -> None:
    assert transaction_json((), (), Path("/p"), dry_run=True) == {
        "dry_run": True, "message": "All requested packages already installed", "prefix": "/p", "success": True,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("spec", "name"),
    [("a", "a"), ("a>=2", "a"), ("conda-forge::NumPy =2", "numpy"), ("a[version='1']", "a"), ("b~=1", "b")],
)  # fmt: skip
def test_the_name_of_a_spec_is_what_stands_before_its_constraint(spec: str, name: str) -> None:
    assert spec_name(spec) == name


@pytest.mark.parametrize(
    ("record", "complaint"),
    [
        ({"version": "1"}, "meta.json: no name"),
        ({"name": ["x"], "version": "1"}, "meta.json: name is not text"),
        ({"name": "x", "version": "1", "build_number": "2"}, "meta.json: build_number is not a number"),
        ({"name": "x", "version": "1", "depends": [1]}, "meta.json: depends is not a list of texts"),
    ],
)
def test_a_broken_record_is_refused_by_file_and_key(record: dict[str, Any], complaint: str) -> None:
    with pytest.raises(DocumentError, match=complaint):
        parse_package(record, "meta.json")


def test_a_url_says_name_version_build_subdir_and_channel() -> None:
    made = package_from_url("https://host/t/secret/chan/noarch/my-pkg-1.0-py_0.tar.bz2#hash", "here")
    assert (made.name, made.version, made.build, made.subdir) == ("my-pkg", "1.0", "py_0", "noarch")
    assert made.channel == "https://host/t/secret/chan"


LOCK = f"""\
version: 1
package:
- {{name: a, version: '1', manager: conda, platform: linux-64, dependencies: {{b: '>=1'}}, category: main,
   url: https://host/c/linux-64/a-1-0.conda, hash: {{md5: '', sha256: {SHA}}}}}
- {{name: t, version: '1', manager: conda, platform: linux-64, dependencies: {{}}, category: dev,
   url: https://host/c/linux-64/t-1-0.conda, hash: {{sha256: {SHA}}}}}
- {{name: a, version: '2', manager: conda, platform: linux-aarch64, dependencies: {{}}, category: main,
   url: https://host/c/linux-aarch64/a-2-0.conda, hash: {{sha256: {SHA}}}}}
- {{name: w, version: '3', manager: pip, platform: linux-64, dependencies: {{}}, category: main,
   url: https://host/w-3-py3-none-any.whl, hash: {{sha256: {SHA}}}}}
"""


def write(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


def test_of_a_lock_the_platform_and_category_asked_for_are_taken_and_pip_is_named(tmp_path: Path) -> None:
    lock = write(tmp_path / "x.conda-lock.yml", LOCK)
    read = load_file(lock, subdir="linux-64")
    assert isinstance(read, Pinned)
    assert [(each.dist, each.depends, each.sha256) for each in read.packages] == [("a-1-0", ("b >=1",), SHA)]
    assert read.pip == ("w 3",)
    both = load_file(lock, subdir="linux-64", categories=("main", "dev"))
    assert isinstance(both, Pinned)
    assert [each.name for each in both.packages] == ["a", "t"]


@pytest.mark.parametrize(
    ("name", "text", "complaint"),
    [
        ("l.yml", LOCK.replace(SHA, "null"), "a 1: no sha256"),
        ("l.yml", LOCK.replace("a-1-0", "b-1-0"), "a 1: its URL is that of b-1-0"),
        ("l.yml", LOCK.replace("linux-aarch64/a-2-0.conda", "x"), "nothing is locked for linux-ppc64le"),
        ("l.yml", "package: [", "not valid"),
        ("l.yml", "[]", "not a mapping"),
        ("l.yml", "dependencies: [{conda: [a]}]", "cannot read the dependency"),
        ("l.yml", "name: x", "no list of dependencies"),
        ("l.txt", "@EXPLICIT\nhttps://host/c/linux-64/a-1-0.conda#0123", "no sha256"),
        ("l.txt", f"@EXPLICIT\nhttps://host/c/osx-64/a-1-0.conda#{SHA}", "made for osx-64"),
        ("l.txt", f"@EXPLICIT\nhttps://host/c/linux-64/readme#{SHA}", "not the URL of a conda package"),
        ("l.txt", f"@EXPLICIT\nhttps://h/noarch/a-1-0.conda#{SHA}\nhttps://h/noarch/a-2-0.conda#{SHA}", "a twice"),
    ],
)
def test_a_file_that_cannot_be_used_is_refused_by_name(tmp_path: Path, name: str, text: str, complaint: str) -> None:
    subdir = "linux-ppc64le" if "ppc64le" in complaint else "linux-64"
    with pytest.raises(DocumentError, match=complaint) as caught:
        load_file(write(tmp_path / name, text), subdir=subdir)
    assert name in caught.value.message


def test_a_missing_file_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(DocumentError, match="no such file"):
        load_file(tmp_path / "none.yml", subdir="linux-64")


def test_an_explicit_list_is_read_with_bare_and_with_prefixed_hashes(tmp_path: Path) -> None:
    lines = f"# platform: linux-64\n@EXPLICIT\nfile:///c/linux-64/a-1-0.conda#{SHA}\nfile:///c/noarch/b-2-0.tar.bz2#sha256:{SHA}\n"
    read = load_file(write(tmp_path / "explicit.txt", lines), subdir="linux-64")
    assert isinstance(read, Pinned)
    assert [(each.dist, each.sha256) for each in read.packages] == [("a-1-0", SHA), ("b-2-0", SHA)]


def test_an_environment_gives_specs_channels_and_its_pip_section(tmp_path: Path) -> None:
    text = "channels: [c]\ndependencies:\n- python 3.13.*\n- pip: [requests]\n"
    assert load_file(write(tmp_path / "environment.yml", text), subdir="linux-64") == Wanted(
        ("python 3.13.*",), ("c",), ("requests",)
    )
