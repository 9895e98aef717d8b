"""Ctrl-C at any moment: exit 6, nothing left behind, and the next run gives what it should."""

from __future__ import annotations

import signal

import pytest

from e2e.catalogues import TINY, Demo, contents_of, forget_layers, record_of
from e2e.running import Outcome, Peel, becomes_true, containers_of, mounts_beneath, processes_naming

MOMENTS = (0.7, 1.2, 1.8, 2.5, 3.5, 5.0)  # seconds; a run that is done by then counts too


@pytest.mark.parametrize("by", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_build_leaves_nothing_and_the_next_gives_the_same_digest(
    own_tiny: Peel, tiny: Demo, by: signal.Signals
) -> None:
    forget_layers(own_tiny)
    locks = contents_of(own_tiny.catalogue / "lockfiles")
    for seconds in MOMENTS:
        forget_layers(own_tiny)
        ended_well(own_tiny.cut_off("build", TINY, after=seconds, by=by))
        nothing_is_left(own_tiny)
    assert contents_of(own_tiny.catalogue / "lockfiles") == locks
    assert own_tiny.must("build", TINY, "--json").json["manifest"] == tiny.manifest


def test_an_interrupted_lock_leaves_the_old_lock_set_or_a_whole_new_one(own_tiny: Peel) -> None:
    record_of(own_tiny, TINY).unlink()
    locks = contents_of(own_tiny.catalogue / "lockfiles")
    for seconds in MOMENTS:
        ended_well(own_tiny.cut_off("lock", TINY, after=seconds, by=signal.SIGINT))
        nothing_is_left(own_tiny)
        assert contents_of(own_tiny.catalogue / "lockfiles") == locks
    own_tiny.must("lock", TINY)
    assert contents_of(own_tiny.catalogue / "lockfiles") == locks


def test_an_interrupted_first_lock_leaves_no_lock_set(own_tiny: Peel) -> None:
    for seconds in MOMENTS[:4]:
        outcome = own_tiny.cut_off("lock", "tiny:2.0.0", after=seconds, by=signal.SIGINT)
        ended_well(outcome)
        if outcome.status == 0:
            break
        assert [path.name for path in (own_tiny.catalogue / "lockfiles" / "tiny").iterdir()] == ["1.0.0"]


def ended_well(outcome: Outcome) -> None:
    """Either it was done before, or it says once that it was interrupted."""
    assert outcome.status in {0, 6, -signal.SIGINT, -signal.SIGTERM, -signal.SIGHUP}, outcome.stderr
    assert "Traceback" not in outcome.stderr
    if outcome.status == 6:
        assert outcome.stderr.count("interrupted") == 1, outcome.stderr
        assert outcome.stdout == ""


def nothing_is_left(peel: Peel) -> None:
    assert list((peel.store / "tmp").iterdir()) == []
    assert containers_of(peel.store) == []
    assert mounts_beneath(peel.store) == []
    assert [path.name for path in peel.catalogue.glob("lockfiles/*/.*")] == []
    becomes_true(lambda: processes_naming(str(peel.store)) == [], "no process is left", within=10)
