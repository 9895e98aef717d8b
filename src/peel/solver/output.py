"""What is printed: micromamba's JSON for programs, plain lines for people. Pure: values to text."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from peel.solver.package import Package, in_link_order, package_json

SPOKEN = "2.8.1"
"""The version of micromamba whose command line and JSON are spoken."""


def to_json(value: Any) -> str:
    """JSON as micromamba writes it: sorted keys, four spaces."""
    return json.dumps(value, indent=4, sort_keys=True, ensure_ascii=False) + "\n"


def transaction_json(link: Sequence[Package], unlink: Sequence[Package], prefix: Path, *, dry_run: bool) -> Any:
    """The result of ``create``, ``install`` and ``update``.

    FETCH repeats LINK whatever the package cache holds: conda-lock reads the hashes there, and nothing depends on what
    happens to be cached.
    """
    result: dict[str, Any] = {"dry_run": dry_run, "prefix": str(prefix), "success": True}
    if not link and not unlink:
        return {**result, "message": "All requested packages already installed"}
    linked = [package_json(package) for package in in_link_order(link)]
    unlinked = [package_json(package) for package in reversed(in_link_order(unlink))]
    actions = {"FETCH": linked, "LINK": linked, "UNLINK": unlinked}
    return {**result, "actions": {"PREFIX": str(prefix), **{name: each for name, each in actions.items() if each}}}


def transaction_text(link: Sequence[Package], unlink: Sequence[Package], prefix: Path, *, dry_run: bool) -> str:
    """The same for people."""
    lines = [f"- {package.dist}" for package in reversed(in_link_order(unlink))]
    lines += [f"+ {package.dist}  {package.base_url}" for package in in_link_order(link)]
    if not lines:
        return "All requested packages already installed\n"
    end = f"Dry run: nothing was done to {prefix}" if dry_run else f"Environment made: {prefix}"
    return "\n".join([*lines, end, ""])


def problems_json(explanation: str) -> Any:
    """An unsatisfiable request, the solver's explanation line by line."""
    return {"solver_problems": explanation.splitlines(), "success": False}


def list_json(packages: Sequence[Package]) -> Any:
    """The result of ``list``."""
    return [_listed(package) for package in packages]


def list_text(packages: Sequence[Package], prefix: Path) -> str:
    """The same for people."""
    rows = [("Name", "Version", "Build", "Channel")]
    rows += [(package.name, package.version, package.build, package.base_url) for package in packages]
    widths = [max(len(row[column]) for row in rows) for column in range(3)]
    lines = [
        "  ".join([*(text.ljust(width) for text, width in zip(row, widths, strict=False)), row[3]]) for row in rows
    ]
    return "\n".join([f'List of packages in environment: "{prefix}"', "", *lines, ""])


def mapping_text(values: dict[str, Any]) -> str:
    """Configuration and information for people, in YAML's manner."""
    lines: list[str] = []
    for key, value in values.items():
        if isinstance(value, list):
            lines += [f"{key}:", *(f"  - {item}" for item in value)]
        else:
            lines.append(f"{key}: {value}")
    return "\n".join([*lines, ""])


def _listed(package: Package) -> dict[str, Any]:
    shown = {
        "base_url": package.base_url, "build_number": package.build_number, "build_string": package.build,
        "channel": package.base_url, "dist_name": package.dist, "name": package.name, "platform": package.subdir,
        "url": package.url, "version": package.version,
    }  # fmt: skip
    hashes = {"md5": package.md5, "sha256": package.sha256}
    return {**shown, **{key: value for key, value in hashes.items() if value}}
