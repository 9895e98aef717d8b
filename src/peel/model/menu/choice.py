"""What somebody chose, checked against what is offered: a choice can only name an image of the menu."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from peel.errors import UsageError
from peel.model.menu.offer import Offer, OfferedImage, OfferedSize

IMAGE: Final = "image_list"
"""The form field whose value is an image's reference, or says that a list behind the menu has it."""

BEHIND: Final = "dropdown:"
"""How such a value begins; the payload's name follows."""

DROPDOWN: Final = "image_dropdown"
"""The form field of the list behind the menu; of a payload, ``:NAME`` follows."""

SIZE: Final = "size"
DEBUG: Final = "enable_debug"
RESET: Final = "reset_user_env"
_OPTIONS: Final = ("image", SIZE, DEBUG, RESET)
_TRUE: Final = ("true", "on", "1", "yes")
_LONGEST: Final = 1000
_AGAIN: Final = "open the form again and choose: the menu may have changed meanwhile"


class ChoiceError(UsageError):
    """What was posted names nothing that is offered. The message holds nothing of what was posted."""

    @property
    def jupyterhub_message(self) -> str:
        """What JupyterHub shows of a spawn that failed."""
        return f"{self.message}; {self.hint}"


@dataclass(frozen=True, slots=True)
class Choice:
    """An image that is offered, and how it is to be started."""

    image: OfferedImage
    size: OfferedSize | None = None
    debug: bool = False
    reset: bool = False

    def as_options(self) -> dict[str, Any]:
        """The choice as JupyterHub keeps it, and as its API takes it."""
        size = {SIZE: self.size.name} if self.size else {}
        return {"image": self.image.reference, **size, DEBUG: self.debug, RESET: self.reset}


def parse_form(offer: Offer, posted: Mapping[str, Sequence[str]]) -> Choice:
    """The choice that a posted form makes. Raises ChoiceError for one that the menu does not have."""
    said = _only(posted, IMAGE)
    if said.startswith(BEHIND):
        said = _only(posted, f"{DROPDOWN}:{said.removeprefix(BEHIND)}")
    return _choice(offer, said, _only(posted, SIZE), debug=_is_set(posted, DEBUG), reset=_is_set(posted, RESET))


def check_options(offer: Offer, options: Mapping[str, Any]) -> Choice:
    """The choice that JupyterHub kept or that came through its API; without an image, the one that is recommended.

    Raises ChoiceError for one that the menu does not have, and for keys that no choice has.
    """
    unknown = sorted(str(key)[:80] for key in options if key not in _OPTIONS)
    if unknown:
        raise ChoiceError("an option is none of the menu's", hint=f"the options are {', '.join(_OPTIONS)}")
    image, size = options.get("image") or default_image(offer), options.get(SIZE) or ""
    flags = [options.get(name) or False for name in (DEBUG, RESET)]
    if not (isinstance(image, str) and isinstance(size, str) and all(isinstance(flag, bool) for flag in flags)):
        raise ChoiceError("an option is of the wrong type", hint="image and size are strings, the others true or false")
    return _choice(offer, image, size, debug=bool(flags[0]), reset=bool(flags[1]))


def default_image(offer: Offer) -> str:
    """The reference that is chosen unless somebody chooses: of the first payload that has any, the recommended one."""
    for payload in offer.payloads:
        first = [payload.recommended, *(image.reference for image in (*payload.menu, *payload.dropdown))]
        if found := next(filter(None, first), None):
            return found
    raise ChoiceError("the menu is empty", hint="tell whoever runs this hub")


def _choice(offer: Offer, reference: str, size: str, *, debug: bool, reset: bool) -> Choice:
    image = offer.images().get(reference)
    if image is None:
        raise ChoiceError("the image that was chosen is not, or no longer, on the menu", hint=_AGAIN)
    sizes = {one.name: one for one in offer.sizes}
    if size and size not in sizes:
        raise ChoiceError("the size that was chosen is not, or no longer, on the menu", hint=_AGAIN)
    chosen = sizes[size] if size else next(iter(offer.sizes), None)
    return Choice(image, chosen, debug, reset)


def _only(posted: Mapping[str, Sequence[str]], name: str) -> str:
    """The one value of a field; empty where it was not posted."""
    values = posted.get(name) or ("",)
    if len(values) > 1 or not isinstance(values[0], str) or len(values[0]) > _LONGEST:
        raise ChoiceError("the form came with more than one value, or a far too long one", hint=_AGAIN)
    return values[0]


def _is_set(posted: Mapping[str, Sequence[str]], name: str) -> bool:
    return _only(posted, name).lower() in _TRUE
