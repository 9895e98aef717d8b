"""Aliases: tags that name no build of their own, found by the digest that they share with one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from peel.model.tags.tag import NAMELESS, Category, Tag


@dataclass(frozen=True, slots=True)
class TaggedImage:
    """A tag, and the digest of the manifest that it stands for, None where nobody knows.

    ``target`` is the tag that an alias stands for; ``aliases`` are the other tags of the same image.
    """

    tag: Tag
    digest: str | None = None
    target: str | None = None
    aliases: tuple[str, ...] = field(default=())


def resolve_aliases(images: Sequence[TaggedImage]) -> list[TaggedImage]:
    """The same images in the same order, with what is an alias read and shown as one.

    A name that shares its digest with a build becomes its alias. Builds that share one are aliases of each other; the
    first listed is the primary one. Names that point at each other alone stay what they are.
    """
    by_digest: dict[str, list[Tag]] = {}
    for image in images:
        if image.digest is not None:
            by_digest.setdefault(image.digest, []).append(image.tag)
    return [_resolved(image, by_digest.get(image.digest or "", [])) for image in images]


def hide_aliased(images: Sequence[TaggedImage]) -> list[TaggedImage]:
    """Without the builds whose alias is listed too: who reads the alias reads what it is."""
    shown = {image.target for image in images if image.target is not None}
    return [image for image in images if image.target is not None or image.tag.tag not in shown]


def _resolved(image: TaggedImage, same: Sequence[Tag]) -> TaggedImage:
    others = tuple(tag.tag for tag in same if tag.tag != image.tag.tag)
    target = next((tag for tag in same if tag.category not in NAMELESS), None)
    if image.tag.category not in NAMELESS or target is None:
        return replace(image, aliases=others)
    return TaggedImage(_shown_as(image.tag, target), image.digest, target.tag, others)


def _shown_as(alias: Tag, target: Tag) -> Tag:
    architecture = alias.architecture or target.architecture
    told = target.display_name
    if target.architecture:
        told = told.removesuffix(f" [{target.architecture}]")
    told = told.replace(" (", ", ").replace(")", "")
    name = (alias.base or alias.tag).replace("_", " ").title()
    return replace(
        alias, category=Category.ALIAS, cycle=target.cycle, cycle_build=alias.cycle_build,
        architecture=architecture, date=alias.date or target.date,
        display_name=f"{name} ({told})" + (f" [{architecture}]" if architecture else ""),
    )  # fmt: skip
