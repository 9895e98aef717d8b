"""Lines of a pip section, as far as a lock can hold what they name (PEP 508)."""

from __future__ import annotations

from peel.errors import DocumentError
from peel.model.documents import quoted
from peel.model.history.artifacts import is_url, normal_name, parse_wheel_url, refuse_credentials, wheel_package
from peel.model.history.remembered import Remembered, place


def pip_package(text: str, origin: str, line: int) -> Remembered:
    """What a requirement names: exact with one ``==``, or a wheel's URL; loose else.

    What only pip on the machine of then could follow is remembered with the reason. Raises DocumentError for a URL
    with credentials.
    """
    refuse_credentials(text, origin, line)
    if text.startswith("-"):
        return _nobody(text, line, "it is an option of pip's: write what it stands for into the list itself")
    if is_url(text):
        found = parse_wheel_url(text.partition("#")[0])
        return _by_url(found.name if found else text, text, origin, line)
    return _requirement(text, origin, line)


def _requirement(text: str, origin: str, line: int) -> Remembered:
    from packaging.requirements import InvalidRequirement, Requirement  # noqa: PLC0415 - only lists of wheels need it

    try:
        asked = Requirement(text)
    except InvalidRequirement as error:
        raise DocumentError(
            f"{place(origin, line)}: not a requirement: {quoted(text)}: {str(error).partition(chr(10))[0]}",
            hint="write NAME==VERSION",
        ) from None
    if asked.marker is not None:
        return _nobody(text, line, "it has a marker: decide whether the environment had it", name=asked.name)
    if asked.url is not None:
        return _by_url(asked.name, asked.url, origin, line)
    exact = [each for each in asked.specifier if each.operator in {"==", "==="} and "*" not in each.version]
    if len(asked.specifier) != 1 or not exact:
        return Remembered(normal_name(asked.name), "", "", "pip", line=line, spec=text)
    return Remembered(normal_name(asked.name), exact[0].version, "", "pip", line=line)


def _by_url(name: str, text: str, origin: str, line: int) -> Remembered:
    url, _, fragment = text.partition("#")
    key, _, digest = fragment.partition("=")
    hashes = {key: digest.lower()} if (key, len(digest)) in {("md5", 32), ("sha256", 64)} else {}
    return wheel_package(name, url, origin, line, **hashes)


def _nobody(text: str, line: int, why: str, *, name: str = "") -> Remembered:
    return Remembered(normal_name(name), "", "", "pip", line=line, spec=text, why=why)
