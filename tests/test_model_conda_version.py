"""conda's order of versions, by its documentation, and held against py-rattler's."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
from collections.abc import Sequence
from itertools import pairwise, product
from typing import Any

import pytest

from peel.model.conda_version import CondaVersion

_DOCUMENTED = """
0.4 0.4.1.rc 0.4.1 0.5a1 0.5b3 0.5c1 0.5 0.9.6 0.960923 1.0 1.1dev1 1.1_ 1.1a1 1.1.0dev1 1.1.a1 1.1.0 1.1.post1
1996.07.12 1!0.4.1 1!3.1.1.6 2!0.4.1
"""
_LISTED = """
a b 0.4 0.4.1.rc 0.4.1 0.5a1 0.5b3 0.5c1 0.5 0.9.6 0.960923 1.0 1.0.1dev 1.0.1_ 1.0.1a 1.0.1beta 1.0.1 1.0.1post.a
1.0.1post.b 1.0.1post.z 1.1dev1 1.1_ 1.1a1 1.1.0dev1 1.1.a1 1.1.0 1.1.0post1 1.1.1 1.1.1a1 1.1.2 1.2 1.2+3 1.2+4 1.10
1996.07.12 2022 2022.1 1!0.4.1 1!3.1.1.6 2!0.4.1
"""
_SAME = [
    ("1.0", "1.0.0"), ("1.1-2", "1.1_2"), ("1.1_2", "1.1.2"), ("1.0RC1", "1.0rc1"), ("1.1.0post1", "1.1.post1"),
    ("0!1.2", "1.2"), ("1.2+3", "1.2+3.0"), ("1.01", "1.1"), ("1.1.a", "1.1.0a"),
]  # fmt: skip
_MORE = """
1.post 1.post1 1post 1.dev 1dev 0a 1a 1.a 0 1.0a 1.0.a 1.0post 1.0post0 1.0post1 1.0.0post 1.2__ 9e 9f 9 9.5 9.0 2022c
2.0rc1 2.0.0.rc1 2.0_rc1 1.1.1w 1.1.1_ 3.0 1.2+a 1.2+g1234 1.2+dev 1.2-3 1.0.0.0 1a2b3 1.2.3.4.5.6 0.0.1 1_ 1-
"""


def V(text: str) -> CondaVersion:  # noqa: N802 - short, since there are so many
    return CondaVersion(text)


def test_versions_come_in_the_order_that_conda_documents() -> None:
    assert all(older < newer for older, newer in pairwise(map(V, _DOCUMENTED.split())))
    assert V("1.1.0dev1") == V("1.1.dev1")


@pytest.mark.parametrize(("one", "other"), _SAME)
def test_what_counts_as_the_same_version_is_equal_and_hashes_alike(one: str, other: str) -> None:
    assert V(one) == V(other)
    assert hash(V(one)) == hash(V(other))
    assert not V(one) < V(other) < V(one)


def test_the_order_is_not_that_of_pep_440() -> None:
    assert V("1.1.1") > V("1.1.1a")  # openssl's releases are told apart from pre-releases by an underscore alone
    assert V("1.1.1_") < V("1.1.1a")
    assert V("2022c") < V("2022")
    assert V("0.960923") > V("0.9.6")


def test_a_series_is_the_first_numbers_after_the_epoch() -> None:
    assert V("1.9").series() == V("1.10").series() == V("1").series()
    assert V("1.9").series() != V("2.0").series()
    assert V("1!1.9").series() != V("1.9").series()
    assert V("3.11.9").series(2) == V("3.11.12").series(2) != V("3.12.1").series(2)


@pytest.mark.parametrize("text", ["", ".", "..", "1..2", "+", "!", "1!", "-", "_", "*", "ß", "²", "9" * 10_000])
def test_every_text_has_a_place(text: str) -> None:
    assert V(text) == V(text)
    assert V(text).compare(V("1.0")) == -V("1.0").compare(V(text))


def test_all_is_as_py_rattler_has_it() -> None:
    listed = [*_LISTED.split(), *_MORE.split(), *(text for pair in _SAME for text in pair)]
    pairs = [*product(listed, listed), *_made_up(3000)]
    compared = 0
    for (one, other), theirs in zip(pairs, _rattler(pairs), strict=True):
        if isinstance(theirs, int):  # it refuses some of what was made up
            assert _order(one, other) == theirs, f"{one} against {other}"
            compared += 1
    assert compared > 0.8 * len(pairs)


def _order(one: str, other: str) -> int:
    order = V(one).compare(V(other))
    return (order > 0) - (order < 0)


def _made_up(count: int) -> list[tuple[str, str]]:
    """Pairs of versions that differ in little."""
    dice = random.Random(7)
    parts = ["0", "1", "2", "10", "a", "b", "rc", "dev", "post", ".", ".", "_", "-", "1a", "0b1"]
    made = ["1" + "".join(dice.choices(parts, k=dice.randint(1, 5))) for _ in range(2 * count)]
    return list(zip(made[::2], made[1::2], strict=True))


def _rattler(pairs: Sequence[tuple[str, str]]) -> list[Any]:
    """What py-rattler says, in a child: it may crash when an interpreter ends."""
    done = subprocess.run(
        [sys.executable, __file__], input=json.dumps(pairs), capture_output=True, text=True, check=True
    )
    found: list[Any] = json.loads(done.stdout)
    return found


def _child() -> None:
    from rattler import Version  # noqa: PLC0415 - in the child alone

    found: list[Any] = []
    for one, other in json.load(sys.stdin):
        try:
            mine, its = Version(one), Version(other)
            found.append(int(mine > its) - int(mine < its))
        except Exception as error:  # noqa: BLE001 - whatever it raises for what is no version
            found.append(str(error))
    sys.stdout.write(json.dumps(found))
    sys.stdout.flush()
    os._exit(0)


if __name__ == "__main__":
    _child()
