"""Declarations on disk: what lies under ``envs/``, read strictly and never from outside of the catalogue."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeVar

from pydantic import BaseModel

from peel.errors import DocumentError
from peel.model.declaration import EnvironmentSpec, PipSection
from peel.model.declared import Attachment, Declared, Role
from peel.model.dockerfile import parse_dockerfile
from peel.model.payloads import (
    KINDS,
    CondaPayload,
    DockerfilePayload,
    DockerfileRecipe,
    ImagePayload,
    ImageRecipe,
    PayloadDeclaration,
    PipPayload,
    PipRecipe,
    Recipe,
    ScriptPayload,
    ScriptRecipe,
)
from peel.model.resolve import PAYLOAD_PREFIXES, PayloadSource
from peel.model.values import Digest, Platform
from peel.store.documents import load, parse_plain, read_text

MOST_ATTACHED: Final = 4 << 20
"""How long, in bytes, a file or a context may be that a lock set keeps: more belongs into a package or an input."""

_T = TypeVar("_T", bound=BaseModel)


@dataclass(frozen=True, slots=True)
class Envs:
    """The declarations of the catalogue in ``root``."""

    root: Path

    def inside(self, origin: str) -> Path:
        """Where this document lies. Raises DocumentError for one outside: a catalogue may be a stranger's."""
        path = self.root / origin
        if not Path(os.path.realpath(path)).is_relative_to(os.path.realpath(self.root)):  # resolve() trips over loops
            raise DocumentError(f"{origin}: a link leads out of the catalogue", hint="put the file itself there")
        return path

    def load(self, origin: str, model: type[_T]) -> _T:
        """A document of the catalogue. Raises DocumentError naming file, line and key."""
        return load(self.inside(origin), model, origin=origin)

    def environment(self, place: str) -> EnvironmentSpec:
        """A conda environment file beneath ``envs/``."""
        return self.load(f"envs/{place}", EnvironmentSpec)

    def payload(self, name: str, *, base: str, platforms: Sequence[str]) -> PayloadSource:
        """A payload's declaration and all that it names, for an image on this base.

        Raises DocumentError naming file, line and key.
        """
        origin = f"envs/{name}/payload.yaml"
        declaration = self._declaration(origin)
        attached = {role: self._attachment(name, file, role) for role, file in _named(declaration).items()}
        match declaration:
            case CondaPayload():
                return PayloadSource(declaration, self.environment(f"{name}/{declaration.environment}"), None, attached)
            case PipPayload():
                spec, recipe = self._pip(name, declaration, platforms)
                return PayloadSource(declaration, spec, recipe, attached)
            case DockerfilePayload():
                text = self._bytes(name, declaration.dockerfile).decode("utf-8", "replace")
                parse_dockerfile(text, base, f"envs/{name}/{declaration.dockerfile}")
                if declaration.context is not None:
                    attached["context"] = _attach(declaration.context, self._context(name, declaration.context))
        return PayloadSource(declaration, None, _recipe(name, declaration), attached)

    def _declaration(self, origin: str) -> PayloadDeclaration:
        text = read_text(self.inside(origin), origin=origin, hint="a payload is a directory with a payload.yaml")
        document = parse_plain(text, origin)
        kind = document.get("kind") if isinstance(document, Mapping) else None
        return self.load(origin, KINDS.get(str(kind), PayloadDeclaration))

    def attached(self, declared: Declared) -> Mapping[str, bytes]:
        """The contents of the files that payloads bring, by sha256.

        Raises DocumentError for one that is missing, too large, or another than when it was declared.
        """
        found = {}
        for environment in declared.environments:
            for role, attachment in environment.attached.items():
                read: Callable[[str, str], bytes] = self._context if role == "context" else self._bytes
                data = read(environment.name, attachment.name)
                if Digest.of(data).hex != attachment.sha256:
                    raise DocumentError(f"envs/{environment.name}/{attachment.name}: was changed meanwhile")
                found[attachment.sha256] = data
        return found

    def _attachment(self, payload: str, file: str, role: Role) -> Attachment:
        data = self._bytes(payload, file)
        if role == "launcher" and not data.startswith(b"#!"):
            raise DocumentError(f"envs/{payload}/{file}: should begin with #! and what runs it")
        return _attach(file, data)

    def _bytes(self, payload: str, file: str) -> bytes:
        origin = f"envs/{payload}/{file}"
        path = self.inside(origin)
        if not path.is_file():
            raise DocumentError(f"envs/{payload}/payload.yaml: {origin}: no such file")
        if path.stat().st_size > MOST_ATTACHED:
            raise DocumentError(
                f"{origin}: is larger than {MOST_ATTACHED >> 20} MiB", hint="make a package or an input of it"
            )
        try:
            data = path.read_bytes()
        except OSError as error:
            raise DocumentError(f"{origin}: cannot be read: {error.strerror}") from None
        if not data.strip():
            raise DocumentError(f"{origin}: is empty")
        return data

    def _pip(self, name: str, declaration: PipPayload, platforms: Sequence[str]) -> tuple[EnvironmentSpec, PipRecipe]:
        def read(file: str) -> str:
            return self._bytes(name, file.removeprefix(f"envs/{name}/")).decode("utf-8", "replace")

        from peel.model.requirements import marker_environment, read_requirements  # noqa: PLC0415 - packaging is slow

        origin = f"envs/{name}/{declaration.requirements}"
        machines = {platform: Platform(platform).machine for platform in platforms}
        asked = {
            platform: read_requirements(origin, read, marker_environment(declaration.python, machine))
            for platform, machine in machines.items()
        }
        found = next(iter(asked.values()))
        if any(other.requirements != found.requirements for other in asked.values()):
            raise DocumentError(
                f"{origin}: asks for other packages on other platforms",
                hint="take out the markers of machines, or lock the platforms as images of their own",
            )
        indexes = (*declaration.index, *found.indexes)
        # a requirements file seldom names what a kernel starts with
        kernel = () if found.names("ipykernel") else ("ipykernel",)
        python = f"python {declaration.python}.*"
        spec = EnvironmentSpec.model_validate({
            "channels": declaration.channels,
            "dependencies": (python, "pip", *kernel, PipSection(pip=found.requirements)),
            "pip-repositories": indexes,
            "allow-pypi-requests": not (declaration.index or found.only),
        })  # fmt: skip
        return spec, PipRecipe(kind="pip", hashes=dict(found.hashes), constraints=found.constraints)

    def _context(self, payload: str, directory: str) -> bytes:
        """A build context, packed. Raises DocumentError for a bad one."""
        from peel.store.context import pack  # noqa: PLC0415 - few payloads have one, and tarfile is slow to load

        origin = f"envs/{payload}/{directory}"
        root = self.inside(origin)
        if not root.is_dir():
            raise DocumentError(f"envs/{payload}/payload.yaml: context: {origin}: no such directory")
        return pack(root, origin, MOST_ATTACHED)


def _named(declaration: PayloadDeclaration) -> Mapping[Role, str]:
    """The files that a payload's declaration names, by what they are for."""
    named: dict[Role, str | None] = {
        "logo": declaration.kernel.logo, "launcher": declaration.kernel.launcher, "setup": declaration.setup,
    }  # fmt: skip
    if isinstance(declaration, ScriptPayload):
        named["script"] = declaration.script
    if isinstance(declaration, DockerfilePayload):
        named["dockerfile"] = declaration.dockerfile
    return {role: name for role, name in named.items() if name is not None}


def _recipe(name: str, declaration: PayloadDeclaration) -> Recipe | None:
    match declaration:
        case ScriptPayload():
            return ScriptRecipe(
                kind="script", arguments=declaration.arguments, inputs=declaration.inputs,
                network=declaration.network, timeout=declaration.timeout, writes=declaration.writes,
            )  # fmt: skip
        case DockerfilePayload():
            return DockerfileRecipe(
                kind="dockerfile", network=declaration.network, timeout=declaration.timeout, writes=declaration.writes
            )
        case ImagePayload():
            prefix = declaration.prefix or f"{PAYLOAD_PREFIXES}/{name}"
            return ImageRecipe(kind="image", image=declaration.image, directory=declaration.directory or prefix)
        case _:
            return None


def _attach(name: str, data: bytes) -> Attachment:
    return Attachment(name=name, sha256=Digest.of(data).hex, size=len(data))
