"""What an import would do: nobody is asked, and nothing is written. It loads nothing that takes its time."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

from peel.model.history.remembered import History, Remembered
from peel.store.blobs import Blobs
from peel.store.catalogue import Catalogue
from peel.workflow.import_at_hand import look_around
from peel.workflow.import_result import Imported, count_remembered, tell_missing
from peel.workflow.import_target import Target

if TYPE_CHECKING:
    from peel.store.archives import Archive

_WOULD_FETCH: Final = "not at hand: it would be fetched from where the list says"
_WOULD_LOOK_UP: Final = "not at hand: it would be looked up"
_WOULD_SOLVE: Final = "not pinned to one build: a solver would decide"


def preview_list(
    history: History, target: Target, *, archives: Sequence[Archive], catalogue: Catalogue, store: Path
) -> Imported:
    """What an import of a list would do: ``missing`` is what is in no archive and not in the store.

    Raises ArtifactError for an archive that cannot be read.
    """
    reasons, blobs = {}, Blobs(store)
    for platform, packages in target.packages.items():
        at_hand = look_around(packages, archives, catalogue, blobs)
        lacking = [each for each in packages if not at_hand.has(at_hand.identify(each), blobs)]
        reasons[platform] = {package: _what_would_be_done(package) for package in lacking}
    missing = tell_missing(target.environment, reasons)
    environment = count_remembered(target.environment, target.packages, len(missing))
    lock_set = catalogue.lock_directory(target.ref)
    return Imported(target.ref, history.format.value, (environment,), lock_set, missing)


def archives_here(named: Sequence[str], catalogue: Catalogue) -> Sequence[Archive]:
    """The archives on this machine among those that are named or that the catalogue's settings name.

    Raises UsageError for what is no place, DocumentError when the settings say so, ArtifactError for a place that was
    named and holds no archive.
    """
    if not named and not catalogue.settings().archives:
        return ()
    from peel.store.archives import Archive, refuse_foreign_archive  # noqa: PLC0415 - loads much, and is seldom needed
    from peel.workflow.archives import LayoutPlace, declared_places, parse_place  # noqa: PLC0415

    given = [parse_place(text, at=Path.cwd()) for text in named]
    here = [Archive(str(place), place.directory) for place in given if isinstance(place, LayoutPlace)]
    for archive in here:
        refuse_foreign_archive(archive)
    declared = [place for place in declared_places(catalogue) if isinstance(place, LayoutPlace)]
    return [*here, *(Archive(str(place), place.directory) for place in declared if place not in given)]


def _what_would_be_done(package: Remembered) -> str:
    if package.why:
        return package.why
    if package.is_loose:
        return _WOULD_SOLVE
    return _WOULD_FETCH if package.url else _WOULD_LOOK_UP
