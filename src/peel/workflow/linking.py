"""Packages linked for one prefix: what is staged, what each brings into a layer, and which of its sources are compiled.

A process that links imports this module and little else.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

from peel.errors import DocumentError
from peel.layers import bytecode
from peel.layers.bytecode import Compiled
from peel.layers.link import link_conda
from peel.layers.wheel import link_wheel
from peel.model.entry import Entry, Kind
from peel.model.locked import Package
from peel.model.paths import is_covered
from peel.model.plan import EnvironmentLayer, Interpreter, PatchedPrefix
from peel.model.values import PythonVersion


@dataclass(frozen=True, slots=True)
class Installation:
    """Packages that go to one prefix together, and the Python that compiles what they bring.

    All paths are relative to the prefix. ``kept`` files are not brought, nor is what lies beneath ``kept`` directories.
    ``restored`` are packages, by file name, that bring these paths of theirs alone, and their record.
    """

    environment: str
    prefix: str
    python: PythonVersion | None
    interpreter: Interpreter | None
    packages: tuple[Package, ...]
    kept: frozenset[str] = frozenset()
    restored: Mapping[str, frozenset[str]] = field(default_factory=dict)

    @property
    def staged(self) -> Mapping[str, Package]:
        """All that must be linked, by file name: the packages, and what the Python needs to run."""
        closure = self.interpreter.closure if self.interpreter else ()
        return {package.file_name: package for package in (*self.packages, *closure)}

    def bring(self, package: Package, linked: Sequence[Entry]) -> Sequence[Entry]:
        """What a linked package brings, without bytecode."""
        root = f"{self.prefix.strip('/')}/"
        wanted = self.restored.get(package.file_name)
        if wanted is None and not self.kept:
            return linked
        paths = {entry.path for entry in linked if self._is_brought(entry.path.removeprefix(root), package, wanted)}
        return list(_without_others(linked, paths))

    def _is_brought(self, path: str, package: Package, wanted: Collection[str] | None) -> bool:
        if wanted is not None and path not in wanted:
            return _is_record(path, package)
        return not is_covered(path, self.kept)


def installation_of(steps: Sequence[EnvironmentLayer]) -> Installation:
    """What goes into these layers of one environment."""
    first = steps[0]
    python = first.interpreter.version if first.interpreter else None
    packages = tuple(package for step in steps for package in step.packages)
    return Installation(first.environment, first.prefix, python, first.interpreter, packages)


def installation_for(patched: PatchedPrefix) -> Installation:
    """What a patch layer brings to one prefix. Where it only removes, no Python is staged."""
    change = patched.change
    packages = (*change.added, *(package for package, _ in change.restored))
    return Installation(
        change.environment, patched.prefix, patched.python, patched.interpreter if packages else None, packages,
        kept=frozenset(change.kept),
        restored={package.file_name: frozenset(paths) for package, paths in change.restored},
    )  # fmt: skip


def _is_record(path: str, package: Package) -> bool:
    """Whether this file says what is installed: what stays of a package is then told rightly."""
    if package.manager == "conda":
        return path.startswith("conda-meta/")
    return path.endswith(".dist-info/RECORD")


def _without_others(linked: Sequence[Entry], paths: Collection[str]) -> Iterator[Entry]:
    """The entries of these paths. Where a hard-linked file is left out, the first of its other names becomes it."""
    left_out = {entry.path: entry for entry in linked if entry.kind is Kind.FILE and entry.path not in paths}
    leaders: dict[str, str] = {}
    for entry in linked:
        if entry.path not in paths:
            continue
        if entry.kind is Kind.HARDLINK and entry.target in left_out:
            leader = leaders.setdefault(entry.target, entry.path)
            is_first = leader == entry.path
            yield replace(left_out[entry.target], path=leader) if is_first else replace(entry, target=leader)
        else:
            yield entry


@dataclass(frozen=True, slots=True)
class Installed:
    """An installation, done: by file name what each package brings, and the bytecode of it."""

    installation: Installation
    brought: Mapping[str, Sequence[Entry]]
    compiled: Compiled

    def entries(self, packages: Iterable[Package]) -> Iterator[Entry]:
        """What these packages bring into a layer, their bytecode included."""
        installation = self.installation
        for package in packages:
            owned = self.brought[package.file_name]
            yield from owned
            if installation.interpreter:
                yield from bytecode.entries(self.compiled, owned, installation.prefix, installation.interpreter.version)

    def patch_entries(self, gone: Iterable[str]) -> Iterator[Entry]:
        """What a patch layer does to the prefix: all that is brought, and a whiteout for all that is gone.

        Bytecode of lower layers names no mtime to check, so that where a new source does not compile the old one's
        would be taken for it: it goes, too.
        """
        root = self.installation.prefix.strip("/")
        yield from self.entries(self.installation.packages)
        python = self.installation.interpreter.version if self.installation.interpreter else None
        stale = {bytecode.pyc_path(path, python) for path in self.compiled.refused} if python else set()
        for path in sorted({*gone, *stale}):
            yield Entry(f"{root}/{path}", Kind.WHITEOUT)


def link_package(
    package: Package, archive: Path, prefix: str, python: PythonVersion | None, stage: Path
) -> tuple[Entry, ...]:
    """Link one package, whatever it is, into a stage. Raises ArtifactError, or DocumentError for a homeless wheel."""
    if package.manager == "conda":
        link: Callable[..., tuple[Entry, ...]] = partial(link_conda, python=python)
    elif python is not None:
        link = partial(link_wheel, python=python)
    else:
        raise DocumentError(f"{package.file_name} is a wheel, but its environment has no python")
    return link(
        archive,
        name=package.name,
        version=package.version,
        file_name=package.file_name,
        digest=package.digest,
        prefix=prefix,
        stage=stage,
        omit=frozenset(package.omit),
    )
