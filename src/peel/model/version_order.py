"""Which of two versions is newer, as each package manager has it."""

from __future__ import annotations

from typing import assert_never

from peel.model.conda_version import CondaVersion
from peel.model.contents import Manager
from peel.model.system_version import compare_deb, compare_rpm


def compare_versions(manager: Manager, one: str, other: str) -> int:
    """Less than, equal to or greater than 0, as one version is older, equal or newer in its manager's order."""
    match manager:
        case "conda":
            return CondaVersion(one).compare(CondaVersion(other))
        case "pip":
            return _compare_wheels(one, other)
        case "dpkg":
            return compare_deb(one, other)
        case "rpm":
            return compare_rpm(one, other)
        case _:
            assert_never(manager)


def _compare_wheels(one: str, other: str) -> int:
    from packaging.version import InvalidVersion, Version  # noqa: PLC0415 - most images have no wheels

    try:
        mine, its = Version(one), Version(other)
    except InvalidVersion:
        return CondaVersion(one).compare(CondaVersion(other))
    return (mine > its) - (mine < its)
