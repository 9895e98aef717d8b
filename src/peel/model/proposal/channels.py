"""Channels as authors name them: misspelt ones, Anaconda's own, and none at all."""

from __future__ import annotations

import difflib
import re
from collections.abc import Collection, Iterator, Sequence
from typing import Final

from peel.model.proposal.findings import Finding, warning

KNOWN: Final = (
    "anaconda", "bioconda", "bokeh", "conda-forge", "defaults", "esri", "fastai", "intel", "main", "nvidia", "omnia",
    "plotly", "pyviz", "pytorch", "r", "rapidsai", "robostack", "xilinx",
)  # fmt: skip
"""Names of channels that are in wide use on conda's usual host."""

_DEFAULTS: Final = frozenset({"defaults", "main", "r", "anaconda", "pkgs/main", "pkgs/r"})
_DEFAULTS_URL = re.compile(r"https?://repo\.(?:anaconda\.com|continuum\.io)/pkgs/.*")
_PLACE = re.compile(r"[a-z]+://.*|[./~].*")
_LIKE_ENOUGH: Final = 0.75


def judge_channels(channels: Sequence[str], used: Collection[str]) -> Iterator[Finding]:
    """What to say of these channels; ``used`` are those that the image's environments come from already."""
    for channel in dict.fromkeys(channels):
        if channel in used:
            continue
        if channel in _DEFAULTS or _DEFAULTS_URL.fullmatch(channel):
            yield warning(
                "defaults", f"the channel {channel!r} is Anaconda's own, whose terms many organisations may not accept",
                "name conda-forge instead, if it has what you need",
            )  # fmt: skip
        elif near := nearest(channel, used):
            yield warning(
                "misspelt-channel", f"the channel {channel!r} is not known; is {near!r} meant?",
                "mend it in the file, or name all channels with --channel instead",
            )  # fmt: skip
        else:
            yield warning(
                "new-channel", f"nothing of this image comes from the channel {channel!r} yet",
                "whoever reviews this decides whether it is to be trusted, and kept for as long as the image",
            )  # fmt: skip


def nearest(channel: str, used: Collection[str] = ()) -> str:
    """The known channel that a name was most likely meant to be; "" for a known one, a URL, or an unlike name."""
    name = channel.strip()
    known = {*KNOWN, *(each for each in used if not _PLACE.fullmatch(each))}
    if name in known or _PLACE.fullmatch(name) or "/" in name:
        return ""
    return next(iter(difflib.get_close_matches(name.lower(), sorted(known), n=1, cutoff=_LIKE_ENOUGH)), "")
