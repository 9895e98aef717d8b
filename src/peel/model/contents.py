"""What an image or a lock set consists of, as far as two of them are compared."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from peel.model.declared import Declared
from peel.model.oci import ImageSettings
from peel.model.secrets import redact

Manager = Literal["conda", "pip", "dpkg", "rpm"]

_OUR_LABELS: Final = ("org.opencontainers.image.", "io.peel-images.")
"""What labels of an image's own identity begin with: they tell two images apart, and nothing else."""


@dataclass(frozen=True, slots=True, order=True)
class Present:
    """A package that is there. A system package's ``build`` is its architecture; a wheel has none.

    ``sha256`` is its archive's, in hexadecimal, "" where that is not known.
    """

    name: str
    version: str
    build: str = ""
    manager: Manager = "conda"
    sha256: str = ""

    @property
    def text(self) -> str:
        """``VERSION BUILD``."""
        return f"{self.version} {self.build}".rstrip()


@dataclass(frozen=True, slots=True)
class EnvironmentContents:
    """An environment; of an image its name is its prefix."""

    name: str
    prefix: str
    packages: tuple[Present, ...]


@dataclass(frozen=True, slots=True)
class LayerContents:
    """A layer. Two are the same if they share a name: a blob's digest, a layer key, a place in a base.

    ``size`` is the blob's, in bytes, None where that is not known.
    """

    names: frozenset[str]
    size: int | None
    contents: str


@dataclass(frozen=True, slots=True)
class BaseContents:
    """The base that something was built on; ``reference`` is "" where nobody says it."""

    reference: str
    digest: str

    @property
    def text(self) -> str:
        """``REFERENCE@DIGEST``."""
        return f"{self.reference.partition('@')[0]}@{self.digest}"


@dataclass(frozen=True, slots=True)
class Contents:
    """One side of a comparison; None where something cannot be known.

    ``launch`` is what a lock set declares, ``config`` what an image's config says, or would as far as that is known
    (``config_whole``). ``files`` maps paths that patches touch to what became of them. ``unknown`` says why things are
    not known, a sentence each.
    """

    name: str
    environments: tuple[EnvironmentContents, ...]
    base: BaseContents | None = None
    system: tuple[Present, ...] | None = None
    launch: Mapping[str, str] | None = None
    config: Mapping[str, str] = field(default_factory=dict)
    config_whole: bool = True
    layers: tuple[LayerContents, ...] | None = ()
    files: Mapping[str, str] = field(default_factory=dict)
    unknown: tuple[str, ...] = ()


def flatten_settings(settings: ImageSettings) -> Mapping[str, str]:
    """An image's settings, a line each, by what OCI calls them; without credentials, and labels of identity."""
    texts = {
        **{f"Env {name}": value for name, value in settings.env},
        "Cmd": _words(settings.cmd),
        "Entrypoint": _words(settings.entrypoint),
        "User": settings.user,
        "WorkingDir": settings.working_dir,
        "StopSignal": settings.stop_signal,
        "ExposedPorts": _words(settings.exposed_ports),
        "Volumes": _words(settings.volumes),
        **{f"Label {name}": text for name, text in settings.labels if not name.startswith(_OUR_LABELS)},
    }
    return {key: redact(text) for key, text in texts.items() if text}


def _words(words: tuple[str, ...] | None) -> str:
    return " ".join(word if word and " " not in word else repr(word) for word in words or ())


def flatten_declared(declared: Declared) -> Mapping[str, str]:
    """How a lock set's image starts its lab and its kernels, a line each, by what declarations call it."""
    document = declared.model_dump(mode="json")
    kept = {
        "launch": document["launch"],
        "links": document["links"],
        **{
            environment["name"]: {key: environment[key] for key in ("variables", "kernel", "menu")}
            for environment in document["environments"]
        },
    }
    return {key: redact(text) for key, text in _flatten("", kept)}


def _flatten(place: str, value: Any) -> Iterator[tuple[str, str]]:
    """Every leaf with its place; what is empty says nothing."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from _flatten(f"{place}.{key}" if place else key, inner)
    elif isinstance(value, list):
        if value:
            yield place, _words(tuple(map(str, value)))
    elif value is not None and value != "":
        yield place, str(value)
