"""Tokens and passwords that URLs may carry: found, kept out of what people read, replaced by the names of variables."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final
from urllib.parse import quote

ALLOWED: Final = "PEEL_SECRETS"
"""The variable that lists the variables whose values channels may be sent."""

_SECRET = re.compile(r"(?<=/t/)[^/\s'\"]+|(?<=://)[^/@\s'\"]+(?=@(?!sha256:))")
_VARIABLE = re.compile(r"\$\{?([A-Za-z_][A-Za-z0-9_]*)\}?")
_NAMED = re.compile(rf"(?:[\w.-]*:)?{_VARIABLE.pattern}")


def redact(text: str) -> str:
    """The text without the tokens and passwords of the URLs in it."""
    return _SECRET.sub("<hidden>", text)


def holds_credentials(text: str) -> bool:
    """Whether a URL in the text has a token or password written into it, instead of a variable's name."""
    return any(not _NAMED.fullmatch(found[0]) for found in _SECRET.finditer(text))


def variables_in(text: str) -> frozenset[str]:
    """The environment variables that a URL names, as ``$NAME`` or ``${NAME}``."""
    return frozenset(_VARIABLE.findall(text))


def name_secrets(text: str, secrets: Mapping[str, str]) -> str:
    """The text with the names of variables where parts of URLs had their values, also where they were quoted."""
    for name, value in sorted(secrets.items()):
        for written in {value, quote(value, safe="")}:
            whole = rf"(?<=[/:@=]){re.escape(written)}(?=[/:@?&=\s'\"]|$)"  # a part of a URL, never of a word
            text = re.sub(whole, f"${{{name}}}", text)
    return text


def holds_secrets(text: str, secrets: Mapping[str, str]) -> bool:
    """Whether the value of a variable is still to be read anywhere in the text."""
    return any(written in text for value in secrets.values() for written in {value, quote(value, safe="")})


def allowed_variables(variables: Mapping[str, str]) -> frozenset[str]:
    """The names that ``PEEL_SECRETS`` lists."""
    return frozenset(variables.get(ALLOWED, "").replace(",", " ").split())


def allowed_secrets(variables: Mapping[str, str]) -> Mapping[str, str]:
    """Those of them that are set, with their values: what must be read nowhere."""
    return {name: variables[name] for name in sorted(allowed_variables(variables)) if variables.get(name)}
