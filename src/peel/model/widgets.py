"""Widgets have two halves, a front end in the lab and a back end in the kernel; their major versions have to agree."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

_FRONT_OF_IPYWIDGETS: Final = {7: 1, 8: 3}
"""The major version of jupyterlab_widgets that goes with each of ipywidgets."""

_SAME: Final = ("ipympl", "jupyter-bokeh", "anywidget")
"""Packages that are both halves."""

_LAST_PLOTLY_WITH_ITS_OWN: Final = 5
"""From plotly 6 on, anywidget is the front end."""


def apart(lab: Mapping[str, str], payload: Mapping[str, str]) -> Iterator[str]:
    """What does not go together; versions by normalised name, of a lab and of a payload beside it."""
    if (back := _major(payload.get("ipywidgets"))) is not None:
        front, wanted = _major(lab.get("jupyterlab-widgets")), _FRONT_OF_IPYWIDGETS.get(back)
        if wanted is not None and front != wanted:
            there = _there(lab, "jupyterlab-widgets")
            yield f"ipywidgets {payload['ipywidgets']} needs jupyterlab_widgets {wanted} in the lab, {there}"
    for name in _SAME:
        yield from _same(name, lab, payload)
    plotly = _major(payload.get("plotly"))
    if plotly is not None and plotly <= _LAST_PLOTLY_WITH_ITS_OWN:
        yield from _same("plotly", lab, payload)


def _same(name: str, lab: Mapping[str, str], payload: Mapping[str, str]) -> Iterator[str]:
    if name in payload and _major(lab.get(name)) != _major(payload[name]):
        yield f"{name} {payload[name]} needs {name} {_major(payload[name])} in the lab, {_there(lab, name)}"


def _there(lab: Mapping[str, str], name: str) -> str:
    return f"which has {lab[name]}" if name in lab else "which has none"


def _major(version: str | None) -> int | None:
    """The first number of a version, None for none."""
    first = (version or "").lstrip("v").partition(".")[0]
    return int(first) if first.isascii() and first.isdigit() else None
