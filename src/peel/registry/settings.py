"""What containers-registries.conf(5) says of a registry: where it really is, and whether it may lack a certificate."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from peel.errors import ToolError
from peel.model.repository import Repository

_DOCKER_HUB: Final = ("docker.io", "registry-1.docker.io")
_VARIABLE: Final = "CONTAINERS_REGISTRIES_CONF"


@dataclass(frozen=True, slots=True)
class Location:
    """Where a repository is asked for; ``insecure`` lets it have no certificate, or no TLS at all."""

    host: str
    name: str
    insecure: bool = False

    @classmethod
    def of(cls, repository: Repository) -> Location:
        """Where a repository is that nothing is said of."""
        host = _DOCKER_HUB[1] if repository.host == _DOCKER_HUB[0] else repository.host
        return cls(host, repository.name)

    @property
    def place(self) -> Repository:
        """The same as a repository: what credentials are kept for."""
        return Repository(_DOCKER_HUB[0] if self.host == _DOCKER_HUB[1] else self.host, self.name)


def locate(repository: Repository, environment: Mapping[str, str]) -> Location:
    """Where a repository is, by the registries.conf that applies; its mirrors are left alone, since they may lag.

    Raises ToolError for a file that cannot be read, or a registry that it blocks.
    """
    chosen: Mapping[str, Any] = {}
    for entry in _entries(_files(environment)):
        if _prefix_fits(entry, repository) and len(_prefix(entry)) >= len(_prefix(chosen)):
            chosen = entry
    if chosen.get("blocked") is True:
        raise ToolError(f"{repository.host} is blocked", hint="registries.conf says so")
    place = _moved(str(repository), chosen)
    host, _, name = place.partition("/")
    return replace(Location.of(Repository(host, name)), insecure=chosen.get("insecure") is True)


def _files(environment: Mapping[str, str]) -> Sequence[Path]:
    """The files that apply, the strongest last."""
    if named := environment.get(_VARIABLE):
        return [Path(named)]
    own = Path(environment.get("XDG_CONFIG_HOME") or Path(environment.get("HOME", "/"), ".config"), "containers")
    system = Path("/etc/containers")
    main = next((path for place in (own, system) if (path := place / "registries.conf").is_file()), None)
    more = [path for place in (system, own) for path in sorted((place / "registries.conf.d").glob("*.conf"))]
    return [*([main] if main else []), *more]


def _entries(files: Sequence[Path]) -> Iterator[Mapping[str, Any]]:
    for path in files:
        try:
            document = tomllib.loads(path.read_text())
        except (OSError, ValueError) as error:
            raise ToolError(
                f"{path} cannot be read: {error}", hint="correct it: containers-registries.conf(5)"
            ) from None
        found = document.get("registry", [])
        yield from (entry for entry in found if isinstance(entry, dict)) if isinstance(found, list) else ()


def _prefix(entry: Mapping[str, Any]) -> str:
    return str(entry.get("prefix") or entry.get("location") or "")


def _prefix_fits(entry: Mapping[str, Any], repository: Repository) -> bool:
    prefix = _prefix(entry)
    if prefix.startswith("*."):
        return repository.host.partition(":")[0].endswith(prefix[1:])
    return bool(prefix) and (str(repository) == prefix or str(repository).startswith(f"{prefix}/"))


def _moved(repository: str, entry: Mapping[str, Any]) -> str:
    prefix, location = _prefix(entry), entry.get("location")
    if not location or prefix.startswith("*."):
        return repository
    return f"{location}{repository.removeprefix(prefix)}"
