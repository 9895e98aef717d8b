"""Wheels in a relock: they move by conda-lock and alone, and whatever moves must still go with them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from peel.errors import DocumentError
from peel.model.patch import Changes, Demand, PackageChange
from peel.tools.micromamba import find_solver
from relocking import Bench, moves, serving, versions
from solving import EMBEDDED


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    bench = Bench(tmp_path, find_solver(EMBEDDED))
    bench.lock("python", "3.11.5")
    bench.lock("pip", "24.0", "python", noarch="python")
    return bench


@pytest.fixture
def index_of(bench: Bench) -> Iterator[Bench]:
    """The bench with its wheels served."""
    (bench.root / "simple").mkdir()
    with serving(bench.root) as server:
        bench.pip_repositories = (f"{server}/simple/",)
        yield bench


def test_a_wheel_is_raised_and_the_others_keep_their_entries(index_of: Bench) -> None:
    bench = index_of
    bench.lock_wheel("alpha", "1.0", "beta <3")
    bench.lock_wheel("beta", "1.0")
    bench.make_wheel("alpha", "2.0", "beta <3", "gamma")
    bench.make_wheel("beta", "2.0")
    bench.make_wheel("gamma", "1.0")
    bench.make("python", "3.11.9")
    relocked = bench.relock(wheels={"raise": ["alpha"]})
    assert versions(relocked) == {"alpha": "2.0", "beta": "1.0", "gamma": "1.0", "pip": "24.0", "python": "3.11.5"}
    assert moves(relocked) == [
        ("raised", "alpha", "alpha asked for by patch 2026-11-fix"),
        ("added", "gamma", "alpha 2.0 requires gamma"),
    ]
    kept = [entry for entry in relocked.entries if entry["name"] in {"beta", "pip", "python"}]
    assert sorted(map(str, kept)) == sorted(str(entry) for entry in bench.locked if entry["name"] != "alpha")
    alpha = next(entry for entry in relocked.entries if entry["name"] == "alpha")
    assert alpha["url"] == f"{bench.pip_repositories[0]}alpha/alpha-2.0-py3-none-any.whl"
    assert alpha["hash"] == {}  # such an index gives none; whoever writes the lock completes it


def test_a_wheel_that_must_move_along_does_and_says_why(index_of: Bench) -> None:
    bench = index_of
    bench.lock_wheel("alpha", "1.0", "beta <2")
    bench.lock_wheel("beta", "1.0")
    bench.lock_wheel("other", "1.0")
    bench.make_wheel("alpha", "2.0", "beta >=2")
    bench.make_wheel("beta", "2.0")
    bench.make_wheel("other", "2.0")
    relocked = bench.relock(wheels={"raise": ["alpha >=2"]})
    assert moves(relocked) == [
        ("raised", "alpha", "alpha >=2 asked for by patch 2026-11-fix"),
        ("raised", "beta", "alpha 2.0 requires beta >=2"),
    ]


def test_a_wheel_that_cannot_be_had_is_told_with_patch_and_reason(index_of: Bench) -> None:
    bench = index_of
    bench.lock_wheel("alpha", "1.0")
    with pytest.raises(DocumentError) as caught:
        bench.relock(wheels={"raise": ["alpha >=9"]})
    assert "patch '2026-11-fix' asks for the wheels 'alpha >=9' in lab on linux-64" in caught.value.message
    assert "doesn't match any versions" in caught.value.message


def test_a_wheel_is_removed_without_asking_anyone(bench: Bench) -> None:
    bench.lock_wheel("alpha", "1.0")
    bench.channels = ((bench.root / "none").as_uri(),)
    relocked = bench.relock(wheels={"remove": ["Alpha"]})
    assert moves(relocked) == [("removed", "alpha", "to be removed by patch 2026-11-fix")]


def test_a_wheel_that_an_earlier_patch_raised_far_enough_is_not_raised_again(bench: Bench) -> None:
    bench.lock_wheel("alpha", "2.0")
    earlier = PackageChange(wheels=Changes(raised=(Demand("alpha", "alpha >=1.5", "earlier"),)))
    assert bench.relock(wheels={"raise": ["alpha >=2"]}, held=earlier).moves == ()


def test_removing_what_a_wheel_requires_is_refused(bench: Bench) -> None:
    bench.lock_wheel("alpha", "1.0", "beta >=1")
    bench.lock_wheel("beta", "1.0")
    with pytest.raises(DocumentError, match=r"would no longer fit:\n  alpha 1.0 requires beta >=1, which is gone"):
        bench.relock(wheels={"remove": ["beta"]})


def test_conda_packages_are_not_moved_away_from_under_a_wheel(bench: Bench) -> None:
    bench.lock("numpy", "1.26", "python")
    bench.lock_wheel("alpha", "1.0", "numpy <2; python_version >= '3.11'", "numpy <1; python_version < '3'")
    bench.make("numpy", "2.0", "python")
    with pytest.raises(DocumentError) as caught:
        bench.relock(packages={"raise": ["numpy"]})
    assert caught.value.message.endswith("\n  alpha 1.0 requires numpy <2, and there is 2.0")
    assert caught.value.hint == "raise or remove alpha in the same patch, under wheels"


def test_a_wheel_of_another_python_is_told(bench: Bench) -> None:
    wheel = bench.make_wheel("alpha", "1.0", python=">=3.9,<3.12", tag="cp311-cp311-manylinux_2_17_x86_64")
    bench.add_wheel(wheel)
    bench.make("python", "3.12.1")
    with pytest.raises(DocumentError) as caught:
        bench.relock(packages={"raise": ["python"]})
    assert "alpha 1.0 requires Python >=3.9,<3.12, and there is 3.12.1" in caught.value.message
    assert "alpha-1.0-cp311-cp311-manylinux_2_17_x86_64.whl is not for Python 3.12" in caught.value.message


def test_a_wheel_that_did_not_fit_before_stands_in_nobodys_way(bench: Bench) -> None:
    bench.lock("numpy", "1.26", "python")
    bench.lock("zlib", "1.3")
    bench.lock_wheel("alpha", "1.0", "numpy <1", "unheard-of")
    bench.make("zlib", "1.4")
    assert versions(bench.relock(packages={"raise": ["zlib"]}))["zlib"] == "1.4"


def test_conda_and_wheels_move_in_one_patch(index_of: Bench) -> None:
    bench = index_of
    bench.lock("libfoo", "1.0", "python")
    bench.lock_wheel("alpha", "1.0", "libfoo <2")
    bench.make("libfoo", "2.0", "python")
    bench.make_wheel("libfoo", "2.0")  # conda-lock looks even what conda brings up in an index
    bench.make_wheel("alpha", "2.0", "libfoo >=2")
    relocked = bench.relock(packages={"raise": ["libfoo"]}, wheels={"raise": ["alpha"]})
    assert [(move.manager, move.name, move.after) for move in relocked.moves] == [
        ("conda", "libfoo", "2.0 h0_0"), ("pip", "alpha", "2.0"),
    ]  # fmt: skip
