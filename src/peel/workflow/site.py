"""``peel site``: read what a catalogue holds, and put pages about it into a directory."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from peel.errors import DocumentError
from peel.model.contents import Contents, Present
from peel.model.lockset import ImageLock, RecordedImage
from peel.model.progress import Progress
from peel.model.survey import Survey, SurveyedPlatform, SurveyedTag, Unreadable, tag_order
from peel.model.values import ImageRef, Platform
from peel.store.catalogue import Catalogue
from peel.store.pages import Page, PagesWritten, write_pages
from peel.workflow.locked_contents import LockedSide, Manner


@dataclass(frozen=True, slots=True)
class Site:
    """What was read, and what of it is on the disk now."""

    survey: Survey
    written: PagesWritten


def make_site(
    catalogue: Catalogue, directory: Path, *, draw: Callable[[Survey], Iterable[Page]], progress: Progress
) -> Site:
    """Write what ``draw`` makes of the catalogue; lock sets that cannot be read are warned about and left out.

    Raises UsageError for a directory that holds anything but an earlier site, ToolError when the disk refuses.
    """
    survey = survey_catalogue(catalogue, progress)
    for found in survey.unreadable:
        progress.warn(f"{found.name} is left out: {found.message}")
    progress.step(f"write pages to {directory}")
    return Site(survey, write_pages(directory, draw(survey)))


def survey_catalogue(catalogue: Catalogue, progress: Progress) -> Survey:
    """Everything that is locked and recorded, from the catalogue's documents alone."""
    names = [(image, tag) for image in catalogue.images() for tag in sorted(catalogue.tags(image), key=tag_order)]
    tags: dict[str, list[SurveyedTag]] = {}
    unreadable, pool = [], dict[Present, Present]()
    with progress.bar("read lock sets", len(names), "items") as advance:
        for image, tag in names:
            try:
                tags.setdefault(image, []).append(_surveyed(ImageRef(image, tag), catalogue, pool))
            except DocumentError as error:
                unreadable.append(Unreadable(f"{image}:{tag}", error.message))
            advance(1)
    locked = {image for image, _ in names}
    return Survey(
        {image: tuple(found) for image, found in tags.items() if found},
        tuple(unreadable),
        tuple(image for image in catalogue.images() if image not in locked),
    )


def _surveyed(ref: ImageRef, catalogue: Catalogue, pool: dict[Present, Present]) -> SurveyedTag:
    lock, record = catalogue.image_lock(ref), catalogue.record(ref)
    built = record.platforms if record else {}
    return SurveyedTag(
        ref, lock.epoch,
        tuple(
            _platform(ref, lock, Platform(name), built.get(name), catalogue, pool)
            for name in sorted(lock.base or lock.declared.platforms)
        ),
        lock.made_from, lock.imported,
        missing=sum(len(items) for found in lock.missing.values() for items in found.values()),
    )  # fmt: skip


def _platform(
    ref: ImageRef,
    lock: ImageLock,
    platform: Platform,
    recorded: RecordedImage | None,
    catalogue: Catalogue,
    pool: dict[Present, Present],
) -> SurveyedPlatform:
    side = LockedSide(ref, platform, lock, recorded, base=None, catalogue=catalogue, store=None)
    # what is in a base only a store knows; pages of one catalogue must not depend on what the machine has
    contents = side.contents(Manner(declared=lock.declared.has_lab, keys=True, same_base=True), None)
    return SurveyedPlatform(platform.subdir, recorded.manifest if recorded else None, _pooled(contents, pool))


def _pooled(contents: Contents, pool: dict[Present, Present]) -> Contents:
    """The same, each package kept once however many lock sets hold it."""
    environments = tuple(
        replace(environment, packages=tuple(pool.setdefault(package, package) for package in environment.packages))
        for environment in contents.environments
    )
    return replace(contents, environments=environments)
