"""What all tests share: golden files, and the one flag that rewrites them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

_GOLDEN = Path(__file__).parent / "golden"


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--rewrite-goldens", action="store_true", help="write what the tests make over tests/golden/")


@pytest.fixture
def golden(request: pytest.FixtureRequest) -> Callable[[str, bytes], None]:
    """Compare bytes with ``tests/golden/NAME``; with ``--rewrite-goldens`` write them there instead."""

    def check(name: str, made: bytes) -> None:
        path = _GOLDEN / name
        if request.config.getoption("--rewrite-goldens"):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(made)
        assert path.is_file(), f"no golden {name}: run pytest --rewrite-goldens, and look at what it wrote"
        assert made == path.read_bytes(), f"{name} changed: a promise broken, unless its number was raised on purpose"

    return check
