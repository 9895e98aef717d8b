"""A registry's repository, asked over HTTP (OCI distribution-spec v1.1): its tags, and what stands behind them."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from email.utils import parsedate_to_datetime
from typing import Final
from urllib.parse import quote

import httpx

from peel.errors import ArtifactError, DocumentError
from peel.model.oci import Descriptor
from peel.model.repository import Repository
from peel.model.tags.tag import tag_fault
from peel.model.values import Digest
from peel.registry.auth import RegistryAuth
from peel.registry.connection import connect
from peel.registry.credentials import find_credentials
from peel.registry.settings import Location, locate

_PAGE: Final = 1000
_MOST_TAGS: Final = 1_000_000
_LONGEST_DOCUMENT: Final = 32 << 20
_LONGEST_MANIFEST: Final = 4 << 20  # bytes; distribution-spec, "Pushing Manifests"
_PASSING: Final = (408, 425, 429, 500, 502, 503, 504)
_REFUSED: Final = (401, 403)
_WRITTEN: Final = (httpx.codes.CREATED, httpx.codes.ACCEPTED)
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


@dataclass(frozen=True, slots=True)
class RegistryClient:
    """Speaks for one repository; may be used by several threads.

    Every method raises ArtifactError when the registry cannot be reached, refuses us, or answers what makes no sense.
    Nothing is followed to another place: what leads away is refused.
    """

    repository: Repository
    _http: httpx.Client
    _auth: RegistryAuth
    _root: str
    _times: RegistryTimes

    def tags(self) -> TagListing:
        """All tags, page by page. Raises ArtifactError only when not even the first page comes."""
        found, seen, url = list[str](), set[str](), f"{self._root}/tags/list?n={_PAGE}"
        try:
            while url and len(found) < _MOST_TAGS:
                page, url = self._page(url, seen)
                found += page
        except ArtifactError as error:
            if not found:
                raise
            return _listing(found, fault=error.message)
        return _listing(found)

    def describe(self, reference: str) -> Descriptor | None:
        """What a tag or digest stands for now, by one HEAD; None where there is nothing."""
        response, _ = self._ask("HEAD", self._manifest_url(reference), what=self._named(reference))
        if response.status_code == httpx.codes.NOT_FOUND:
            return None
        length = response.headers.get("Content-Length", "")
        try:
            digest = Digest(response.headers.get("Docker-Content-Digest", ""))
            return Descriptor(_media_type(response), digest, int(length) if _is_short_number(length) else 0)
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
        return Descriptor(_media_type(response), digest, len(body)), body

    def has_blob(self, digest: Digest) -> bool:
        """Whether the repository has a blob; one that lies elsewhere, as it says, is one that it has."""
        url = f"{self._root}/blobs/{digest}"
        response, _ = self._ask("HEAD", url, what=f"blob {digest} of {self.repository}", may_lead_away=True)
        return response.status_code != httpx.codes.NOT_FOUND

    def put_manifest(self, reference: str, media_type: str, data: bytes) -> None:
        """Let a tag stand for a manifest or index, whose blobs are there, and see that it does."""
        what = self._named(reference)
        headers = {"Content-Type": media_type}
        response, _ = self._ask("PUT", self._manifest_url(reference), what=what, headers=headers, body=data)
        if response.status_code not in _WRITTEN:
            raise ArtifactError(
                f"{what} was not written (status {response.status_code})", hint="make the repository, or check its name"
            )
        found = self.describe(reference)
        if found is None or found.digest != Digest.of(data):
            told = found.digest if found else "nothing"
            raise ArtifactError(f"{what} is {told} after it was written, not {Digest.of(data)}", hint="push again")

    def _manifest_url(self, reference: str) -> str:
        return f"{self._root}/manifests/{quote(reference, safe=':')}"

    def _named(self, reference: str) -> str:
        return f"{self.repository}{'@' if ':' in reference else ':'}{reference}"

    def _page(self, url: str, seen: set[str]) -> tuple[Sequence[str], str]:
        """The tags of one page, and where the next one is; empty after the last. It is ``seen`` from then on."""
        if url in seen:
            raise ArtifactError(f"the pages of {self.repository} lead in a circle")
        seen.add(url)
        what = f"the tags of {self.repository}"
        response, body = self._ask("GET", url, what=what)
        if response.status_code == httpx.codes.NOT_FOUND:
            raise ArtifactError(
                f"there is no repository {self.repository}", hint="check its name; the first push makes one"
            )
        try:
            tags = json.loads(body)["tags"] or []
        except (ValueError, LookupError, TypeError, RecursionError):
            tags = None
        if not isinstance(tags, list):
            raise ArtifactError(f"{what} came as something else", hint="is this a registry? check the name of the host")
        return [tag for tag in tags if isinstance(tag, str)], self._next(response)

    def _next(self, response: httpx.Response) -> str:
        """The next page, on the same registry (RFC 5988); what lies before one may have written another scheme."""
        link = response.links.get("next", {}).get("url", "")
        if not link:
            return ""
        root, following = httpx.URL(self._root), response.url.join(link)
        if following.host != root.host:
            raise ArtifactError(f"the next page of {self.repository} is said to be at {following.host[:80]}")
        return str(root.copy_with(raw_path=following.raw_path))

    def _ask(
        self, method: str, url: str, *, what: str, headers: Mapping[str, str] | None = None, body: bytes | None = None,
        limit: int = _LONGEST_DOCUMENT, may_lead_away: bool = False,
    ) -> tuple[httpx.Response, bytes]:  # fmt: skip
        """The answer to one request, tried again while that may help; a 404 is an answer."""
        answered, attempt = False, 1
        while True:
            last = attempt >= self._times.attempts
            try:
                with self._http.stream(method, url, headers=self._headers(headers), content=body) as response:
                    if response.status_code == httpx.codes.UNAUTHORIZED and not answered:
                        answered = True
                        if self._auth.answer(response, self._http, self._read_token):
                            continue
                    if response.status_code not in _PASSING or last:
                        _refuse_status(response, what, may_lead_away=may_lead_away)
                        return response, self._read(response, limit, what)
                    pause = _pause(response, self._times.pause * 2**attempt)
            except httpx.TransportError as error:
                if last:
                    raise _unreachable(self.repository, error) from None
                pause = self._times.pause * 2**attempt
            except (httpx.HTTPError, httpx.InvalidURL, UnicodeError) as error:
                raise ArtifactError(f"{what} cannot be had: {error}", hint="tell whoever runs the registry") from None
            attempt += 1
            time.sleep(pause)

    def _headers(self, headers: Mapping[str, str] | None) -> dict[str, str]:
        header = self._auth.header  # once: another thread may change it
        return {**(headers or {}), **({"Authorization": header} if header else {})}

    def _read_token(self, response: httpx.Response) -> bytes:
        return self._read(response, 1 << 20, f"a token for {self.repository}")

    def _read(self, response: httpx.Response, limit: int, what: str) -> bytes:
        parts, size, deadline = list[bytes](), 0, time.monotonic() + self._times.whole
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
    """Lend a client for a repository, with the credentials that are kept for the place where it is.

    ``writing`` goes to where the name says, as skopeo does: registries.conf moves what is read only. Raises ToolError
    for files of settings or credentials that cannot be read, ArtifactError when nobody answers.
    """
    times, location = times or RegistryTimes(), locate(repository, os.environ)
    if writing:
        location = replace(Location.of(repository), insecure=location.insecure)
    actions = "pull,push" if writing else "pull"
    auth = RegistryAuth(find_credentials(location.place, os.environ), f"repository:{location.name}:{actions}")
    with connect(location, times.silence) as (http, scheme):
        yield RegistryClient(repository, http, auth, f"{scheme}://{location.host}/v2/{location.name}", times)


def _listing(found: Sequence[str], fault: str | None = None) -> TagListing:
    tags = sorted({tag for tag in found if tag_fault(tag) is None})
    return TagListing(tags, len({*found}) - len(tags), fault)


def _media_type(response: httpx.Response) -> str:
    return str(response.headers.get("Content-Type", "")).partition(";")[0].strip()


def _is_short_number(text: str) -> bool:
    return text.isascii() and text.isdecimal() and len(text) < 10


def _pause(response: httpx.Response, otherwise: float) -> float:
    """How long the registry asks us to wait (RFC 9110, Retry-After), within reason."""
    text = response.headers.get("Retry-After", "")
    if _is_short_number(text):
        return min(float(text), _LONGEST_PAUSE)
    try:
        return min(max(parsedate_to_datetime(text).timestamp() - time.time(), 0.0), _LONGEST_PAUSE)
    except (ValueError, OverflowError):
        return otherwise


def _refuse_status(response: httpx.Response, what: str, *, may_lead_away: bool) -> None:
    status = response.status_code
    if response.is_success or status == httpx.codes.NOT_FOUND or (may_lead_away and response.is_redirect):
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
