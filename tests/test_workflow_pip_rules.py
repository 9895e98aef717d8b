"""Constraints hold for what comes in, and ask for nothing; hashes that are named are those that are locked."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from locksets import locked, make_declared, payload, sha256
from peel.errors import ArtifactError, DocumentError
from peel.model.condalock import CondaLockPackage
from peel.model.declared import DeclaredEnvironment
from peel.model.values import Digest
from peel.store.documents import to_yaml
from peel.workflow.inspect import Contents, Inspected
from peel.workflow.pip_rules import lock_constrained, refuse_other_hashes


def environment(*requirements: str, **recipe: Any) -> DeclaredEnvironment:
    more = {"kind": "pip", "pip": list(requirements), "recipe": {"kind": "pip", **recipe}}
    return make_declared(environments=[payload("lab", role="lab", kernel=None), payload("mine", **more)]).payloads[0]


def wheel(name: str, version: str) -> CondaLockPackage:
    return locked(name, version, manager="pip", url=f"https://host/{name}-{version}-py3-none-any.whl")


class Solver:
    """Gives each package in its newest version that the requirements allow; ``a`` brings ``b``."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, ...]] = []

    def __call__(self, asked: DeclaredEnvironment) -> bytes:
        self.asked.append(asked.pip)
        version = "1.5" if any(text.startswith("b<2") for text in asked.pip) else "2.0"
        return written([wheel("a", "1.0"), wheel("b", version)])


def written(packages: Sequence[CondaLockPackage]) -> bytes:
    return to_yaml({"version": 1, "metadata": {}, "package": [each.model_dump(mode="json") for each in packages]})


def test_a_constraint_becomes_a_requirement_only_where_it_is_broken() -> None:
    solver = Solver()
    data = lock_constrained(environment("a", constraints=["b<2", "c<1"]), solver, "a test")
    assert solver.asked == [("a",), ("a", "b<2")]
    assert b"1.5" in data


def test_without_constraints_all_is_locked_once() -> None:
    solver = Solver()
    lock_constrained(environment("a"), solver, "a test")
    assert solver.asked == [("a",)]


def test_a_constraint_that_cannot_be_met_is_named() -> None:
    def stubborn(_: DeclaredEnvironment) -> bytes:
        return written([wheel("b", "2.0")])

    with pytest.raises(DocumentError, match="environment 'mine' cannot meet its constraints: b<2"):
        lock_constrained(environment("a", constraints=["b<2"]), stubborn, "a test")


def inspected(name: str, digest: str) -> Inspected:
    return Inspected(wheel(name, "1.0"), Digest.from_hex(digest), 1, Contents({}))


def test_a_wheel_with_another_hash_than_the_file_allows_is_refused_by_name() -> None:
    allowed = environment("a", hashes={"a": [sha256("a"), sha256("other")]})
    refuse_other_hashes(allowed, [inspected("A", sha256("a")), inspected("b", sha256("b"))], "a test")
    with pytest.raises(ArtifactError, match=f"has sha256 {sha256('b')}, which a is not to have"):
        refuse_other_hashes(allowed, [inspected("a", sha256("b"))], "a test")
