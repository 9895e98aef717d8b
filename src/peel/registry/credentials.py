"""Who we are to a registry: what `skopeo login` and its like have kept (containers-auth.json(5))."""

from __future__ import annotations

import base64
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from peel.errors import ToolError
from peel.model.repository import Repository
from peel.tools import process

_TOKEN_USER: Final = "<token>"  # noqa: S105 - a name
"""By this name, a credential helper says that what it gives is an identity token."""


_UNKNOWN: Final = b"credentials not found"
"""What every helper says of a registry that it knows nothing of."""

_HELPER_SECONDS: Final = 60.0


@dataclass(frozen=True, slots=True)
class Credentials:
    """A user's name and password, or an identity token; neither is ever printed."""

    user: str = ""
    password: str = field(default="", repr=False)
    identity_token: str = field(default="", repr=False)


def find_credentials(repository: Repository, environment: Mapping[str, str]) -> Credentials | None:
    """What the auth files hold for a repository, the most specific entry first; None for nothing.

    Raises ToolError for a file that is there and cannot be read, and when a credential helper fails.
    """
    named = environment.get("REGISTRY_AUTH_FILE")
    for path in [Path(named)] if named else _files(environment):
        document = _read(path, named=bool(named))
        found = _of_document(document, repository) if document is not None else None
        if found is not None:
            return found
    return None


def _files(environment: Mapping[str, str]) -> Sequence[Path]:
    home = Path(environment.get("HOME", "/"))
    run = environment.get("XDG_RUNTIME_DIR")
    config = Path(environment.get("XDG_CONFIG_HOME") or home / ".config")
    docker = Path(environment.get("DOCKER_CONFIG") or home / ".docker")
    return [
        Path(run, "containers", "auth.json") if run else Path(f"/run/containers/{os.getuid()}/auth.json"),
        config / "containers" / "auth.json",
        docker / "config.json",
    ]


def _read(path: Path, *, named: bool) -> Mapping[str, Any] | None:
    """An auth file; None where there is none, or where nobody named it and we may not read it."""
    try:
        document = json.loads(path.read_bytes())
    except FileNotFoundError:
        return None
    except (OSError, ValueError, RecursionError) as error:
        if isinstance(error, PermissionError) and not named:
            return None
        reason = error.strerror if isinstance(error, OSError) else "not JSON"  # never its text: it holds passwords
        raise ToolError(f"{path} cannot be read: {reason}", hint="log in again: skopeo login REGISTRY") from None
    return document if isinstance(document, dict) else {}


def _of_document(document: Mapping[str, Any], repository: Repository) -> Credentials | None:
    auths, helpers = (_mapping(document.get(name)) for name in ("auths", "credHelpers"))
    for key in _keys(repository):
        if key in helpers:
            return _ask_helper(str(helpers[key]), key)
        if key in auths and (found := _of_entry(_mapping(auths[key]))) is not None:
            return found
        if key in auths and document.get("credsStore"):  # Docker leaves an empty entry where a helper has the rest
            return _ask_helper(str(document["credsStore"]), key)
    return None


def _keys(repository: Repository) -> Iterator[str]:
    """What an entry may be called: the repository, each namespace around it, the registry."""
    parts = str(repository).split("/")
    for length in range(len(parts), 0, -1):
        yield "/".join(parts[:length])
    yield f"https://{repository.host}"
    if repository.host == "docker.io":
        yield "https://index.docker.io/v1/"


def _of_entry(entry: Mapping[str, Any]) -> Credentials | None:
    if token := entry.get("identitytoken"):
        return Credentials(identity_token=str(token))
    try:
        text = base64.b64decode(str(entry.get("auth") or ""), validate=True).decode()
    except ValueError:
        return None
    user, colon, password = text.partition(":")
    return Credentials(user, password.rstrip("\0")) if colon else None


def _ask_helper(name: str, key: str) -> Credentials | None:
    """What a credential helper holds (github.com/docker/docker-credential-helpers, "Development")."""
    program = f"docker-credential-{name}"
    command = process.Command((program, "get"), process.inherit(process.credential_variables()), stdin=key.encode())
    done = process.run(command, check=False, timeout=_HELPER_SECONDS)
    if done.status != 0:
        if _UNKNOWN in done.stdout + done.stderr:
            return None
        raise ToolError(f"{program} failed with status {done.status}", hint=f"run {program} get by hand to see why")
    try:
        said = _mapping(json.loads(done.stdout))
    except (ValueError, RecursionError):
        raise ToolError(f"{program} does not answer with JSON", hint=f"run {program} get by hand") from None
    user, secret = str(said.get("Username", "")), str(said.get("Secret", ""))
    return Credentials(identity_token=secret) if user == _TOKEN_USER else Credentials(user, secret)


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}
