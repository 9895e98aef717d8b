"""The pages of one lock set: what it is, its layers, its packages, and what differs from its neighbour."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from peel.model.contents import LayerContents, Present
from peel.model.diff import Difference, EnvironmentDifference, Setting
from peel.model.survey import Survey, SurveyedPlatform, SurveyedTag, known_layers
from peel.report.site import links
from peel.report.site.frame import date_of, page, state_of
from peel.report.site.picture import Bar, draw_bars
from peel.report.site.split import shortened, split, weight_of
from peel.store.pages import Page


@dataclass(frozen=True, slots=True)
class Shares:
    """One platform of a tag beside its neighbour; ``difference`` is None where there is no neighbour."""

    platform: SurveyedPlatform
    difference: Difference | None
    shared_bytes: int
    new_bytes: int


def shares_of(tag: SurveyedTag, survey: Survey) -> Sequence[Shares]:
    """Every platform of a tag beside its neighbour. Bytes are those of layers whose size is known."""
    return [_shares(tag, platform, survey) for platform in tag.platforms]


def _shares(tag: SurveyedTag, platform: SurveyedPlatform, survey: Survey) -> Shares:
    difference = survey.change(tag, platform.platform)
    held = _held_before(tag, platform, survey)
    sizes = {min(layer.names): (bool(layer.names & held), layer.size or 0) for layer in known_layers(platform.contents)}
    shared = sum(size for known, size in sizes.values() if known)
    return Shares(platform, difference, shared, sum(size for _, size in sizes.values()) - shared)


def _held_before(tag: SurveyedTag, platform: SurveyedPlatform, survey: Survey) -> frozenset[str]:
    """The names of all layers that the neighbour has."""
    before = survey.neighbour(tag)
    one = before.on(platform.platform) if before else None
    layers = one.contents.layers if one else None
    return frozenset(name for layer in layers or () for name in layer.names)


@dataclass(frozen=True, slots=True)
class LayerRow:
    """A layer: whether the neighbour has it, and how many images of the catalogue hold it."""

    layer: LayerContents
    shared: bool
    holders: int


@dataclass(frozen=True, slots=True)
class ChangeRow:
    """One thing that differs, in words; ``what`` is a package or a setting."""

    where: str
    change: str
    what: str
    before: str
    after: str


def draw_tag(tag: SurveyedTag, shares: Sequence[Shares], survey: Survey) -> Iterator[Page]:
    """All pages of a lock set."""
    platforms = []
    for share in shares:
        name = share.platform.platform
        layers = _layer_rows(tag, share.platform, survey)
        platforms.append((share, layers, _layer_picture(tag, name, layers)))
        yield from _changes(tag, share, survey)
        for environment in share.platform.contents.environments:
            path = links.environment_page(tag.ref, name, environment.name)
            packages = sorted(environment.packages, key=lambda package: (package.name.lower(), package))
            for part in split(packages, path, weigh=_package_weight):
                title = f"{environment.name} of {tag.ref}"
                yield page(
                    part.path, "environment.html", title, part, tag=tag, platform=name, environment=environment,
                    neighbour=survey.neighbour(tag),
                )  # fmt: skip
    yield page(
        links.tag_page(tag.ref), "tag.html", str(tag.ref), tag=tag, platforms=platforms, date=date_of(tag.epoch),
        state_of=state_of, neighbour=survey.neighbour(tag), origin=survey.by_name.get(tag.origin),
        made=survey.made_of.get(str(tag.ref), ())[:MOST_MADE], more_made=len(survey.made_of.get(str(tag.ref), ())),
        by_name=survey.by_name,
    )  # fmt: skip


MOST_MADE = 50
"""So many of what was made from a lock set are named on its page; the lineage names all."""


def _layer_rows(tag: SurveyedTag, platform: SurveyedPlatform, survey: Survey) -> Sequence[LayerRow]:
    held = _held_before(tag, platform, survey)
    return [
        LayerRow(layer, bool(layer.names & held), max((survey.holders[name] for name in layer.names), default=0))
        for layer in platform.contents.layers or ()
    ]


def _layer_picture(tag: SurveyedTag, platform: str, rows: Sequence[LayerRow]) -> object:
    bars = [
        Bar(row.layer.contents, row.layer.size or 0, 0)
        if row.shared
        else Bar(row.layer.contents, 0, row.layer.size or 0)
        for row in rows
        if row.layer.size
    ]
    return draw_bars(
        f"layers-{platform}", bars, title=f"Sizes of the layers of {tag.ref} for {platform}",
        description="For every layer of a known size a bar, lowest layer first; those that the neighbour has too are "
        "plain, those that are new with this tag are hatched. The table below has the numbers.",
        shared="in the neighbour too", new="new with this tag",
    )  # fmt: skip


def _package_weight(package: Present) -> int:
    texts = (package.name, package.version, package.build, package.sha256)
    return weight_of(*(shortened(text) for text in texts), shortened(package.name), markup=160)


def _changes(tag: SurveyedTag, share: Shares, survey: Survey) -> Iterator[Page]:
    neighbour, name = survey.neighbour(tag), share.platform.platform
    if share.difference is None or neighbour is None:
        return
    rows = list(_change_rows(share.difference))
    for part in split(rows, links.changes_page(tag.ref, name), weigh=_change_weight):
        title = f"{neighbour.ref} → {tag.ref}"
        yield page(
            part.path, "changes.html", title, part, tag=tag, neighbour=neighbour, platform=name,
            difference=share.difference,
        )  # fmt: skip


def _change_weight(row: ChangeRow) -> int:
    return weight_of(
        *(shortened(text) for text in (row.where, row.what, row.before, row.after)), row.change, markup=160
    )


def _change_rows(difference: Difference) -> Iterator[ChangeRow]:
    """What matters most before all else, as ``peel diff`` has it."""
    if difference.base:
        one, other = difference.base
        yield ChangeRow("base", "replaced", "base image", one.text, other.text)
    for environment in difference.environments:
        yield from _environment_rows(environment)
    for where, settings in (("launch", difference.launch), ("files", difference.files)):
        yield from (_setting_row(where, setting) for setting in settings)


def _environment_rows(environment: EnvironmentDifference) -> Iterator[ChangeRow]:
    name, packages = environment.name, environment.packages
    if environment.before != environment.after:
        yield ChangeRow(name, environment.state, "prefix", environment.before or "", environment.after or "")
    for kind in ("lowered", "replaced", "raised", "rebuilt"):
        for change in packages.of_kind(kind):
            word = "raised, major" if change.is_major else kind
            yield ChangeRow(name, word, change.name, change.before.text, change.after.text)
    yield from (ChangeRow(name, "removed", package.name, package.text, "") for package in packages.removed)
    yield from (ChangeRow(name, "added", package.name, "", package.text) for package in packages.added)


def _setting_row(where: str, setting: Setting) -> ChangeRow:
    word = "added" if setting.before is None else "removed" if setting.after is None else "changed"
    return ChangeRow(where, word, setting.key, setting.before or "", setting.after or "")
