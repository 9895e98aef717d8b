"""What reading other tools' locks has in common."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Annotated, Any, Final, TypeVar

from pydantic import BaseModel, ConfigDict, StringConstraints

from peel.errors import DocumentError
from peel.model.documents import Path, validate
from peel.model.history.artifacts import refuse_credentials

CUT_OFF: Final = "take the file anew: it may have been cut off or edited by hand"

Md5 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{32}$")]
Sha256 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]

_URL_LINE = re.compile(r"^[ \t-]*(?:url|conda|pypi):[ \t]+[\"']?([^\s\"']+)[\"']?[ \t]*$", re.MULTILINE)
_T = TypeVar("_T", bound=BaseModel)


class Foreign(BaseModel):
    """Another tool's document: unknown keys are its own business, what is used is checked."""

    model_config = ConfigDict(extra="ignore", frozen=True, strict=True)


class Channel(Foreign):
    """A channel as both kinds of locks write it."""

    url: str


def validated(model: type[_T], data: Any, lines: Mapping[Path, int], origin: str) -> _T:
    """The data as this model. Raises DocumentError: one line per fault, each with its place in the document."""
    try:
        return validate(model, data, origin=origin, lines=lines)
    except DocumentError as error:
        raise DocumentError(error.message, hint=CUT_OFF) from None


def channels_of(channels: Iterable[Channel], origin: str) -> tuple[str, ...]:
    """Each channel once, in its order. Raises DocumentError for credentials in one."""
    for channel in channels:
        refuse_credentials(channel.url, origin, 0)
    return tuple(dict.fromkeys(channel.url.rstrip("/") for channel in channels))


def lines_of_urls(text: str) -> Mapping[str, int]:
    """The line, from 1, on which each URL stands last: where a package is described in full."""
    numbers, line, start = dict[str, int](), 1, 0
    for found in _URL_LINE.finditer(text):
        line += text.count("\n", start, found.start(1))
        start = found.start(1)
        numbers[found[1]] = line
    return numbers
