"""The menu in the forms that other programs read."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Final, Literal

from peel.model.menu.declaration import Prepull
from peel.model.menu.offer import Offer
from peel.report.menu import lists_json
from peel.report.menu.form import draw_form
from peel.report.menu.prepull import daemon_set
from peel.report.menu.profiles import profile_list
from peel.store.documents import to_yaml

Form = Literal["json", "full", "profiles", "prepull", "form"]

_WRITERS: Final[Mapping[Form, Callable[[Offer, Prepull], str]]] = {
    "json": lambda offer, _: _dumped(lists_json(offer)),
    "full": lambda offer, _: _dumped(offer.as_json()),
    "profiles": lambda offer, _: _dumped(profile_list(offer)),
    "prepull": lambda offer, settings: to_yaml(daemon_set(offer, settings), block=True).decode(),
    "form": lambda offer, _: draw_form(offer),
}


def written(offer: Offer, settings: Prepull, form: Form) -> str:
    """The menu as Nublado's lists, as peel.spawner's document, for KubeSpawner, for Kubernetes, or as HTML."""
    return _WRITERS[form](offer, settings)


def _dumped(value: object) -> str:
    return json.dumps(value, indent=2) + "\n"
