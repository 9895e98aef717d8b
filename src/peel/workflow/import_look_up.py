"""Finding out where packages lie that a list names by name, version and build alone."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from peel.errors import DocumentError, PeelError
from peel.model.history.channels import channel_names
from peel.model.history.remembered import Remembered
from peel.model.progress import Progress
from peel.model.secrets import name_secrets, redact
from peel.model.values import Platform
from peel.store.store import Store
from peel.store.transport import TransportError, expand
from peel.tools.package_search import Exactly, Found, search

_MOST_CHANNELS: Final = 50
_NO_CHANNEL: Final = "the list names no channel: name one with --channel"


@dataclass(slots=True)
class LookUp:
    """A look-up in channels, one after the other; what one has is not looked for in the next.

    ``variables`` are those that channels may name, with their values. Channels that were ``named`` go before the one
    that a package is said to be from.
    """

    channels: Sequence[str]
    named: bool
    platform: Platform
    store: Store
    variables: Mapping[str, str]
    progress: Progress
    failed: dict[str, str] = field(default_factory=dict)
    """By channel, why it could not be searched."""

    def find(self, packages: Sequence[Remembered]) -> Mapping[Remembered, Remembered]:
        """Those that were found, each with URL and hashes; one that names its channel is looked for there alone.

        Raises DocumentError for more channels than anybody has: each is a process and an index to fetch.
        """
        found: dict[Remembered, Remembered] = {}
        for channel in self._order(packages):
            wanted = [each for each in packages if each not in found and channel in self._channels_of(each)]
            if wanted:
                found |= dict(self._matched(wanted, self._search(channel, wanted)))
        return found

    def why_not(self, package: Remembered) -> str:
        """Why a package was not found."""
        channels = self._channels_of(package)
        if not channels:
            return _NO_CHANNEL
        reasons = [self.failed[channel] for channel in channels if channel in self.failed]
        asked = [redact(channel) for channel in channels if channel not in self.failed]
        return "; ".join([*reasons, *([f"no such build in {', '.join(asked)}"] if asked else [])])

    def _channels_of(self, package: Remembered) -> Sequence[str]:
        own = package.channel and not package.url and not self.named
        return channel_names([package.channel]) if own else self.channels

    def _order(self, packages: Sequence[Remembered]) -> Sequence[str]:
        order = list(dict.fromkeys(channel for each in packages for channel in self._channels_of(each)))
        if len(order) > _MOST_CHANNELS:
            raise DocumentError(
                f"the list names {len(order)} channels, and at most {_MOST_CHANNELS} are asked",
                hint="name those that matter with --channel",
            )
        return order

    def _search(self, channel: str, wanted: Sequence[Remembered]) -> Sequence[Found]:
        self.progress.step(f"looking for {len(wanted)} packages in {redact(channel)}")
        exactly = [Exactly(each.name, each.version, each.build) for each in wanted]
        try:
            with self.store.work() as work:
                return search(exactly, expand(channel, self.variables), self.platform.subdir, work)
        except PeelError as error:
            self.failed[channel] = name_secrets(error.message.partition("\n")[0], self.variables)
        except TransportError as error:
            self.failed[channel] = f"{redact(channel)}: {error.what}"
        return ()

    def _matched(self, wanted: Sequence[Remembered], found: Sequence[Found]) -> Iterator[tuple[Remembered, Remembered]]:
        """Each package with what was found of it; of a .conda and a .tar.bz2, the .conda."""
        by_name: dict[tuple[str, str, str], list[Found]] = {}
        for each in found:
            by_name.setdefault((each.name, each.version, each.build), []).append(each)
        for package in wanted:
            fitting = [f for f in by_name.get((package.name, package.version, package.build), ()) if _fits(package, f)]
            if fitting:
                yield package, self._located(package, min(fitting, key=lambda f: (f.url.endswith(".tar.bz2"), f.url)))

    def _located(self, package: Remembered, found: Found) -> Remembered:
        url = name_secrets(found.url, self.variables)
        return replace(package, url=url, subdir=found.subdir, md5=found.md5, sha256=found.sha256)


def _fits(package: Remembered, found: Found) -> bool:
    """Whether this may be the very archive: no hash that is known says otherwise."""
    pairs = ((package.md5, found.md5), (package.sha256, found.sha256))
    return all(not (known and given) or known == given for known, given in pairs)
