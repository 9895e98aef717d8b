"""What a menu chooses among tags, and what of it may be chosen."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from peel.errors import DocumentError
from peel.model.menu.cached import parse_cached
from peel.model.menu.choice import ChoiceError, check_options, default_image, parse_form
from peel.model.menu.choose import Known, choose_tags, make_group
from peel.model.menu.declaration import MenuDeclaration, MenuPayload
from peel.model.menu.offer import Offer, OfferedPayload
from peel.model.progress import Silent
from peel.model.values import Digest
from peel.report.menu import lists_json
from peel.store.catalogue import Catalogue
from peel.workflow.menu.make import make_menu

NOW = dt.datetime(2077, 11, 1, tzinfo=dt.UTC)
DATA = Path(__file__).parents[2] / "shared" / "data" / "spawner-menu"
REPOSITORY = "registry.example.org/science/lab"


def payload(**more: Any) -> MenuPayload:
    return MenuPayload.model_validate({"name": "lab", "title": "Lab", "source": f"docker://{REPOSITORY}", **more})


def digest_of(text: str) -> str:
    return str(Digest.of(text.encode()))


def group(*tags: str, same: Mapping[str, str] | None = None, cached: Any = None, **more: Any) -> OfferedPayload:
    """The group of these tags, each of a digest of its own, or of another tag's (``same``)."""
    asked = payload(**more)
    chosen = choose_tags(asked, tags, NOW)
    known = {tag: Known(digest_of((same or {}).get(tag, tag))) for tag in tags}
    return make_group(asked, chosen, known, REPOSITORY, cached)


def names(images: Any) -> list[str]:
    return [image.name for image in images]


def tags(images: Any) -> list[str]:
    return [image.tag for image in images]


@pytest.mark.skipif(not DATA.is_dir(), reason="the shared data is not here")
@pytest.mark.parametrize(("when", "cached"), [("before", frozenset()), ("after", None)])
def test_the_menus_of_the_spawner_come_out_of_its_listing(when: str, cached: frozenset[str] | None) -> None:
    repository = "us-central1-docker.pkg.dev/rubin-shared-services-71ec/sciplat/sciplat-lab"
    declared = {
        "name": "rsp", "title": "Rubin", "source": "listing:registry-listing.json", "repository": repository,
        "recommended": "recommended", "prepull": {"releases": 1, "weeklies": 2, "dailies": 3},
    }  # fmt: skip
    declaration = MenuDeclaration.model_validate({"schema": 1, "payloads": [declared]})
    offer = make_menu(declaration, Catalogue(DATA), now=NOW, cached=cached, progress=Silent())
    assert lists_json(offer) == json.loads((DATA / f"menu-{when}-prepull.json").read_text())


def test_the_newest_are_at_hand_and_the_recommended_one_is_first() -> None:
    made = group(
        "r1_0_0", "r2_0_0", "w_2077_40", "w_2077_41", "w_2077_42", "d_2077_10_30", "exp_w_2077_42_x", "recommended",
        same={"recommended": "w_2077_41"}, recommended="recommended",
    )  # fmt: skip
    assert names(made.menu) == [
        "Recommended (Weekly 2077_41)", "Release r2.0.0", "Weekly 2077_42", "Daily 2077_10_30",
    ]  # fmt: skip
    assert made.recommended == f"{REPOSITORY}:recommended@{digest_of('w_2077_41')}"
    assert len(made.dropdown) == 8
    assert made.warnings == ()


def test_a_rebuild_takes_no_other_releases_place_unless_asked() -> None:
    built = ("r29_2_0_rsp2742", "r29_2_0_rsp2697", "r29_1_0_rsp1")
    limits = {"prepull": {"releases": 2}, "dropdown": {"release": {"number": 2}}}
    apart = group(*built, **limits)
    assert tags(apart.menu) == ["r29_2_0_rsp2742", "r29_1_0_rsp1"]
    assert tags(apart.dropdown) == list(built)
    counted = group(*built, **limits, rebuilds="count")
    assert tags(counted.menu) == tags(counted.dropdown) == ["r29_2_0_rsp2742", "r29_2_0_rsp2697"]


def test_only_what_every_node_has_is_at_hand_beside_the_recommended_one() -> None:
    held = {digest_of("w_2077_42")}
    made = group("w_2077_41", "w_2077_42", "recommended", recommended="recommended", cached=held)
    assert tags(made.menu) == ["recommended", "w_2077_42"]
    assert len(made.prepull) == 3


def test_a_cycle_keeps_its_own_tags_and_aliases_and_says_what_it_lost() -> None:
    made = group("w_2077_42_c0044.001", "w_2077_43_c0045.001", "recommended", "recommended_c0044", cycle=44,
                 recommended="recommended")  # fmt: skip
    assert tags(made.dropdown) == ["w_2077_42_c0044.001", "recommended_c0044"]
    assert made.warnings == ("there is no tag 'recommended' of cycle 44 to recommend",)


def test_semantic_versions_make_a_menu_of_full_releases() -> None:
    made = group("1.9.0", "1.10.0", "2.0.0-rc.1", "latest", tags="semver", prepull={"releases": 2}, aliases=["latest"],
                 same={"latest": "1.10.0"})  # fmt: skip
    assert names(made.menu) == ["Release 1.10.0", "Release 1.9.0"]
    assert names(made.dropdown)[0] == "Latest (Release 1.10.0)"


def test_a_calendar_pattern_is_declared() -> None:
    made = group("2077.09", "2077.10", "other", tags="calver YYYY.0M", dropdown={"unknown": "hide"})
    assert tags(made.dropdown) == ["2077.10", "2077.09"]


def test_two_aliases_that_stand_for_each_other_stay_what_they_are() -> None:
    made = group("one", "two", same={"one": "two"})
    assert names(made.dropdown) == ["two", "one"]


def test_tags_for_one_machine_and_signatures_are_not_offered() -> None:
    made = group("w_2077_42", "w_2077_42-amd64", f"sha256-{'a' * 64}.sig")
    assert tags(made.dropdown) == ["w_2077_42"]


def test_what_vanished_is_not_offered_and_what_has_no_digest_is_offered_by_its_tag() -> None:
    asked = payload()
    chosen = choose_tags(asked, ["w_2077_41", "w_2077_42"], NOW)
    made = make_group(asked, chosen, {"w_2077_42": Known()}, REPOSITORY, None)
    assert [image.reference for image in made.dropdown] == [f"{REPOSITORY}:w_2077_42"]
    assert made.warnings == (
        "vanished from the registry: w_2077_41",
        "shown without a digest, which the registry did not say: w_2077_42",
    )


def test_the_rules_of_the_dropdown_reach_the_filter() -> None:
    rules = {
        "release": {"cutoff_version": "2.0.0"}, "weekly": {"age": "2w"}, "daily": {"cutoff_date": "2077-10-30"},
        "experimental": {"number": 1},
    }  # fmt: skip
    made = group("r1_0_0", "r2_0_0", "w_2077_40", "w_2077_43", "d_2077_10_29", "d_2077_10_30", "exp_a", "exp_b",
                 dropdown=rules)  # fmt: skip
    assert tags(made.dropdown) == ["r2_0_0", "w_2077_43", "d_2077_10_30", "exp_b"]


def test_twenty_thousand_tags_make_a_small_menu() -> None:
    many = [
        f"w_{year}_{week:02}_c{cycle:04}.001"
        for year in range(2000, 2100)
        for week in range(1, 51)
        for cycle in range(4)
    ]
    assert len(choose_tags(payload(dropdown={"weekly": {"number": 10}}), many, NOW).tags) == 10


@pytest.mark.parametrize(
    ("data", "held"),
    [
        (["sha256:" + "a" * 64, "x/y@sha256:" + "b" * 64], 2),
        ([], 0),
        ({"items": []}, 0),
        ({"items": [{"status": {"images": [{"names": ["x@sha256:" + "a" * 64, "x:1", "<none>@<none>"]}]}}, {}]}, 0),
        (
            {"items": [
                {"status": {"images": [{"names": ["x@sha256:" + "a" * 64, "x:1"]}]}},
                {"spec": {"unschedulable": True}, "status": {"images": []}},
            ]},
            1,
        ),
    ],
)  # fmt: skip
def test_what_nodes_have_is_what_all_open_ones_have(data: Any, held: int) -> None:
    assert len(parse_cached(data, "nodes.json")) == held


@pytest.mark.parametrize("data", [None, 7, "x", {}, {"items": 7}, ["x"], [7]])
def test_what_names_no_nodes_is_refused(data: Any) -> None:
    with pytest.raises(DocumentError, match=r"nodes\.json"):
        parse_cached(data, "nodes.json")


def offer() -> Offer:
    made = group("w_2077_41", "w_2077_42", "recommended", recommended="recommended", same={"recommended": "w_2077_42"})
    sizes = [{"name": "small", "title": "Small", "cpu": 1.0, "memory": "4Gi"}]
    return Offer.model_validate({"schema": 1, "title": "Choose", "payloads": [made.model_dump()], "sizes": sizes})


def test_what_the_form_posts_becomes_options_that_are_read_again() -> None:
    reference = offer().payloads[0].menu[0].reference
    choice = parse_form(offer(), {"image_list": [reference], "size": ["small"], "enable_debug": ["true"]})
    assert choice.as_options() == {"image": reference, "size": "small", "enable_debug": True, "reset_user_env": False}
    assert check_options(offer(), choice.as_options()) == choice


def test_the_list_behind_the_menu_is_read_where_its_button_is_chosen() -> None:
    shown, behind = (one.reference for one in offer().payloads[0].dropdown[:2])
    posted = {"image_list": ["dropdown:lab"], "image_dropdown:lab": [behind]}
    assert parse_form(offer(), posted).image.reference == behind
    assert parse_form(offer(), {**posted, "image_list": [shown]}).image.reference == shown


def test_without_options_the_recommended_image_is_started() -> None:
    assert check_options(offer(), {}).image.tag == "recommended"
    assert check_options(offer(), {}).size.name == "small"
    with pytest.raises(ChoiceError, match="empty"):
        default_image(Offer(title="x", payloads=()))


@pytest.mark.parametrize(
    "posted",
    [
        {},
        {"image_list": [""]},
        {"image_list": ["evil.example.org/miner:latest"]},
        {"image_list": ["<script>alert(1)</script>"]},
        {"image_list": ["x" * 5000]},
        {"image_list": ["a", "b"]},
        {"image_list": ["dropdown:other"], "image_dropdown:other": ["evil.example.org/miner"]},
        {"image_list": ["dropdown:lab"]},
    ],
)
def test_a_form_can_only_name_what_is_offered_and_is_never_echoed(posted: dict[str, list[str]]) -> None:
    with pytest.raises(ChoiceError) as refused:
        parse_form(offer(), posted)
    assert not any(word in refused.value.jupyterhub_message for word in ("evil", "script", "xxx"))


@pytest.mark.parametrize(
    "options",
    [
        {"image": "evil.example.org/miner"}, {"image": ["x"]}, {"image": 7}, {"size": "huge"}, {"size": ["x"]},
        {"enable_debug": "yes"}, {"cmd": ["sh"]}, {"profile": "x"}, {7: 8},
    ],
)  # fmt: skip
def test_options_of_the_api_can_only_name_what_is_offered(options: dict[Any, Any]) -> None:
    with pytest.raises(ChoiceError):
        check_options(offer(), options)


@given(st.dictionaries(st.text(), st.lists(st.text(), max_size=3), max_size=5))
def test_whatever_is_posted_names_an_image_of_the_menu_or_is_refused(posted: dict[str, list[str]]) -> None:
    try:
        choice = parse_form(offer(), posted)
    except ChoiceError:
        return
    assert choice.image.reference in offer().images()


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        ("source", "registry.org/lab", "should be docker"),
        ("source", "docker://registry.org/lab:tag", "without a tag"),
        ("source", "records:../x", "should be"), ("tags", "calver Q", "calendar pattern"),
        ("tags", "nonsense", "should be 'rsp'"),
        ("recommended", "a b", "alias"), ("dropdown", {"weekly": {"age": "soon"}}, "12h"),
        ("dropdown", {"weekly": {"cutoff_date": "2077-02-30"}}, "date"), ("dropdown", {"weeklies": {}}, "weekly"),
        ("prepull", {"releases": -1}, "prepull.releases"), ("title", "a\nb", "one line"), ("nmae", "x", "name"),
    ],
)  # fmt: skip
def test_a_bad_menu_is_told_by_line_and_key(key: str, value: Any, words: str, tmp_path: Path) -> None:
    declared = {"name": "lab", "title": "Lab", "source": f"docker://{REPOSITORY}", key: value}
    (tmp_path / "envs").mkdir()
    (tmp_path / "envs" / "menu.yaml").write_text(yaml.safe_dump({"schema": 1, "payloads": [declared]}))
    with pytest.raises(DocumentError) as refused:
        Catalogue(tmp_path).menu()
    assert refused.value.message.startswith("envs/menu.yaml:")
    assert words in refused.value.message
    assert refused.value.hint == "docs/menu.md lists the keys of menu.yaml"


def test_payloads_and_sizes_have_names_of_their_own(tmp_path: Path) -> None:
    declared = "schema: 1\npayloads:\n" + 2 * "  - {name: a, title: A, source: 'records:a'}\n"
    (tmp_path / "envs").mkdir()
    (tmp_path / "envs" / "menu.yaml").write_text(declared)
    with pytest.raises(DocumentError, match="stands twice"):
        Catalogue(tmp_path).menu()
