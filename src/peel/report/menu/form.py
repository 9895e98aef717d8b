"""The menu as a form for people: HTML that stands for itself, and works without scripts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Final

from peel.errors import PeelError
from peel.model.menu.choice import BEHIND, DEBUG, DROPDOWN, IMAGE, RESET, SIZE, default_image, parse_form
from peel.model.menu.offer import Offer, OfferedImage, OfferedPayload
from peel.report.pages import render

_NAMES: Final = {"image": IMAGE, "behind": BEHIND, "dropdown": DROPDOWN, "size": SIZE, "debug": DEBUG, "reset": RESET}
_RESET_TEXT: Final = "moves .cache, .conda, .config, .eups, .jupyter, .local and .user_setups of your home aside"


@dataclass(frozen=True, slots=True)
class _Group:
    """What the form shows of a payload: images at hand, then the rest by category."""

    payload: OfferedPayload
    rest: Sequence[tuple[str, Sequence[OfferedImage]]]

    @property
    def is_empty(self) -> bool:
        return not (self.payload.menu or self.rest)


def draw_form(offer: Offer) -> str:
    """The form's fields, to be put inside a ``<form>``; ``model.menu.choice`` reads what it posts."""
    return render("menu/form.html", **_values(offer))


def draw_page(offer: Offer, *, said: str = "", failed: bool = False) -> str:
    """A whole page with the form, as ``peel menu --preview`` serves it; ``said`` is what came of the last choice."""
    return render("menu/page.html", said=said, failed=failed, **_values(offer))


def told(offer: Offer, posted: Mapping[str, Sequence[str]]) -> str:
    """What a hub would start for a posted form, for people. Raises ChoiceError."""
    options = parse_form(offer, posted).as_options()
    return "a hub would start this: " + ", ".join(f"{name} {value}" for name, value in options.items())


def _values(offer: Offer) -> Mapping[str, object]:
    try:
        chosen = default_image(offer)
    except PeelError:
        chosen = ""
    return {
        "offer": offer,
        "groups": [_Group(payload, list(_rest(payload))) for payload in offer.payloads],
        "chosen": chosen,
        "at_hand": {image.reference for payload in offer.payloads for image in payload.menu},
        "names": _NAMES,
        "reset_text": _RESET_TEXT,
    }


def _rest(payload: OfferedPayload) -> Iterator[tuple[str, Sequence[OfferedImage]]]:
    shown = {image.digest or image.reference for image in payload.menu}  # by another name it starts no slower
    behind = [image for image in payload.dropdown if (image.digest or image.reference) not in shown]
    for category, images in groupby(behind, key=lambda image: image.category):
        yield category, list(images)
