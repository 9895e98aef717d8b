"""Packages read for what they hold, each once however often somebody asks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from peel.layers.modes import installed_modes
from peel.layers.wheel_facts import installed_wheel_modes
from peel.model.condalock import CondaLockPackage
from peel.model.progress import Progress
from peel.model.values import PythonVersion
from peel.store.store import Store
from peel.workflow.fetching import Sources
from peel.workflow.inspect import Inspected, read_packages

_Known = dict[tuple[str, str | None, PythonVersion | None], Inspected]


@dataclass(frozen=True, slots=True)
class PackageReader:
    """Reads archives from the store, where they are had from archives or the network if they are missing."""

    store: Store
    sources: Sources
    progress: Progress
    _known: _Known = field(default_factory=dict)
    """By URL, sha256 and Python: what was read."""

    def read(self, packages: Sequence[CondaLockPackage], python: PythonVersion | None) -> Sequence[Inspected]:
        """These packages as they are with this Python, in order. Raises ArtifactError for all that fail, at once."""
        missing = [package for package in packages if _key(package, python) not in self._known]
        for found in read_packages(missing, python, self.store, self.sources, self.progress):
            self._known[_key(found.package, python)] = found
        return [self._known[_key(package, python)] for package in packages]

    def modes(self, item: Inspected, python: PythonVersion | None) -> Mapping[str, int]:
        """The modes of a package's files, by path."""
        archive, name = self.store.blobs.path(item.digest), item.package.file_name
        if item.package.manager == "conda":
            return installed_modes(archive, name, python)
        return installed_wheel_modes(archive, name, python) if python else {}


def _key(package: CondaLockPackage, python: PythonVersion | None) -> tuple[str, str | None, PythonVersion | None]:
    return package.url, package.hash.sha256, python
