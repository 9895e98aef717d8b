"""conda-lock's files, as far as they are read."""

from __future__ import annotations

from typing import Any

import pytest

from peel.errors import DocumentError
from peel.model.condalock import parse_conda_lock


def document(**package: Any) -> dict[str, Any]:
    given = {
        "name": "numpy", "version": "2.4", "manager": "conda", "platform": "linux-64", "category": "main",
        "url": "https://host/numpy-2.4-0.conda", "hash": {"md5": "0" * 32, "sha256": "a" * 64}, "optional": False,
        "dependencies": {"python": ">=3.11"}, **package,
    }  # fmt: skip
    return {"version": 1, "metadata": {"what": "ever"}, "package": [given]}


def refused(data: Any) -> DocumentError:
    with pytest.raises(DocumentError) as raised:
        parse_conda_lock(data, "lab.conda-lock.yml")
    return raised.value


def test_keys_that_peel_does_not_use_are_conda_locks_own_business() -> None:
    (package,) = parse_conda_lock(document(), "x")
    assert (package.name, package.file_name, package.hash.sha256) == ("numpy", "numpy-2.4-0.conda", "a" * 64)


def test_a_file_name_is_told_without_query_fragment_and_escapes() -> None:
    (package,) = parse_conda_lock(document(url="https://host/c/x-1%2B2-0.conda?a=b/c#md5"), "x")
    assert package.file_name == "x-1+2-0.conda"


def test_an_sdist_is_refused_with_what_to_do() -> None:
    error = refused(document(manager="pip", url="https://host/old-1.0.tar.gz", name="old", version="1.0"))
    assert error.message == "lab.conda-lock.yml: old 1.0 is locked as old-1.0.tar.gz, which is no wheel"
    assert error.hint == "peel installs wheels only: ask for a version that has one, or take it from a conda channel"


def test_a_wheel_is_taken() -> None:
    (package,) = parse_conda_lock(document(manager="pip", url="https://host/old-1.0-py3-none-any.whl"), "x")
    assert package.manager == "pip"


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (None, "document"),
        ([], "document"),
        ({}, "version: missing"),
        ({"version": 2, "package": []}, "version: should be 1, not 2"),
        (document(url=None), "package[0].url"),
        (document(manager="npm"), "package[0].manager"),
        (document(hash="abc"), "package[0].hash"),
        (document(version=2.4), "package[0].version: should be a valid string, not 2.4"),
        (document(dependencies=["python"]), "package[0].dependencies"),
    ],
)
def test_what_is_no_such_lock_is_told_with_its_place(data: Any, told: str) -> None:
    assert f"lab.conda-lock.yml: {told}" in refused(data).message
