"""Declarations resolved into one value: what an image is asked to be, and how two such askings differ."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import PurePosixPath
from typing import Annotated, Any, Literal

from pydantic import Field

from peel.errors import DocumentError
from peel.model.declaration import (
    AbsolutePath,
    CompatName,
    CompressionChoice,
    HexDigest,
    Kernel,
    Launch,
    Line,
    Lines,
    LinkPath,
    Menu,
    Name,
    PlatformName,
    Reference,
    TagPolicy,
    Variable,
    check_prefix,
)
from peel.model.documents import Document
from peel.model.payloads import CAPTURED, Kind, Recipe
from peel.model.secrets import holds_credentials

Role = Literal["logo", "launcher", "setup", "script", "dockerfile", "context"]
"""What a file that a payload brings is for."""


class Attachment(Document):
    """A file that a payload brings beside its packages; its contents lie in the lock set. ``size`` is in bytes."""

    name: str
    sha256: HexDigest
    size: Annotated[int, Field(ge=0)]


class DeclaredEnvironment(Document):
    """One environment, everything said of it in one place."""

    name: Name
    role: Literal["lab", "payload", "environment"]
    """``environment``: of an image that peel did not declare, so that nothing joins it with others."""
    prefix: AbsolutePath
    kind: Kind = "conda"
    recipe: Recipe | None = None
    channels: Lines
    dependencies: Lines
    pip: Lines = ()
    pip_repositories: Lines = ()
    allow_pypi_requests: bool = True
    kernel: Kernel | None = None
    attached: dict[Role, Attachment] = {}
    terminal: bool = False
    tags: TagPolicy | None = None
    menu: Menu | None = None
    variables: dict[Variable, Line] = {}
    clobber: dict[str, str] = {}
    skip_link_scripts: dict[str, dict[str, HexDigest]] = {}

    @property
    def is_captured(self) -> bool:
        """Whether its files were taken as they are, instead of put together from packages."""
        return self.kind in CAPTURED


class Declared(Document):
    """An image, its declarations read and joined; part of the lock, so that a build needs nothing else."""

    base: Reference
    platforms: Annotated[tuple[PlatformName, ...], Field(strict=False, min_length=1)]
    tags: TagPolicy
    launch: Launch
    compat: Annotated[tuple[CompatName, ...], Field(strict=False)] = ()
    links: dict[LinkPath, AbsolutePath] = {}
    compression: CompressionChoice
    environments: Annotated[tuple[DeclaredEnvironment, ...], Field(strict=False)]

    @property
    def payloads(self) -> Sequence[DeclaredEnvironment]:
        """The environments that kernels run in, in the order of the declaration."""
        return [environment for environment in self.environments if environment.role == "payload"]

    @property
    def lab(self) -> DeclaredEnvironment:
        """JupyterLab's own environment; an image ``has_lab`` unless it was imported."""
        return next(environment for environment in self.environments if environment.role == "lab")

    @property
    def has_lab(self) -> bool:
        """Whether there is one."""
        return any(environment.role == "lab" for environment in self.environments)


def refuse_contradictions(declared: Declared, origin: str) -> None:
    """Raise DocumentError for what no single declaration shows: names, kernels or prefixes that stand twice or nested.

    A lock is held to the same rules as what it was made from: it may have come with a stranger's pull request.
    """
    environments = declared.environments
    names = [environment.name for environment in environments]
    roles = [environment.role for environment in environments]
    if set(roles) != {"environment"}:
        _refuse_other_roles(roles, origin)
        _refuse_odd_prefixes(environments, origin)
    _refuse_twice("payload", names, origin)
    _refuse_twice("kernel", [e.kernel.name for e in environments if e.kernel], origin)
    _refuse_twice("prefix", [environment.prefix for environment in environments], origin)
    _refuse_twice("platform", list(declared.platforms), origin)
    for environment in environments:
        for channel in (*environment.channels, *environment.pip_repositories):
            if holds_credentials(channel):
                raise DocumentError(
                    f"{origin}: environment {environment.name!r} has a password or token written into a channel",
                    hint="name an environment variable there instead, as in https://host/t/$TOKEN/channel",
                )


def _refuse_other_roles(roles: Sequence[str], origin: str) -> None:
    if roles.count("lab") != 1 or "environment" in roles:
        raise DocumentError(f"{origin}: an image has exactly one lab", hint="lock it anew")


def _refuse_odd_prefixes(environments: Sequence[DeclaredEnvironment], origin: str) -> None:
    for environment in environments:
        try:
            check_prefix(environment.prefix)
        except ValueError as error:
            raise DocumentError(f"{origin}: prefix {environment.prefix} of {environment.name!r} {error}") from None
    _refuse_nested([PurePosixPath(environment.prefix) for environment in environments], origin)


def _refuse_twice(what: str, values: Sequence[str], origin: str) -> None:
    twice = sorted({value for value in values if values.count(value) > 1})
    if twice:
        raise DocumentError(
            f"{origin}: {what} {twice[0]!r} stands twice", hint=f"give every environment a {what} of its own"
        )


def _refuse_nested(prefixes: Sequence[PurePosixPath], origin: str) -> None:
    for inner in prefixes:
        for outer in prefixes:
            if outer in inner.parents:
                raise DocumentError(
                    f"{origin}: prefix {inner} lies inside prefix {outer}",
                    hint="layers of one environment may not write into another's prefix",
                )


def differences(old: Declared, new: Declared) -> tuple[str, ...]:
    """What changed between two askings, a line each; empty when nothing did."""
    before, after = (_by_environment(declared) for declared in (old, new))
    return tuple(_compare("", before, after))


def _by_environment(declared: Declared) -> dict[str, Any]:
    data = declared.model_dump(mode="json")
    data["environments"] = {environment["name"]: environment for environment in data["environments"]}
    # the order of environments decides the order of layers
    data["payload order"] = [environment.name for environment in declared.payloads]
    return data


def _compare(place: str, old: Any, new: Any) -> Iterator[str]:
    if old == new:
        return
    if isinstance(old, dict) and isinstance(new, dict):
        for key in sorted(old.keys() | new.keys()):
            yield from _compare(f"{place}.{key}" if place else key, old.get(key), new.get(key))
    elif isinstance(old, list) and isinstance(new, list) and set(old) != set(new):
        yield from (f"{place}: {item!r} was removed" for item in old if item not in new)
        yield from (f"{place}: {item!r} was added" for item in new if item not in old)
    elif isinstance(old, dict) or old is None:
        yield f"{place}: {'was added' if old is None else 'was removed'}"
    elif new is None or isinstance(new, dict):
        yield f"{place}: {'was removed' if new is None else 'changed'}"
    else:
        yield f"{place}: {old!r} became {new!r}"
