"""Real images, made once per test run whatever the number of workers."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from e2e.catalogues import TINY, Demo, brought_by_npm, clone, made_once, write_tiny
from e2e.running import Peel

_HERE = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.path.is_relative_to(_HERE):
            item.add_marker("e2e")


@pytest.fixture(scope="session")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory that all workers of this run see; PEEL_E2E_DIR names one that later runs use again."""
    if kept := os.environ.get("PEEL_E2E_DIR"):
        return Path(kept)
    own = tmp_path_factory.getbasetemp()
    return own.parent if "PYTEST_XDIST_WORKER" in os.environ else own


@pytest.fixture(scope="session")
def downloads() -> str:
    """Where demos keep what they download, from one run of the tests to the next."""
    return os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")


@pytest.fixture(scope="session")
def axe(downloads: str) -> str:
    """The source of axe-core, which finds barriers in pages."""
    return (brought_by_npm(downloads, "axe-core@4") / "axe-core" / "axe.min.js").read_text()


@pytest.fixture(scope="session")
def demo(shared: Path, downloads: str) -> Demo:
    """``peel demo``, once. For reading; ``clone`` what is to be changed."""

    def make(place: Path) -> None:
        done = _peel(place, downloads).must("demo", place / "catalogue", "--json")
        (place / "said.json").write_text(done.stdout)

    place = made_once(shared / "the-demo", make)
    return Demo(_peel(place, downloads), json.loads((place / "said.json").read_text()))


@pytest.fixture(scope="session")
def tiny(demo: Demo, shared: Path) -> Demo:
    """A catalogue that builds in seconds, locked and built once. For reading, as ``demo``."""

    def make(place: Path) -> None:
        write_tiny(demo.peel, place / "catalogue")
        peel = _peel(place, "")
        peel.must("lock", TINY)
        (place / "said.json").write_text(peel.must("build", TINY, "--json").stdout)

    place = made_once(shared / "the-tiny", make)
    return Demo(_peel(place, ""), json.loads((place / "said.json").read_text()))


@pytest.fixture
def own_demo(demo: Demo, tmp_path: Path) -> Peel:
    """The demo once more, to be changed freely."""
    return clone(demo.peel, tmp_path)


@pytest.fixture
def own_tiny(tiny: Demo, tmp_path: Path) -> Peel:
    """The tiny catalogue once more, to be changed freely."""
    return clone(tiny.peel, tmp_path)


def _peel(place: Path, downloads: str) -> Peel:
    home = place / "home"
    home.mkdir(parents=True, exist_ok=True)
    env = {"XDG_CACHE_HOME": downloads} if downloads else {}
    return Peel(place / "catalogue", place / "catalogue" / "store", home, env)
