"""Tag policies: every vector, the order, filters and aliases."""

from __future__ import annotations

import datetime as dt
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from peel.errors import DocumentError
from peel.model.tags.aliases import TaggedImage, hide_aliased, resolve_aliases
from peel.model.tags.calver import CalverPolicy
from peel.model.tags.filters import CategoryFilter, TagFilter
from peel.model.tags.policy import policy_named
from peel.model.tags.rsp import RspPolicy, alias
from peel.model.tags.semver import SemverPolicy
from peel.model.tags.tag import Category, tag_fault
from peel.report.tag import tag_json

RSP = RspPolicy()
VECTORS: list[dict[str, Any]] = json.loads((Path(__file__).parent / "data" / "rsp-tags.json").read_text())
NOW = dt.datetime(2026, 4, 10, tzinfo=dt.UTC)


@pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: vector["input"])
def test_a_tag_is_read_as_the_spawner_reads_it(vector: dict[str, Any]) -> None:
    expected = {"tag" if key == "input" else key: value for key, value in vector.items()}
    assert tag_json(RSP.parse(vector["input"])) == expected


@pytest.mark.parametrize("text", ["w_2021_53", "w_2021_00", "d_2021_13_01", "d_2021_02_30", "v29_2_0", "exp_", "1.2.3"])
def test_what_cannot_be_is_unknown(text: str) -> None:
    assert RSP.parse(text).category is Category.UNKNOWN


def test_traps_are_read_as_the_spawner_falls_into_them() -> None:
    branch = RSP.parse("w_2021_22_my-branch")
    assert (branch.extra, branch.architecture) == ("my", "branch")
    ticket = RSP.parse("tickets-DM-55155")
    assert (ticket.base, ticket.architecture) == ("tickets-DM", "55155")
    assert RSP.parse("w_2020_53").category is Category.WEEKLY
    assert RSP.parse("r22_0_0_rcX").category is Category.RELEASE
    assert (RSP.parse("w_2021_22_c0020").cycle, RSP.parse("w_2021_22_c0020").extra) == (None, "c0020")
    swapped = RSP.parse("w_2021_22_rsp19_c0020.001")
    assert (swapped.build, swapped.extra, swapped.cycle) == (19, "c0020.001", None)
    assert RSP.parse("").tag == "latest"
    assert RSP.parse("r170").version == "17.0.0"
    assert RSP.parse("latest_c0027.001").cycle is None


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("w_2021_22_my-branch", "architecture"),
        ("w_2021_22-ARM64", "lower case"),
        ("r22_0_0_rcX", "full release"),
        ("w_2021_22_c0020", "without its build"),
        ("w_2021_22_rsp19_c0020.001", "cycle comes first"),
        ("w_2021_53", "no such day"),
        ("v29_2_0", "EUPS"),
        ("", "latest"),
    ],
)
def test_a_strict_reader_is_warned_of_traps(text: str, word: str) -> None:
    assert any(word in line for line in RSP.warnings(text))


@pytest.mark.parametrize(
    "text", ["w_2021_22", "r29_2_0_rsp2697", "r21_0_1_c0031.004_rsp103-arm64", "recommended_c0044"]
)
def test_a_strict_reader_is_not_warned_of_good_tags(text: str) -> None:
    assert RSP.warnings(text) == ()


def test_the_stated_order_holds_whatever_order_tags_come_in() -> None:
    ascending = [
        "r21_0_1", "r21_0_1_rsp29", "r21_0_1_rsp103", "r21_0_1_rsp103_extra", "r21_0_1_rsp103_foo-amd64",
        "r21_0_1_rsp103_foo-arm64", "r21_0_1_rsp103_foo", "r21_0_1_c0031.004", "r21_0_1_c0031.004_rsp103",
        "r21_0_1_c0032.004_rsp102", "r21_0_1_c0032.004_rsp103", "r21_0_1_c0032.005_rsp101",
    ]  # fmt: skip
    for start in (ascending, ascending[::-1], sorted(ascending)):
        assert [t.tag for t in RSP.newest_first(map(RSP.parse, start))] == ascending[::-1]


def test_categories_come_in_menu_order_and_versionless_experiments_first_of_theirs() -> None:
    given_tags = ["zzz", "exp_w_2021_22", "exp_mine", "r30_0_0_rc1", "d_2026_04_01", "w_2026_14", "r29_2_0"]
    expected = ["r29_2_0", "w_2026_14", "d_2026_04_01", "r30_0_0_rc1", "exp_mine", "exp_w_2021_22", "zzz"]
    assert [t.tag for t in RSP.newest_first(map(RSP.parse, given_tags))] == expected


_PARTS = st.builds(
    lambda *parts: "".join(parts),
    st.sampled_from(["r1_0_0", "r1_0_0_rc1", "w_2021_22", "d_2021_05_27", "exp_w_2021_22", "exp_x", "exp_", "latest"]),
    st.sampled_from(["", "_c0020.001", "_c0020"]), st.sampled_from(["", "_rsp19", "_rsp2"]),
    st.sampled_from(["", "_x", "-beta.1"]), st.sampled_from(["", "-arm64"]),
)  # fmt: skip


@given(st.lists(_PARTS | st.text(max_size=160), max_size=12), st.sampled_from(["rsp", "semver", "calver"]))
def test_any_text_is_some_tag_and_any_tags_have_one_order(texts: list[str], name: str) -> None:
    policy = policy_named(name)
    once = policy.newest_first(map(policy.parse, texts))
    again = policy.newest_first(map(policy.parse, sorted(texts, reverse=True)))
    assert once == again
    for text in texts:
        policy.warnings(text)
        policy.next_tag(texts, text)


@pytest.mark.parametrize("text", ["r" + "9" * 5000 + "_0_0", "exp_" * 5000, "é\x1b[31m", "\n", "a" * 100_000])
def test_texts_that_are_no_tags_are_told_as_such(text: str) -> None:
    assert RSP.parse(text).category in {Category.UNKNOWN, Category.EXPERIMENTAL}
    assert tag_fault(text)
    assert tag_fault("w_2026_14") is None


def test_semantic_versions_are_ordered_by_precedence() -> None:
    policy = SemverPolicy()
    ascending = [
        "1.0.0-alpha",
        "1.0.0-alpha.1",
        "1.0.0-alpha.beta",
        "1.0.0-beta",
        "1.0.0-beta.2",
        "1.0.0-beta.11",
        "v1.0.0-rc.1",
    ]
    assert [t.tag for t in policy.newest_first(map(policy.parse, ascending))] == ascending[::-1]
    assert policy.parse("v1.2.3").display_name == "Release 1.2.3"
    assert policy.parse("1.02.3").category is Category.UNKNOWN
    assert policy.warnings("1.02.3")


@pytest.mark.parametrize(
    ("policy", "tag", "existing", "expected"),
    [
        (SemverPolicy(), "v1.2.3", ["v1.2.9", "1.3.0"], "v1.2.10"),
        (SemverPolicy(), "1.2.3-rc.1", ["1.2.3-rc.4"], "1.2.3-rc.5"),
        (SemverPolicy(), "latest", [], None),
        (CalverPolicy(), "2026.04.0", ["2026.04.3", "2026.05.8"], "2026.04.4"),
        (CalverPolicy("YYYY.0M"), "2026.04", [], None),
        (RSP, "r29_2_0", ["r29_2_0_rsp7"], "r29_2_0_rsp8"),
    ],
)
def test_the_next_build_gets_the_next_number(policy: Any, tag: str, existing: list[str], expected: str | None) -> None:
    assert policy.next_tag(existing, tag) == expected


def test_calendar_versions_have_dates_and_impossible_ones_are_unknown() -> None:
    policy = policy_named("calver", "YY.0M.DD-MODIFIER")
    assert policy.parse("26.04.9").date == dt.datetime(2026, 4, 9, tzinfo=dt.UTC)
    assert policy.parse("26.04.9-rc1").category is Category.CANDIDATE
    assert policy.parse("26.02.30").category is Category.UNKNOWN
    assert policy.warnings("26.02.30")


@pytest.mark.parametrize(
    ("name", "pattern"), [("calver", "MAJOR.MINOR"), ("calver", "YYYY/MM"), ("semver", "YYYY"), ("x", None)]
)
def test_a_policy_that_is_none_is_refused(name: str, pattern: str | None) -> None:
    with pytest.raises(DocumentError):
        policy_named(name, pattern)


def _kept(rules: dict[Category, CategoryFilter], *texts: str, cycle: int | None = None) -> list[str]:
    return [t.tag for t in TagFilter(rules, cycle).apply(map(RSP.parse, texts), NOW)]


def test_filters_ask_only_the_tags_that_can_answer() -> None:
    old = CategoryFilter(age=dt.timedelta(weeks=3))
    assert _kept({Category.WEEKLY: old}, "w_2026_14", "w_2026_10", "recommended") == ["w_2026_14", "recommended"]
    assert _kept({Category.EXPERIMENTAL: old}, "exp_w_2026_10", "exp_mine") == ["exp_mine"]
    builds = CategoryFilter(cutoff_build=5)
    assert _kept({Category.RELEASE: builds}, "r1_0_0", "r1_0_0_rsp0", "r1_0_0_rsp4") == ["r1_0_0_rsp0", "r1_0_0"]
    version = CategoryFilter(cutoff_version=(29, 2, 1))
    assert _kept({Category.CANDIDATE: version}, "r29_2_1_rc1", "r29_2_2_rc1") == ["r29_2_2_rc1"]


def test_the_number_counts_rebuilds_and_zero_is_all() -> None:
    texts = ("r29_2_0_rsp2742", "r29_2_0_rsp2697", "r29_1_0")
    assert _kept({Category.RELEASE: CategoryFilter(number=2)}, *texts) == list(texts[:2])
    assert _kept({Category.RELEASE: CategoryFilter(number=0)}, *texts) == list(texts)


def test_a_cycle_is_asked_of_aliases_too() -> None:
    texts = ("w_2026_14_c0044.001", "w_2026_14", "recommended", "recommended_c0044")
    assert _kept({}, *texts, cycle=44) == ["w_2026_14_c0044.001", "recommended_c0044"]


def test_aliases_are_found_by_digest_and_shown_with_what_they_are() -> None:
    images = [
        TaggedImage(RSP.parse("recommended"), "a"), TaggedImage(RSP.parse("d_2077_10_23_c0045.003"), "a"),
        TaggedImage(RSP.parse("latest-amd64"), "b"), TaggedImage(RSP.parse("r21_0_2_rsp64_stuff-amd64"), "b"),
        TaggedImage(RSP.parse("one"), "c"), TaggedImage(RSP.parse("two"), "c"), TaggedImage(RSP.parse("lost")),
    ]  # fmt: skip
    found = resolve_aliases(images)
    assert [image.tag.display_name for image in found] == [
        "Recommended (Daily 2077_10_23, SAL Cycle 0045, Build 003)",
        "Daily 2077_10_23 (SAL Cycle 0045, Build 003)",
        "Latest (Release r21.0.2, RSP Build 64 [stuff]) [amd64]",
        "Release r21.0.2 (RSP Build 64) [stuff] [amd64]",
        "one", "two", "lost",
    ]  # fmt: skip
    assert [image.tag.category for image in found[:2]] == [Category.ALIAS, Category.DAILY]
    assert found[0].tag.cycle == 45
    assert [image.tag.tag for image in hide_aliased(found)] == ["recommended", "latest-amd64", "one", "two", "lost"]


def test_a_declared_alias_is_shown_as_a_title() -> None:
    assert alias("recommended_c0046-arm64").display_name == "Recommended (SAL Cycle 0046) [arm64]"
