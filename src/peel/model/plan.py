"""The plan: a lock set, decided and ordered. It has a digest, and nothing else influences the image."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, assert_never

from peel.errors import DocumentError
from peel.model.declared import DeclaredEnvironment
from peel.model.entry import Entry, Kind, file_of_bytes
from peel.model.glue import Glue, make_glue
from peel.model.locked import EnvironmentPatch, FilePatch, LockSet, Package
from peel.model.lockset import Formats, LockedCompression, MadeFrom
from peel.model.oci import ImageSettings
from peel.model.payloads import DockerfileRecipe, ScriptRecipe
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
class CapturedLayer:
    """The layer of an environment whose files were taken as they are, when it was locked.

    ``blob`` has ``size`` bytes. ``declared`` and ``files`` (by sha256) are what it was made with, ``source`` the
    manifest's digest where that was an image.
    """

    environment: str
    prefix: str
    kind: str
    diff_id: Digest
    blob: Digest
    size: int
    python: str
    source: str
    declared: DeclaredEnvironment
    files: Mapping[str, bytes]

    @property
    def contents(self) -> str:
        """What people call it."""
        return f"{self.environment}: captured from {_ARTICLES[self.kind]}"

    @property
    def is_remade(self) -> bool:
        """Whether it can be made again from what is locked, and is the same then: what ran had no network."""
        return isinstance(self.declared.recipe, ScriptRecipe | DockerfileRecipe) and not self.declared.recipe.network


_ARTICLES: Final = {"script": "a script", "dockerfile": "a Dockerfile", "image": "an image"}


@dataclass(frozen=True, slots=True)
class GlueLayer:
    """The files that join lab and payloads: kernels, start scripts, links."""

    entries: tuple[Entry, ...]

    @property
    def contents(self) -> str:
        """What people call it."""
        return "glue: kernels, start scripts, links"


@dataclass(frozen=True, slots=True)
class PatchedPrefix:
    """What a patch layer does to one environment: its change, where, and the Python that compiles what was added.

    ``python`` is the one that ``noarch`` packages are linked for. Without an ``interpreter`` nothing is compiled.
    """

    change: EnvironmentPatch
    prefix: str
    python: PythonVersion | None
    interpreter: Interpreter | None


@dataclass(frozen=True, slots=True)
class PatchLayer:
    """A layer on top of a historical image. It says itself with what it is written: it may be younger than the rest."""

    name: str
    formats: Formats
    compression: LockedCompression
    prefixes: tuple[PatchedPrefix, ...]
    entries: tuple[Entry, ...]
    """The files that it brings or removes beside the packages."""

    @property
    def contents(self) -> str:
        """What people call it."""
        return f"patch: {self.name}"


LayerStep = EnvironmentLayer | CapturedLayer | GlueLayer | PatchLayer


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
    made_from: str = ""
    """The image that patches were put upon, by address and digest; it becomes a label."""

    @property
    def is_base(self) -> bool:
        """Whether the image is the base itself, to the byte: an imported one that nothing was put upon."""
        return not self.layers

    @property
    def digest(self) -> Digest:
        """The plan's identity. Content counts; where it came from does not."""
        identity = {
            "plan": self.formats.plan,
            "image": str(self.ref),
            "platform": self.platform.subdir,
            "epoch": self.epoch,
            "base": [self.base.reference, str(self.base.digest)],
            "layers": [[step.contents, str(layer_key(step, self))] for step in self.layers],
            "settings": self.settings.as_json(),
        }
        return Digest.of(canonical_json({**identity, "made_from": self.made_from} if self.made_from else identity))


def make_plan(locks: LockSet, platform: Platform) -> Plan:
    """Decide everything about the image of one platform.

    Raises DocumentError when the lock does not hold the platform.
    """
    lock = locks.lock
    if platform.subdir not in lock.base:
        raise DocumentError(
            f"{locks.ref} is not locked for {platform}", hint=f"locked platforms: {', '.join(sorted(lock.base))}"
        )
    interpreters = {e.name: find_interpreter(locks.unpatched(platform, e.name)) for e in lock.declared.environments}
    layers = [
        layer
        for environment in lock.declared.environments
        for layer in _environment_layers(locks, platform, environment, interpreters[environment.name])
    ]
    glue = _glue(locks, interpreters)
    return Plan(
        ref=locks.ref, platform=platform, epoch=lock.epoch, formats=lock.formats, compression=lock.compression,
        base=BasePin(lock.declared.base, Digest(lock.base[platform.subdir].digest)),
        layers=(*layers, *([GlueLayer(glue.entries)] if glue.entries else ()), *_patch_layers(locks, platform)),
        settings=glue.settings,
        kernels=tuple((payload.name, payload.kernel.name) for payload in lock.declared.payloads if payload.kernel),
        made_from=_lineage(lock.made_from, platform),
    )  # fmt: skip


def _glue(locks: LockSet, interpreters: Mapping[str, Interpreter | None]) -> Glue:
    """What joins the environments; nothing where an image was imported, and so never peel's to join."""
    declared = locks.lock.declared
    if not declared.has_lab:
        return Glue((), ImageSettings())
    pythons = {name: found.version if found else None for name, found in interpreters.items()}
    return make_glue(locks.lock.formats.glue, declared, pythons, locks.attached)


def _lineage(made_from: MadeFrom | None, platform: Platform) -> str:
    if made_from is None:
        return ""
    manifest = made_from.manifests.get(platform.subdir)
    return f"{made_from.image}:{made_from.tag}" + (f"@{manifest}" if manifest else "")


def _environment_layers(
    locks: LockSet, platform: Platform, environment: DeclaredEnvironment, interpreter: Interpreter | None
) -> Sequence[EnvironmentLayer | CapturedLayer]:
    if environment.is_captured:
        return [_captured_layer(locks, platform, environment)]
    return [
        EnvironmentLayer(environment.name, group.name, environment.prefix, interpreter, group.packages)
        for group in locks.groups[platform.subdir, environment.name]
    ]


def _captured_layer(locks: LockSet, platform: Platform, environment: DeclaredEnvironment) -> CapturedLayer:
    found = locks.lock.captured[platform.subdir][environment.name]
    return CapturedLayer(
        environment=environment.name, prefix=environment.prefix, kind=environment.kind,
        diff_id=Digest(found.diff_id), blob=Digest(found.digest), size=found.size, python=found.python,
        source=found.source, declared=environment, files=locks.attached,
    )  # fmt: skip


def _patch_layers(locks: LockSet, platform: Platform) -> Iterator[PatchLayer]:
    prefixes = {environment.name: environment.prefix for environment in locks.lock.declared.environments}
    for patch in locks.patches.get(platform.subdir, ()):
        if patch.environments or patch.files:  # of several platforms, a patch may change one only
            changed = tuple(
                _patched_prefix(change, prefixes[change.environment], imported=bool(locks.lock.imported))
                for change in patch.environments
            )
            entries = tuple(sorted((_file(file) for file in patch.files), key=lambda entry: entry.path))
            yield PatchLayer(patch.locked.name, patch.locked.formats, patch.locked.compression, changed, entries)


def _patched_prefix(change: EnvironmentPatch, prefix: str, *, imported: bool) -> PatchedPrefix:
    python = PythonVersion.parse(change.python) if change.python else None
    # what an imported image's Python needs to run is in the image alone, and so not at hand
    interpreter = None if imported else find_interpreter(change.packages)
    return PatchedPrefix(change, prefix, python, interpreter)


def _file(file: FilePatch) -> Entry:
    path = file.path.lstrip("/")
    return Entry(path, Kind.WHITEOUT) if file.data is None else file_of_bytes(path, file.data, mode=file.mode)


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


def compression_of(step: LayerStep, plan: Plan) -> LockedCompression:
    """What compresses a layer: what its patch was locked with, else the image."""
    return step.compression if isinstance(step, PatchLayer) else plan.compression


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
        case CapturedLayer():
            identity = {**common, "captured": str(step.diff_id)}
        case GlueLayer():
            identity = {**common, "entries": [_entry_identity(entry) for entry in step.entries]}
        case PatchLayer():
            identity = {
                "layer": step.formats.layer,
                "compression": step.compression.model_dump(mode="json"),
                "linker": step.formats.linker,
                "bytecode": step.formats.bytecode,
                "platform": plan.platform.subdir,
                "patched": [_prefix_identity(patched) for patched in step.prefixes],
                "entries": [_entry_identity(entry) for entry in step.entries],
            }
        case _:
            assert_never(step)
    return Digest.of(canonical_json(identity))


def _prefix_identity(patched: PatchedPrefix) -> Any:
    change = patched.change
    return {
        "prefix": patched.prefix,
        "python": [change.python, patched.interpreter.package.digest.hex if patched.interpreter else None],
        "added": [_identity(package) for package in change.added],
        "gone": sorted(change.gone),
        "kept": sorted(change.kept),
        "restored": [[_identity(package), sorted(paths)] for package, paths in change.restored],
    }


def _identity(package: Package) -> Any:
    return {"sha256": package.digest.hex, "omit": list(package.omit)} if package.omit else package.digest.hex


def _entry_identity(entry: Entry) -> Any:
    if not isinstance(entry.source, bytes):
        raise TypeError(f"glue is made of bytes, not of files: {entry.path}")
    return [entry.path, entry.kind.value, entry.mode, entry.mtime, Digest.of(entry.source).hex, entry.target]
