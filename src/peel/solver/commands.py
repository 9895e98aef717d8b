"""The commands: options and settings in, what is to be printed out."""

from __future__ import annotations

import argparse
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import peel
from peel.errors import ToolError, UsageError
from peel.solver import engine, output
from peel.solver.environment import make_environment, refuse_used
from peel.solver.installed import load_installed
from peel.solver.plan import Asked, Change, Movement, plan_change, plan_creation
from peel.solver.search import Search, find_packages, search_json, search_text
from peel.solver.settings import Settings, parse_priority, virtual_packages


@dataclass(frozen=True, slots=True)
class Printed:
    """What a command says on stdout and stderr."""

    stdout: str
    stderr: str = ""


def run_command(options: argparse.Namespace, settings: Settings) -> Printed:
    """Run one command. Raises PeelError, UnsolvableError among them."""
    if options.command == "list":
        return _list(options, settings)
    if options.command == "config":
        return _config(options, settings)
    if options.command == "info":
        return _info(options, settings)
    settings = replace(settings, subdir=options.platform or settings.subdir)
    if options.command == "search":
        return _search(options, settings)
    return _create(options, settings) if options.command == "create" else _change(options, settings)


def _create(options: argparse.Namespace, settings: Settings) -> Printed:
    asked = _asked(options, settings)
    if not options.dry_run:
        refuse_used(asked.prefix)
    change = plan_creation(asked, settings)
    if not options.dry_run:
        make_environment(change.link, asked.prefix, subdir=settings.subdir, cache=settings.package_cache)
    return _transaction(change, asked.prefix, options)


def _change(options: argparse.Namespace, settings: Settings) -> Printed:
    if not options.dry_run:
        raise UsageError(
            f"{options.command} without --dry-run: peel-micromamba makes environments and never changes one",
            hint="create a new one, or use a real micromamba",
        )
    asked = _asked(options, settings)
    movement = Movement(
        update=options.command == "update",
        everything=getattr(options, "all", False),
        frozen=options.freeze_installed,
        pinned=not options.no_pin,
        python_pinned=not options.no_py_pin,
    )
    return _transaction(plan_change(asked, movement, settings), asked.prefix, options)


def _search(options: argparse.Namespace, settings: Settings) -> Printed:
    asked = Search(tuple(options.specs), _channels(options, settings))
    found = find_packages(asked, settings)
    return Printed(output.to_json(search_json(asked, found)) if options.json else search_text(asked, found))


def _transaction(change: Change, prefix: Path, options: argparse.Namespace) -> Printed:
    warning = _pip_warning(change.pip)
    if options.json:
        result = output.transaction_json(change.link, change.unlink, prefix, dry_run=options.dry_run)
        return Printed(output.to_json(result), warning)
    text = output.transaction_text(change.link, change.unlink, prefix, dry_run=options.dry_run)
    return Printed("" if options.quiet else text, warning)


def _pip_warning(pip: Sequence[str]) -> str:
    if not pip:
        return ""
    names = "".join(f"    {requirement}\n" for requirement in pip)
    return f"warning  libmamba Packages of the pip section are left to pip, and were not installed:\n{names}"


def _list(options: argparse.Namespace, settings: Settings) -> Printed:
    prefix = _prefix(options, settings)
    try:
        pattern = re.compile(options.pattern or "")
    except re.error as error:
        raise UsageError(f"Not a regular expression: {options.pattern!r}: {error}") from None
    found = [package for package in load_installed(prefix) if pattern.search(package.name)]
    return Printed(output.to_json(output.list_json(found)) if options.json else output.list_text(found, prefix))


def _config(options: argparse.Namespace, settings: Settings) -> Printed:
    known: dict[str, Any] = {
        "channel_priority": settings.priority.value,
        "channels": list(settings.channels or ("conda-forge",)),
        "pkgs_dirs": [str(settings.package_cache)],
        "platform": settings.subdir,
    }
    unknown = [key for key in options.keys if key not in known]
    if unknown:
        raise UsageError(f"No such configuration: {', '.join(unknown)}", hint=f"known: {', '.join(known)}")
    return _printed({key: known[key] for key in options.keys or known}, options)


def _info(options: argparse.Namespace, settings: Settings) -> Printed:
    urls = [engine.channel_url(channel) for channel in settings.channels or ("conda-forge",)]
    root = str(settings.root_prefix)
    virtual = virtual_packages(settings.subdir, engine.host_virtual_packages(), settings.overrides)
    known: dict[str, Any] = {
        "base environment": root,
        "channels": [f"{url}/{subdir}" for url in urls for subdir in (settings.subdir, "noarch")],
        "curl version": "not used",
        "env location": root,
        "environment": "base (not found)",
        "envs directories": [f"{root}/envs"],
        "libarchive version": "not used",
        "libmamba version": output.SPOKEN,
        "micromamba version": output.SPOKEN,
        "package cache": [str(settings.package_cache)],
        "peel-micromamba version": peel.__version__,
        "platform": settings.subdir,
        "populated config files": [],
        "py-rattler version": engine.library_version(),
        "user config files": [],
        "virtual packages": [str(package) for package in virtual],
    }
    return _printed(known, options)


def _printed(values: dict[str, Any], options: argparse.Namespace) -> Printed:
    return Printed(output.to_json(values) if options.json else output.mapping_text(values))


def _asked(options: argparse.Namespace, settings: Settings) -> Asked:
    if options.no_deps and options.only_deps:
        raise UsageError("--no-deps and --only-deps leave nothing")
    return Asked(
        prefix=_prefix(options, settings),
        specs=tuple(options.specs),
        channels=_channels(options, settings),
        files=tuple(Path(name) for name in options.file),
        categories=tuple(options.category) or ("main",),
        priority=parse_priority(options.channel_priority or settings.priority, "--channel-priority"),
        override_channels=options.override_channels,
        with_dependencies=not options.no_deps,
        with_requested=not options.only_deps,
    )


def _channels(options: argparse.Namespace, settings: Settings) -> tuple[str, ...]:
    given = [part for channel in options.channel for part in channel.split(",") if part]
    return tuple(given) or (() if options.override_channels else settings.channels)


def _prefix(options: argparse.Namespace, settings: Settings) -> Path:
    if options.prefix and options.name:
        raise UsageError("Both --prefix and --name are given", hint="one of them names the environment")
    if options.prefix:
        return Path(options.prefix).absolute()
    if options.name:
        if "/" in options.name or options.name in {".", ".."}:
            raise UsageError(f"Not a name of an environment: {options.name!r}", hint="give a path with --prefix")
        return settings.root_prefix / "envs" / str(options.name)
    raise ToolError("No target prefix specified", hint="name one with --prefix")
