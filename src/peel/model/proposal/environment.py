"""An author's ``environment.yml``, as it comes, made into one that peel declares: nothing of it goes unsaid."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from peel.errors import DocumentError
from peel.model.conda_spec import spec_name
from peel.model.documents import Path, quoted
from peel.model.history.remembered import place
from peel.model.proposal.findings import Finding, error, named, note, warning
from peel.model.proposal.selectors import holds, key_selector
from peel.model.values import Platform

_OF_CONDA_LOCK: Final = ("platforms", "pip-repositories", "allow-pypi-requests")
_READ: Final = frozenset({"name", "channels", "dependencies", "variables", *_OF_CONDA_LOCK})
_OF_NO_USE: Final = frozenset({"prefix", "category"})
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_BARE = re.compile(r"(?:\S+?::)?[A-Za-z0-9_][A-Za-z0-9_.-]*")
_INDEX = re.compile(r"(?P<option>-i|--index-url|--extra-index-url)(?:\s+|=)(?P<url>\S+)")
_UNLOCKABLE = re.compile(r"(?:-e|--editable)\b.*|(?:git|hg|svn|bzr)\+.*|\.{1,2}(?:/.*)?|/.*|[^@;]*@\s*(?:git|hg)\+.*")
_OTHER_FILE = re.compile(r"(?:-r|--requirement|-c|--constraint)\b\s*=?\s*(?P<file>.*)")
_LOOSE = re.compile(r"[A-Za-z0-9][\w.-]*\s*(?:\[[^\]]*\])?\s*(?:;.*)?")
_VERSIONED = re.compile(r".*(?:[=<>!~]=|[<>]|@|://).*")


@dataclass(frozen=True, slots=True)
class Tidied:
    """What an environment file asks for, in the few keys that peel declares.

    ``changed`` says whether the file as it came would not do.
    """

    name: str
    channels: tuple[str, ...]
    dependencies: tuple[str, ...]
    pip: tuple[str, ...]
    indexes: tuple[str, ...]
    allow_pypi: bool
    variables: Mapping[str, str]
    findings: tuple[Finding, ...]
    changed: bool

    def as_document(self) -> dict[str, Any]:
        """The environment file to be declared."""
        dependencies: list[Any] = list(self.dependencies)
        if self.pip:
            dependencies.append({"pip": list(self.pip)})
        document: dict[str, Any] = {"channels": list(self.channels), "dependencies": dependencies}
        if self.indexes:
            document["pip-repositories"] = list(self.indexes)
        return document if self.allow_pypi else {**document, "allow-pypi-requests": False}


def tidy(
    data: Any, lines: Mapping[Path, int], origin: str, *,
    platform: Platform, channels: Sequence[str], instead: Sequence[str] = (), extra: Sequence[str] = (),
) -> Tidied:  # fmt: skip
    """Read an environment file, whose selectors in remarks were followed already.

    ``channels`` stand in where it names none, ``instead`` replace those that it names, and ``extra`` packages are added
    to its own. Raises DocumentError naming file and line for what can be no dependency.
    """
    if not isinstance(data, dict) or not isinstance(data.get("dependencies"), list):
        raise DocumentError(f"{place(origin, 0)}: dependencies: not a list", hint="write a list, an item a line")
    reading = _Reading(origin, lines, platform)
    dependencies = [text for number, item in enumerate(data["dependencies"]) for text in reading.item(item, number)]
    reading.keys(data)
    found = reading.channels(data.get("channels"), channels, instead)
    added = [name for name in extra if name not in map(spec_name, dependencies)]
    if reading.pip and "pip" not in map(spec_name, dependencies):
        reading.change("pip-added", "pip was added to its packages: a pip section needs it")
        added.append("pip")
    if not dependencies:
        raise DocumentError(f"{place(origin, lines.get(('dependencies',), 0))}: dependencies: asks for nothing")
    reading.unpinned(dependencies)
    given = data.get("name")
    return Tidied(
        name=given if isinstance(given, str) else "", channels=found, dependencies=(*dependencies, *added),
        pip=tuple(reading.pip), indexes=tuple(reading.indexes), allow_pypi=reading.allow_pypi,
        variables=reading.variables, findings=tuple(reading.findings), changed=reading.changed or bool(added),
    )  # fmt: skip


def judge_requirements(text: str) -> Sequence[Finding]:
    """What to say of a requirements.txt before it is read as what it is: which of its lines name no version."""
    lines = (re.sub(r"(?:^|\s)#.*$", "", line).strip() for line in text.splitlines())
    return _unpinned([line for line in lines if _LOOSE.fullmatch(line)])


def _unpinned(loose: Sequence[str]) -> Sequence[Finding]:
    if not loose:
        return []
    hint = "the lock pins them; with a range such as 'numpy >=2,<3', the next lock stays near it, too"
    return [warning("unpinned", f"asked for in any version: {named(loose)}", hint)]


@dataclass(slots=True)
class _Reading:
    """An environment file that is being read."""

    origin: str
    lines: Mapping[Path, int]
    platform: Platform
    pip: list[str] = field(default_factory=list)
    indexes: list[str] = field(default_factory=list)
    allow_pypi: bool = True
    variables: dict[str, str] = field(default_factory=dict)
    findings: list[Finding] = field(default_factory=list)
    changed: bool = False

    def change(self, code: str, message: str) -> None:
        """Note that what is declared is not to the letter what was given."""
        self.changed = True
        self.findings.append(note(code, message))

    def item(self, item: Any, number: int) -> Iterator[str]:
        """The match specs of one dependency; what it says of pip is kept."""
        here: Path = ("dependencies", number)
        if item is None:
            self.change("empty-item", f"{self._where(here)} has an empty item, which is left out")
        elif isinstance(item, str) and item.strip():
            yield item.strip()
        elif isinstance(item, dict) and set(item) == {"pip"}:
            self._pip_section(item["pip"], here)
        elif isinstance(item, dict) and len(item) == 1 and (selector := key_selector(str(next(iter(item))))):
            yield from self._selected(selector, next(iter(item.values())), here)
        else:
            raise DocumentError(
                f"{self._where(here)}: cannot be a dependency: {quoted(item)}",
                hint="write NAME, NAME VERSION or NAME >=VERSION, or a list beneath pip:",
            )

    def keys(self, data: Mapping[Any, Any]) -> None:
        """What the file says besides channels and dependencies."""
        variables = data.get("variables")
        if isinstance(variables, dict):
            self._variables(variables)
        for index in data.get("pip-repositories") or ():
            self.indexes.append(str(index))
        self.allow_pypi = self.allow_pypi and data.get("allow-pypi-requests") is not False
        for key in sorted(map(str, data)):
            if key in _OF_NO_USE or key not in _READ:
                self.change("key-dropped", f"{key!r} says nothing to a lock, and is left out")

    def channels(self, given: Any, fallback: Sequence[str], instead: Sequence[str]) -> tuple[str, ...]:
        """The channels that are declared."""
        if given is not None and not (isinstance(given, list) and all(isinstance(each, str) for each in given)):
            raise DocumentError(f"{self._where(('channels',))}: channels: not a list of names")
        named_here = [channel for channel in given or () if channel != "nodefaults"]
        if instead:
            self.change("channels-replaced", f"channels were named on the command line: {named(instead)}")
            return tuple(instead)
        if not named_here:
            self.changed = True
            self.findings.append(
                warning(
                    "no-channels", f"names no channels, so those of the image are taken: {named(fallback)}",
                    "name them: else everybody's own conda decides",
                )
            )  # fmt: skip
            return tuple(fallback)
        self.changed = self.changed or len(named_here) != len(given or ())
        return tuple(named_here)

    def unpinned(self, dependencies: Sequence[str]) -> None:
        """Say which packages are asked for in any version."""
        loose = [spec for spec in dependencies if _BARE.fullmatch(spec) and spec != "pip"]
        self.findings += _unpinned([*loose, *(spec for spec in self.pip if not _VERSIONED.fullmatch(spec))])

    def _selected(self, selector: str, value: Any, here: Path) -> Iterator[str]:
        self.change("selector", f"sel({selector}) was followed for {self.platform}")
        true = holds(selector, self.platform)
        if true is None:
            raise DocumentError(
                f"{self._where(here)}: a selector that is not known: {selector!r}", hint="linux, linux64, aarch64, …"
            )
        for each in value if isinstance(value, list) else [value]:
            if true and isinstance(each, str):
                yield each.strip()

    def _pip_section(self, section: Any, here: Path) -> None:
        if not section:
            return self.change("empty-pip", f"{self._where(here)}: a pip section without requirements, left out")
        for number, text in enumerate(section if isinstance(section, list) else [section]):
            self._requirement(str(text).strip(), self._where((*here, "pip", number)))
        return None

    def _requirement(self, text: str, where: str) -> None:
        if index := _INDEX.fullmatch(text):
            self.indexes.append(index["url"])
            self.allow_pypi = self.allow_pypi and index["option"] == "--extra-index-url"
            self.change("index", f"{where}: {index['option']} became pip-repositories: {index['url']}")
        elif other := _OTHER_FILE.fullmatch(text):
            self.findings.append(
                error("other-file", f"{where}: names another file, {other['file']}", "write its lines here")
            )
        elif _UNLOCKABLE.fullmatch(text):
            self.findings.append(
                error("no-wheel", f"{where}: cannot be locked: {text}", "a lock holds wheels: build one, and name it")
            )
        elif text.startswith("-"):
            self.change("option-dropped", f"{where}: an option of pip's that means nothing to a lock: {text}")
        else:
            self.pip.append(text)

    def _variables(self, given: Mapping[Any, Any]) -> None:
        for name, value in given.items():
            if _VARIABLE.fullmatch(str(name)):
                self.variables[str(name)] = str(value)
        self.change("variables", f"variables became the payload's own: {named(sorted(self.variables))}")

    def _where(self, where: Path) -> str:
        while where and where not in self.lines:
            where = where[:-1]
        return place(self.origin, self.lines.get(where, 0))
