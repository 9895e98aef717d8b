"""The part of locking that conda-lock does: one environment after the other, and no secret in what it writes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from peel.errors import DocumentError, UsageError
from peel.model.declared import Declared, DeclaredEnvironment
from peel.model.lockset import environment_lock_file
from peel.model.progress import Progress
from peel.model.secrets import (
    ALLOWED,
    allowed_variables,
    holds_credentials,
    holds_secrets,
    name_secrets,
    variables_in,
)
from peel.model.values import Digest
from peel.store.documents import parse_plain, to_yaml
from peel.store.store import Store
from peel.tools.conda_lock import CondaLock, Request
from peel.workflow.pip_rules import lock_constrained


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
        if names:
            _refuse_file_urls(environment)
        progress.step(f"locking {environment.name} with conda-lock and {conda_lock.solver.title}")
        start = known.data if known and names else None

        def lock(asked: DeclaredEnvironment, start: bytes | None = start, names: tuple[str, ...] = names) -> bytes:
            with store.work() as work:
                return conda_lock.lock(Request(asked, glibc, locked=start, update=names), work)

        data = lock_constrained(environment, lock, environment_lock_file(environment.name))
        locks[environment.name] = without_secrets(data, conda_lock.secrets, environment)
    return locks


def _refuse_file_urls(environment: DeclaredEnvironment) -> None:
    """conda-lock reads its own lock again to update it, and takes no ``file:`` URL of a wheel for one."""
    if any("file:" in requirement for requirement in environment.pip):
        raise UsageError(
            f"the environment {environment.name!r} names a wheel by a file: URL, and conda-lock cannot update it",
            hint="lock it anew, without --update",
        )


def without_secrets(data: bytes, secrets: Mapping[str, str], environment: DeclaredEnvironment) -> bytes:
    """The lock with the names of variables where a channel's URL had their values. Raises DocumentError otherwise."""
    text = name_secrets(data.decode(), secrets)
    if holds_credentials(text) or holds_secrets(text, secrets):
        raise DocumentError(
            f"the lock of {environment.name!r} would hold a password or token of a channel",
            hint="name an environment variable in the channel's URL instead, as in https://host/t/$TOKEN/channel",
        )
    return text.encode()


def channel_secrets(declared: Declared, variables: Mapping[str, str]) -> Mapping[str, str]:
    """The variables that channels name, with their values.

    Raises UsageError for one that is not set, or that ``PEEL_SECRETS`` does not list: a document must not choose which
    variables of a machine are sent to a server.
    """
    return named_secrets(_channel_variables(declared), variables)


def named_secrets(named: frozenset[str], variables: Mapping[str, str]) -> Mapping[str, str]:
    """These variables with their values. Raises as ``channel_secrets`` does."""
    allowed = allowed_variables(variables)
    if refused := sorted(named - allowed):
        raise UsageError(
            f"a channel names the environment variable {refused[0]}, which {ALLOWED} does not list",
            hint=f"if that channel's server may see its value: export {ALLOWED}={','.join(sorted(allowed | named))}",
        )
    for name in sorted(named):
        if not variables.get(name):
            raise UsageError(
                f"a channel needs the environment variable {name}, which is not set", hint=f"export {name}=…"
            )
    return {name: variables[name] for name in sorted(named)}


def known_channel_secrets(declared: Declared, variables: Mapping[str, str]) -> Mapping[str, str]:
    """Those of them that may be used and are set; a build may have all it needs in the store."""
    names = _channel_variables(declared) & allowed_variables(variables)
    return {name: variables[name] for name in sorted(names) if variables.get(name)}


def _channel_variables(declared: Declared) -> frozenset[str]:
    urls = [url for env in declared.environments for url in (*env.channels, *env.pip_repositories)]
    return frozenset(name for url in urls for name in variables_in(url))


def complete_hashes(data: bytes, digests: Mapping[str, Digest]) -> bytes:
    """A lock in which every package has a sha256; one that has them all already stays as it is, to the byte.

    ``digests`` is by URL.
    """
    document = parse_plain(data, "conda-lock.yml")
    missing = [package for package in document["package"] if not package["hash"].get("sha256")]
    for package in missing:
        package["hash"]["sha256"] = digests[package["url"]].hex
    return to_yaml(document) if missing else data
