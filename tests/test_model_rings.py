"""In which order packages are freed, and why a package moved."""

from __future__ import annotations

from peel.model.conda_record import Record
from peel.model.moves import UNEXPLAINED, conda_moves
from peel.model.patch import Changes, Demand, Replacement
from peel.model.rings import rings

GRAPH = {
    "openssl": frozenset({"libc"}), "curl": frozenset({"openssl", "nghttp2"}), "nghttp2": frozenset({"libc"}),
    "git": frozenset({"curl"}), "libc": frozenset[str](), "zlib": frozenset[str](),
}  # fmt: skip


def record(name: str, version: str, *depends: str, constrains: tuple[str, ...] = (), number: int = 0) -> Record:
    return Record(name, version, f"h_{number}", number, "linux-64", "", depends=depends, constrains=constrains)


def state(*records: Record) -> dict[str, Record]:
    return {each.name: each for each in records}


def test_rings_grow_by_neighbours_and_end_with_everything() -> None:
    assert [sorted(ring) for ring in rings({"openssl"}, {"__glibc"}, GRAPH)] == [
        ["curl"], ["curl", "git", "nghttp2"], ["curl", "git", "libc", "nghttp2"],
        ["curl", "git", "libc", "nghttp2", "zlib"],
    ]  # fmt: skip


def test_what_the_new_version_has_to_do_with_is_near() -> None:
    assert next(rings({"openssl"}, {"zlib", "unknown"}, GRAPH)) == {"curl", "zlib"}


def test_a_package_nobody_knows_has_one_ring() -> None:
    assert [sorted(ring) for ring in rings({"zlib"}, set(), GRAPH)] == [["curl", "git", "libc", "nghttp2", "openssl"]]
    assert list(rings({"zlib"}, set(), {"zlib": frozenset()})) == []


def test_moves_are_told_with_the_constraint_that_forced_them() -> None:
    before = state(
        record("asked", "1"), record("above", "1", "asked <2"), record("below", "1"), record("rival", "1"),
        record("odd", "1"), record("same", "1", "asked"), record("old", "1"), record("gone", "1"),
    )  # fmt: skip
    after = state(
        record("asked", "2", "below >=2", "fresh", constrains=("rival >=2",)), record("above", "2", "asked"),
        record("below", "2"), record("rival", "2"), record("odd", "0.9"), record("same", "1", "asked"),
        record("fresh", "1"), record("new", "1"),
    )  # fmt: skip
    changes = Changes(
        raised=(Demand("asked", "asked >=2", "p"),), replaced=(Replacement("old", Demand("new", "new", "p")),),
        removed=(Demand("gone", "gone", "p"),),
    )  # fmt: skip
    told = {
        move.name: (move.kind, move.before, move.after, move.reason) for move in conda_moves(before, after, changes)
    }
    assert told == {
        "asked": ("raised", "1 h_0", "2 h_0", "asked >=2 asked for by patch p"),
        "gone": ("removed", "1 h_0", None, "to be removed by patch p"),
        "new": ("added", None, "1 h_0", "new asked for by patch p"),
        "old": ("replaced", "1 h_0", None, "new in place of old asked for by patch p"),
        "above": ("raised", "1 h_0", "2 h_0", "above 1 depends on asked <2"),
        "below": ("raised", "1 h_0", "2 h_0", "asked 2 depends on below >=2"),
        "fresh": ("added", None, "1 h_0", "asked 2 depends on fresh"),
        "odd": ("lowered", "1 h_0", "0.9 h_0", UNEXPLAINED),
        "rival": ("raised", "1 h_0", "2 h_0", "asked 2 goes only with rival >=2"),
    }
    assert list(told) == ["asked", "gone", "new", "old", "above", "below", "fresh", "odd", "rival"]


def test_another_build_of_a_version_is_a_rebuild() -> None:
    (move,) = conda_moves(state(record("a", "1")), state(record("a", "1", number=1)), Changes())
    assert (move.kind, move.asked) == ("rebuilt", False)
