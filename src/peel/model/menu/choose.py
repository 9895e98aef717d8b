"""Choosing: of all the tags of a repository, those that a menu offers, and what they are called there."""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from peel.model.menu.declaration import MenuPayload
from peel.model.menu.offer import OfferedImage, OfferedPayload
from peel.model.tags.aliases import TaggedImage, hide_aliased, resolve_aliases
from peel.model.tags.filters import slot
from peel.model.tags.order import newest_first
from peel.model.tags.policy import policy_of
from peel.model.tags.rsp import alias
from peel.model.tags.tag import Category, Tag

_MOST_NAMED: Final = 3
_ATTACHED: Final = "sha256-"
"""How tags begin that hold a signature or an attestation of another image (cosign's tag scheme)."""


@dataclass(frozen=True, slots=True)
class Known:
    """What is known of a tag: its digest, and how many bytes its image has; None where nobody said."""

    digest: str | None = None
    size: int | None = None


@dataclass(frozen=True, slots=True)
class Chosen:
    """The tags of a payload that are shown, each list newest first; of no other has anything to be known."""

    prepull: Sequence[Tag]
    dropdown: Sequence[Tag]
    warnings: Sequence[str] = field(default=())

    @property
    def tags(self) -> Sequence[str]:
        """All of them, once."""
        return list(dict.fromkeys(tag.tag for tag in (*self.prepull, *self.dropdown)))


def choose_tags(payload: MenuPayload, names: Iterable[str], now: dt.datetime) -> Chosen:
    """What a payload's rules choose among the tags of its repository."""
    policy = policy_of(payload.tags)
    aliases = {name for name in (*payload.aliases, payload.recommended) if name}
    known = [name for name in names if not name.startswith(_ATTACHED)]
    tags = [alias(name) if name in aliases else policy.parse(name) for name in known]
    plain = [tag for tag in tags if tag.architecture is None]
    if payload.dropdown.unknown == "hide":
        plain = [tag for tag in plain if tag.category is not Category.UNKNOWN]
    counting = payload.rebuilds == "count"
    dropdown = payload.dropdown.value(payload.cycle, rebuilds_count=counting).apply(plain, now)
    if payload.cycle is not None:
        plain = [tag for tag in plain if tag.cycle == payload.cycle]
    warnings = list(_lost(payload, {tag.tag for tag in plain}))
    return Chosen(_prepulled(payload, plain, counting=counting), dropdown, warnings)


def make_group(
    payload: MenuPayload, chosen: Chosen, known: Mapping[str, Known], repository: str, cached: Collection[str] | None
) -> OfferedPayload:
    """The group of a payload. A tag that ``known`` lacks is gone and is not shown.

    ``cached`` are the digests that every node has; None when nobody knows, so that all is taken to be at hand that
    should be.
    """
    hidden = [tag for tag in chosen.tags if tag not in known]
    warnings = [*chosen.warnings, *told_of("vanished from the registry", hidden)]
    unpinned = [tag for tag in chosen.tags if tag in known and known[tag].digest is None]
    warnings += told_of("shown without a digest, which the registry did not say", unpinned)
    prepull, dropdown = (_resolved(tags, known) for tags in (chosen.prepull, chosen.dropdown))
    at_hand = [one for one in prepull if _is_at_hand(one, payload, cached)]
    menu = _recommended_first(hide_aliased(at_hand), payload)
    offered = {one.tag.tag: _offered(one, repository, known) for one in (*prepull, *dropdown)}
    recommended = offered.get(payload.recommended or "")
    return OfferedPayload(
        name=payload.name, title=payload.title, description=payload.description, policy=payload.tags,
        recommended=recommended.reference if recommended else None,
        menu=tuple(offered[one.tag.tag] for one in menu),
        dropdown=tuple(offered[one.tag.tag] for one in dropdown),
        prepull=tuple(dict.fromkeys(offered[one.tag.tag].reference for one in hide_aliased(prepull))),
        warnings=tuple(warnings),
    )  # fmt: skip


def _prepulled(payload: MenuPayload, tags: Sequence[Tag], *, counting: bool) -> Sequence[Tag]:
    """The newest of each category, the recommended one, and what is pinned."""
    left = {
        Category.RELEASE: payload.prepull.releases,
        Category.WEEKLY: payload.prepull.weeklies,
        Category.DAILY: payload.prepull.dailies,
    }
    named, seen, found = {payload.recommended, *payload.prepull.pin}, set[tuple[object, ...]](), list[Tag]()
    for tag in newest_first(tags):
        place = slot(tag)
        if left.get(tag.category, 0) and (counting or place not in seen):
            left[tag.category] -= 1
            seen.add(place)
            found.append(tag)
        elif tag.tag in named:
            found.append(tag)
    return found


def _lost(payload: MenuPayload, there: Collection[str]) -> Iterable[str]:
    of_cycle = "" if payload.cycle is None else f" of cycle {payload.cycle}"
    if payload.recommended and payload.recommended not in there:
        yield f"there is no tag {payload.recommended!r}{of_cycle} to recommend"
    yield from (f"there is no tag {pin!r}{of_cycle} to pin" for pin in payload.prepull.pin if pin not in there)


def told_of(what: str, tags: Sequence[str]) -> Sequence[str]:
    """One warning about all of these tags, which names some; none about no tags."""
    if not tags:
        return []
    more = f" and {len(tags) - _MOST_NAMED} more" if len(tags) > _MOST_NAMED else ""
    return [f"{what}: {', '.join(tags[:_MOST_NAMED])}{more}"]


def _resolved(tags: Sequence[Tag], known: Mapping[str, Known]) -> Sequence[TaggedImage]:
    images = resolve_aliases([TaggedImage(tag, known[tag.tag].digest) for tag in tags if tag.tag in known])
    places = {tag.tag: place for place, tag in enumerate(newest_first(image.tag for image in images))}
    return sorted(images, key=lambda image: places[image.tag.tag])


def _is_at_hand(image: TaggedImage, payload: MenuPayload, cached: Collection[str] | None) -> bool:
    return cached is None or image.tag.tag == payload.recommended or image.digest in cached


def _recommended_first(images: Sequence[TaggedImage], payload: MenuPayload) -> Sequence[TaggedImage]:
    return sorted(images, key=lambda image: image.tag.tag != payload.recommended)


def _offered(image: TaggedImage, repository: str, known: Mapping[str, Known]) -> OfferedImage:
    tag, digest = image.tag, image.digest
    return OfferedImage(
        name=tag.display_name, reference=f"{repository}:{tag.tag}" + (f"@{digest}" if digest else ""), tag=tag.tag,
        digest=digest, category=str(tag.category), size=known[tag.tag].size,
    )  # fmt: skip
