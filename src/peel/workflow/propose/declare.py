"""The declaration of a proposed payload: what is to lie in ``envs/NAME/``, as bytes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, assert_never

from peel.errors import DocumentError, UsageError
from peel.model.history.remembered import Format, History, Remembered
from peel.model.proposal.environment import Tidied, judge_requirements, tidy
from peel.model.proposal.findings import Finding, error, named, note, warning
from peel.model.proposal.recognise import Form
from peel.model.proposal.selectors import follow
from peel.model.values import Platform
from peel.store.documents import parse_yaml, to_yaml
from peel.workflow.import_read import read_history
from peel.workflow.propose.given import DECLARATION, Given

IPYKERNEL: Final = "ipykernel"

_SPEC: Final = "environment.yml"
_KEPT: Final = "given"
_CONTEXT: Final = "context"
_REWRITTEN: Final = b"# Made by peel propose from %s, which is kept as it came in %s.\n"


@dataclass(frozen=True, slots=True)
class Wish:
    """What an author asks for beyond what the file says."""

    channels: tuple[str, ...] = ()
    python: str = ""
    add_ipykernel: bool = False
    directory: str = ""


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What the image that is proposed to gives where the file is silent, and for which platforms."""

    platform: Platform
    platforms: tuple[Platform, ...]
    channels: tuple[str, ...]
    python: str


@dataclass(frozen=True, slots=True)
class Draft:
    """What is to lie in ``envs/NAME/``, by file name, and what to say of it; ``channels`` are those that it names."""

    files: Mapping[str, bytes]
    findings: tuple[Finding, ...] = ()
    channels: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class _Payload:
    """The keys of ``payload.yaml`` that are the payload's own, and the files beside it."""

    kind: str
    keys: Mapping[str, Any]
    files: Mapping[str, bytes]
    findings: tuple[Finding, ...] = ()
    channels: tuple[str, ...] = ()
    variables: Mapping[str, str] = field(default_factory=dict)


def declare(given: Given, name: str, wish: Wish, around: Surroundings) -> Draft:
    """Make a declaration.

    Raises DocumentError for a file that cannot be read as what it is, UsageError where it leaves open what to do.
    """
    if given.form is None:
        return Draft(given.files or {}, (note("declared", f"{given.origin} is declared already, and taken as it is"),))
    payload = _payload(given, given.form, wish, around)
    document: dict[str, Any] = {
        "schema": 1, "kind": payload.kind, **payload.keys,
        "kernel": {"name": name, "display_name": _title(name)},
    }  # fmt: skip
    if payload.variables:
        document["variables"] = dict(payload.variables)
    document["menu"] = {"title": _title(name)}
    return Draft({**payload.files, DECLARATION: to_yaml(document, block=True)}, payload.findings, payload.channels)


def _title(name: str) -> str:
    return name[:1].upper() + name[1:].replace("-", " ").replace("_", " ")


def _payload(given: Given, form: Form, wish: Wish, around: Surroundings) -> _Payload:
    match form:
        case Form.ENVIRONMENT:
            return _environment(given, wish, around)
        case Form.LIST:
            return _list(given, wish, around)
        case Form.REQUIREMENTS:
            return _requirements(given, wish, around)
        case Form.SCRIPT:
            return _Payload("script", {"script": _file_name(given)}, {_file_name(given): given.text.encode()})
        case Form.DOCKERFILE:
            return _dockerfile(given)
        case Form.IMAGE:
            directory = {"directory": wish.directory} if wish.directory else {}
            return _Payload("image", {"image": given.text, **directory}, {})
        case _:
            assert_never(form)


def _file_name(given: Given) -> str:
    return given.path.name if given.path else ""


def _environment(given: Given, wish: Wish, around: Surroundings) -> _Payload:
    others = [platform for platform in around.platforms if platform != around.platform]
    selected = follow(given.text, around.platform, others)
    parsed = parse_yaml(selected.text, given.origin)
    tidied = tidy(
        parsed.data, parsed.lines, given.origin, platform=around.platform, channels=around.channels,
        instead=wish.channels, extra=(IPYKERNEL,) if wish.add_ipykernel else (),
    )  # fmt: skip
    findings = [*tidied.findings]
    if selected.dropped:
        findings.append(note("selector", f"left out for {around.platform}: {named(selected.dropped)}"))
    if selected.unknown:
        findings.append(warning("selector", f"selectors that are not known, not followed: {named(selected.unknown)}"))
    if selected.differing:
        findings.append(
            warning(
                "selector", f"{named(selected.differing)}: not the same on all platforms, locked as for one of them"
            )
        )
    files = _spec_files(given, tidied, rewritten=tidied.changed or bool(selected.dropped))
    return _Payload("conda", {"environment": _SPEC}, files, tuple(findings), tidied.channels, tidied.variables)


def _spec_files(given: Given, tidied: Tidied, *, rewritten: bool) -> Mapping[str, bytes]:
    if not rewritten:
        return {_SPEC: given.text.encode()}
    kept = f"{_KEPT}/{_file_name(given)}"
    head = _REWRITTEN % (_file_name(given).encode(), kept.encode())
    return {_SPEC: head + to_yaml(tidied.as_document(), block=True), kept: given.text.encode()}


def _list(given: Given, wish: Wish, around: Surroundings) -> _Payload:
    """A list of exact packages becomes an environment that asks for exactly these."""
    history = read_history(given.path or Path(), {})
    packages = _packages_for(history, around.platform)
    conda = [_exact(package) for package in packages if package.manager == "conda"]
    pip = [package.spec or f"{package.name}=={package.version}" for package in packages if package.manager == "pip"]
    channels = wish.channels or history.channels or _channels_of(packages) or around.channels
    added = [IPYKERNEL] if wish.add_ipykernel and IPYKERNEL not in {package.name for package in packages} else []
    document: dict[str, Any] = {"channels": list(channels), "dependencies": [*conda, *added]}
    if pip:
        document["dependencies"].append({"pip": pip})
    kept = f"{_KEPT}/{_file_name(given)}"
    head = _REWRITTEN % (_file_name(given).encode(), kept.encode())
    said = note("list", f"{history.format.called} of {len(packages)} packages: each is asked for exactly")
    lost = [package.title for package in packages if package.why]
    findings = [said, *([error("list", f"cannot be had any more: {named(lost)}")] if lost else [])]
    if history.format in {Format.EXPLICIT, Format.EXPORT} and not any(package.sha256 for package in packages):
        findings.append(warning("no-sha256", "the list has no checksums, so the channel is trusted once more"))
    files = {_SPEC: head + to_yaml(document, block=True), kept: given.text.encode()}
    return _Payload("conda", {"environment": _SPEC}, files, tuple(findings), tuple(channels))


def _packages_for(history: History, platform: Platform) -> Sequence[Remembered]:
    named_environments = history.environments
    if len(named_environments) > 1 and "default" not in named_environments:
        raise UsageError(
            f"{history.origin} has several environments: {', '.join(named_environments)}",
            hint=f"make a file of the one that is meant; or: peel import {history.origin} IMAGE:TAG --environment …",
        )
    chosen = history.choose_platform(platform if history.platforms else None, platform)
    for (environment, where), packages in history.packages.items():
        if where in {"", str(chosen)} and environment in {"", "default", *named_environments[:1]}:
            return packages
    raise DocumentError(f"{history.origin}: has no packages for {platform}")


def _exact(package: Remembered) -> str:
    if package.spec:
        return package.spec
    return f"{package.name} {package.version} {package.build}".strip() if package.version else package.name


def _channels_of(packages: Sequence[Remembered]) -> tuple[str, ...]:
    """The channels of the packages' URLs, in their order."""
    return tuple(dict.fromkeys(package.channel for package in packages if package.channel))


def _requirements(given: Given, wish: Wish, around: Surroundings) -> _Payload:
    """Requirements as they are: Python, and ipykernel where they do not name it, come from conda channels."""
    python = wish.python or around.python
    if not python:
        raise UsageError(f"{given.origin} says nothing of Python", hint="name a version with --python, as 3.13")
    said = note("python", f"Python {python} is taken, as the image has it; --python names another")
    channels = wish.channels or around.channels
    keys = {"requirements": "requirements.txt", "python": python, "channels": list(channels)}
    files = {**(given.files or {}), "requirements.txt": given.text.encode()}
    findings = [*([] if wish.python else [said]), *judge_requirements(given.text)]
    return _Payload("pip", keys, files, tuple(findings), tuple(channels))


def _dockerfile(given: Given) -> _Payload:
    """A Dockerfile alone has no context; one in a directory has all that lies there."""
    name = _file_name(given)
    if not given.files or set(given.files) == {name}:
        return _Payload("dockerfile", {"dockerfile": name}, {name: given.text.encode()})
    files = {f"{_CONTEXT}/{file}": data for file, data in given.files.items()}
    return _Payload("dockerfile", {"dockerfile": f"{_CONTEXT}/{name}", "context": _CONTEXT}, files)
