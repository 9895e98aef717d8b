"""The orders of dpkg and rpm, held against dpkg and rpm."""

from __future__ import annotations

import random
import shutil
import subprocess
from itertools import product

import pytest

from peel.model.system_version import compare_deb, compare_rpm

_DEB = """
1.0 1.0-1 1.0-0 1.0-1~deb12u1 1.0-1+deb12u1 1.0-1+b1 1.0~rc1-1 1.0~~ 1.0~ 1.0a 1.0+ 1.0.1 1:0.9 0:1.0 2.36-9+deb12u4
1.00 1.0-10 1.0-9 1-2-3 1.0+dfsg-1 1.0z 1.0+git20240101-1 20240203 010
"""
_RPM = """
1.0-1 1.0-1.el9 1.0-2.el9_4 1.0-10.el9 1.0~rc1-1 1.0^git1-1 1.0.1-1 1.0a-1 1:0.9-1 0:1.0-1 3.0.7-27.el9 3.0.7-6.el9
2024a-1 1.0.0-1 1.0_1-1 1.0^-1 1.0~~-1 1.a-1 1.01-1 10-1 1.0-1.el9^x 1.0-1.el9~x
"""


def _sign(order: int) -> int:
    return (order > 0) - (order < 0)


def _made_up(parts: list[str]) -> list[str]:
    dice = random.Random(3)
    return ["1" + "".join(dice.choices(parts, k=dice.randint(1, 5))) + "-1" for _ in range(14)]


def test_versions_of_debian_packages_come_in_dpkgs_order() -> None:
    listed = [*_DEB.split(), *_made_up(["0", "1", "~", "+", "a", "b", ".", "-", "z9"])]
    for one, other in product(listed, listed):
        relation = {-1: "lt", 0: "eq", 1: "gt"}[_sign(compare_deb(one, other))]
        done = subprocess.run(["dpkg", "--compare-versions", one, relation, other], check=False)
        assert done.returncode == 0, f"{one} {relation} {other}"


@pytest.mark.skipif(shutil.which("rpm") is None, reason="needs Debian's rpm")
def test_versions_of_rpms_come_in_rpms_order() -> None:
    listed = [*_RPM.split(), *_made_up(["0", "1", "~", "^", "a", "B", ".", "_", "z9"])]
    pairs = list(product(listed, listed))
    calls = "".join(f'print(rpm.vercmp("{one}", "{other}") .. " ");' for one, other in pairs)
    done = subprocess.run(["rpm", "--eval", f"%{{lua:{calls}}}"], check=True, capture_output=True, text=True)
    found = [int(number) for number in done.stdout.split()]
    for (one, other), theirs in zip(pairs, found, strict=True):
        assert _sign(compare_rpm(one, other)) == theirs, f"{one} against {other}"


@pytest.mark.parametrize("text", ["", ":", "-", "~", "9" * 9000, "²", "a:1"])
def test_every_text_has_a_place(text: str) -> None:
    for compare in (compare_deb, compare_rpm):
        assert compare(text, text) == 0
        assert _sign(compare(text, "1.0-1")) == -_sign(compare("1.0-1", text))
