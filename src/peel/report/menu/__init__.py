"""``peel menu``: what is offered, for people and for the programs that spawn."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from peel.console import Console, human_size

if TYPE_CHECKING:
    from peel.model.menu.offer import Offer, OfferedImage, OfferedPayload


def lists_json(offer: Offer) -> dict[str, Any]:
    """``peel menu --json``: the two lists that Nublado's controller gives, ``menu`` and ``dropdown``."""
    several = len(offer.payloads) > 1
    return {
        name: [
            _entry(image, payload, several=several) for payload in offer.payloads for image in getattr(payload, name)
        ]
        for name in ("dropdown", "menu")
    }


def _entry(image: OfferedImage, payload: OfferedPayload, *, several: bool) -> dict[str, str]:
    return {"name": f"{payload.title}: {image.name}" if several else image.name, "reference": image.reference}


def show_menu(offer: Offer, console: Console) -> None:
    """The menu as a table per payload: what is at hand, then how much there is behind it."""
    for number, payload in enumerate(offer.payloads):
        if number:
            console.line()
        console.line(f"{payload.title} ({payload.name})")
        rows = [_row(image, payload, at_hand=image in payload.menu) for image in _listed(payload)]
        if rows:
            console.table(("", "TAG", "NAME", "SIZE", "DIGEST"), rows, right=("SIZE",))
        else:
            console.line("  nothing")


def _listed(payload: OfferedPayload) -> list[OfferedImage]:
    shown = {image.reference for image in payload.menu}
    return [*payload.menu, *(image for image in payload.dropdown if image.reference not in shown)]


def _row(image: OfferedImage, payload: OfferedPayload, *, at_hand: bool) -> tuple[str, ...]:
    place = "recommended" if image.reference == payload.recommended else "menu" if at_hand else "dropdown"
    size = human_size(image.size) if image.size is not None else "-"
    return (place, image.tag, image.name, size, (image.digest or "-")[:19])
