"""Having the artifacts of a list in the store, each by its sha256; and telling of those that nobody has any more."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from peel.model.history.lock_file import UNKNOWN
from peel.model.history.remembered import Remembered
from peel.model.progress import Progress
from peel.model.values import Digest
from peel.store.fetch import Artifact, Pinned, Unpinned
from peel.store.store import Store
from peel.workflow.fetching import Sources, attempt_artifacts
from peel.workflow.import_at_hand import AtHand
from peel.workflow.import_look_up import LookUp
from peel.workflow.import_wheels import WheelFinder

_LOOSE: Final = "it is not pinned to one build: only a solver could tell which was meant"
_GONE: Final = "an archive lists it, and does not have it"
_OTHER_MD5: Final = "what archives or lock sets hold by its name has another md5"


@dataclass(frozen=True, slots=True)
class Completed:
    """What became of a list: packages in the store, with URL, sha256 and md5; and why the others are not, as listed."""

    had: Sequence[Remembered]
    missing: Mapping[Remembered, str]


@dataclass(slots=True)
class Completing:
    """One run; what it needs, and what has become of each package so far."""

    store: Store
    sources: Sources
    at_hand: AtHand
    look_up: LookUp
    wheels: WheelFinder
    progress: Progress
    missing: dict[Remembered, str] = field(default_factory=dict)

    def run(self, packages: Sequence[Remembered]) -> Completed:
        """Complete what can be. Raises ArtifactError for a damaged archive, ToolError when the disk refuses."""
        for package in packages:
            if package.why or package.is_loose:
                self.missing[package] = package.why or _LOOSE
        known = {each: self.at_hand.identify(each) for each in packages if each not in self.missing}
        self._locate(known)
        self._locate_wheels(known)
        had = self._fetch(known)
        if self.look_up.named and (
            lost := [each for each in known if each in self.missing and each.url and each.build]
        ):
            had |= self._fetch_elsewhere(lost)
        return Completed([had[each] for each in packages if each in had], dict(self.missing))

    def _locate(self, known: dict[Remembered, Remembered]) -> None:
        """Give those a URL that have only name, version and build."""
        wanted = [each for each, now in known.items() if now.manager == "conda" and not (now.url or now.sha256)]
        found = self.look_up.find(wanted) if wanted else {}
        known.update(found)
        for each in wanted:
            if each not in found:
                self.missing[each] = self.look_up.why_not(each)
                del known[each]

    def _locate_wheels(self, known: dict[Remembered, Remembered]) -> None:
        wanted = [each for each, now in known.items() if now.manager == "pip" and not (now.url or now.sha256)]
        if not wanted:
            return
        found, why = self.wheels.find(wanted, self._python(known))
        known.update(found)
        for each in wanted:
            if each not in found:
                self.missing[each] = why[each]
                del known[each]

    def _python(self, known: Iterable[Remembered]) -> Remembered | str:
        """The Python that wheels are for, or why there is none."""
        pythons = [each for each in (*known, *self.missing) if (each.manager, each.name) == ("conda", "python")]
        if not pythons:
            return "the list has no conda python, and only that says which wheel fits"
        return (
            "its python cannot be had, and only that says which wheel fits"
            if pythons[0] in self.missing
            else pythons[0]
        )

    def _fetch(self, known: Mapping[Remembered, Remembered]) -> dict[Remembered, Remembered]:
        wanted = {each: _artifact(now) for each, now in known.items()}
        done = attempt_artifacts(list(wanted.values()), self.store, self.sources, self.progress)
        had = {}
        for each, artifact in wanted.items():
            if artifact not in done.found:
                self.missing[each] = _GONE if artifact.url.startswith(UNKNOWN) else done.failed[artifact]
            elif now := self._checked(each, known[each], done.found[artifact]):
                had[each] = now
            else:
                self.missing[each] = _OTHER_MD5
        return had

    def _checked(self, each: Remembered, now: Remembered, pinned: Pinned) -> Remembered | None:
        """The package as it is known in the end; None where the md5 of its list says that it is another."""
        md5 = now.md5 if each.md5 == now.md5 and now.sha256 == each.sha256 else ""  # fetching has seen to it
        if not md5:
            with self.store.blobs.path(pinned.digest).open("rb") as file:
                md5 = hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
        if each.md5 not in {"", md5}:
            return None
        return replace(now, sha256=pinned.digest.hex, md5=md5)

    def _fetch_elsewhere(self, lost: Iterable[Remembered]) -> dict[Remembered, Remembered]:
        found = self.look_up.find([each for each in lost if each.manager == "conda"])
        before = {each: self.missing.pop(each) for each in found}
        had = self._fetch(found)
        for each in found.keys() - had.keys():
            self.missing[each] = f"{before[each]}; elsewhere: {self.missing[each]}"
        return had


def _artifact(package: Remembered) -> Artifact | Unpinned:
    if package.sha256:
        return Artifact(package.title, package.url, Digest.from_hex(package.sha256))
    return Unpinned(package.title, package.url, md5=package.md5 or None)
