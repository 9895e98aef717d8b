"""Archives of conda packages: fetched into a cache, and never used before their sha256 was checked here."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from tempfile import TemporaryDirectory
from urllib.parse import unquote, urlsplit

from peel.errors import ArtifactError, ToolError
from peel.model.secrets import redact
from peel.solver.package import Package

_FILE_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.+!~-]*(?:\.conda|\.tar\.bz2)")
_SHA256 = re.compile(r"[0-9a-f]{64}")
_CHUNK_BYTES = 1 << 20
_AT_ONCE = 4
_TIMEOUT_SECONDS = 60.0


def fetch_all(packages: Sequence[Package], cache: Path) -> dict[Package, Path]:
    """The checked archive of every package, beneath ``cache``.

    Raises ArtifactError naming the package whose archive cannot be had, has no known sha256 or has another one.
    """
    archives = cache / "archives"
    archives.mkdir(parents=True, exist_ok=True)
    pool = ThreadPoolExecutor(_AT_ONCE)
    with TemporaryDirectory(dir=archives, prefix=".new-", ignore_cleanup_errors=True) as scratch:
        try:
            found = pool.map(lambda package: fetch(package, archives, Path(scratch)), packages)
            return dict(zip(packages, found, strict=True))
        finally:
            pool.shutdown(wait=False, cancel_futures=True)  # after a failure nobody waits for the rest


def fetch(package: Package, archives: Path, scratch: Path) -> Path:
    """One checked archive: the cached one if it is still what it should be, else a new copy."""
    if not _SHA256.fullmatch(package.sha256):
        raise ArtifactError(
            f"{package.fn or package.name}: no sha256 to check it against", hint="index its channel anew"
        )
    if not _FILE_NAME.fullmatch(package.fn):
        raise ArtifactError(f"{package.name}: {package.fn!r} is no file name of a conda package")
    target = archives / package.sha256 / package.fn
    if target.is_file() and _digest_of(target) == package.sha256:
        return target
    fresh = scratch / package.sha256
    digest = _copy(package, fresh)
    if digest != package.sha256:
        raise ArtifactError(
            f"{package.fn} from {redact(package.url)} has the wrong bytes: sha256 {digest}, not {package.sha256}",
            hint="the archive was changed or damaged after it was indexed or locked: do not use it",
        )
    target.parent.mkdir(exist_ok=True)
    return fresh.replace(target)


def _copy(package: Package, target: Path) -> str:
    """Copy an archive from where it lies, and return its sha256."""
    hasher = hashlib.sha256()
    with target.open("wb") as sink:
        for chunk in _chunks(package):
            hasher.update(chunk)
            sink.write(chunk)
    return hasher.hexdigest()


def _chunks(package: Package) -> Iterator[bytes]:
    scheme = urlsplit(package.url).scheme
    if scheme == "file":
        return _read(package)
    if scheme in {"http", "https"}:
        return _download(package)
    raise ToolError(f"{package.fn} lies at {redact(package.url)}: only https, http and file are understood")


def _read(package: Package) -> Iterator[bytes]:
    path = Path(unquote(urlsplit(package.url).path))
    try:
        with path.open("rb") as source:
            while chunk := source.read(_CHUNK_BYTES):
                yield chunk
    except OSError as error:
        raise _not_had(package, error.strerror or str(error)) from None


def _download(package: Package) -> Iterator[bytes]:
    import httpx  # noqa: PLC0415  (a solve downloads no archive, and should not wait for it)

    try:
        with httpx.stream("GET", package.url, follow_redirects=True, timeout=_TIMEOUT_SECONDS) as response:
            response.raise_for_status()
            yield from response.iter_raw(_CHUNK_BYTES)
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise _not_had(package, str(error).partition("\n")[0]) from None


def _not_had(package: Package, why: str) -> ArtifactError:
    return ArtifactError(f"{package.fn} cannot be had from {redact(package.url)}: {redact(why)}")


def _digest_of(path: Path) -> str:
    with path.open("rb") as source:
        return hashlib.file_digest(source, "sha256").hexdigest()
