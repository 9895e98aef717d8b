"""Where a registry keeps images: its host, and the repository's name (OCI distribution-spec, "Pulling manifests")."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from peel.errors import UsageError

_LABEL: Final = r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
_HOST: Final = rf"(?:{_LABEL}(?:\.{_LABEL})*|\[[0-9A-Fa-f:]+\])(?::[0-9]{{1,5}})?"
_PART: Final = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
_REPOSITORY: Final = re.compile(rf"(?:docker://)?(?P<host>{_HOST})/(?P<name>{_PART}(?:/{_PART})*)")
_USER: Final = re.compile(r"[^/@]+@(?!sha256:)")
_LONGEST: Final = 255
_DOCKER_HUB: Final = ("docker.io", "index.docker.io")


@dataclass(frozen=True, slots=True, order=True)
class Repository:
    """``HOST[:PORT]/NAME``, without a tag."""

    host: str
    name: str

    def __str__(self) -> str:
        return f"{self.host}/{self.name}"

    @classmethod
    def parse(cls, text: str) -> Repository:
        """Read ``[docker://]HOST[:PORT]/NAME``. Raises UsageError for anything else, a tag or digest included."""
        found = _REPOSITORY.fullmatch(text)
        if found is None or len(found["name"]) > _LONGEST or not _is_host(found["host"]):
            raise UsageError(
                f"not a repository of a registry: {_USER.sub('<hidden>@', text[:_LONGEST])!r}",
                hint="write REGISTRY/NAME, for example registry.example.org/science/lab, without a tag",
            )
        host, name = found["host"].lower(), found["name"]
        if host in _DOCKER_HUB:
            return cls(_DOCKER_HUB[0], name if "/" in name else f"library/{name}")
        return cls(host, name)


def _is_host(text: str) -> bool:
    """Whether this is a host's name and no first part of a path: what has a dot or a port, and localhost."""
    return "." in text or ":" in text or text == "localhost"
