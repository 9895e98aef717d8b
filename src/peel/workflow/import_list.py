"""``peel import`` of a list of packages: from what history remembers to a lock set."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from peel.errors import ArtifactError, DocumentError
from peel.model.condalock import CondaLockPackage, Hashes
from peel.model.history.lock_file import Entry, make_lock_document
from peel.model.history.remembered import Format, History, Remembered
from peel.model.lockset import LOCK_FILE, ImageLock, MissingArtifact, environment_lock_file
from peel.model.progress import Progress
from peel.model.secrets import variables_in
from peel.model.values import MTIME_CONSTANT, Platform
from peel.store.archives import Archive
from peel.store.catalogue import Catalogue
from peel.store.documents import to_yaml
from peel.store.store import Store
from peel.tools.conda_lock import CondaLock
from peel.tools.micromamba import Solver
from peel.workflow.fetching import Sources
from peel.workflow.import_at_hand import look_around
from peel.workflow.import_complete import Completed, Completing
from peel.workflow.import_decide import decide, in_link_order
from peel.workflow.import_look_up import LookUp
from peel.workflow.import_result import (
    Imported,
    ImportedEnvironment,
    Missing,
    count_remembered,
    refuse_missing,
    tell_missing,
)
from peel.workflow.import_target import Target, Wish
from peel.workflow.import_wheels import WheelFinder
from peel.workflow.inspect import Inspected, inspect_packages
from peel.workflow.lock import FORMATS, NOTHING_SOLVED, Given, LockOptions, lock_image, locked_compression
from peel.workflow.pin import Inspections
from peel.workflow.solve import named_secrets


@dataclass(slots=True)
class ListImport:
    """An import of one list: what it works with.

    ``variables`` are those of this machine's environment; ``find_solver`` is called when something is to be solved.
    """

    history: History
    target: Target
    wish: Wish
    catalogue: Catalogue
    store: Store
    archives: Sequence[Archive]
    variables: Mapping[str, str]
    find_solver: Callable[[], Solver]
    progress: Progress
    _conda_lock: CondaLock | None = field(default=None, init=False)

    def run(self) -> Imported:
        """Have every artifact, and write the lock set, whole or not at all.

        Raises DocumentError for a list that the image cannot be made of, ArtifactError for all that cannot be had; with
        ``partial``, a lock set is written then, too, that says what is missing.
        """
        if self.target.is_loose and not self.wish.partial:
            return self._solve()
        completed = {
            platform: self._complete(platform, packages) for platform, packages in self.target.packages.items()
        }
        missing = tell_missing(
            self.target.environment, {platform: done.missing for platform, done in completed.items()}
        )
        if missing and self.wish.partial:
            return self._write_partial(completed, missing)
        refuse_missing(missing, self.history.origin)
        return self._lock(completed)

    def _secrets(self) -> Mapping[str, str]:
        """The variables that the list and its channels name, with their values."""
        urls = [each.url or each.channel for packages in self.target.packages.values() for each in packages]
        declared = [
            url for each in self.target.declared.environments for url in (*each.channels, *each.pip_repositories)
        ]
        named = {name for url in (*urls, *declared, *self.target.channels) for name in variables_in(url)}
        return named_secrets(frozenset(named), self.variables)

    def _tool(self) -> CondaLock:
        if self._conda_lock is None:
            self._conda_lock = CondaLock(self.find_solver(), self._secrets())
        return self._conda_lock

    def _complete(self, platform: str, packages: Sequence[Remembered]) -> Completed:
        secrets, subdir = self._secrets(), Platform(platform)
        look_up = LookUp(self.target.channels, bool(self.wish.channels), subdir, self.store, secrets, self.progress)
        channels = self.target.channels or self.target.found.channels
        declared = self.target.found if self.target.is_declared else None
        wheels = WheelFinder(channels, subdir, declared, self._tool, self.store, self.progress)
        at_hand = look_around(packages, self.archives, self.catalogue, self.store.blobs)
        sources = Sources(secrets, tuple(self.archives))
        completing = Completing(self.store, sources, at_hand, look_up, wheels, self.progress)
        return completing.run(packages)

    def _solve(self) -> Imported:
        """Let conda-lock decide what the list leaves open."""
        if self.target.is_declared:
            raise DocumentError(
                f"{self.history.origin}: does not pin every package to one build, so it is no lock of "
                f"{self.target.environment!r}",
                hint="what it asks for belongs into the environment.yml that the image declares; then: "
                f"peel lock {self.target.ref}",
            )
        nobody = {
            platform: {each: each.why for each in packages if each.why}
            for platform, packages in self.target.packages.items()
        }
        refuse_missing(tell_missing(self.target.environment, nobody), self.history.origin)
        self.progress.step(f"{self.history.origin} does not pin every build: it is solved")
        self._write(Given(self.target.declared, {}, {}), self._tool())
        return self._imported()

    def _lock(self, completed: Mapping[str, Completed]) -> Imported:
        places = {(platform, self.target.environment): done.had for platform, done in completed.items()}
        wanted = {place: [_locked(package, place[0]) for package in had] for place, had in places.items()}
        inspected = inspect_packages(wanted, self.store, Sources(network=False), self.progress)
        for place, found in inspected.items():
            _refuse_others(found, f"{place[1]} on {place[0]}")
        declared = self.target.declared
        if not self.target.is_declared:
            declared = decide(
                declared, {place: self._ordered(found) for place, found in inspected.items()},
                skip_link_scripts=self.wish.skip_link_scripts, progress=self.progress,
            )  # fmt: skip
        data = to_yaml(self._document(completed, inspected))
        given = Given(declared, {self.target.environment: data}, inspected)
        everything = len(declared.environments) == 1
        self._write(given, None if everything else self._tool())
        return self._imported()

    def _ordered(self, found: Sequence[Inspected]) -> Sequence[Inspected]:
        """In the order of linking, which only explicit lists keep."""
        return found if self.history.format is Format.EXPLICIT else in_link_order(found)

    def _document(self, completed: Mapping[str, Completed], inspected: Inspections) -> object:
        depends = {
            (platform, item.package.url): item.contents.depends
            for (platform, _), found in inspected.items()
            for item in found
            if item.package.manager == "conda"
        }
        entries = [
            _entry(package, platform, depends.get((platform, package.url), ()))
            for platform, done in completed.items()
            for package in done.had
        ]
        return make_lock_document(entries, self.target.found.channels, tuple(completed))

    def _write(self, given: Given, conda_lock: CondaLock | None) -> None:
        lock_image(
            self.target.ref, catalogue=self.catalogue, store=self.store, conda_lock=conda_lock,
            options=LockOptions(self.wish.epoch), progress=self.progress, archives=self.archives, given=given,
        )  # fmt: skip

    def _imported(self) -> Imported:
        ref = self.target.ref
        environments = []
        for environment in self.target.declared.environments:
            managers = [package.manager for package in self.catalogue.conda_lock(ref, environment.name)]
            counts = managers.count("conda"), managers.count("pip")
            environments.append(ImportedEnvironment(environment.name, *counts))
        place = self.catalogue.lock_directory(ref)
        return Imported(ref, self.history.format.value, tuple(environments), place, written=True)

    def _write_partial(self, completed: Mapping[str, Completed], missing: tuple[Missing, ...]) -> Imported:
        """Write what is known into a lock set that says of itself that it is incomplete."""
        target, name = self.target, self.target.environment
        told: dict[str, dict[str, list[MissingArtifact]]] = {}
        for each in missing:
            told.setdefault(each.platform, {}).setdefault(name, []).append(each.artifact)
        lock = ImageLock.model_validate(
            {
                "schema": 1, "image": target.ref.image, "tag": target.ref.tag,
                "epoch": MTIME_CONSTANT if self.wish.epoch is None else self.wish.epoch,
                "formats": FORMATS, "compression": locked_compression(target.declared), "locked_with": NOTHING_SOLVED,
                "declared": target.declared, "base": {}, "layers": {}, "missing": told,
            }
        )  # fmt: skip
        files = {
            environment_lock_file(name): to_yaml(self._document(completed, {})),
            LOCK_FILE: to_yaml(lock.as_document()),
        }
        self.catalogue.write_lock_set(target.ref, files)
        environment = count_remembered(name, target.packages, len(missing))
        place = self.catalogue.lock_directory(target.ref)
        return Imported(target.ref, self.history.format.value, (environment,), place, missing, written=True)


def _locked(package: Remembered, platform: str) -> CondaLockPackage:
    return CondaLockPackage(
        name=package.name, version=package.version, manager=package.manager, platform=platform, url=package.url,
        hash=Hashes(md5=package.md5 or None, sha256=package.sha256),
    )  # fmt: skip


def _entry(package: Remembered, platform: str, depends: tuple[str, ...]) -> Entry:
    return Entry(
        package.name, package.version, package.manager, platform, package.url, package.md5, package.sha256,
        package.depends or depends,
    )  # fmt: skip


def _refuse_others(found: Sequence[Inspected], origin: str) -> None:
    """Raise ArtifactError for an archive that holds another package than the list and its own name say."""
    for item in found:
        package, dist = item.package, item.contents.dist
        if package.manager == "conda" and dist.lower() != _dist_of(package.file_name).lower():
            raise ArtifactError(
                f"{origin}: {package.file_name} says of itself that it is {dist}",
                hint="do not use it: take the archive from the channel that the list was made from",
            )


def _dist_of(file_name: str) -> str:
    return file_name.removesuffix(".conda").removesuffix(".tar.bz2")
