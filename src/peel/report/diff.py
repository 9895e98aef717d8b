"""``peel diff``: for people, for a pull request, for programs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

from peel.console import Console
from peel.model.contents import Present
from peel.model.diff import Difference, EnvironmentDifference, LayersDifference, PackagesDifference, Setting
from peel.report import SCHEMA

Form = Literal["text", "markdown", "json"]


def show_difference(difference: Difference, console: Console, *, form: Form, whole: bool) -> None:
    """``peel diff``; ``whole`` leaves nothing out of the tables."""
    match form:
        case "json":
            console.json(difference_json(difference))
        case "markdown":
            from peel.report.diff_markdown import to_markdown

            console.line(to_markdown(difference))
        case "text":
            from peel.report.diff_text import show_text

            show_text(difference, console, whole=whole)


def difference_json(difference: Difference) -> dict[str, Any]:
    """``peel diff --json``; null where something is not known or, for ``base``, the same."""
    return {
        "schema": SCHEMA,
        "a": difference.a,
        "b": difference.b,
        "differs": bool(difference),
        "base": {"from": difference.base[0].text, "to": difference.base[1].text} if difference.base else None,
        "environments": {found.name: _environment(found) for found in difference.environments},
        "system": _packages(difference.system) if difference.system is not None else None,
        "launch": _settings(difference.launch),
        "files": _settings(difference.files),
        "layers": _layers(difference.layers),
        "unknown": list(difference.unknown),
    }


def _environment(found: EnvironmentDifference) -> dict[str, Any]:
    return {**_packages(found.packages), "prefix": {"from": found.before, "to": found.after}}


def _packages(packages: PackagesDifference) -> dict[str, Any]:
    return {
        "added": [_package(package) for package in packages.added],
        "removed": [_package(package) for package in packages.removed],
        "changed": [
            {"name": change.name, "from": change.before.text, "to": change.after.text, "kind": change.kind}
            for change in packages.changed
        ],
    }


def _package(package: Present) -> dict[str, Any]:
    return {
        "name": package.name, "version": package.version, "build": package.build, "manager": package.manager,
    }  # fmt: skip


def _settings(settings: Sequence[Setting]) -> list[dict[str, Any]]:
    return [{"key": setting.key, "from": setting.before, "to": setting.after} for setting in settings]


def _layers(layers: LayersDifference | None) -> dict[str, Any]:
    """Bytes are null where any size is not known; ``known_new_bytes`` is what is known of it."""
    if layers is None:
        return dict.fromkeys(("shared", "shared_bytes", "new", "new_bytes", "known_new_bytes", "gone", "pull"))
    return {
        "shared": layers.shared,
        "shared_bytes": None if layers.shared_unknown else layers.shared_bytes,
        "new": len(layers.new),
        "new_bytes": None if layers.new_unknown else layers.new_bytes,
        "known_new_bytes": layers.new_bytes,
        "gone": layers.gone,
        "pull": [{"contents": layer.contents, "size": layer.size} for layer in layers.new],
    }
