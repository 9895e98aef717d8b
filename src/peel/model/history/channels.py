"""Channels as old lists name them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

DEFAULTS: Final = ("main", "free", "r")
"""What conda's ``defaults`` stood for, by the names that its channels have beside all others."""


def channel_names(channels: Iterable[str]) -> tuple[str, ...]:
    """The channels, each once, with what ``defaults`` and ``pkgs/NAME`` stand for in their place."""
    named = [part for channel in channels for part in (DEFAULTS if channel == "defaults" else (_plain(channel),))]
    return tuple(dict.fromkeys(named))


def _plain(channel: str) -> str:
    return channel.removeprefix("pkgs/")
