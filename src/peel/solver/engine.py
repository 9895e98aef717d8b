"""py-rattler, behind two verbs: solve, and install archives that were checked already.

The only module that imports it: its API moves with every minor version.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import rattler
from rattler import exceptions as failures
from rattler.package import BuildString

from peel.errors import ArtifactError, DocumentError, ToolError, UsageError
from peel.model.secrets import redact
from peel.solver.package import Package, parse_package
from peel.solver.request import Request, UnsolvableError
from peel.solver.settings import Priority, VirtualPackage

# Copies, because an edit in one environment must not reach the cache and through it every other environment.
_COPIED = "allow-hard-links = false\nallow-symbolic-links = false"


def solve(request: Request) -> tuple[Package, ...]:
    """The packages that satisfy a request, virtual ones left out, by name.

    Raises UnsolvableError, UsageError for a spec or channel that cannot be read, and ToolError naming the channel
    (its token hidden) whose index cannot be had.
    """
    records = asyncio.run(_solve(request))
    packages = (parse_package(json.loads(record.to_json()), record.file_name) for record in records)
    return tuple(sorted((each for each in packages if not each.is_virtual()), key=lambda each: each.name))


def find(specs: Sequence[str], channels: Sequence[str], *, subdir: str, cache: Path) -> tuple[Package, ...]:
    """Every package of the channels that one of the specs matches, without what it depends on; channels in order.

    ``cache`` holds repodata. Raises as ``solve`` does, but that finding nothing is no error.
    """
    return asyncio.run(_find(specs, channels, subdir, cache))


def host_virtual_packages() -> dict[str, VirtualPackage]:
    """The machine's own virtual packages by name, whatever the environment overrides."""
    own = (each.into_generic() for each in rattler.VirtualPackage.detect())
    return {
        each.name.source: VirtualPackage(each.name.source, str(each.version), str(each.build_string)) for each in own
    }


def channel_url(channel: str) -> str:
    """The URL of a channel given by name, path or URL, without a slash at its end. Raises UsageError."""
    try:
        return str(rattler.Channel(channel).base_url).rstrip("/")
    except failures.InvalidChannelError as error:
        raise UsageError(f"not a channel: {redact(channel)!r}: {redact(str(error))}") from None


def library_version() -> str:
    """The version of py-rattler."""
    return version("py-rattler")


def install(archives: Mapping[Package, Path], prefix: Path, *, subdir: str, cache: Path) -> None:
    """Link archives, whose hashes were checked, into a new prefix; no link script is run.

    Raises ArtifactError for an archive that is damaged or holds another package than its record says.
    """
    asyncio.run(_install(archives, prefix, subdir, cache))


async def _solve(request: Request) -> list[rattler.RepoDataRecord]:
    specs = [_spec(text) for text in request.specs]
    constraints = [_spec(text) for text in request.constraints]
    sources = [rattler.Channel(channel_url(channel)) for channel in request.channels]
    gateway = rattler.Gateway(cache_dir=request.cache, client=rattler.Client.default_client())
    try:
        return await rattler.solve(
            sources, specs, gateway,
            platforms=_subdirs(request.subdir),
            locked_packages=[_record(package) for package in request.kept],
            virtual_packages=[_virtual(package) for package in request.virtual],
            channel_priority=_priority(request.priority),
            constraints=constraints,
            channel_relations="disabled",  # exactly the channels asked for, as micromamba
        )  # fmt: skip
    except failures.SolverError as error:
        raise UnsolvableError(redact(str(error)).strip()) from None
    except (failures.GatewayError, failures.FetchRepoDataError, OSError) as error:
        raise await _unreachable(request, error) from None


async def _find(specs: Sequence[str], channels: Sequence[str], subdir: str, cache: Path) -> tuple[Package, ...]:
    wanted, found = [_spec(text) for text in specs], list[Package]()
    gateway = rattler.Gateway(cache_dir=cache, client=rattler.Client.default_client())
    for channel in map(channel_url, channels):
        try:
            answers = await gateway.query(
                [rattler.Channel(channel)], _subdirs(subdir), wanted, recursive=False, channel_relations="disabled"
            )
        except (failures.GatewayError, failures.FetchRepoDataError, OSError) as error:
            raise _channel_error(channel, error) from None
        records = {record.url: record for answer in answers for record in answer}
        found += [parse_package(json.loads(each.to_json()), each.file_name) for _, each in sorted(records.items())]
    return tuple(found)


async def _unreachable(request: Request, error: Exception) -> ToolError:
    """The error for a channel that failed: the solver does not always say which, so each is asked alone."""
    for channel in request.channels:
        gateway = rattler.Gateway(cache_dir=request.cache)
        try:
            await gateway.names([rattler.Channel(channel_url(channel))], _subdirs(request.subdir))
        except (failures.GatewayError, failures.FetchRepoDataError, OSError) as found:
            return _channel_error(channel_url(channel), found)
    return _channel_error(", ".join(channel_url(channel) for channel in request.channels), error)


def _channel_error(channel: str, error: Exception) -> ToolError:
    said = "\n".join(f"  {line}" for line in redact(str(error)).strip().splitlines())
    return ToolError(
        f"The index of channel {redact(channel)} cannot be read\n{said}",
        hint="is the channel spelt right, and is its server up?",
    )


def _spec(text: str) -> rattler.MatchSpec:
    try:
        return rattler.MatchSpec(text, strict=False)
    except failures.InvalidMatchSpecError as error:
        said = str(error).partition("\n")[0]
        raise UsageError(f"Cannot read the spec {text!r}: {said}", hint="for example 'numpy >=2,<3'") from None


def _subdirs(subdir: str) -> list[Any]:
    try:
        return [rattler.Subdir(name) for name in dict.fromkeys((subdir, "noarch"))]
    except failures.ParseSubdirError:
        raise UsageError(f"Not a platform: {subdir!r}", hint="for example linux-64") from None


def _priority(priority: Priority) -> rattler.ChannelPriority:
    return {
        Priority.STRICT: rattler.ChannelPriority.Strict,
        Priority.FLEXIBLE: rattler.ChannelPriority.Flexible,
        Priority.DISABLED: rattler.ChannelPriority.Disabled,
    }[priority]


def _virtual(package: VirtualPackage) -> rattler.GenericVirtualPackage:
    try:
        number = rattler.Version(package.version)
    except failures.InvalidVersionError:
        raise UsageError(f"Not a version of {package.name}: {package.version!r}") from None
    return rattler.GenericVirtualPackage(
        rattler.PackageName(package.name), number, BuildString.new_unchecked(package.build)
    )


def _record(package: Package) -> rattler.RepoDataRecord:
    """An installed package as the solver's record. Raises DocumentError for a name or version that is none."""
    try:
        bare = rattler.PackageRecord(
            package.name, package.version, BuildString.new_unchecked(package.build), package.build_number,
            package.subdir, depends=list(package.depends), constrains=list(package.constrains),
            noarch=_noarch(package.noarch), sha256=bytes.fromhex(package.sha256) or None,
            md5=bytes.fromhex(package.md5) or None, size=package.size or None, license=package.license or None,
        )  # fmt: skip
        return rattler.RepoDataRecord(bare, package.fn, package.url, package.channel)
    except Exception as error:  # noqa: BLE001  (each part has an error type of its own)
        raise DocumentError(f"{package.dist} is installed with metadata that cannot be read: {error}") from None


def _noarch(kind: str) -> rattler.NoArchType:
    if kind == "python":
        return rattler.NoArchType("python")
    return rattler.NoArchType("generic") if kind else rattler.NoArchType()


async def _install(archives: Mapping[Package, Path], prefix: Path, subdir: str, cache: Path) -> None:
    records = [await _archive_record(package, path) for package, path in archives.items()]
    extracted = rattler.PackageCache.new_layered([cache], validation_mode=rattler.ValidationMode.full())
    try:
        await rattler.install(
            records, prefix,
            package_cache=extracted, config=rattler.Config.from_toml(_COPIED), platform=_subdirs(subdir)[0],
            show_progress=False, execute_link_scripts=False,
        )  # fmt: skip
    except (failures.InstallerError, failures.LinkError, OSError) as error:
        raise ArtifactError(f"The packages cannot be linked into {prefix}: {redact(str(error))}") from None
    except failures.TransactionError as error:
        raise ArtifactError(f"The packages do not make an environment: {redact(str(error))}") from None


async def _archive_record(package: Package, path: Path) -> rattler.RepoDataRecord:
    """The record of an archive as it says of itself, with the dependencies that its channel or lock says it has."""
    try:
        record = await rattler.RepoDataRecord.from_package_archive(path)
    except Exception as error:  # noqa: BLE001  (several undocumented types)
        said = str(error).partition("\n")[0]
        raise ArtifactError(f"{package.fn} is damaged: {said}", hint="have its channel repaired") from None
    found = (record.name.source, str(record.version), str(record.build))
    if found != (package.name, package.version, package.build):
        raise ArtifactError(f"{package.fn} holds another package: {'-'.join(found)}", hint="do not trust its channel")
    record.url, record.channel = path.as_uri(), package.channel
    record.depends = list(package.depends) or record.depends
    record.constrains = list(package.constrains) or record.constrains
    return record
