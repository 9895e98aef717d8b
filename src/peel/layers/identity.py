"""Whether an archive is the package that a lock names: what is made from it may then depend on the lock's words."""

from __future__ import annotations

from packaging.version import InvalidVersion, Version

from peel.errors import ArtifactError


def refuse_other_package(file_name: str, *, found: tuple[str, str], locked: tuple[str, str]) -> None:
    """Raise ArtifactError unless both have one name, and versions of the same text or meaning (PEP 440).

    ``found`` is what the archive says of itself, ``locked`` what the lock says: name and version.
    """
    if found[0] != locked[0] or not _is_same_version(found[1], locked[1]):
        raise ArtifactError(
            f"{file_name}: says that it is {' '.join(found)}, and the lock says {' '.join(locked)}",
            hint="lock again; if that does not help, whoever runs the channel must mend its index",
        )


def _is_same_version(left: str, right: str) -> bool:
    try:
        return left == right or Version(left) == Version(right)
    except InvalidVersion:  # conda allows more
        return False
