"""A solver that is asked about one environment again and again, with the channels there are for it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from peel.errors import ArtifactError
from peel.model.conda_record import Record
from peel.model.patch import Changes
from peel.model.progress import Progress
from peel.tools.dry_run import DryRun, NoSolution, Solution, dry_run
from peel.tools.micromamba import Solver
from peel.workflow.local_channel import stand_in_the_way, write_channel, write_prefix

State = Mapping[str, Record]
"""What an environment holds, by name."""


@dataclass(frozen=True, slots=True)
class CondaWish:
    """What is asked of one environment's conda packages on one platform; ``before`` is what is there, by name.

    ``freely`` are the specs that a package keeps to once it may move: what the environment declares, and what earlier
    patches asked for. ``label`` is what messages call the environment.
    """

    label: str
    platform: str
    glibc: str
    before: State
    changes: Changes
    freely: Mapping[str, tuple[str, ...]]
    channels: tuple[str, ...]
    banned: frozenset[str] = frozenset()
    """What earlier patches took away, and what must not come back."""


@dataclass
class Asker:
    """A solver with channels: those declared, then one on disk with what is locked and, at need, what is archived.

    A declared channel that cannot be read is asked no more, nor are the others: what is on disk has to do.
    """

    solver: Solver
    wish: CondaWish
    work: Path
    archived: Callable[[], Sequence[Record]]
    progress: Progress
    secrets: Mapping[str, str] = field(default_factory=dict)
    unread: ArtifactError | None = None
    """Why declared channels are not asked."""
    _local: dict[bool, str] = field(default_factory=dict)
    _count: int = 0

    def ask(self, specs: Sequence[str], installed: Sequence[Record], *, alone: bool = False) -> Solution | NoSolution:
        """What would be linked: of the declared channels, and where they do not do, of archives, too."""
        if self.unread is None:
            try:
                outcome = self._ask(self.wish.channels, specs, installed, alone=alone, archived=False)
            except ArtifactError as error:
                self.unread = error
            else:
                if isinstance(outcome, Solution) or not self.archived():
                    return outcome
                return self._ask(self.wish.channels, specs, installed, alone=alone, archived=True)
        return self._ask((), specs, installed, alone=alone, archived=True)

    def _ask(
        self, channels: tuple[str, ...], specs: Sequence[str], installed: Sequence[Record], *, alone: bool,
        archived: bool,
    ) -> Solution | NoSolution:  # fmt: skip
        local = self._channel(archived=archived)
        self._count += 1
        prefix = self.work / f"prefix-{self._count}"
        if not alone:
            write_prefix(prefix, installed, local)
        asked = DryRun(
            prefix=prefix, channels=(*channels, local), specs=tuple(specs), platform=self.wish.platform,
            glibc=self.wish.glibc, cache=self.work / "pkgs", alone=alone, secrets=self.secrets,
        )  # fmt: skip
        return dry_run(self.solver, asked)

    def _channel(self, *, archived: bool) -> str:
        """The URL of the channel on disk."""
        if archived not in self._local:
            leaving = self.wish.changes.leaving | self.wish.banned
            records = [*self.wish.before.values(), *map(stand_in_the_way, sorted(leaving))]
            more = self.archived() if archived else ()
            directory = self.work / ("archived" if archived else "locked")
            self._local[archived] = write_channel(directory, [*records, *more], self.wish.platform)
        return self._local[archived]
