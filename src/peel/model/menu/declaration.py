"""``envs/menu.yaml``: which payloads a spawner offers, from where, and how many tags of each."""

from __future__ import annotations

import datetime as dt
import re
from typing import Annotated, Final, Literal

from pydantic import AfterValidator, Field

from peel.errors import UsageError
from peel.model.declaration import AliasName, Line, Name, RepositoryName, TagPolicy
from peel.model.documents import Document, SchemaOne
from peel.model.repository import Repository
from peel.model.tags.filters import CategoryFilter, TagFilter
from peel.model.tags.tag import Category, Version
from peel.model.values import is_name

MENU: Final = "menu"
"""What the document is called, beneath ``envs/`` and without ``.yaml``."""

_AGE: Final = re.compile(r"([0-9]{1,5})([hdw])")
_UNITS: Final = {"h": "hours", "d": "days", "w": "weeks"}
_VERSION: Final = re.compile(r"[0-9]{1,9}\.[0-9]{1,9}\.[0-9]{1,9}")
_MEMORY: Final = re.compile(r"[0-9]{1,6}(?:\.[0-9]{1,3})?(?:Mi|Gi|Ti)")
_WORD: Final = r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,61}[A-Za-z0-9])?"
_LABEL: Final = re.compile(rf"(?:[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?/)?{_WORD}")
_DNS: Final = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")
_PLACES: Final = ("oci", "records", "listing")
_REPOSITORY_HINT: Final = "docker://REGISTRY/NAME, oci:DIR, records:IMAGE or listing:FILE"


def _source(text: str) -> str:
    kind, colon, rest = text.partition(":")
    if kind == "docker":
        try:
            Repository.parse(text)
        except UsageError:
            raise ValueError("should be docker://REGISTRY/NAME, without a tag") from None
    elif kind not in _PLACES or not colon or not rest or (kind == "records" and not is_name(rest)):
        raise ValueError(f"should be {_REPOSITORY_HINT}")
    return text


def _age(text: str) -> str:
    if not _AGE.fullmatch(text):
        raise ValueError("should be a number of hours, days or weeks, as 12h, 30d or 3w")
    return text


def _date(text: str) -> str:
    try:
        dt.date.fromisoformat(text)
    except ValueError:
        raise ValueError("should be a date, as 2026-11-27") from None
    return text


def _like(pattern: re.Pattern[str], what: str) -> AfterValidator:
    def check(text: str) -> str:
        if not pattern.fullmatch(text):
            raise ValueError(f"should be {what}")
        return text

    return AfterValidator(check)


Count = Annotated[int, Field(ge=0, le=1000)]
Memory = Annotated[str, _like(_MEMORY, "a number of Mi, Gi or Ti, as 4Gi")]
Label = Annotated[str, _like(_LABEL, "the name or value of a Kubernetes label")]
DnsName = Annotated[str, _like(_DNS, "lower-case letters, digits and dashes")]
Source = Annotated[str, AfterValidator(_source)]


class Newest(Document):
    """How many of the newest builds nodes have at hand, beside the recommended one and those that are pinned."""

    releases: Count = 1
    weeklies: Count = 2
    dailies: Count = 3
    pin: Annotated[tuple[AliasName, ...], Field(strict=False)] = ()


class Rule(Document):
    """What a tag of one category must fulfil to be offered; ``model.tags.filters`` says how."""

    number: Count | None = None
    age: Annotated[str, AfterValidator(_age)] | None = None
    cutoff_build: Annotated[int, Field(ge=0)] | None = None
    cutoff_date: Annotated[str, AfterValidator(_date)] | None = None
    cutoff_version: Annotated[str, _like(_VERSION, "MAJOR.MINOR.PATCH")] | None = None

    def value(self) -> CategoryFilter:
        """The rule as the filter takes it."""
        return CategoryFilter(
            number=self.number,
            age=_duration(self.age) if self.age else None,
            cutoff_build=self.cutoff_build,
            cutoff_date=dt.datetime.fromisoformat(f"{self.cutoff_date}T00:00:00+00:00") if self.cutoff_date else None,
            cutoff_version=_numbers(self.cutoff_version) if self.cutoff_version else None,
        )


class Dropdown(Document):
    """The rules of the list behind the menu, by category; a category without one is listed whole."""

    release: Rule = Rule()
    weekly: Rule = Rule()
    daily: Rule = Rule()
    release_candidate: Rule = Rule()
    experimental: Rule = Rule()
    unknown: Literal["show", "hide"] = "show"

    def value(self, cycle: int | None, *, rebuilds_count: bool) -> TagFilter:
        """The rules as one filter."""
        rules = {
            Category.RELEASE: self.release, Category.WEEKLY: self.weekly, Category.DAILY: self.daily,
            Category.CANDIDATE: self.release_candidate, Category.EXPERIMENTAL: self.experimental,
        }  # fmt: skip
        categories = {category: rule.value() for category, rule in rules.items()}
        return TagFilter(categories, cycle, rebuilds_count=rebuilds_count)


class MenuPayload(Document):
    """One group of the menu: a payload, from one source, by one tag policy."""

    name: Name
    title: Annotated[Line, Field(min_length=1)]
    description: Line = ""
    source: Source
    repository: RepositoryName | None = None
    """Where nodes pull from, if that is not the source."""
    tags: TagPolicy = "rsp"
    recommended: AliasName | None = None
    aliases: Annotated[tuple[AliasName, ...], Field(strict=False)] = ()
    """Tags that are aliases, whether or not anything is known of their digests."""
    cycle: Annotated[int, Field(ge=0)] | None = None
    prepull: Newest = Newest()
    dropdown: Dropdown = Dropdown()
    rebuilds: Literal["apart", "count"] = "apart"
    """Whether a rebuild of a version takes the place of another version, where places are counted."""


class Size(Document):
    """How much of a machine a lab gets, at most; ``cpu`` in cores."""

    name: Name
    title: Annotated[Line, Field(min_length=1)]
    cpu: Annotated[float, Field(gt=0, le=1024, strict=False)]
    memory: Memory


class Prepull(Document):
    """What the Kubernetes manifest that fetches images says of its surroundings."""

    name: DnsName = "peel-prepull"
    namespace: DnsName | None = None
    node_selector: dict[Label, Label] = {}
    pull_secrets: Annotated[tuple[DnsName, ...], Field(strict=False)] = ()
    pause: Line = "registry.k8s.io/pause:3.10"
    """The image that stays when all others have been fetched."""


class MenuDeclaration(Document):
    """``envs/menu.yaml``; payloads and sizes are shown in the order in which they stand, the first size is chosen."""

    schema_: SchemaOne = Field(alias="schema")
    title: Annotated[Line, Field(min_length=1)] = "Choose an image"
    payloads: Annotated[tuple[MenuPayload, ...], Field(strict=False, min_length=1)]
    sizes: Annotated[tuple[Size, ...], Field(strict=False)] = ()
    prepull: Prepull = Prepull()


def twice(declaration: MenuDeclaration) -> str | None:
    """A name that two payloads or two sizes have; None where there is none."""
    for named in (declaration.payloads, declaration.sizes):
        names = [one.name for one in named]
        if len(set(names)) != len(names):
            return next(name for name in names if names.count(name) > 1)
    return None


def _duration(text: str) -> dt.timedelta:
    number, unit = text[:-1], text[-1]
    return dt.timedelta(**{_UNITS[unit]: int(number)})


def _numbers(text: str) -> Version:
    major, minor, patch = (int(part) for part in text.split("."))
    return major, minor, patch
