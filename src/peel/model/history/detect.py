"""What a text is, told from its contents alone; and of what is no list, what it was taken for."""

from __future__ import annotations

import re
from typing import Final

from peel.errors import DocumentError
from peel.model.history.artifacts import is_url
from peel.model.history.explicit import MARKER
from peel.model.history.export import EXPORTED
from peel.model.history.remembered import Format, place
from peel.model.secrets import redact

READ: Final = (
    "import reads @EXPLICIT lists, lists of conda list --export, environment.yml, conda-lock.yml and pixi.lock"
)

_KEY = re.compile(r"^([A-Za-z_][\w-]*):(?:[ \t]|$)", re.MULTILINE)
_MARKER = re.compile(rf"^[ \t]*{MARKER}[ \t]*$", re.MULTILINE)
_TOML = re.compile(r"\[{1,2}[\w.\"-]+\]{1,2}")
_REQUIREMENT = re.compile(r"-\S.*|[A-Za-z0-9][\w.-]*(?:\[[^\]]*\])?\s*(?:[=<>!~]=|[<>]|@\s).*")
_LOOKED_AT: Final = 50
_SHOWN: Final = 60
_CUT_OFF: Final = "the file is cut off: take it anew"


def detect(text: str, origin: str) -> Format:
    """Which format a text is written in.

    Raises DocumentError naming the file, the line, what it was taken for and what to do, for everything else.
    """
    _refuse_binary(text, origin)
    lines = [(n, line.strip()) for n, line in enumerate(text.splitlines(), 1) if _says_something(line)]
    keys = set(_KEY.findall(text))
    if found := _MARKER.search(text):
        _refuse_mixture(text, found, keys, origin)
        return Format.EXPLICIT
    if not lines:
        raise DocumentError(f"{origin}: is empty: it names no package", hint=_CUT_OFF)
    _refuse_markup(*lines[0], origin)
    if keys and _KEY.match(lines[0][1]):
        return _of_yaml(keys, lines[0][0], origin)
    if any(EXPORTED.fullmatch(line) for _, line in lines[:_LOOKED_AT]):
        return Format.EXPORT
    raise _foreign(*lines[0], text, origin)


def _says_something(line: str) -> bool:
    return bool(line.strip()) and not line.lstrip().startswith("#") and line.strip() != "---"


def _refuse_binary(text: str, origin: str) -> None:
    if "\0" in text:
        line = text.count("\n", 0, text.index("\0")) + 1
        raise DocumentError(f"{origin}:{line}: is a binary file, and no list of packages", hint=READ)


def _refuse_mixture(text: str, found: re.Match[str], keys: set[str], origin: str) -> None:
    if known := sorted(keys & {"dependencies", "channels", "package", "packages", "environments"}):
        line = text.count("\n", 0, found.start()) + 1
        raise DocumentError(
            f"{origin}:{line}: {MARKER} in a YAML document that has {known[0]!r}: two lists in one file",
            hint="import each from a file of its own",
        )


def _refuse_markup(line: int, first: str, origin: str) -> None:
    if first.startswith("<"):
        raise DocumentError(
            f"{origin}:{line}: is a page of HTML or XML, and no list of packages",
            hint="download the file itself, for example its raw form, not the page that shows it",
        )
    if _TOML.fullmatch(first):
        kind = "a poetry.lock, uv.lock or another TOML document" if first == "[[package]]" else "a TOML document"
        raise DocumentError(f"{origin}:{line}: is {kind}, and no list that import reads", hint=READ)
    if first[0] in "{[":
        raise DocumentError(f"{origin}:{line}: is a JSON document, and no list that import reads", hint=READ)


def _of_yaml(keys: set[str], line: int, origin: str) -> Format:
    if "dependencies" in keys:
        return Format.ENVIRONMENT
    if "package" in keys:
        return Format.CONDA_LOCK
    if {"environments", "packages"} <= keys:
        return Format.PIXI
    if {"version", "metadata"} <= keys:
        raise DocumentError(f"{origin}:{line}: a conda-lock.yml without its packages", hint=_CUT_OFF)
    if {"version", "environments"} <= keys:
        raise DocumentError(f"{origin}:{line}: a pixi.lock without its packages", hint=_CUT_OFF)
    if "channels" in keys:
        raise DocumentError(f"{origin}:{line}: an environment.yml without its dependencies", hint=_CUT_OFF)
    shown = ", ".join(sorted(keys)[:5])
    raise DocumentError(f"{origin}:{line}: is a YAML document with {shown}, and no list that import reads", hint=READ)


def _foreign(line: int, first: str, text: str, origin: str) -> DocumentError:
    where, shown = place(origin, line), repr(redact(first)[:_SHOWN])
    if is_url(first.partition("#")[0]):
        return DocumentError(
            f"{where}: a URL in a file without a line {MARKER}",
            hint=f"its beginning is missing: take the file anew, or put {MARKER} before the URLs",
        )
    if "# packages in environment at" in text:
        return DocumentError(
            f"{where}: is a table of conda list, whose columns cannot be told apart for certain",
            hint="export the environment anew: conda list --explicit --md5, or conda list --export",
        )
    if _REQUIREMENT.fullmatch(first):
        return DocumentError(
            f"{where}: is a requirements.txt: {shown}",
            hint="it says nothing of Python and of conda's packages: put it beneath pip: in an environment.yml",
        )
    return DocumentError(f"{where}: is no list of packages that import knows: {shown}", hint=READ)
