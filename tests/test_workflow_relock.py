"""The smallest relock: what was asked for moves, what must move is moved with a reason, all else stays to the byte."""

from __future__ import annotations

from pathlib import Path

import pytest

from peel.errors import DocumentError
from peel.model.patch import Changes, Demand, PackageChange, Replacement
from peel.tools.micromamba import find_solver
from relocking import Bench, entry_of, moves, patch, versions
from solving import BOTH, REAL

SOLVERS = BOTH if REAL else BOTH[:1]


@pytest.fixture(params=SOLVERS)
def bench(request: pytest.FixtureRequest, tmp_path: Path) -> Bench:
    return Bench(tmp_path, find_solver(Path(request.param)))


ASKED = "openssl >=3.5.1 asked for by patch 2026-11-fix"
RAISE = {"raise": ["openssl >=3.5.1"]}


def test_what_is_asked_for_moves_and_all_else_stays_as_it_is_locked(bench: Bench) -> None:
    bench.lock("openssl", "3.5.0")
    bench.lock("curl", "8.1", "openssl >=3.5")
    bench.lock("zlib", "1.3")
    bench.make("openssl", "3.5.4")
    bench.make("curl", "8.2", "openssl >=3.5")
    bench.make("zlib", "1.4")
    relocked = bench.relock(packages=RAISE)
    assert versions(relocked) == {"curl": "8.1", "openssl": "3.5.4", "zlib": "1.3"}
    assert moves(relocked) == [("raised", "openssl", ASKED)]
    assert [relocked.moves[0].before, relocked.moves[0].after] == ["3.5.0 h0_0", "3.5.4 h0_0"]
    assert [entry for entry in relocked.entries if entry["name"] != "openssl"] == [bench.locked[1], bench.locked[2]]
    assert relocked.entries[1] == entry_of(bench.channel / "linux-64" / "openssl-3.5.4-h0_0.conda", "linux-64")


def test_what_depends_on_the_old_version_moves_along_and_its_siblings_do_not(bench: Bench) -> None:
    bench.lock("openssl", "3.5.0")
    bench.lock("curl", "8.1", "openssl >=3.5,<3.5.1")
    bench.lock("wget", "1.0", "openssl >=3")
    for version in ("3.5.1", "3.5.4"):
        bench.make("openssl", version)
    bench.make("curl", "8.2", "openssl >=3.5,<3.6")
    bench.make("wget", "2.0", "openssl >=3")
    relocked = bench.relock(packages=RAISE)
    assert versions(relocked) == {"curl": "8.2", "openssl": "3.5.4", "wget": "1.0"}
    assert moves(relocked) == [
        ("raised", "openssl", ASKED),
        ("raised", "curl", "curl 8.1 depends on openssl >=3.5,<3.5.1"),
    ]


def test_neighbours_of_neighbours_move_only_where_the_nearest_do_not_do(bench: Bench) -> None:
    bench.lock("openssl", "3.5.0")
    bench.lock("curl", "8.1", "openssl <3.5.1", "nghttp2 <2")
    bench.lock("nghttp2", "1.0")
    bench.lock("far", "1.0", "nghttp2")
    bench.make("openssl", "3.5.1")
    bench.make("curl", "8.2", "openssl", "nghttp2 >=2")
    bench.make("nghttp2", "2.0")
    bench.make("far", "2.0")
    relocked = bench.relock(packages=RAISE)
    assert versions(relocked) == {"curl": "8.2", "far": "1.0", "nghttp2": "2.0", "openssl": "3.5.1"}
    assert moves(relocked)[1:] == [
        ("raised", "curl", "curl 8.1 depends on openssl <3.5.1"),
        ("raised", "nghttp2", "curl 8.2 depends on nghttp2 >=2"),
    ]
    assert [step.partition("; ")[2] for step in bench.told.steps if "ring" in step] == [
        "freeing ring 1 (1)", "freeing ring 2 (2)",
    ]  # fmt: skip


def test_a_package_may_be_lowered_when_that_is_the_only_way(bench: Bench) -> None:
    bench.lock("openssl", "3.5.0")
    bench.lock("curl", "8.2", "openssl <3.5.1")
    bench.make("curl", "8.0", "openssl")
    bench.make("openssl", "3.5.1")
    assert ("lowered", "curl", "curl 8.2 depends on openssl <3.5.1") in moves(bench.relock(packages=RAISE))


def test_what_cannot_be_had_is_told_with_patch_package_and_the_solvers_own_words(bench: Bench) -> None:
    bench.dependencies = ("curl 8.1.*",)
    bench.lock("openssl", "3.5.0")
    bench.lock("curl", "8.1", "openssl <3.5.1")
    bench.make("openssl", "3.5.1")
    bench.make("curl", "8.2", "openssl")
    with pytest.raises(DocumentError) as caught:
        bench.relock(packages=RAISE)
    assert caught.value.message.startswith(
        "patch '2026-11-fix' asks for 'openssl >=3.5.1' in lab on linux-64, which cannot be had whatever else moves"
    )
    assert "curl 8.1" in caught.value.message.partition("the solver says:")[2]
    assert "the environment itself asks for curl 8.1.*" in str(caught.value.hint)


def test_what_no_channel_has_is_told_without_freeing_anything(bench: Bench) -> None:
    bench.lock("openssl", "3.5.0")
    bench.lock("curl", "8.1", "openssl")
    with pytest.raises(DocumentError, match=r"asks for 'openssl >=3.5.1' in lab on linux-64, which cannot be had"):
        bench.relock(packages=RAISE)
    assert not [step for step in bench.told.steps if "freeing" in step]


def test_raising_without_a_bound_needs_something_newer(bench: Bench) -> None:
    bench.lock("openssl", "3.5.0")
    bench.make("openssl", "3.4.9")
    with pytest.raises(DocumentError, match=r"the newest openssl to be had is not newer than 3.5.0 h0_0"):
        bench.relock(packages={"raise": ["openssl"]})


def test_a_later_build_of_the_same_version_counts_as_newer(bench: Bench) -> None:
    bench.lock("openssl", "3.5.0")
    bench.make("openssl", "3.5.0", build_number=1)
    relocked = bench.relock(packages={"raise": ["openssl >=3.5.0"]})
    assert [(move.kind, move.before, move.after) for move in relocked.moves] == [
        ("rebuilt", "3.5.0 h0_0", "3.5.0 h0_1")
    ]


def test_replacing_lowers_and_says_who_asked(bench: Bench) -> None:
    bench.lock("openssl", "3.5.0")
    bench.lock("curl", "8.1", "openssl >=3.5")
    bench.make("openssl", "3.4.0")
    bench.make("curl", "8.0", "openssl")
    relocked = bench.relock(packages={"replace": {"openssl": "openssl 3.4.*"}})
    assert versions(relocked) == {"curl": "8.0", "openssl": "3.4.0"}
    assert moves(relocked) == [
        ("lowered", "openssl", "openssl 3.4.* asked for by patch 2026-11-fix"),
        ("lowered", "curl", "curl 8.1 depends on openssl >=3.5"),
    ]


def test_replacing_by_what_is_there_already_is_refused(bench: Bench) -> None:
    bench.lock("openssl", "3.5.0")
    with pytest.raises(DocumentError, match=r"replaces openssl by openssl 3.5.\* in lab .*, where it is 3.5.0"):
        bench.relock(packages={"replace": {"openssl": "openssl 3.5.*"}})


def test_a_package_takes_the_place_of_another_and_the_other_does_not_come_back(bench: Bench) -> None:
    bench.lock("libfoo")
    bench.lock("app", "1.0", "libfoo")
    bench.make("libfoo2", "2.0")
    bench.make("app", "3.0", "libfoo")  # the newest one still wants what has to go
    bench.make("app", "2.0", "libfoo2")
    relocked = bench.relock(packages={"replace": {"libfoo": "libfoo2 >=2"}})
    assert versions(relocked) == {"app": "2.0", "libfoo2": "2.0"}
    assert moves(relocked) == [
        ("replaced", "libfoo", "libfoo2 >=2 in place of libfoo asked for by patch 2026-11-fix"),
        ("added", "libfoo2", "libfoo2 >=2 asked for by patch 2026-11-fix"),
        ("raised", "app", "app 1.0 depends on libfoo"),
    ]


def test_a_replacement_that_nothing_goes_with_is_told_in_plain_words(bench: Bench) -> None:
    bench.lock("libfoo")
    bench.lock("app", "1.0", "libfoo")
    bench.make("libfoo2", "2.0")
    with pytest.raises(DocumentError) as caught:
        bench.relock(packages={"replace": {"libfoo": "libfoo2"}})
    assert "no libfoo" in caught.value.message
    assert "peel-without" not in caught.value.message


def test_what_is_added_brings_what_it_needs(bench: Bench) -> None:
    bench.lock("zlib", "1.3")
    bench.make("certifi", "2026", "cacerts >=1", "zlib")
    bench.make("cacerts", "1.1")
    bench.make("zlib", "1.4")
    relocked = bench.relock(environments=["lab"], packages={"add": ["certifi"]})
    assert versions(relocked) == {"cacerts": "1.1", "certifi": "2026", "zlib": "1.3"}
    assert moves(relocked) == [
        ("added", "certifi", "certifi asked for by patch 2026-11-fix"),
        ("added", "cacerts", "certifi 2026 depends on cacerts >=1"),
    ]


def test_removing_what_others_need_says_which(bench: Bench) -> None:
    bench.lock("telnet")
    bench.lock("app", "1.0", "telnet")
    bench.lock("tool", "1.0", "telnet")
    with pytest.raises(DocumentError, match=r"removes telnet from lab on linux-64, and app, tool depend on it"):
        bench.relock(packages={"remove": ["telnet"]})


def test_removing_needs_no_channel_and_leaves_what_only_that_needed(bench: Bench) -> None:
    bench.lock("telnet", "1.0", "ncurses")
    bench.lock("ncurses")
    bench.channels = ((bench.root / "none").as_uri(),)
    relocked = bench.relock(packages={"remove": ["telnet"]})
    assert versions(relocked) == {"ncurses": "1.0"}
    assert moves(relocked) == [("removed", "telnet", "to be removed by patch 2026-11-fix")]


def test_what_is_removed_together_may_need_each_other(bench: Bench) -> None:
    bench.lock("telnet")
    bench.lock("app", "1.0", "telnet")
    bench.lock("zlib")
    assert versions(bench.relock(packages={"remove": ["telnet", "app"]})) == {"zlib": "1.0"}


def test_what_constrains_the_new_version_moves_and_says_so(bench: Bench) -> None:
    bench.lock("openssl", "3.5.0")
    bench.lock("scipy", "1.0", constrains=["openssl <3.5.1"])
    bench.make("openssl", "3.5.1")
    bench.make("scipy", "1.1")
    assert moves(bench.relock(packages=RAISE))[1] == ("raised", "scipy", "scipy 1.0 goes only with openssl <3.5.1")


def test_a_package_keeps_to_what_its_environment_declares_when_it_moves(bench: Bench) -> None:
    bench.dependencies = ("curl 8.*",)
    bench.lock("openssl", "3.5.0")
    bench.lock("curl", "8.1", "openssl <3.5.1")
    bench.make("openssl", "3.5.1")
    bench.make("curl", "8.2", "openssl")
    bench.make("curl", "9.0", "openssl")
    assert versions(bench.relock(packages=RAISE))["curl"] == "8.2"


def test_what_an_earlier_patch_took_away_does_not_come_back(bench: Bench) -> None:
    bench.lock("libfoo2", "2.0")
    bench.lock("app", "2.0", "libfoo2")
    bench.make("libfoo")
    bench.make("app", "4.0", "libfoo")
    bench.make("app", "3.0", "libfoo2")
    earlier = PackageChange(Changes(replaced=(Replacement("libfoo", Demand("libfoo2", "libfoo2", "earlier")),)))
    relocked = bench.relock(packages={"raise": ["app"]}, held=earlier)
    assert versions(relocked) == {"app": "3.0", "libfoo2": "2.0"}


def test_what_an_earlier_patch_raised_far_enough_is_not_raised_again(bench: Bench) -> None:
    bench.lock("openssl", "3.5.1")
    bench.make("openssl", "3.5.2")
    earlier = PackageChange(Changes(raised=(Demand("openssl", "openssl >=3.5.1", "earlier"),)))
    relocked = bench.relock(patch("later", packages=RAISE), held=earlier)
    assert relocked.moves == ()
    assert list(relocked.entries) == bench.locked
