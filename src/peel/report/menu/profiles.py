"""The menu as KubeSpawner's ``profile_list`` (z2jh, "Using multiple profiles")."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from peel.model.menu.offer import Offer, OfferedImage, OfferedPayload


def profile_list(offer: Offer) -> list[dict[str, Any]]:
    """A profile per payload that has images, with a choice of image, size, logs and environment."""
    offered = [payload for payload in offer.payloads if payload.menu or payload.dropdown]
    return [_profile(payload, offer, default=place == 0) for place, payload in enumerate(offered)]


def _profile(payload: OfferedPayload, offer: Offer, *, default: bool) -> dict[str, Any]:
    options = {"image": {"display_name": "Image", "choices": _images(payload)}}
    if offer.sizes:
        options["size"] = {"display_name": "Size", "choices": dict(_sizes(offer))}
    return {
        "slug": payload.name,
        "display_name": payload.title,
        **({"description": payload.description} if payload.description else {}),
        **({"default": True} if default else {}),
        "profile_options": options,
    }


def _images(payload: OfferedPayload) -> Mapping[str, Any]:
    images = {image.reference: image for image in (*payload.menu, *payload.dropdown)}
    chosen = payload.recommended or next(iter(images))
    at_hand = {image.digest or image.reference for image in payload.menu}
    return {
        slug: {
            "display_name": image.name
            if (image.digest or image.reference) in at_hand
            else f"{image.name} (slower start)",
            **({"default": True} if image.reference == chosen else {}),
            "kubespawner_override": {"image": image.reference},
        }
        for slug, image in _slugs(list(images.values()))
    }


def _slugs(images: Sequence[OfferedImage]) -> Iterator[tuple[str, OfferedImage]]:
    """A key for each that a form can post: its tag, in letters, digits and dashes; numbered where two were equal."""
    seen: dict[str, int] = {}
    for image in images:
        slug = re.sub(r"[^a-z0-9]+", "-", image.tag.lower()).strip("-") or "image"
        seen[slug] = seen.get(slug, 0) + 1
        yield (slug if seen[slug] == 1 else f"{slug}-{seen[slug]}"), image


def _sizes(offer: Offer) -> Iterator[tuple[str, Any]]:
    for place, size in enumerate(offer.sizes):
        yield (
            size.name,
            {
                "display_name": f"{size.title} ({size.cpu:g} CPU, {size.memory}B RAM)",
                **({"default": True} if place == 0 else {}),
                "kubespawner_override": {"cpu_limit": size.cpu, "mem_limit": f"{size.memory[:-2]}{size.memory[-2]}"},
            },
        )
