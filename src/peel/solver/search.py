"""``search``: which packages of channels match specs. Nothing is solved: each spec is answered by itself."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from peel.solver import engine
from peel.solver.package import Package, package_json
from peel.solver.settings import Settings


@dataclass(frozen=True, slots=True)
class Search:
    """Specs, and the channels to look for them in, in order."""

    specs: tuple[str, ...]
    channels: tuple[str, ...]


def find_packages(asked: Search, settings: Settings) -> Sequence[Package]:
    """Every package that matches, for the platform of the settings and for all platforms.

    Raises UsageError for a spec or channel that cannot be read, ToolError for a channel that cannot be had.
    """
    channels = asked.channels or ("conda-forge",)  # micromamba's own default
    cache = settings.package_cache / "cache"
    return engine.find(asked.specs, channels, subdir=settings.subdir, cache=cache)


def search_json(asked: Search, found: Sequence[Package]) -> Any:
    """The result as ``micromamba search --json`` has it."""
    return {
        "query": {"query": " ".join(asked.specs), "type": "search"},
        "result": {"msg": "", "pkgs": [package_json(package) for package in found], "status": "OK"},
    }


def search_text(asked: Search, found: Sequence[Package]) -> str:
    """The same for people."""
    if not found:
        return f'No entries matching "{" ".join(asked.specs)}" found\n'
    return "".join(f"{package.dist}  {package.base_url}\n" for package in found)
