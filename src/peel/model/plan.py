"""The plan: a lock set, decided and ordered. It has a digest, and nothing else influences the image."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, assert_never

from peel.errors import DocumentError
from peel.model.declared import DeclaredEnvironment
from peel.model.entry import Entry
from peel.model.glue import make_glue
from peel.model.lockset import Formats, LockedCompression, LockSet, Package
from peel.model.oci import ImageSettings
from peel.model.values import Digest, ImageRef, Platform, PythonVersion, canonical_json

PLAN: Final = 1
"""Raised whenever the same lock set would come to mean another image."""


@dataclass(frozen=True, slots=True)
class BasePin:
    """The base image, its manifest pinned by digest."""

    reference: str
    digest: Digest

    @property
    def pinned(self) -> str:
        """The reference by digest alone, as registries serve it."""
        name = self.reference.partition("@")[0]
        head, slash, last = name.rpartition("/")
        return f"{head}{slash}{last.partition(':')[0]}@{self.digest}"


@dataclass(frozen=True, slots=True)
class Interpreter:
    """The Python that compiles an environment's bytecode, with the packages it needs to run."""

    version: PythonVersion
    package: Package
    closure: tuple[Package, ...]


@dataclass(frozen=True, slots=True)
class EnvironmentLayer:
    """A layer of packages linked for one prefix."""

    environment: str
    group: str
    prefix: str
    interpreter: Interpreter | None
    packages: tuple[Package, ...]

    @property
    def contents(self) -> str:
        """What people call it."""
        if self.group == self.packages[0].name:
            return f"{self.environment}: {self.packages[0].name} {self.packages[0].version}"
        names = ", ".join(package.name for package in self.packages[:3])
        more = f" and {len(self.packages) - 3} more" if len(self.packages) > 3 else ""
        return f"{self.environment}: {names}{more}"


@dataclass(frozen=True, slots=True)
class GlueLayer:
    """The files that join lab and payloads: kernels, start scripts, links."""

    entries: tuple[Entry, ...]

    @property
    def contents(self) -> str:
        """What people call it."""
        return "glue: kernels, start scripts, links"


LayerStep = EnvironmentLayer | GlueLayer


@dataclass(frozen=True, slots=True)
class Plan:
    """All that a build performs, in order."""

    ref: ImageRef
    platform: Platform
    epoch: int
    formats: Formats
    compression: LockedCompression
    base: BasePin
    layers: tuple[LayerStep, ...]
    settings: ImageSettings
    """How a container of the image starts, where that is not as the base has it."""
    kernels: tuple[tuple[str, str], ...]
    """Payloads and the names of their kernels. What is written of them is in the glue; these are for checks."""

    @property
    def digest(self) -> Digest:
        """The plan's identity. Content counts; where it came from does not."""
        return Digest.of(
            canonical_json(
                {
                    "plan": self.formats.plan,
                    "image": str(self.ref),
                    "platform": self.platform.subdir,
                    "epoch": self.epoch,
                    "base": [self.base.reference, str(self.base.digest)],
                    "layers": [[step.contents, str(layer_key(step, self))] for step in self.layers],
                    "settings": self.settings.as_json(),
                }
            )
        )


def make_plan(locks: LockSet, platform: Platform) -> Plan:
    """Decide everything about the image of one platform.

    Raises DocumentError when the lock does not hold the platform.
    """
    lock = locks.lock
    if platform.subdir not in lock.base:
        raise DocumentError(
            f"{locks.ref} is not locked for {platform}", hint=f"locked platforms: {', '.join(sorted(lock.base))}"
        )
    steps: list[LayerStep] = []
    pythons: dict[str, PythonVersion | None] = {}
    for environment in lock.declared.environments:
        interpreter = find_interpreter(locks.packages(platform, environment.name))
        pythons[environment.name] = interpreter.version if interpreter else None
        steps.extend(_environment_layers(locks, platform, environment, interpreter))
    glue = make_glue(lock.declared, pythons)
    return Plan(
        ref=locks.ref, platform=platform, epoch=lock.epoch, formats=lock.formats, compression=lock.compression,
        base=BasePin(lock.declared.base, Digest(lock.base[platform.subdir].digest)),
        layers=(*steps, GlueLayer(glue.entries)), settings=glue.settings,
        kernels=tuple((payload.name, payload.kernel.name) for payload in lock.declared.payloads if payload.kernel),
    )  # fmt: skip


def _environment_layers(
    locks: LockSet, platform: Platform, environment: DeclaredEnvironment, interpreter: Interpreter | None
) -> Sequence[EnvironmentLayer]:
    return [
        EnvironmentLayer(environment.name, group.name, environment.prefix, interpreter, group.packages)
        for group in locks.groups[platform.subdir, environment.name]
    ]


def find_interpreter(packages: Sequence[Package]) -> Interpreter | None:
    """The environment's Python and everything it depends on, or None where there is no Python."""
    by_name = {package.name: package for package in packages if package.manager == "conda"}
    if "python" not in by_name:
        return None
    wanted, found = ["python"], dict[str, Package]()
    while wanted:
        name = wanted.pop()
        if name in by_name and name not in found:
            found[name] = by_name[name]
            wanted.extend(by_name[name].depends)
    python = by_name["python"]
    closure = tuple(package for package in packages if found.get(package.name) is package)
    return Interpreter(PythonVersion.parse(python.version), python, closure)


def layer_key(step: LayerStep, plan: Plan) -> Digest:
    """The digest of what a layer is made from; equal keys mean equal bytes, in every image and every lock."""
    formats, common = (
        plan.formats,
        {"layer": plan.formats.layer, "compression": plan.compression.model_dump(mode="json")},
    )
    match step:
        case EnvironmentLayer():
            identity = {
                **common,
                "linker": formats.linker,
                "bytecode": formats.bytecode,
                "prefix": step.prefix,
                "platform": plan.platform.subdir,
                "python": step.interpreter.package.digest.hex if step.interpreter else None,
                "packages": [_identity(package) for package in step.packages],
            }
        case GlueLayer():
            identity = {**common, "entries": [_entry_identity(entry) for entry in step.entries]}
        case _:
            assert_never(step)
    return Digest.of(canonical_json(identity))


def _identity(package: Package) -> Any:
    return {"sha256": package.digest.hex, "omit": list(package.omit)} if package.omit else package.digest.hex


def _entry_identity(entry: Entry) -> Any:
    if not isinstance(entry.source, bytes):
        raise TypeError(f"glue is made of bytes, not of files: {entry.path}")
    return [entry.path, entry.kind.value, entry.mode, entry.mtime, Digest.of(entry.source).hex, entry.target]
