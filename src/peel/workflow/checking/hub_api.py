"""As much of JupyterHub's REST API as a single-user server asks for when it starts."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any


class _Hub(BaseHTTPRequestHandler):
    version = ""

    def do_GET(self) -> None:
        """Say which version this is; everything else is unknown here."""
        self._answer({"version": type(self).version})

    def do_POST(self) -> None:
        """Take note of the server's activity."""
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self._answer({})

    def _answer(self, document: Any) -> None:
        data = json.dumps(document).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("X-JupyterHub-Version", type(self).version)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name is the base class's
        """Say nothing."""


@contextmanager
def serve_hub_api(version: str) -> Iterator[int]:
    """Serve it on a free loopback port until left; the value is the port."""
    handler = type("Hub", (_Hub,), {"version": version})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        thread.start()
        try:
            yield server.server_port
        finally:
            server.shutdown()
            thread.join()
