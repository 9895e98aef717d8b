"""Brings the bytes behind one URL into a file, hashing them on the way: https, http and file."""

from __future__ import annotations

import asyncio
import hashlib
import re
import ssl
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Final
from urllib.parse import unquote, urlsplit

from peel import __version__
from peel.errors import ToolError
from peel.model.secrets import redact
from peel.model.values import Digest
from peel.store.blobs import CHUNK

if TYPE_CHECKING:
    import httpx

LARGEST: Final = 32 << 30
"""No artifact is longer than this, in bytes, whatever a server sends."""

_VARIABLE = re.compile(r"\$(?:([A-Za-z_][A-Za-z0-9_]*)|\{([A-Za-z_][A-Za-z0-9_]*)\})")
_PASSING_STATUS: Final = (408, 425, 429, 500, 502, 503, 504)
_REDIRECTS: Final = 10


class TransportError(Exception):
    """Why the bytes did not come; ``passing`` when another attempt may help, ``host`` when it could not be reached."""

    def __init__(self, what: str, hint: str, *, passing: bool = False, host: str = "") -> None:
        super().__init__(what)
        self.what = what
        self.hint = hint
        self.passing = passing
        self.host = host

    def for_good(self) -> TransportError:
        """The same, with no hope in another attempt."""
        return TransportError(self.what, self.hint, host=self.host)


@dataclass(frozen=True, slots=True)
class FetchSettings:
    """How servers are spoken to. ``timeout`` bounds each silence, ``pause`` the first wait between attempts (seconds).

    ``variables`` are what ``$NAME`` in a URL may stand for: how a lock avoids holding a channel's token.
    """

    variables: Mapping[str, str] = field(default_factory=dict)
    at_once: int = 6
    attempts: int = 4
    pause: float = 0.5
    timeout: float = 30.0


@dataclass(frozen=True, slots=True)
class Received:
    """What has come: its hashes (``md5`` in hexadecimal) and its length in bytes."""

    digest: Digest
    md5: str
    size: int


async def receive(
    url: str, target: Path, client: httpx.AsyncClient, *, size: int | None, advanced: Callable[[int], None]
) -> Received:
    """Write what the URL holds to ``target``: exactly ``size`` bytes, where that is known.

    ``advanced`` is told of every piece's length, and after a failure of all of them as a negative number. Raises
    TransportError for what the source does wrong, OSError for what the disk refuses.
    """
    sha256, md5, come = hashlib.sha256(), hashlib.md5(usedforsecurity=False), 0
    try:
        with target.open("wb") as file:
            async with _pieces(url, client) as pieces:
                async for piece in pieces:
                    _check_not_longer(come + len(piece), size)
                    file.write(piece)
                    sha256.update(piece)
                    md5.update(piece)
                    come += len(piece)
                    advanced(len(piece))
        _check_not_shorter(come, size)
    except BaseException:
        advanced(-come)
        raise
    return Received(Digest.from_hex(sha256.hexdigest()), md5.hexdigest(), come)


def expand(url: str, variables: Mapping[str, str]) -> str:
    """The URL with its ``$NAME`` and ``${NAME}`` replaced. Raises TransportError for a variable that is not set."""

    def value(found: re.Match[str]) -> str:
        name = found[1] or found[2]
        if not variables.get(name):
            raise TransportError(f"its URL needs the variable {name}, which is not set", f"set {name} and run again")
        return variables[name]

    return _VARIABLE.sub(value, url)


def host_of(url: str) -> str:
    """The URL's host and port. Raises TransportError when it is no URL."""
    try:
        return urlsplit(url).netloc.rpartition("@")[2]
    except ValueError as error:
        raise TransportError(f"its URL cannot be read: {error}", "correct the URL") from None


def make_client(settings: FetchSettings) -> httpx.AsyncClient:
    """A client that trusts what the system trusts (or SSL_CERT_FILE), and heeds the usual proxy variables.

    Raises ToolError for proxy variables that make no sense.
    """
    import httpx  # noqa: PLC0415 - takes a while to import, and only fetching needs it

    async def refuse_downgrade(response: httpx.Response) -> None:
        if response.url.scheme == "https" and response.headers.get("location", "").lower().startswith("http:"):
            raise TransportError("the server leads from https to http", "use a server that stays with https")

    try:
        return httpx.AsyncClient(
            verify=trusted(),
            timeout=settings.timeout,
            follow_redirects=True,
            max_redirects=_REDIRECTS,
            headers={"User-Agent": f"peel/{__version__}", "Accept-Encoding": "identity"},
            limits=httpx.Limits(max_connections=settings.at_once),
            event_hooks={"response": [refuse_downgrade]},
        )
    except (ValueError, ImportError, httpx.InvalidURL) as error:
        what = f"the proxy that the environment names cannot be used: {redact(str(error))}"
    raise ToolError(what, hint="correct HTTPS_PROXY, HTTP_PROXY or ALL_PROXY; only http and https proxies will do")


def trusted() -> ssl.SSLContext:
    """What the system trusts, or the file that SSL_CERT_FILE names."""
    context = ssl.create_default_context()
    paths = ssl.get_default_verify_paths()
    if not (paths.cafile or paths.capath):  # a Python that was not built for this system
        import certifi  # noqa: PLC0415 - comes with httpx

        context.load_verify_locations(certifi.where())
    return context


@asynccontextmanager
async def _pieces(url: str, client: httpx.AsyncClient) -> AsyncIterator[AsyncIterator[bytes]]:
    host, parts = host_of(url), urlsplit(url)
    if parts.scheme in {"http", "https"}:
        async with _response(url, client) as pieces:
            yield pieces
    elif parts.scheme == "file" and host in {"", "localhost"}:
        async with aclosing(_file_pieces(Path(unquote(parts.path)))) as pieces:
            yield pieces
    else:
        raise TransportError(
            f"nothing can be fetched from {parts.scheme or 'a path'}", "use https, http or file:/// URLs"
        )


@asynccontextmanager
async def _response(url: str, client: httpx.AsyncClient) -> AsyncIterator[AsyncIterator[bytes]]:
    import httpx  # noqa: PLC0415 - loaded by now

    try:
        async with client.stream("GET", url) as response:
            if response.status_code != httpx.codes.OK:
                raise _bad_status(response.status_code)
            yield response.aiter_raw()  # raw: the file as it is, however it is labelled
    except (httpx.ConnectError, httpx.ConnectTimeout) as error:
        raise _no_connection(url, str(error)) from None
    except httpx.TooManyRedirects:
        raise TransportError(f"the server redirects more than {_REDIRECTS} times", "check the URL") from None
    except (httpx.UnsupportedProtocol, httpx.InvalidURL) as error:
        raise TransportError(f"its URL cannot be fetched: {error}", "check the URL and its redirects") from None
    except httpx.TimeoutException:
        raise TransportError("the server fell silent", "run again; what has come is kept", passing=True) from None
    except httpx.HTTPError as error:
        what = f"the transfer broke off: {error or type(error).__name__}"
        raise TransportError(what, "run again; what has come is kept", passing=True) from None


def _no_connection(url: str, why: str) -> TransportError:
    untrusted = "CERTIFICATE_VERIFY_FAILED" in why
    if untrusted:
        hint = "if the certificate is your organisation's own, name its authority's file in SSL_CERT_FILE"
    else:
        hint = "check the network and the proxy variables, and run again; what has come is kept"
    what = f"{urlsplit(url).hostname} cannot be reached: {why or 'it does not answer'}"
    return TransportError(what, hint, passing=not untrusted, host=host_of(url))


def _bad_status(status: int) -> TransportError:
    if status in {401, 403, 407}:
        hint = "the server wants credentials: put them into the URL as $VARIABLE, and set that"
    elif status in {404, 410}:
        hint = "the server no longer has it: serve the file again, use a store that has it, or lock anew"
    else:
        hint = "run again later; what has come is kept"
    return TransportError(f"the server answered with status {status}", hint, passing=status in _PASSING_STATUS)


async def _file_pieces(path: Path) -> AsyncGenerator[bytes]:
    with _open_source(path) as file:
        while piece := _read_source(file, path):
            yield piece
            await asyncio.sleep(0)  # so that the others advance too, and an interrupt is heard


def _open_source(path: Path) -> BinaryIO:
    if not path.is_file():
        raise TransportError(f"there is no file {path}", "put the file there, or lock anew")
    try:
        return path.open("rb")
    except OSError as error:
        raise TransportError(f"the file {path} cannot be read: {error.strerror}", "let this user read it") from None


def _read_source(file: BinaryIO, path: Path) -> bytes:
    """A read error must not be taken for one of the disk that is written to."""
    try:
        return file.read(CHUNK)
    except OSError as error:
        raise TransportError(f"the file {path} cannot be read: {error.strerror}", "check the disk it is on") from None


def _check_not_longer(come: int, size: int | None) -> None:
    limit = LARGEST if size is None else size
    if come > limit:
        raise TransportError(
            f"it is longer than the {limit:,} bytes that it should have",
            "the server has another file than the one locked: lock anew only if that is meant",
        )


def _check_not_shorter(come: int, size: int | None) -> None:
    if size is not None and come < size:
        raise TransportError(
            f"only {come:,} of its {size:,} bytes came", "run again, or see whether the file is cut short", passing=True
        )
