"""Whether the wheels of an environment still go with it once other things are there."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

from packaging.utils import canonicalize_name

from peel.errors import DocumentError
from peel.layers.wheel_needs import WheelNeeds, read_wheel_needs
from peel.model.conda_record import Record
from peel.model.values import Digest
from peel.model.wheel_fit import Misfit, Wheel, misfits
from peel.model.wheel_moves import Entries, needs
from peel.store.blobs import Blobs
from peel.workflow.local_channel import file_name_of

State = tuple[Mapping[str, Record], Entries]
"""What is there: conda packages, and wheels, by name."""

_MOST_TOLD: Final = 10


def refuse_misfits(label: str, platform: str, blobs: Blobs, before: State, after: State) -> None:
    """Raise DocumentError for wheels that went with what was there, and do not go with what is there afterwards."""
    known = frozenset(_versions(before))
    had = _misfits(before, platform, blobs, known)
    fresh = sorted(_misfits(after, platform, blobs, known) - had)
    if fresh:
        lines = "".join(f"\n  {misfit.why}" for misfit in fresh[:_MOST_TOLD])
        more = f"\n  and {len(fresh) - _MOST_TOLD} more" if len(fresh) > _MOST_TOLD else ""
        raise DocumentError(
            f"{label}: wheels would no longer fit:{lines}{more}",
            hint=f"raise or remove {fresh[0].wheel} in the same patch, under wheels",
        )


def _misfits(state: State, platform: str, blobs: Blobs, known: frozenset[str]) -> frozenset[Misfit]:
    conda, wheels = state
    python = conda["python"].version if "python" in conda else ""
    return misfits(list(_wheels(wheels, blobs)), _versions(state), python, platform, known)


def _versions(state: State) -> dict[str, str]:
    conda, wheels = state
    versions: dict[str, str] = {canonicalize_name(name): record.version for name, record in conda.items()}
    return {**versions, **{name: str(entry["version"]) for name, entry in wheels.items()}}


def _wheels(entries: Entries, blobs: Blobs) -> Iterator[Wheel]:
    for name, entry in sorted(entries.items()):
        file_name = file_name_of(str(entry["url"]))
        found = _needs(entry, file_name, blobs)
        yield Wheel(name, str(entry["version"]), file_name, found.requires, found.python)


def _needs(entry: Mapping[str, object], file_name: str, blobs: Blobs) -> WheelNeeds:
    """What a wheel needs: as it says, where it is at hand, else as it was locked."""
    hashes = entry["hash"]
    sha256 = hashes.get("sha256") if isinstance(hashes, Mapping) else None
    if sha256 and blobs.has(digest := Digest.from_hex(str(sha256))):
        return read_wheel_needs(blobs.path(digest), file_name)
    return WheelNeeds(tuple(f"{name} {'' if spec == '*' else spec}".strip() for name, spec in needs(entry).items()))
