"""``peel menu --preview``: the form on loopback, for a look at it; what is posted is read as a hub reads it."""

from __future__ import annotations

from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Final, Protocol
from urllib.parse import parse_qs

from peel.errors import ToolError, UsageError

_HOST: Final = "127.0.0.1"
_LONGEST: Final = 1 << 20
_MOST_FIELDS: Final = 1000
_POLICY: Final = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; form-action 'self'"


class Draw(Protocol):
    """Draws the page; ``said`` is what came of the last choice."""

    def __call__(self, *, said: str = "", failed: bool = False) -> str:
        """The page."""


def serve_preview(
    draw: Draw, read: Callable[[dict[str, list[str]]], str], *, port: int, announce: Callable[[str], None]
) -> None:
    """Serve the form until interrupted; its URL goes to ``announce``. ``read`` says what a posted form means.

    Raises ToolError when the port is taken.
    """

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        timeout = 30

        def do_GET(self) -> None:
            self._answer(draw())

        def do_POST(self) -> None:
            length = self.headers.get("Content-Length", "")
            size = int(length) if length.isdecimal() and len(length) < 10 else -1
            if not 0 <= size <= _LONGEST:
                self.close_connection = True
                return self._answer(draw(said="the form is too long", failed=True), 413)
            try:
                posted = parse_qs(self.rfile.read(size).decode(), keep_blank_values=True, max_num_fields=_MOST_FIELDS)
                return self._answer(draw(said=read(posted)))
            except UsageError as error:
                return self._answer(draw(said=f"{error.message}; {error.hint}", failed=True), 400)
            except ValueError:
                return self._answer(draw(said="the form came as something else", failed=True), 400)

        def _answer(self, page: str, status: int = 200) -> None:
            body = page.encode()
            self.send_response(status)
            self.send_header("Content-Type", "text/html; charset=utf-8")
            self.send_header("Content-Length", str(len(body)))
            self.send_header("Content-Security-Policy", _POLICY)
            self.send_header("Cache-Control", "no-store")
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
            """Say nothing of requests."""

    try:
        server = ThreadingHTTPServer((_HOST, port), Handler)
    except OSError as error:
        raise ToolError(f"port {port} cannot be used: {error.strerror}", hint="name another with --port") from None
    with server:
        announce(f"http://{_HOST}:{server.server_address[1]}/")
        server.serve_forever()
