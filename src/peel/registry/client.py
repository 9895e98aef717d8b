"""A registry's repository, asked over HTTP (OCI distribution-spec v1.1): its tags, and what stands behind them."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Final
from urllib.parse import quote, urlsplit

import httpx

from peel.errors import ArtifactError, DocumentError
from peel.model.oci import Descriptor
from peel.model.repository import Repository
from peel.model.tags.tag import tag_fault
from peel.model.values import Digest
from peel.registry.auth import RegistryAuth
from peel.registry.connection import connect
from peel.registry.credentials import find_credentials
from peel.registry.settings import locate

_PAGE: Final = 1000
_MOST_TAGS: Final = 1_000_000
_LONGEST_DOCUMENT: Final = 32 << 20
_LONGEST_MANIFEST: Final = 4 << 20  # bytes; distribution-spec, "Pushing Manifests"
_PASSING: Final = (408, 425, 429, 500, 502, 503, 504)
_REFUSED: Final = (401, 403)
_LONGEST_PAUSE: Final = 30.0


@dataclass(frozen=True, slots=True)
class RegistryTimes:
    """How patient we are, in seconds: ``silence`` bounds each wait for a byte, ``whole`` each answer."""

    silence: float = 20.0
    whole: float = 120.0
    attempts: int = 3
    pause: float = 0.5


@dataclass(frozen=True, slots=True)
class TagListing:
    """The tags of a repository, sorted; ``fault`` says why it may lack some, where the registry failed half-way."""

    tags: Sequence[str]
    refused: int = 0
    """How many names came that no tag may have."""
    fault: str | None = None


@dataclass(slots=True)
class RegistryClient:
    """Speaks for one repository; may be used by several threads.

    Every method raises ArtifactError when the registry cannot be reached, refuses us, or answers what makes no sense.
    """

    repository: Repository
    _http: httpx.Client
    _root: str
    _times: RegistryTimes

    def tags(self) -> TagListing:
        """All tags, page by page. Raises ArtifactError only when not even the first page comes."""
        found, url, seen = list[str](), f"{self._root}/tags/list?n={_PAGE}", set[str]()
        while url and url not in seen and len(found) < _MOST_TAGS:
            try:
                page, following = self._page(url)
            except ArtifactError as error:
                if not seen:
                    raise
                return _listing(found, fault=error.message)
            seen.add(url)
            found += page
            url = following
        return _listing(found)

    def describe(self, reference: str) -> Descriptor | None:
        """What a tag or digest stands for now, by one HEAD; None where there is nothing."""
        response, _ = self._ask("HEAD", self._manifest_url(reference), what=self._named(reference))
        if response.status_code == httpx.codes.NOT_FOUND:
            return None
        media_type = response.headers.get("Content-Type", "").partition(";")[0].strip()
        length = response.headers.get("Content-Length", "")
        try:
            digest = Digest(response.headers.get("Docker-Content-Digest", ""))
            return Descriptor(media_type, digest, int(length) if length.isdecimal() and len(length) < 10 else 0)
        except DocumentError:  # the header is optional, and so a registry may need to be asked for more
            found = self.manifest(reference)
            return found[0] if found else None

    def manifest(self, reference: str) -> tuple[Descriptor, bytes] | None:
        """A manifest or index as it is; None where there is none. What a digest names is checked."""
        what = self._named(reference)
        response, body = self._ask("GET", self._manifest_url(reference), what=what, limit=_LONGEST_MANIFEST)
        if response.status_code == httpx.codes.NOT_FOUND:
            return None
        digest = Digest.of(body)
        if ":" in reference and reference != str(digest):
            raise ArtifactError(
                f"{what} is {digest} as it came", hint="the registry, or what lies before it, is broken"
            )
        return Descriptor(response.headers.get("Content-Type", "").partition(";")[0].strip(), digest, len(body)), body

    def has_blob(self, digest: Digest) -> bool:
        """Whether the repository has a blob."""
        url = f"{self._root}/blobs/{digest}"
        response, _ = self._ask("HEAD", url, what=f"blob {digest} of {self.repository}")
        return response.status_code != httpx.codes.NOT_FOUND

    def put_manifest(self, reference: str, media_type: str, data: bytes) -> None:
        """Let a tag stand for a manifest or index, whose blobs are there. The registry's digest of it is compared."""
        what = self._named(reference)
        headers = {"Content-Type": media_type}
        response, _ = self._ask("PUT", self._manifest_url(reference), what=what, headers=headers, body=data)
        if response.status_code == httpx.codes.NOT_FOUND:
            raise ArtifactError(
                f"the registry has no place for {what}", hint="make the repository first, or check its name"
            )
        said = response.headers.get("Docker-Content-Digest")
        if said and said.startswith("sha256:") and said != str(Digest.of(data)):
            raise ArtifactError(
                f"{what} became {said[:80]}, not {Digest.of(data)}", hint="the registry changes manifests"
            )

    def _manifest_url(self, reference: str) -> str:
        return f"{self._root}/manifests/{quote(reference, safe=':')}"

    def _named(self, reference: str) -> str:
        return f"{self.repository}{'@' if ':' in reference else ':'}{reference}"

    def _page(self, url: str) -> tuple[Sequence[str], str]:
        what = f"the tags of {self.repository}"
        response, body = self._ask("GET", url, what=what, limit=_LONGEST_DOCUMENT)
        if response.status_code == httpx.codes.NOT_FOUND:
            raise ArtifactError(
                f"there is no repository {self.repository}",
                hint="check its name; an empty one is made by the first push",
            )
        try:
            tags = httpx.Response(200, content=body).json()["tags"] or []
        except (ValueError, LookupError, TypeError):
            tags = None
        if not isinstance(tags, list):
            raise ArtifactError(f"{what} came as something else", hint="is this a registry? check the name of the host")
        return [tag for tag in tags if isinstance(tag, str)], self._next(response)

    def _next(self, response: httpx.Response) -> str:
        """Where the next page is, on the same registry; empty for the last (RFC 5988)."""
        link = response.links.get("next", {}).get("url", "")
        url = str(response.url.join(link)) if link else ""
        return url if urlsplit(url)[:2] == urlsplit(self._root)[:2] else ""

    def _ask(
        self, method: str, url: str, *, what: str, headers: Mapping[str, str] | None = None, body: bytes | None = None,
        limit: int = _LONGEST_DOCUMENT,
    ) -> tuple[httpx.Response, bytes]:  # fmt: skip
        """The answer to one request, tried again while that may help; a 404 is an answer."""
        for attempt in range(1, self._times.attempts + 1):
            last = attempt == self._times.attempts
            try:
                with self._http.stream(method, url, headers=headers, content=body) as response:
                    if response.status_code in _PASSING and not last:
                        pause = _pause(response, self._times.pause * 2**attempt)
                    else:
                        _refuse_status(response, what)
                        return response, self._read(response, limit, what)
            except httpx.TransportError as error:
                if last:
                    raise _unreachable(self.repository, error) from None
                pause = self._times.pause * 2**attempt
            except (httpx.HTTPError, httpx.InvalidURL) as error:
                raise ArtifactError(
                    f"{what} cannot be had: {error}", hint="the registry leads astray; tell who runs it"
                ) from None
            time.sleep(pause)
        raise AssertionError

    def _read(self, response: httpx.Response, limit: int, what: str) -> bytes:
        parts, size, deadline = [], 0, time.monotonic() + self._times.whole
        for part in response.iter_bytes():
            parts.append(part)
            size += len(part)
            if size > limit:
                raise ArtifactError(f"{what}: longer than {limit >> 20} MiB", hint="this is no answer of a registry")
            if time.monotonic() > deadline:
                raise ArtifactError(f"{what}: not whole after {self._times.whole:g} s", hint="the registry is too slow")
        return b"".join(parts)


@contextmanager
def open_registry(
    repository: Repository, *, writing: bool = False, times: RegistryTimes | None = None
) -> Iterator[RegistryClient]:
    """Lend a client for a repository, with the credentials that are kept for it.

    Raises ToolError for files of settings or credentials that cannot be read, ArtifactError when nobody answers.
    """
    times = times or RegistryTimes()
    location = locate(repository, os.environ)
    auth = RegistryAuth(find_credentials(repository, os.environ), location.name, "pull,push" if writing else "pull")
    with connect(location, auth, times.silence) as (http, scheme):
        yield RegistryClient(repository, http, f"{scheme}://{location.host}/v2/{location.name}", times)


def _listing(found: Sequence[str], fault: str | None = None) -> TagListing:
    tags = sorted({tag for tag in found if tag_fault(tag) is None})
    return TagListing(tags, len({*found}) - len(tags), fault)


def _pause(response: httpx.Response, otherwise: float) -> float:
    """How long the registry asks us to wait (RFC 9110, Retry-After), within reason."""
    text = response.headers.get("Retry-After", "")
    if text.isdecimal():
        return min(float(text), _LONGEST_PAUSE)
    try:
        return min(max(parsedate_to_datetime(text).timestamp() - time.time(), 0.0), _LONGEST_PAUSE)
    except (ValueError, OverflowError):
        return otherwise


def _refuse_status(response: httpx.Response, what: str) -> None:
    status = response.status_code
    if response.is_success or status == httpx.codes.NOT_FOUND:
        return
    if status in _REFUSED:
        raise ArtifactError(
            f"the registry does not give us {what} (status {status})",
            hint="check that the name is right; if the repository is private, log in with `skopeo login REGISTRY`",
        )
    hint = "try again later; if it goes on, tell whoever runs the registry"
    raise ArtifactError(f"the registry answered for {what} with status {status}", hint=hint)


def _unreachable(repository: Repository, error: httpx.TransportError) -> ArtifactError:
    why = str(error) or type(error).__name__
    if "CERTIFICATE_VERIFY_FAILED" in why or "WRONG_VERSION_NUMBER" in why:
        return ArtifactError(
            f"{repository.host} has no certificate that this machine trusts: {why}",
            hint="install its certificate, or declare it `insecure = true` in registries.conf if it is your own",
        )
    return ArtifactError(
        f"{repository.host} cannot be reached: {why}", hint="check the name, the network and the proxy variables"
    )
