"""The HTTP connection to a registry: trusted as the system trusts, or as registries.conf allows."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Final

import httpx

from peel import __version__
from peel.errors import ToolError
from peel.model.oci import INDEX, MANIFEST
from peel.model.secrets import redact
from peel.registry.settings import Location
from peel.store.transport import trusted

ACCEPTED: Final = (
    MANIFEST, INDEX,
    "application/vnd.docker.distribution.manifest.v2+json", "application/vnd.docker.distribution.manifest.list.v2+json",
)  # fmt: skip
"""The media types of what can be run."""

_AT_ONCE: Final = 16


@contextmanager
def connect(location: Location, silence: float) -> Iterator[tuple[httpx.Client, str]]:
    """Lend a client, and the scheme to speak: https, but for a registry that may do without and has none.

    ``silence`` is how many seconds the registry may say nothing. Raises ToolError for proxy variables that make no
    sense.
    """
    try:
        client = httpx.Client(
            verify=False if location.insecure else trusted(), timeout=silence,
            follow_redirects=False,  # else what we say of ourselves might be said elsewhere, too
            headers={"User-Agent": f"peel/{__version__}", "Accept": ", ".join(ACCEPTED)},
            limits=httpx.Limits(max_connections=_AT_ONCE),
        )  # fmt: skip
    except (ValueError, ImportError, httpx.InvalidURL) as error:
        what = f"the proxy that the environment names cannot be used: {redact(str(error))}"
        raise ToolError(what, hint="correct HTTPS_PROXY, HTTP_PROXY or ALL_PROXY") from None
    with client:
        yield client, "http" if location.insecure and _lacks_tls(client, location.host) else "https"


def _lacks_tls(client: httpx.Client, host: str) -> bool:
    """Whether a registry speaks http alone, as containers/image finds out too: https is asked first."""
    for scheme in ("https", "http"):
        asked = client.stream("GET", f"{scheme}://{host}/v2/")
        with suppress(httpx.TransportError), asked:
            return scheme == "http"
    return False
