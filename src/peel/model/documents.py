"""What every document of peel's own has in common, and how a bad one is told.

Documents are strict: an unknown key, a wrong type or another schema number is an error, never a guess.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from peel.errors import DocumentError

Path = tuple[str | int, ...]
"""Where something stands in a document: keys and list positions from the top."""

Strings = Annotated[tuple[str, ...], Field(strict=False)]
"""A list of strings. YAML gives lists, documents hold tuples; the strings themselves are read strictly."""


def _schema_one(number: int) -> int:
    if number != 1:
        raise ValueError("is not 1, the only schema that this peel knows")
    return number


SchemaOne = Annotated[int, AfterValidator(_schema_one)]
"""The number that every document of peel's own begins with."""

_T = TypeVar("_T", bound=BaseModel)
_MOST_TOLD = 10
_PAGES = {"envs/menu.yaml": "docs/menu.md"}
"""Documents that have a page of their own."""

_MOST_SHOWN = 80


class Document(BaseModel):
    """A part of a document: frozen, strictly typed, no key that is not declared."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, populate_by_name=True)


def validate(model: type[_T], data: Any, *, origin: str, lines: Mapping[Path, int] | None = None) -> _T:
    """The data as this model.

    ``origin`` is what messages call the document; ``lines`` maps places in it to line numbers from 1.
    Raises DocumentError: one line per fault, each with its line number and place in the document.
    """
    try:
        return model.model_validate(data)
    except ValidationError as error:
        faults = [_sentence(fault, model, origin, lines or {}) for fault in _telling(error)]
    if len(faults) > _MOST_TOLD:
        faults[_MOST_TOLD:] = [f"and {len(faults) - _MOST_TOLD} more faults like these"]
    page = "docs/lock-sets.md" if origin.startswith("lockfiles/") else _PAGES.get(origin, "docs/declarations.md")
    raise DocumentError("\n".join(faults), hint=f"{page} lists the keys of {origin.rsplit('/', 1)[-1]}")


def quoted(value: object) -> str:
    """A value as messages show it: enough of it to be found, never a screenful."""
    text = repr(value)
    return text if len(text) <= _MOST_SHOWN else f"{text[:_MOST_SHOWN]}…"


def _telling(error: ValidationError) -> Sequence[Any]:
    """One fault per place. Of a union's branches, the one that got further in knows what was meant."""
    faults = {_place(fault): fault for fault in reversed(error.errors(include_url=False))}
    places = list(faults)
    return [
        fault
        for place, fault in reversed(faults.items())
        if not any(other != place and other[: len(place)] == place for other in places)
    ]


def _sentence(fault: Any, model: type[BaseModel], origin: str, lines: Mapping[Path, int]) -> str:
    place = _place(fault)
    where = f"{origin}:{line}" if (line := _line(place, lines)) else origin
    return f"{where}: {_dotted(place)}: {_reason(fault, model, place)}"


def _place(fault: Any) -> Path:
    # pydantic also names the branch of a union that it tried; a reader knows only the keys they wrote
    branches = {"str", *(kind.__name__ for kind in Document.__subclasses__())}
    return tuple(part for part in fault["loc"] if part not in branches and not str(part).startswith("function-"))


def _reason(fault: Any, model: type[BaseModel], place: Path) -> str:
    if fault["type"] == "extra_forbidden":
        near = difflib.get_close_matches(str(place[-1]), _keys(model, place[:-1]), n=1)
        return "unknown key" + (f"; did you mean {near[0]!r}?" if near else "")
    if fault["type"] == "missing":
        return "missing"
    reason: str = fault["msg"].removeprefix("Value error, ").replace("Input should be", "should be")
    reason = reason.replace("a valid tuple", "a list")
    shown = fault.get("input")
    return f"{reason}, not {quoted(shown)}" if isinstance(shown, str | int | float) else reason


def _keys(model: type[BaseModel], place: Path) -> Sequence[str]:
    """The keys that may stand at a place, as far as the model tells."""
    here: Any = model
    for part in place:
        field = getattr(here, "model_fields", {}).get(part)
        here = next((kind for kind in _models_in(field.annotation)), None) if field else here
    return [info.alias or name for name, info in getattr(here, "model_fields", {}).items()]


def _models_in(annotation: Any) -> Sequence[Any]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [found for part in getattr(annotation, "__args__", ()) for found in _models_in(part)]


def _line(place: Path, lines: Mapping[Path, int]) -> int | None:
    """The line of the nearest enclosing place that is known."""
    for end in range(len(place), -1, -1):
        if place[:end] in lines:
            return lines[place[:end]]
    return None


def _dotted(place: Path) -> str:
    text = ""
    for part in place:
        text += f"[{part}]" if isinstance(part, int) else f".{part[:_MOST_SHOWN]}" if text else part[:_MOST_SHOWN]
    return text or "document"
