"""Registries on loopback: a real one that begins empty, and ones that answer as a test wants."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from tempfile import TemporaryDirectory

from peel.demo.registry import serve_registry
from peel.model.oci import MANIFEST
from peel.model.repository import Repository
from peel.model.values import Digest, canonical_json
from peel.registry.client import open_registry
from peel.store.layout import read_index
from peel.tools import skopeo
from small_images import write_layout

Answer = Callable[[BaseHTTPRequestHandler], None]


@contextmanager
def real_registry(place: Path) -> Iterator[str]:
    """Debian's docker-registry; yields ``HOST:PORT``, which ``trusting`` lets tools use without a certificate."""
    write_layout(place, "any", {"any": (b"any", 0o644)})
    with serve_registry(place, "library/any", tag="any") as served:
        yield served.local.partition("/")[0]


@contextmanager
def odd_registry(answer: Answer) -> Iterator[str]:
    """A registry that answers every request so; yields ``HOST:PORT``."""

    class Handler(BaseHTTPRequestHandler):
        def handle_one_request(self) -> None:
            self.raw_requestline = self.rfile.readline(65537)
            if self.raw_requestline and self.parse_request():
                answer(self)
            self.close_connection = True

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
        thread.start()
        try:
            yield f"127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()
            thread.join()


def status(number: int) -> Answer:
    """The answer that is nothing but a status."""

    def answer(request: BaseHTTPRequestHandler) -> None:
        request.send_response(number)
        if number == 401:
            request.send_header("WWW-Authenticate", 'Basic realm="nobody"')
        request.send_header("Content-Length", "0")
        request.end_headers()

    return answer


def trusting(host: str, place: Path) -> Path:
    """A registries.conf that lets tools speak plain HTTP with this registry."""
    conf = place / f"registries-{host.replace(':', '-')}.conf"
    conf.write_text(f'[[registry]]\nlocation = "{host}"\ninsecure = true\n')
    return conf


NAME = "science/lab"
"""What ``published`` calls the repository, beneath the host."""


def published(
    host: str, tags: Sequence[str], *, aliases: Mapping[str, str] | None = None, name: str = NAME
) -> dict[str, Digest]:
    """Let a real registry hold an image per tag, all of one small layer; ``aliases`` stand for others of them.

    CONTAINERS_REGISTRIES_CONF has to trust the host. Returns each tag's digest.
    """
    with TemporaryDirectory() as place:
        write_layout(Path(place), "any", {"any": (b"any", 0o644)})
        manifest = read_index(Path(place)).entries[0].manifest
        skopeo.push_layout(Path(place), "any", f"{host}/{name}@{manifest.digest}", size=1000)
        document = json.loads((Path(place) / "blobs" / "sha256" / manifest.digest.hex).read_bytes())
    documents = {tag: canonical_json({**document, "annotations": {"for": tag}}) for tag in tags}
    documents |= {alias: documents[tag] for alias, tag in (aliases or {}).items()}
    with open_registry(Repository.parse(f"{host}/{name}"), writing=True) as client:
        for tag, data in documents.items():
            client.put_manifest(tag, MANIFEST, data)
    return {tag: Digest.of(data) for tag, data in documents.items()}
