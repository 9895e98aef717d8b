"""``peel-micromamba search``: exact records of channels, in the shape that micromamba prints, without solving."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

from channels import index, make_package, repodata_record
from peel.errors import ArtifactError
from peel.tools.package_search import Exactly, search, search_argv
from solving import Solver, embedded


@pytest.fixture
def channel(tmp_path: Path) -> str:
    place = tmp_path / "channel"
    for build in ("h0_0", "h1_1"):
        make_package(place, "libfoo", "1.0", build=build, build_number=int(build[-1]), depends=["libbar"])
    make_package(place, "libfoo", "1.0.0", build="h0_0")
    make_package(place, "libbar", "2.0", noarch="generic")
    make_package(place, "libbar", "2.0", noarch="generic", extension=".tar.bz2")
    return index(place)


@pytest.fixture
def solver(tmp_path: Path) -> Solver:
    return embedded(tmp_path / "home")


def test_what_matches_is_told_in_micromambas_shape_and_without_dependencies(solver: Solver, channel: str) -> None:
    found = solver.json("search", "--override-channels", "-c", channel, "libfoo ==1.0 h1_1")
    assert found["query"] == {"query": "libfoo ==1.0 h1_1", "type": "search"}
    assert (found["result"]["status"], found["result"]["msg"]) == ("OK", "")
    (package,) = found["result"]["pkgs"]
    assert {
        "name",
        "version",
        "build",
        "build_number",
        "url",
        "sha256",
        "md5",
        "depends",
        "fn",
        "size",
    } <= package.keys()
    archive = Path(channel.removeprefix("file://")) / "linux-64" / "libfoo-1.0-h1_1.conda"
    assert (package["fn"], package["url"]) == (archive.name, archive.as_uri())
    assert package["sha256"] == hashlib.sha256(archive.read_bytes()).hexdigest()
    assert package["md5"] == repodata_record(archive)["md5"]


def test_each_spec_is_answered_for_the_platform_and_for_all_platforms(solver: Solver, channel: str) -> None:
    found = solver.json("search", "-c", channel, "libbar", "libfoo >=1", "nosuch", CONDA_SUBDIR="linux-aarch64")
    assert [package["fn"] for package in found["result"]["pkgs"]] == ["libbar-2.0-0.conda"]  # the newer form alone


def test_nothing_found_is_an_answer_and_no_error(solver: Solver, channel: str) -> None:
    assert solver.json("search", "-c", channel, "nosuch")["result"]["pkgs"] == []
    assert solver.run("search", "-c", channel, "nosuch").stdout == 'No entries matching "nosuch" found\n'


def test_people_see_a_line_for_each_package(solver: Solver, channel: str) -> None:
    said = solver.run("search", "-c", channel, "libfoo ==1.0 h0_0").stdout
    assert said == f"libfoo-1.0-h0_0  {channel}\nlibfoo-1.0.0-h0_0  {channel}\n"


def test_a_search_for_nothing_and_a_spec_that_is_none_are_mistakes(solver: Solver, channel: str) -> None:
    assert solver.run("search", "-c", channel).returncode != 0
    done = solver.run("search", "-c", channel, "libfoo >=>1")
    assert done.returncode == 1
    assert done.stderr.startswith("critical libmamba Cannot read the spec 'libfoo >=>1'")


def test_a_channel_that_cannot_be_read_is_told_by_name(solver: Solver, tmp_path: Path) -> None:
    done = solver.run("search", "--json", "-c", (tmp_path / "none").as_uri(), "libfoo")
    assert done.returncode == 1
    assert done.stderr.startswith(f"critical libmamba The index of channel file://{tmp_path}/none cannot be read")


def test_only_the_very_build_is_found_though_another_version_counts_as_equal(channel: str, tmp_path: Path) -> None:
    wanted = [Exactly("libfoo", "1.0", "h0_0"), Exactly("libbar", "2.0", "0"), Exactly("libbar", "3.0", "0")]
    found = search(wanted, channel, "linux-64", tmp_path / "cache")
    assert sorted((each.name, each.version, each.url.rpartition("/")[2]) for each in found) == [
        ("libbar", "2.0", "libbar-2.0-0.conda"),
        ("libfoo", "1.0", "libfoo-1.0-h0_0.conda"),
    ]


def test_a_thousand_and_one_packages_are_looked_for(channel: str, tmp_path: Path) -> None:
    wanted = [Exactly(f"package{n}", "1.0", "0") for n in range(1000)]
    found = search([*wanted, Exactly("libbar", "2.0", "0")], channel, "linux-64", tmp_path / "cache")
    assert {each.name for each in found} == {"libbar"}


def test_the_tokens_of_a_channel_are_in_no_argument_and_in_no_error(tmp_path: Path) -> None:
    argv = search_argv(Path("peel-micromamba"), ["a ==1 0"], "linux-64")
    assert argv == ("peel-micromamba", "search", "--json", "--no-rc", "--platform", "linux-64", "--", "a ==1 0")
    with pytest.raises(ArtifactError) as raised:
        search([Exactly("a", "1", "0")], "http://127.0.0.1:9/t/tk-5ecre7/c", "linux-64", tmp_path)
    assert raised.value.message == "the index of http://127.0.0.1:9/t/<hidden>/c cannot be read"


def test_an_index_that_describes_no_package_is_refused(channel: str, tmp_path: Path) -> None:
    path = Path(channel.removeprefix("file://")) / "linux-64" / "repodata.json"
    document = json.loads(path.read_text())
    for record in document["packages.conda"].values():
        record["sha256"] = "x"
    path.write_text(json.dumps(document))
    with pytest.raises(ArtifactError, match=r"the index of file://.* cannot be read"):
        search([Exactly("libfoo", "1.0", "h0_0")], channel, "linux-64", tmp_path / "cache")
