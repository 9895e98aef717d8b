"""Joining declarations: an image's with those of its environments."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

from peel.errors import DocumentError
from peel.model.declaration import (
    EnvironmentSpec,
    ImageDeclaration,
    LabDeclaration,
    PipSection,
)
from peel.model.declared import Attachment, Declared, DeclaredEnvironment, Role, refuse_contradictions
from peel.model.glue.compat import KERNEL, needs_kernel
from peel.model.payloads import CondaPayload, PayloadDeclaration, PipPayload, Recipe
from peel.model.reserved import refuse_reserved

LAB: Final = "lab"
PAYLOAD_PREFIXES: Final = "/opt/peel/envs"


@dataclass(frozen=True, slots=True)
class PayloadSource:
    """What lies in a payload's directory, read.

    ``spec`` is None for what is captured; ``attached`` are the files that it brings, by what they are for.
    """

    declaration: PayloadDeclaration
    spec: EnvironmentSpec | None
    recipe: Recipe | None = None
    attached: Mapping[Role, Attachment] = field(default_factory=dict)


def resolve(
    image: ImageDeclaration, lab: EnvironmentSpec, payloads: Mapping[str, PayloadSource], *, origin: str
) -> Declared:
    """Join an image's declaration with those of its environments, ``payloads`` in the order of the image.

    Raises DocumentError for names, prefixes or kernels that stand twice, prefixes inside each other, credentials
    written into a channel, variables that spawners set, and links to a kernel that is not declared.
    """
    terminal = _terminal_of(payloads, origin)
    environments = (
        _lab(image.lab, lab),
        *(_payload(name, source, terminal=name == terminal) for name, source in payloads.items()),
    )
    declared = Declared(
        base=image.base, platforms=image.platforms, tags=image.tags, launch=image.launch, compat=image.compat,
        links=image.links, compression=image.compression, environments=environments,
    )  # fmt: skip
    refuse_contradictions(declared, origin)
    _refuse_lost_links(declared, origin)
    refuse_reserved("launch", image.launch.variables, origin)
    for environment in environments:
        refuse_reserved(environment.name, environment.variables, origin)
    return declared


def _terminal_of(payloads: Mapping[str, PayloadSource], origin: str) -> str | None:
    """The payload whose environment terminals enter: the one that says so, else the first that does not refuse."""
    asking = [name for name, source in payloads.items() if source.declaration.terminal]
    if len(asking) > 1:
        raise DocumentError(
            f"{origin}: terminals cannot enter both {asking[0]!r} and {asking[1]!r}",
            hint="let one payload say terminal: true",
        )
    willing = [name for name, source in payloads.items() if source.declaration.terminal is None]
    return next(iter([*asking, *willing]), None)


def _lab(declaration: LabDeclaration, spec: EnvironmentSpec) -> DeclaredEnvironment:
    dependencies, pip = _parted(spec)
    return DeclaredEnvironment(
        name=LAB, role="lab", prefix=declaration.prefix,
        channels=spec.channels, dependencies=dependencies, pip=pip, pip_repositories=spec.pip_repositories,
        allow_pypi_requests=spec.allow_pypi_requests, variables=declaration.variables, clobber=declaration.clobber,
        skip_link_scripts=declaration.skip_link_scripts,
    )  # fmt: skip


def _payload(name: str, source: PayloadSource, *, terminal: bool) -> DeclaredEnvironment:
    declaration, spec = source.declaration, source.spec
    if declaration.kernel.language != "python" and declaration.kernel.launcher is None:
        raise DocumentError(
            f"envs/{name}/payload.yaml: kernel.language: the launcher that is made starts ipykernel, which runs python",
            hint="write a launcher for this language and name it under kernel.launcher",
        )
    declared = DeclaredEnvironment(
        name=name, role="payload", prefix=declaration.prefix or f"{PAYLOAD_PREFIXES}/{name}",
        kind=declaration.kind, recipe=source.recipe, channels=(), dependencies=(),
        kernel=declaration.kernel, attached=dict(source.attached), terminal=terminal, tags=declaration.tags,
        menu=declaration.menu, variables=declaration.variables,
    )  # fmt: skip
    if spec is None or not isinstance(declaration, CondaPayload | PipPayload):
        return declared
    dependencies, pip = _parted(spec)
    packaged = {
        "channels": spec.channels, "dependencies": dependencies, "pip": pip,
        "pip_repositories": spec.pip_repositories, "allow_pypi_requests": spec.allow_pypi_requests,
        "clobber": declaration.clobber, "skip_link_scripts": declaration.skip_link_scripts,
    }  # fmt: skip
    return declared.model_copy(update=packaged)


def _parted(spec: EnvironmentSpec) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Conda's dependencies and pip's."""
    pip = (text for item in spec.dependencies if isinstance(item, PipSection) for text in item.pip)
    return tuple(item for item in spec.dependencies if isinstance(item, str)), tuple(pip)


def _refuse_lost_links(declared: Declared, origin: str) -> None:
    """Links of a compat set may lead to a kernel, which has to be there; and no path may be a link twice."""
    kernels = [payload.kernel.name for payload in declared.payloads if payload.kernel]
    for name in declared.compat:
        if needs_kernel(name) and KERNEL not in kernels:
            raise DocumentError(
                f"{origin}: compat: {name} has links to the kernel {KERNEL!r}, which no payload has",
                hint=f"name a payload's kernel {KERNEL!r}, or take compat: [nublado], which has the start path alone",
            )
    _refuse_twice(declared.compat, f"{origin}: compat")


def _refuse_twice(names: Iterable[str], where: str) -> None:
    seen = set[str]()
    for name in names:
        if name in seen:
            raise DocumentError(f"{where}: {name} stands twice")
        seen.add(name)
