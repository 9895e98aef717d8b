"""All pages of a site, one after the other; equal surveys give equal bytes."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Final

from peel.model.survey import (
    Descendant,
    PackageRun,
    Sizes,
    Survey,
    SurveyedPlatform,
    SurveyedTag,
    lineage,
    package_runs,
    sizes_of,
)
from peel.model.values import ImageRef
from peel.report.pages import render
from peel.report.site import links
from peel.report.site.frame import date_of, page, state_of
from peel.report.site.picture import Bar, draw_bars
from peel.report.site.split import shortened, split, weight_of
from peel.report.site.tag import Shares, draw_tag, shares_of
from peel.store.pages import Page

IMAGES_A_PAGE: Final = 100
TAGS_A_PAGE: Final = 100


@dataclass(frozen=True, slots=True)
class _ImageRow:
    image: str
    tags: int
    built: int
    newest: SurveyedTag
    date: str
    sizes: Sizes


def draw_site(survey: Survey) -> Iterator[Page]:
    """Every file of the site: pages, style, script and what the search looks into."""
    yield Page("site.css", render("site/site.css"))
    yield Page("site.js", render("site/site.js"))
    yield from _index(survey)
    for image, tags in survey.tags.items():
        shares = {str(tag.ref): shares_of(tag, survey) for tag in tags}
        yield from _image(image, tags, shares, survey)
        for tag in tags:
            yield from draw_tag(tag, shares[str(tag.ref)], survey)
    yield from _packages(survey)
    yield from _lineage(survey)
    yield from _problems(survey)


def _index(survey: Survey) -> Iterator[Page]:
    for part in split(survey.tags, links.INDEX, weigh=lambda _: 0, longest=IMAGES_A_PAGE):
        rows = [_index_row(image, survey.tags[image]) for image in part.rows]
        bars = [Bar(row.image, row.sizes.saved, row.sizes.distinct, "not built") for row in rows]
        picture = draw_bars(
            "images", bars, title="What the images of each name weigh together",
            description="For every image a bar: the bytes of all its tags, parted into those that are stored once "
            "and those that sharing layers saves. The table below has the numbers.",
            shared="saved by sharing", new="different layers",
        )  # fmt: skip
        yield page(part.path, "index.html", "Images", part, rows=rows, picture=picture, survey=survey)


def _index_row(image: str, tags: Sequence[SurveyedTag]) -> _ImageRow:
    platforms = [one for tag in tags for one in tag.platforms]
    built = sum(one.manifest is not None for one in platforms)
    newest = max(tags, key=lambda tag: tag.epoch)
    return _ImageRow(image, len(tags), built, newest, date_of(newest.epoch), sizes_of(platforms))


def _image(
    image: str, tags: Sequence[SurveyedTag], shares: dict[str, Sequence[Shares]], survey: Survey
) -> Iterator[Page]:
    rows = [(tag, share) for tag in reversed(tags) for share in shares[str(tag.ref)]]
    for part in split(rows, links.image_page(image), weigh=lambda _: 0, longest=TAGS_A_PAGE):
        bars = [
            Bar(_label(tag, share.platform), share.shared_bytes, share.new_bytes, state_of(tag, share.platform))
            for tag, share in part.rows
        ]
        picture = draw_bars(
            "tags", bars, title=f"Sizes of the tags of {image}",
            description="For every tag, newest first, a bar: the bytes of its layers, parted into those that its "
            "neighbour has too and those that are new with it. The table below has the numbers.",
            shared="in the neighbour too", new="new with this tag",
        )  # fmt: skip
        yield page(
            part.path, "image.html", image, part, image=image, tags=tags, picture=picture, date_of=date_of,
            state_of=state_of, survey=survey,
        )  # fmt: skip


def _label(tag: SurveyedTag, platform: SurveyedPlatform) -> str:
    return tag.ref.tag if len(tag.platforms) == 1 else f"{tag.ref.tag} {platform.platform}"


def _packages(survey: Survey) -> Iterator[Page]:
    """The list of all packages, in parts, and what the search knows of it."""
    parts = split(package_runs(survey), links.ALL_PACKAGES, weigh=_run_weight)
    known: list[tuple[str, str, str]] = []
    for part in parts:
        groups = [(name, list(runs)) for name, runs in groupby(part.rows, key=lambda run: run.package.name)]
        known += [
            (name, f"{part.path}#{links.anchor_of(name)}", " ".join(sorted({run.package.version for run in runs})))
            for name, runs in groups
        ]
        title = f"Packages, part {part.number} of {len(part.paths)}" if len(part.paths) > 1 else "All packages"
        yield page(part.path, "all_packages.html", title, part, groups=groups, ref=ImageRef)
    searched = split(known, "packages/search.js", weigh=lambda entry: weight_of(*entry, markup=20))
    for found in searched:
        yield Page(found.path, f"peelPackages({json.dumps(found.rows, separators=(',', ':'))});\n")
    spans = [(part.path, part.rows[0].package.name, part.rows[-1].package.name) for part in parts if part.rows]
    scripts = [found.path for found in searched]
    count = len({name for name, _, _ in known})
    yield page(links.PACKAGES, "packages.html", "Packages", spans=spans, scripts=scripts, count=count)


def _run_weight(run: PackageRun) -> int:
    texts = (run.package.name, run.package.text, run.image, run.environment, run.first, run.last)
    return weight_of(*(shortened(text) for text in texts), run.image, run.image, run.first, run.last, markup=320)


def _lineage(survey: Survey) -> Iterator[Page]:
    def weigh(one: Descendant) -> int:
        made_from = one.tag.made_from if one.tag else None
        patches = [shortened(f"{patch.name}{patch.reason}") for patch in made_from.patches] if made_from else []
        return weight_of(one.name, one.name, *patches, markup=400)

    for part in split(lineage(survey), links.LINEAGE, weigh=weigh):
        yield page(part.path, "lineage.html", "Lineage", part, date_of=date_of)


def _problems(survey: Survey) -> Iterator[Page]:
    if survey.unreadable:
        for part in split(survey.unreadable, links.PROBLEMS, weigh=lambda found: weight_of(
            shortened(found.name), shortened(found.message, 600), markup=80
        )):  # fmt: skip
            yield page(part.path, "problems.html", "Lock sets that could not be read", part)
