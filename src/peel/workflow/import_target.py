"""What an imported list becomes: an environment of a declared image, or of one made for it."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from pydantic import ValidationError

from peel.errors import DocumentError, UsageError
from peel.model.declared import Declared, DeclaredEnvironment, refuse_contradictions
from peel.model.history.channels import channel_names
from peel.model.history.remembered import History, Remembered
from peel.model.resolve import PAYLOAD_PREFIXES
from peel.model.values import ImageRef, Platform, is_name
from peel.store.catalogue import Catalogue

BASE: Final = "docker.io/library/almalinux:9"
_UNNAMED: Final = "imported"


@dataclass(frozen=True, slots=True)
class Wish:
    """What is asked of an imported list; None where nothing is said.

    ``environment`` is what it is to be called, ``theirs`` which of the list's own is meant.
    """

    environment: str | None = None
    theirs: str | None = None
    prefix: str | None = None
    base: str | None = None
    channels: tuple[str, ...] = ()
    platform: Platform | None = None
    epoch: int | None = None
    partial: bool = False
    skip_link_scripts: bool = False


@dataclass(frozen=True, slots=True)
class Target:
    """An image and the environment of it that the list describes; ``packages`` are by platform.

    ``channels`` are those to ask for packages that name none themselves.
    """

    ref: ImageRef
    declared: Declared
    environment: str
    is_declared: bool
    channels: tuple[str, ...]
    packages: Mapping[str, Sequence[Remembered]]

    @property
    def found(self) -> DeclaredEnvironment:
        """The environment that the list describes."""
        return next(each for each in self.declared.environments if each.name == self.environment)

    @property
    def is_loose(self) -> bool:
        """Whether a solver has to decide about some of its packages."""
        return any(package.is_loose for packages in self.packages.values() for package in packages)


def make_target(history: History, ref: ImageRef, wish: Wish, catalogue: Catalogue, here: Platform) -> Target:
    """Decide what the list becomes.

    Raises UsageError for a wish that makes no sense for it, DocumentError where the list is not what the image needs.
    """
    if wish.theirs is not None and not history.environments:
        raise UsageError(
            f"{history.origin} is of one environment that has no name, not of {wish.theirs!r}",
            hint=f"leave ={wish.theirs} out",
        )
    theirs = history.choose_environment(
        wish.theirs or (wish.environment if wish.environment in history.environments else None)
    )
    if (catalogue.root / "envs" / f"{ref.image}.yaml").is_file():
        return _declared(history, ref, wish, catalogue, theirs)
    platform = history.choose_platform(wish.platform, here)
    packages = {platform.subdir: history.select(theirs, platform)}
    channels = channel_names(wish.channels or history.channels)
    name = wish.environment or _named(history.name) or (_named(theirs) if theirs not in {"default", "main"} else "")
    known = channels or channel_names(_channels_of(packages[platform.subdir]))
    declared = _made(name or _UNNAMED, packages[platform.subdir], known, platform, wish)
    return Target(ref, declared, declared.environments[0].name, is_declared=False, channels=channels, packages=packages)


def _declared(history: History, ref: ImageRef, wish: Wish, catalogue: Catalogue, theirs: str) -> Target:
    for option, value in (("--prefix", wish.prefix), ("--base", wish.base)):
        if value is not None:
            raise UsageError(
                f"{option} makes no sense here: envs/{ref.image}.yaml declares the image",
                hint=f"leave it out, or import as an image that is not declared: IMAGE:{ref.tag}",
            )
    declared = catalogue.declared(ref.image)
    if wish.skip_link_scripts:
        raise UsageError(
            f"--skip-link-scripts makes no sense here: envs/{ref.image}.yaml declares the image",
            hint="declare skip_link_scripts there, or where its payload is declared",
        )
    environment = _chosen(declared, wish.environment, ref)
    if wish.platform is not None and declared.platforms != (wish.platform.subdir,):
        raise UsageError(
            f"envs/{ref.image}.yaml is for {', '.join(declared.platforms)}, and --platform says {wish.platform}",
            hint="leave --platform out",
        )
    if len(declared.platforms) > 1 and not history.platforms:
        raise DocumentError(
            f"{history.origin}: does not say for which platform it is, and envs/{ref.image}.yaml is for "
            f"{' and '.join(declared.platforms)}",
            hint="import it as an image that is not declared, or declare one platform",
        )
    packages = {name: history.select(theirs, Platform(name)) for name in declared.platforms}
    channels = channel_names(wish.channels or history.channels or environment.channels)
    return Target(ref, declared, environment.name, is_declared=True, channels=channels, packages=packages)


def _chosen(declared: Declared, named: str | None, ref: ImageRef) -> DeclaredEnvironment:
    by_name = {environment.name: environment for environment in declared.environments}
    if named is None and len(declared.payloads) == 1:
        return declared.payloads[0]
    if named in by_name:
        return by_name[named]
    raise UsageError(
        f"{ref.image} has no environment {named!r}" if named else f"{ref.image} has {len(declared.payloads)} payloads",
        hint=f"say which one the list is of, with --environment: {', '.join(by_name)}",
    )


def _named(text: str) -> str:
    """A name made of what a list calls its environment, "" where nothing is left of it."""
    name = re.sub(r"[^a-z0-9._-]+", "-", text.lower())
    name = re.sub(r"[._-]*([._-])", r"\1", name).strip("._-")
    return name if is_name(name) else ""


def _channels_of(packages: Sequence[Remembered]) -> Sequence[str]:
    """The channels that packages come from, the one of most first."""
    counts = Counter(package.channel for package in packages if package.channel)
    return sorted(counts, key=lambda channel: (-counts[channel], channel))


def _made(
    name: str, packages: Sequence[Remembered], channels: Sequence[str], platform: Platform, wish: Wish
) -> Declared:
    """An image of one environment on a base: no lab, no kernels, nothing that joins it with others."""
    loose = any(package.is_loose for package in packages)
    asked = [package for package in packages if loose and not package.why]
    try:
        environment = DeclaredEnvironment(
            name=name, role="environment", prefix=wish.prefix or f"{PAYLOAD_PREFIXES}/{name}", channels=tuple(channels),
            dependencies=tuple(_spec(package) for package in asked if package.manager == "conda"),
            pip=tuple(_requirement(package) for package in asked if package.manager == "pip"),
        )  # fmt: skip
        declared = Declared.model_validate(
            {
                "base": wish.base or BASE, "platforms": [platform.subdir], "tags": "rsp", "launch": {},
                "compression": {}, "environments": [environment],
            }
        )  # fmt: skip
    except ValidationError as error:
        fault = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(str(part) for part in fault["loc"] if isinstance(part, str))
        option = {"name": "--environment", "prefix": "--prefix", "base": "--base", "channels": "--channel"}
        said = fault["msg"].removeprefix("Value error, ")
        raise UsageError(f"{option.get(place, place)}: {said}", hint="peel import --help") from None
    refuse_contradictions(declared, "--channel")
    return declared


def _spec(package: Remembered) -> str:
    """A package as conda-lock takes it: what the list asks for, or the very build it names."""
    spec = package.spec or f"{package.name} =={package.version} {package.build}"
    return spec if "::" in spec or not package.channel else f"{package.channel}::{spec}"


def _requirement(package: Remembered) -> str:
    if package.url:
        return f"{package.name} @ {package.url}"
    return package.spec or f"{package.name}=={package.version}"
