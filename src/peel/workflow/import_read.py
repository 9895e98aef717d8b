"""Reading a list that history left behind: a file in, what it remembers out."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Final, assert_never

from peel.errors import DocumentError
from peel.model.history.conda_lock import parse_conda_lock_history
from peel.model.history.detect import READ, detect
from peel.model.history.environment import parse_environment
from peel.model.history.explicit import parse_explicit
from peel.model.history.export import parse_export
from peel.model.history.foreign import CUT_OFF
from peel.model.history.pixi import parse_pixi
from peel.model.history.remembered import Format, History
from peel.model.secrets import name_secrets
from peel.store.documents import parse_plain, parse_yaml, read_text

_NO_FILE: Final = "name a list of packages, oci:DIR[:TAG] or docker://REFERENCE"
_PARSERS: Final = {Format.CONDA_LOCK: parse_conda_lock_history, Format.PIXI: parse_pixi}


def read_history(path: Path, secrets: Mapping[str, str]) -> History:
    """What a list says, whatever its name; the values of ``secrets`` are replaced by their names in it.

    Raises DocumentError naming the file, and the line where there is one, for everything that is no whole list.
    """
    origin = str(path)
    try:
        text = read_text(path, origin=origin, hint=_NO_FILE).removeprefix("\ufeff")
    except DocumentError as error:
        raise DocumentError(error.message, hint=error.hint or READ) from None
    text = name_secrets(text.replace("\r\n", "\n"), secrets)
    form = detect(text, origin)
    try:
        return _parse(form, text, origin)
    except DocumentError as error:
        raise DocumentError(error.message, hint=error.hint or CUT_OFF) from None


def _parse(form: Format, text: str, origin: str) -> History:
    match form:
        case Format.EXPLICIT:
            return parse_explicit(text, origin)
        case Format.EXPORT:
            return parse_export(text, origin)
        case Format.ENVIRONMENT:
            parsed = parse_yaml(text, origin)
            return parse_environment(parsed.data, parsed.lines, origin)
        case Format.CONDA_LOCK | Format.PIXI:
            return _parse_lock(form, text, origin)
        case _:
            assert_never(form)


def _parse_lock(form: Format, text: str, origin: str) -> History:
    """Such files are long, and line numbers take their time: they are counted when there is something wrong to tell."""
    parse, data = _PARSERS[form], parse_plain(text, origin)
    try:
        return parse(data, text, {}, origin)
    except DocumentError:
        parsed = parse_yaml(text, origin)
        parse(parsed.data, text, parsed.lines, origin)
        raise
