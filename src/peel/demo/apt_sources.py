"""Which Debian mirrors and keyrings this machine uses: read from its apt's own configuration (sources.list(5))."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from peel.errors import ToolError

APT_DIRECTORY: Final = Path("/etc/apt")

_SUITES = frozenset({"bullseye", "bookworm", "trixie", "forky", "sid", "oldstable", "stable", "testing"})
_KINDS = frozenset({"", "-updates", "-security"})
_FIELD = re.compile(r"(?m)^(\S+?):(.*(?:\n[ \t].*)*)")
_ONE_LINE = re.compile(r"deb\s+(?:\[(?P<options>[^]]*)\]\s+)?(?P<uri>\S+)\s+(?P<suite>\S+)\s+(?P<components>.+)")


@dataclass(frozen=True, slots=True, order=True)
class Source:
    """One source of binary packages. ``signed_by`` is a keyring's path, or the key itself, or nothing."""

    uri: str
    suite: str
    components: tuple[str, ...]
    signed_by: str = ""

    @property
    def kind(self) -> str:
        """What follows the release's name: nothing, ``-updates``, ``-security``."""
        return "".join(self.suite.partition("-")[1:])

    @property
    def is_debian(self) -> bool:
        """Whether this is Debian's own archive, judged by the names of its suites."""
        return "main" in self.components and self.suite.partition("-")[0] in _SUITES and self.kind in _KINDS

    def stanza(self) -> str:
        """The deb822 form."""
        signed = f"Signed-By: {self.signed_by}\n" if self.signed_by else ""
        components = " ".join(self.components)
        return f"Types: deb\nURIs: {self.uri}\nSuites: {self.suite}\nComponents: {components}\n{signed}"


def parse_stanzas(text: str) -> tuple[Source, ...]:
    """The binary sources of a deb822 ``.sources`` file, without the disabled ones."""
    without_comments = re.sub(r"(?m)^#.*\n?", "", text)
    found: list[Source] = []
    for stanza in re.split(r"\n\s*\n", without_comments):
        fields = {key.lower(): value.strip() for key, value in _FIELD.findall(stanza)}
        if "deb" in fields.get("types", "").split() and fields.get("enabled", "yes").lower() != "no":
            found.extend(_sources(fields))
    return tuple(found)


def _sources(fields: dict[str, str]) -> Iterable[Source]:
    components = tuple(fields.get("components", "").split())
    for uri in fields.get("uris", "").split():
        for suite in fields.get("suites", "").split():
            yield Source(uri, suite, components, fields.get("signed-by", ""))


def parse_lines(text: str) -> tuple[Source, ...]:
    """The binary sources of a one-line-style ``.list`` file."""
    lines = (_ONE_LINE.fullmatch(line.partition("#")[0].strip()) for line in text.splitlines())
    return tuple(
        Source(line["uri"], line["suite"], tuple(line["components"].split()), _signed_by(line["options"] or ""))
        for line in lines
        if line
    )


def _signed_by(options: str) -> str:
    found = re.search(r"signed-by=(\S+)", options)
    return found[1] if found else ""


def load_sources(directory: Path = APT_DIRECTORY) -> tuple[Source, ...]:
    """All enabled binary sources of an apt configuration."""
    parts = directory / "sources.list.d"
    lists = [path for path in (directory / "sources.list", *sorted(parts.glob("*.list"))) if path.is_file()]
    lines = [source for path in lists for source in parse_lines(path.read_text())]
    stanzas = [source for path in sorted(parts.glob("*.sources")) for source in parse_stanzas(path.read_text())]
    return (*lines, *stanzas)


def turn_to(suite: str, machine: Iterable[Source]) -> tuple[Source, ...]:
    """The machine's Debian sources for another suite, sorted. Raises ToolError when it has none."""
    debian = (source for source in machine if source.is_debian)
    turned = sorted({replace(source, suite=suite + source.kind, components=("main",)) for source in debian})
    if not any(source.suite == suite for source in turned):
        raise ToolError(
            f"{APT_DIRECTORY} names no mirror of Debian's main archive",
            hint="the stand-ins need Debian's packages; with network access, --online does without them",
        )
    return tuple(turned)
