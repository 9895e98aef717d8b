"""Everything the demo is made from, side by side in one directory."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from peel.demo.base import StandInBase, make_base
from peel.demo.channel import Channel, make_channel
from peel.demo.wheel_index import WheelIndex, make_wheel_index


@dataclass(frozen=True, slots=True)
class StandIns:
    """A base image, a conda channel and an index of wheels."""

    base: StandInBase
    channel: Channel
    wheels: WheelIndex


def make_stand_ins(directory: Path, *, cache: Path, progress: Callable[[str], object]) -> StandIns:
    """Write ``base``, ``channel`` and ``wheels`` into ``directory``, replacing those three; same input, same bytes.

    Needs the mirrors once; what is fetched stays in ``cache``. Raises ToolError when a program is missing or fails,
    ArtifactError when an artifact cannot be had or fails its hash.
    """
    with ThreadPoolExecutor(1) as pool:  # the base image is packed while the wheels come
        base = pool.submit(make_base, directory / "base", cache=cache, progress=progress)
        channel = make_channel(directory / "channel", cache=cache, progress=progress)
        wheels = make_wheel_index(directory / "wheels", cache=cache, progress=progress)
        return StandIns(base.result(), channel, wheels)
