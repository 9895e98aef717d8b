"""Tokens and passwords that URLs may carry, kept out of what people read."""

from __future__ import annotations

import re

_SECRET = re.compile(r"(?<=/t/)[^/\s]+|(?<=://)[^/@\s]+(?=@)")


def redact(text: str) -> str:
    """The text without the tokens and passwords of the URLs in it."""
    return _SECRET.sub("<hidden>", text)
