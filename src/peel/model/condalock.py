"""What conda-lock writes (its lock format, version 1), as far as peel reads it.

Another tool's document: unknown keys are its own business, what is used is checked.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cached_property
from typing import Annotated, Any, Literal
from urllib.parse import unquote, urlsplit

from pydantic import BaseModel, ConfigDict, StringConstraints

from peel.errors import DocumentError
from peel.model.documents import validate

_FILE_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.!+~^=-]*")


class _Foreign(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True, strict=True)


class Hashes(_Foreign):
    """The hashes conda-lock knows of an artifact, in hexadecimal."""

    md5: str | None = None
    sha256: str | None = None


class CondaLockPackage(_Foreign):
    """One package of one platform."""

    name: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_][A-Za-z0-9._-]*$")]
    version: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_.!+*~^-]+$")]
    manager: Literal["conda", "pip"]
    platform: str
    url: str
    hash: Hashes
    dependencies: dict[str, str] = {}

    @cached_property
    def file_name(self) -> str:
        """The last part of its URL, for example ``numpy-2.4.6-py311_0.conda``."""
        return unquote(urlsplit(self.url).path.rsplit("/", 1)[-1])


class _Lock(_Foreign):
    version: Literal[1]
    package: list[CondaLockPackage]


def parse_conda_lock(document: Any, origin: str) -> Sequence[CondaLockPackage]:
    """Every package of a lock, in its order.

    Raises DocumentError for another format version, what is no lock at all, and a pip entry that is no wheel.
    """
    packages = validate(_Lock, document, origin=origin).package
    for package in packages:
        if not _FILE_NAME.fullmatch(package.file_name):
            raise DocumentError(f"{origin}: {package.name}: not an artifact's file name: {package.file_name!r}")
        if package.manager == "pip" and not package.file_name.endswith(".whl"):
            raise DocumentError(
                f"{origin}: {package.name} {package.version} is locked as {package.file_name}, which is no wheel",
                hint="peel installs wheels only: ask for a version that has one, or take it from a conda channel",
            )
    return packages
