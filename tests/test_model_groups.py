"""Which packages share a layer, and that they go on doing so."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from peel.model.groups import MAX_LAYERS, Sized, budget, make_groups

MIB = 2**20
NAMES = st.text("abcdefghij-", min_size=1, max_size=6)
PACKAGES = st.dictionaries(NAMES, st.integers(0, 50 * MIB), min_size=1, max_size=60).map(
    lambda sizes: [Sized("python", 30 * MIB), *(Sized(name, size) for name, size in sorted(sizes.items()))]
)
LIMITS = st.integers(3, 24)


def placed(groups: Sequence[tuple[str, tuple[str, ...]]]) -> dict[str, str]:
    return {name: group for group, names in groups for name in names}


def grouped(packages: Sequence[Sized], limit: int = 24, previous: Mapping[str, str] | None = None) -> dict[str, str]:
    return placed(make_groups(packages, limit=limit, previous=previous))


def test_python_is_alone_and_first_however_small_it_is() -> None:
    groups = make_groups([Sized("zlib", 9 * MIB), Sized("python", 1), Sized("attrs", 1)], limit=24)
    assert groups[0] == ("python", ("python",))
    assert groups[1] == ("zlib", ("zlib",))
    assert groups[2][1] == ("attrs",)


def test_small_packages_share_layers() -> None:
    groups = make_groups([Sized(f"small-{number}", 1000) for number in range(200)], limit=24)
    assert len(groups) == 8
    assert all(name.startswith("shared/") for name, _ in groups)


def test_nothing_makes_no_groups() -> None:
    assert list(make_groups([], limit=24)) == []


def test_where_a_package_goes_is_a_promise_across_releases() -> None:
    # A change here moves packages to other layers: every image of a new lock would share less with its predecessor.
    names = ["attrs", "idna", "jinja2", "numpy", "python", "zlib"]
    assert grouped([Sized(name, 1) for name in names]) == {
        "attrs": "shared/5", "idna": "shared/3", "jinja2": "shared/4", "numpy": "shared/7", "python": "python",
        "zlib": "shared/0",
    }  # fmt: skip


@given(PACKAGES, LIMITS)
def test_every_package_is_in_one_group_and_there_are_not_too_many(packages: list[Sized], limit: int) -> None:
    groups = make_groups(packages, limit=limit)
    members = [name for _, names in groups for name in names]
    assert sorted(members) == sorted(package.name for package in packages)
    assert len(groups) <= limit
    assert len({name for name, _ in groups}) == len(groups)


@given(PACKAGES, LIMITS, st.randoms())
def test_the_order_in_which_packages_come_does_not_matter(packages: list[Sized], limit: int, random: object) -> None:
    shuffled = list(packages)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    assert make_groups(shuffled, limit=limit) == make_groups(packages, limit=limit)


@given(PACKAGES, LIMITS, NAMES, st.integers(0, 50 * MIB))
def test_a_package_that_comes_moves_no_other(packages: list[Sized], limit: int, name: str, size: int) -> None:
    before = grouped(packages, limit)
    assume(name not in before)
    after = grouped([*packages, Sized(name, size)], limit, before)
    assert {other: group for other, group in after.items() if other != name} == before


@given(PACKAGES, LIMITS, st.data())
def test_a_package_that_goes_moves_no_other(packages: list[Sized], limit: int, data: st.DataObject) -> None:
    before = grouped(packages, limit)
    gone = data.draw(st.sampled_from(packages))
    after = grouped([package for package in packages if package != gone], limit, before)
    assert after == {name: group for name, group in before.items() if name != gone.name}


@given(PACKAGES, LIMITS, st.data(), st.integers(0, 50 * MIB))
def test_a_package_that_grows_or_shrinks_moves_nothing(
    packages: list[Sized], limit: int, data: st.DataObject, size: int
) -> None:
    before = grouped(packages, limit)
    changed = data.draw(st.sampled_from(packages)).name
    resized = [Sized(package.name, size if package.name == changed else package.size) for package in packages]
    assert grouped(resized, limit, before) == before


@given(PACKAGES, LIMITS)
def test_the_previous_grouping_is_taken_over_whole(packages: list[Sized], limit: int) -> None:
    before = grouped(packages, limit)
    assert grouped(packages, limit, before) == before


@pytest.mark.parametrize("base_layers", [1, 5, 20])
def test_a_whole_image_has_at_most_a_hundred_layers(base_layers: int) -> None:
    many = [Sized(f"package-{number}", 50 * MIB) for number in range(400)]
    for environments in range(1, 26):
        layers = len(make_groups(many, limit=budget(base_layers, environments))) * environments
        assert base_layers + layers + 1 <= MAX_LAYERS
