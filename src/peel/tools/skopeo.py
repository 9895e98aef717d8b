"""skopeo: what a registry's reference means, and copies that keep every digest."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from peel.errors import ArtifactError, PeelError, ToolError
from peel.model import oci_parse
from peel.model.oci import Index
from peel.model.secrets import redact
from peel.model.values import Digest, Platform
from peel.tools import process, system

MINIMUM: Final = (1, 9)

_SAID_LIMIT: Final = 2000

_PATIENCE: Final = 300.0
"""How many seconds a transfer may take whatever its size."""

_SLOWEST: Final = 50_000
"""How many bytes per second a transfer must make beyond that: else a silent registry would be waited for for ever."""

_LONGEST: Final = 7 * 24 * 3600.0
"""After how many seconds any transfer is given up, whatever size a manifest claims."""

_REFERENCE = re.compile(r"(?P<name>[^@\s]+?)(?P<tag>:[A-Za-z0-9_][A-Za-z0-9._-]{0,127})?(?P<digest>@[^\s@]+)?")
_LOG_MESSAGE = re.compile(r'level=(?:fatal|error) msg="((?:[^"\\]|\\.)*)"')
_BEARER = re.compile(r"(?i)\b(bearer|basic|token[=:])\s*[^\s\"',]+")


class UnknownImageError(ArtifactError):
    """The registry answers, and has no such image."""


@dataclass(frozen=True, slots=True)
class _Reason:
    """How one kind of refusal reads in skopeo's own words, and what we say of it."""

    words: re.Pattern[str]
    says: str
    hint: str
    kind: type[ArtifactError] = ArtifactError


_REASONS: Final = (
    _Reason(
        re.compile(r"unauthorized|authentication required|access .* denied|denied: |status.* 40[13]", re.IGNORECASE),
        "the registry does not let us {doing} {reference}",
        "check that the name is right; if the repository is private, log in with `skopeo login REGISTRY`",
    ),
    _Reason(
        re.compile(r"status.* 5\d\d|toomanyrequests|status.* 429", re.IGNORECASE),
        "the registry of {reference} fails",
        "try again later; if it goes on, tell whoever runs the registry",
    ),
    _Reason(
        re.compile(r"pinging container registry .*status", re.IGNORECASE),
        "there is no registry where {reference} is looked for",
        "check the name of the host",
    ),
    _Reason(
        re.compile(r"manifest unknown|name unknown|not found|status.* 404|repository .* not known", re.IGNORECASE),
        "no image {reference} in its registry",
        "check the name and the tag; a digest that a registry has dropped must come from a mirror or from the store",
        UnknownImageError,
    ),
    _Reason(
        re.compile(
            r"connection refused|no such host|i/o timeout|timed? ?out|network is unreachable|no route to host|"
            r"connection reset|server misbehaving|temporary failure|\bEOF\b|deadline exceeded",
            re.IGNORECASE,
        ),
        "the registry of {reference} cannot be reached",
        "check the network and the proxy variables; a mirror can be named in registries.conf",
    ),
    _Reason(
        re.compile(r"x509|certificate|server gave HTTP response to HTTPS client", re.IGNORECASE),
        "the registry of {reference} has no certificate that this machine trusts",
        "install its certificate, or declare it `insecure = true` in registries.conf if it is your own",
    ),
)


def version() -> system.Version:
    """skopeo's version. Raises ToolError when it is missing or too old."""
    return system.require_version("skopeo", MINIMUM)


def resolve(reference: str, platform: Platform, *, timeout: float = 120) -> Digest:
    """The digest of the one-platform manifest that ``reference`` (``[REGISTRY/]NAME[:TAG|@DIGEST]``) means today.

    Raises ArtifactError for what is no reference, when the image is unknown or not made for the platform, and when the
    registry cannot be reached or refuses us; ToolError when skopeo is missing. ``timeout`` is in seconds.
    """
    raw = _inspect(reference, timeout=timeout)
    found = oci_parse.parse_manifest_or_index(raw, reference)
    if isinstance(found, Index):
        return found.find(platform, reference).digest
    config = oci_parse.parse_config(_inspect(reference, "--config", timeout=timeout), reference)
    if config.architecture != platform.architecture:
        raise ArtifactError(
            f"{reference} has no image for {platform}", hint=f"it is made for {config.architecture} alone"
        )
    return Digest.of(raw)


def copy_to_directory(reference: str, directory: Path, *, timeout: float | None = None) -> None:
    """Copy one image, every digest kept, as skopeo's ``dir:`` form: manifest.json, and each blob under its hex digest.

    The directory must not exist or be empty. Raises as ``resolve`` does.
    """
    directory.mkdir(parents=True, exist_ok=True)
    # "dir:." in that directory: no character of its path can then mean something to skopeo.
    copy(f"docker://{_plain(reference)}", "dir:.", cwd=directory, preserve_digests=True, timeout=timeout)


def inspect(reference: str, *, timeout: float = 120) -> bytes:
    """The manifest, or index, that a reference means today, as it is. Raises as ``resolve`` does."""
    return _inspect(reference, timeout=timeout)


def copy_to_layout(reference: str, directory: Path, *, size: int) -> None:
    """Copy an image or artifact of ``size`` bytes, every digest kept, into an OCI layout that holds nothing else.

    Raises as ``resolve`` does, UnknownImageError where the registry has none, ToolError where it takes for ever.
    """
    directory.mkdir(parents=True, exist_ok=True)
    source = f"docker://{_plain(reference)}"
    copy(source, "oci:.:archive", cwd=directory, preserve_digests=True, timeout=time_for(size))


def push_layout(directory: Path, tag: str, reference: str, *, size: int) -> None:
    """Copy what a layout calls ``tag``, of ``size`` bytes, to a registry, every digest kept.

    Raises ArtifactError when the registry cannot be reached or refuses us, ToolError as ``copy_to_layout`` does.
    """
    env = process.inherit(process.credential_variables())
    command = process.Command(
        (
            *skopeo_argv(env), "copy", "--quiet",
            "--preserve-digests",  # else what looks compressed may be compressed again
            "--retry-times", "3",
            f"oci:.:{tag}",  # in its directory: no character of its path can then mean something to skopeo
            f"docker://{_plain(reference)}",
        ),
        env,
        directory,
    )  # fmt: skip
    done = _run(command, reference, timeout=time_for(size))
    if done.status != 0:
        raise explain(reference, command, done, doing="write")


def time_for(size: int) -> float:
    """How many seconds a transfer of so many bytes may take."""
    return min(_PATIENCE + size / _SLOWEST, _LONGEST)


def copy(
    source: str, destination: str, *, cwd: Path | None = None, preserve_digests: bool, timeout: float | None = None
) -> None:
    """``skopeo copy``; ``cwd`` is where relative paths of both start. Raises ArtifactError or ToolError."""
    env = process.inherit(process.credential_variables())
    options = ("--preserve-digests",) if preserve_digests else ()  # else zstd layers silently become cached gzip ones
    command = process.Command((*skopeo_argv(env), "copy", "--quiet", *options, source, destination), env, cwd)
    done = _run(command, source.removeprefix("docker://"), timeout=timeout)
    if done.status != 0:
        raise explain(source.removeprefix("docker://"), command, done)


def skopeo_argv(env: Mapping[str, str]) -> tuple[str, ...]:
    """How every skopeo command begins: with the registries.conf that the environment names, which 1.9 asks for so."""
    conf = env.get("CONTAINERS_REGISTRIES_CONF")
    return ("skopeo", "--registries-conf", conf) if conf else ("skopeo",)


def explain(
    reference: str, command: process.Command, done: process.Completed, *, doing: Literal["read", "write"] = "read"
) -> PeelError:
    """The error for a failed skopeo: what kind of refusal it was, in our words, with its own reason kept."""
    said = said_by(done.stderr.decode("utf-8", "replace"))
    if "no space left on device" in said:
        return ToolError(f"the disk is full: {said}", hint="make room, or name a store elsewhere with --store")
    for reason in _REASONS:
        if reason.words.search(said):
            says = reason.says.format(reference=redact(reference), doing=doing)
            return reason.kind(f"{says}: {said}", hint=reason.hint)
    return ToolError(f"{command} failed with status {done.status}: {said}", hint="run it by hand to see more")


def said_by(stderr: str) -> str:
    """The last error that skopeo or buildah logged, without its time stamp and without credentials."""
    logged = _LOG_MESSAGE.findall(stderr)
    said = _unquote(logged[-1]) if logged else stderr.strip()[-_SAID_LIMIT:]
    return _BEARER.sub(r"\1 <hidden>", redact(said))


def _unquote(text: str) -> str:
    """What stands in Go's quotation marks, whose escapes are JSON's but for rare ones; those are left alone."""
    try:
        return str(json.loads(f'"{text}"', strict=False))
    except ValueError:
        return text


def _inspect(reference: str, *options: str, timeout: float) -> bytes:
    env = process.inherit(process.credential_variables())
    command = process.Command((*skopeo_argv(env), "inspect", "--raw", *options, f"docker://{_plain(reference)}"), env)
    done = _run(command, reference, timeout=timeout)
    if done.status != 0:
        raise explain(reference, command, done)
    return done.stdout


def _run(command: process.Command, reference: str, *, timeout: float | None) -> process.Completed:
    try:
        return process.run(command, check=False, timeout=timeout)
    except process.OutOfTimeError:
        raise ArtifactError(
            f"the registry of {redact(reference)} is too slow: skopeo was not done after {timeout:g} s",
            hint="try again later; if it goes on, ask whoever runs the registry, or name a mirror in registries.conf",
        ) from None


def _plain(reference: str) -> str:
    """The reference as skopeo takes it: a digest makes a tag beside it superfluous."""
    name, tag, digest = _split(reference)
    return f"{name}{digest or tag}"


def _split(reference: str) -> tuple[str, str, str]:
    """A reference's name, ``:TAG`` and ``@DIGEST``; the last two may be empty. Raises ArtifactError when it is none."""
    found = _REFERENCE.fullmatch(reference)
    if found is None or reference.startswith("-") or "://" in reference:
        raise ArtifactError(
            f"not an image reference: {redact(reference)!r}",
            hint="write [REGISTRY/]NAME:TAG, for example docker.io/library/almalinux:9",
        )
    return found["name"], found["tag"] or "", found["digest"] or ""
