"""How dpkg and rpm order versions (deb-version(7); rpm-version(7))."""

from __future__ import annotations

import re
from itertools import zip_longest
from typing import Final

_DEB: Final = re.compile(r"([^0-9]*)([0-9]*)")
_RPM: Final = re.compile(r"[0-9]+|[A-Za-z]+|~|\^")
_NOTHING: Final = ((0,), 0)
_END: Final = (-1, 0, "")
_SIGNS: Final = {"~": (-2, 0, ""), "^": (0, 0, "")}

_DebRun = tuple[tuple[int, ...], int]
_RpmRun = tuple[int, int, str]


def compare_deb(one: str, other: str) -> int:
    """Less than, equal to or greater than 0, as ``[EPOCH:]VERSION[-REVISION]`` is older, equal or newer."""
    (epoch, mine), (its_epoch, its) = _epoch(one), _epoch(other)
    if epoch != its_epoch:
        return 1 if epoch > its_epoch else -1
    (version, _, revision), (its_version, _, its_revision) = _revision(mine), _revision(its)
    return _deb(version, its_version) or _deb(revision, its_revision)


def compare_rpm(one: str, other: str) -> int:
    """The same for rpm's ``[EPOCH:]VERSION-RELEASE``."""
    (epoch, mine), (its_epoch, its) = _epoch(one), _epoch(other)
    if epoch != its_epoch:
        return 1 if epoch > its_epoch else -1
    (version, _, release), (its_version, _, its_release) = _revision(mine), _revision(its)
    return _rpm(version, its_version) or _rpm(release, its_release)


def _epoch(text: str) -> tuple[int, str]:
    epoch, colon, rest = text.partition(":")
    return (_number(epoch), rest) if colon and epoch.isdecimal() else (0, text)


def _revision(text: str) -> tuple[str, str, str]:
    head, dash, revision = text.rpartition("-")
    return (head, dash, revision) if dash else (text, "", "")


def _deb(one: str, other: str) -> int:
    for mine, its in zip_longest(_deb_runs(one), _deb_runs(other), fillvalue=_NOTHING):
        if mine != its:
            return 1 if mine > its else -1
    return 0


def _deb_runs(text: str) -> list[_DebRun]:
    found = [((*map(_deb_order, letters), 0), _number(digits)) for letters, digits in _DEB.findall(text)]
    return found[:-1]  # the last one matched nothing


def _deb_order(character: str) -> int:
    """A tilde before the end, the end before letters, letters before all else."""
    if character == "~":
        return -1
    return ord(character) + (0 if character.isalpha() else 0x110000)


def _rpm(one: str, other: str) -> int:
    for mine, its in zip_longest(_rpm_runs(one), _rpm_runs(other), fillvalue=_END):
        if mine != its:
            return 1 if mine > its else -1
    return 0


def _rpm_runs(text: str) -> list[_RpmRun]:
    """A tilde before the end, then the end, a caret, letters, numbers."""
    return [
        _SIGNS.get(run) or ((2, _number(run), "") if run.isdecimal() else (1, 0, run)) for run in _RPM.findall(text)
    ]


def _number(digits: str) -> int:
    """Python itself refuses to read numbers of thousands of digits, which no version has; the largest come last."""
    return int(digits or "0") if len(digits) < 1000 else 10**1000 + len(digits)
