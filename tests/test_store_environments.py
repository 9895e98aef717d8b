"""Environments to be tried are made once, and are there whole or not at all."""

from __future__ import annotations

from pathlib import Path

import pytest

from peel.model.values import Digest
from peel.store.environments import all_made, discard, is_made, make_once, place_of
from peel.store.store import Store

KEY = Digest.of(b"an environment")


def fill(place: Path) -> None:
    place.mkdir()
    (place / "file").write_text("made")


def never(*_: object) -> None:
    raise AssertionError("nobody should have been asked")


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


def test_an_environment_is_made_once_and_then_found(store: Store) -> None:
    assert not is_made(store, KEY)
    place = make_once(store, KEY, fill, never)
    assert (place / "file").read_text() == "made"
    assert make_once(store, KEY, never, never) == place
    assert list(all_made(store)) == [place]


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_what_fails_or_is_interrupted_leaves_nothing(store: Store, error: type[BaseException]) -> None:
    def broken(place: Path) -> None:
        fill(place)
        raise error

    with pytest.raises(error):
        make_once(store, KEY, broken, never)
    assert list((store.root / "environments").iterdir()) == []


def test_what_a_killed_run_left_is_made_anew(store: Store) -> None:
    fill_half = place_of(store, KEY)
    fill_half.parent.mkdir()
    fill(fill_half)
    (fill_half / "half").write_text("done")
    assert not is_made(store, KEY)
    place = make_once(store, KEY, fill, never)
    assert [path.name for path in place.iterdir()] == ["file"]


def test_what_is_discarded_is_made_again(store: Store) -> None:
    place = make_once(store, KEY, fill, never)
    discard(place)
    assert list(place.parent.iterdir()) == []
    assert make_once(store, KEY, fill, never) == place
