"""What all tests share: golden files and the one flag that rewrites them, and a real registry."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from registries import real_registry, trusting

_GOLDEN = Path(__file__).parent / "golden"


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--rewrite-goldens", action="store_true", help="write what the tests make over tests/golden/")


_LONG = ("test_payload_kinds", "test_patch", "test_verify", "test_hub", "test_demo", "test_build", "test_contract")
"""The files that take longest, and so come first."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Keep two workers busy to the end: one makes the demo, while the other runs small tests; small ones come last."""
    long = {name: place for place, name in enumerate(_LONG)}
    small = sorted({item.path for item in items if "e2e" not in item.path.parts})
    beside = set(small[: len(small) // 4])  # as long as making the demo takes

    def place(item: pytest.Item) -> tuple[int, int]:
        rank = long.get(item.path.stem, len(long))
        if "e2e" in item.path.parts:
            return (0 if rank == 0 else 2, rank)
        return (1, 0) if item.path in beside else (3, 0)

    items.sort(key=place)


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


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Debian's docker-registry, empty; its host and port."""
    if shutil.which("docker-registry") is None:
        pytest.skip("docker-registry is not installed")
    with real_registry(tmp_path_factory.mktemp("registry")) as host:
        yield host


@pytest.fixture
def trusted(registry: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The same, and tools of this process use it without a certificate."""
    monkeypatch.setenv("CONTAINERS_REGISTRIES_CONF", str(trusting(registry, tmp_path)))
    return registry
