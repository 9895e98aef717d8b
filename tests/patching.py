"""Patches of tiny catalogues, relocked without a solver."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from peel.model.moves import Move
from peel.workflow.relock import Relocked, Wish
from tiny import ChannelLock, Tiny


def declare(tiny: Tiny, name: str = "fix", **patch: Any) -> str:
    tiny.write(f"patches/{name}.yaml", {"schema": 1, "reason": "a test", **patch})
    return name


class Newest:
    """In place of a solver: takes the newest of what is asked for, and what of its needs is not there."""

    def __init__(self, channel: Path) -> None:
        self.channel = ChannelLock(channel)

    def __call__(self, wish: Wish, **_: Any) -> Relocked:
        there = {entry["name"]: entry for entry in wish.locked if entry["manager"] == "conda"}
        others = [entry for entry in wish.locked if entry["manager"] != "conda"]
        found = {record["name"]: record for record in sorted(self.channel.records(), key=lambda r: r["version"])}
        asked = wish.change.conda
        wanted, after = [demand.name for demand in asked.demands], dict(there)
        while wanted:
            name = wanted.pop()
            after[name] = self.channel.package(found[name])
            needs = [spec.split()[0] for spec in found[name].get("depends", ())]
            wanted += [need for need in needs if need not in after]
        for name in asked.leaving:
            del after[name]
        names = sorted(name for name in there.keys() | after.keys() if there.get(name) != after.get(name))
        return Relocked((*after.values(), *others), tuple(Move(name, None, None, "a test", "raised") for name in names))
