"""The part of locking that conda-lock does: one environment after the other, and no secret in what it writes."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from peel.errors import DocumentError, UsageError
from peel.model.declared import Declared, DeclaredEnvironment
from peel.model.progress import Progress
from peel.store.store import Store
from peel.tools.conda_lock import CondaLock, Request

_VARIABLE = re.compile(r"\$\{?([A-Za-z_][A-Za-z0-9_]*)\}?")
_URL = re.compile(rb"https?://[^\s'\"]+")
_CREDENTIALS = re.compile(rb"/t/(?!\$)[^/]+/|://[^/@$]+@")


@dataclass(frozen=True, slots=True)
class Before:
    """An environment's lock as it is, and the names of the packages in it: where an update starts from."""

    data: bytes
    packages: frozenset[str]


def solve(
    declared: Declared,
    glibc: Mapping[str, str],
    *,
    store: Store,
    conda_lock: CondaLock,
    update: Sequence[str],
    before: Mapping[str, Before],
    progress: Progress,
) -> Mapping[str, bytes]:
    """What conda-lock writes for each environment, by name; ``glibc`` is by platform.

    With ``update``, only those packages move, and environments without them keep their lock to the byte. Raises
    DocumentError when nothing satisfies an environment, ToolError when a program fails.
    """
    locks = {}
    for environment in declared.environments:
        known = before.get(environment.name)
        names = tuple(name for name in update if known and name in known.packages)
        if known and update and not names:
            locks[environment.name] = known.data
            continue
        progress.step(f"locking {environment.name} with conda-lock and {conda_lock.solver.title}")
        with store.work() as work:
            request = Request(environment, glibc, locked=known.data if known and names else None, update=names)
            locks[environment.name] = _without_secrets(conda_lock.lock(request, work), conda_lock.secrets, environment)
    return locks


def _without_secrets(data: bytes, secrets: Mapping[str, str], environment: DeclaredEnvironment) -> bytes:
    """The lock with the names of variables where a channel's URL had their values."""
    for name, value in sorted(secrets.items()):
        whole = rb"(?<=[/:@])" + re.escape(value.encode()) + rb"(?=[/:@])"  # a part of a URL, never of a word
        data = re.sub(whole, f"${{{name}}}".encode(), data)
    if any(_CREDENTIALS.search(found[0]) for found in _URL.finditer(data)):
        raise DocumentError(
            f"the lock of {environment.name!r} would hold a password or token of a channel",
            hint="name an environment variable in the channel's URL instead, as in https://host/t/$TOKEN/channel",
        )
    return data


def channel_secrets(declared: Declared, variables: Mapping[str, str]) -> Mapping[str, str]:
    """The variables that channels name, with their values. Raises UsageError when one is not set."""
    found = set_channel_secrets(declared, variables)
    for name in sorted(_channel_variables(declared) - found.keys()):
        raise UsageError(f"a channel needs the environment variable {name}, which is not set", hint=f"export {name}=…")
    return found


def set_channel_secrets(declared: Declared, variables: Mapping[str, str]) -> Mapping[str, str]:
    """Those of the variables that channels name which are set: no other variable may get into a URL."""
    return {name: variables[name] for name in sorted(_channel_variables(declared)) if variables.get(name)}


def _channel_variables(declared: Declared) -> frozenset[str]:
    urls = [url for env in declared.environments for url in (*env.channels, *env.pip_repositories)]
    return frozenset(name for url in urls for name in _VARIABLE.findall(url))
