"""A client of a running Jupyter server: REST for what it has, WebSocket for running a cell.

The paths are those of the Jupyter Server REST API; messages follow the Jupyter messaging protocol 5.
"""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Final, Literal

import httpx
from websockets.exceptions import WebSocketException
from websockets.sync.client import ClientConnection, connect

from peel.errors import ToolError

_POLL_SECONDS: Final = 0.1
_REQUEST_SECONDS: Final = 30.0
_END_TRIES: Final = 3
_END_SECONDS: Final = 0.5
_MESSAGE_LIMIT: Final = 16 << 20  # bytes
_DEAD: Final = frozenset({"dead", "restarting", "autorestarting"})


@dataclass(frozen=True, slots=True)
class KernelSpec:
    """A kernel that the server offers (Jupyter client, "Kernel specs")."""

    name: str
    display_name: str
    argv: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class CellResult:
    """What a cell gave: all it printed and its value as text, whether it ran, and its traceback's last line if not."""

    text: str
    status: Literal["ok", "error"]
    error: str = ""


@dataclass(frozen=True, slots=True)
class Message:
    """One message of a kernel, as far as running a cell needs it; ``parent`` is the id of what it answers."""

    channel: str
    kind: str
    parent: str
    content: Mapping[str, Any]


def execute_request(code: str, message: str, session: str) -> str:
    """An ``execute_request`` on the shell channel, as JSON; ``message`` and ``session`` are ids of the caller's."""
    header = {
        "msg_id": message,
        "session": session,
        "username": "peel",
        "msg_type": "execute_request",
        "version": "5.3",
    }
    content = {"code": code, "silent": False, "store_history": False, "allow_stdin": False, "stop_on_error": True}
    whole = {"channel": "shell", "header": header, "parent_header": {}, "metadata": {}, "content": content}
    return json.dumps({**whole, "buffers": []})


def parse_message(data: str | bytes) -> Message:
    """Read a message from a kernel's channels. Raises ToolError for what is none."""
    try:
        whole = json.loads(data)
        channel, header, parent, content = (whole.get(key) for key in ("channel", "header", "parent_header", "content"))
        kind, answers = header["msg_type"], (parent or {}).get("msg_id", "")
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise ToolError(f"the kernel sent what is no Jupyter message: {data[:200]!r}") from None
    return Message(str(channel), str(kind), str(answers), content if isinstance(content, dict) else {})


@dataclass(slots=True)
class Transcript:
    """What has come of one request so far."""

    request: str
    _texts: list[str] = field(default_factory=list)
    _error: str = ""
    _status: str = ""
    _idle: bool = False

    def feed(self, message: Message) -> None:
        """Take in a message; what answers another request is passed over. Raises ToolError when the kernel died."""
        state = message.content.get("execution_state") if message.kind == "status" else None
        if state in _DEAD:
            raise ToolError("the kernel died while the cell ran", hint="look at the server's log")
        if message.parent != self.request:
            return
        if state == "idle":
            self._idle = True
        elif message.kind == "stream":
            self._texts.append(str(message.content.get("text", "")))
        elif message.kind in {"execute_result", "display_data"}:
            data = message.content.get("data")
            self._texts.append(str(data.get("text/plain", "")) if isinstance(data, dict) else "")
        elif message.kind == "error":
            self._error = f"{message.content.get('ename')}: {message.content.get('evalue')}"
        elif message.kind == "execute_reply":
            self._status = str(message.content.get("status"))

    @property
    def complete(self) -> bool:
        """Whether both have come: the reply, and the idle status after which no output follows."""
        return self._idle and bool(self._status)

    def result(self) -> CellResult:
        """What the cell gave."""
        status: Literal["ok", "error"] = "ok" if self._status == "ok" and not self._error else "error"
        return CellResult("".join(self._texts), status, self._error or ("" if status == "ok" else self._status))


@dataclass(frozen=True, slots=True)
class JupyterServer:
    """A server at ``url`` (``http://HOST:PORT``, perhaps with a base path); all methods raise ToolError."""

    url: str
    token: str = field(repr=False)

    def wait_until_up(self, *, timeout: float, alive: Callable[[], bool]) -> None:
        """Return once the server answers; ``timeout`` in seconds. Raises when it runs out, or the server ended."""
        deadline = time.monotonic() + timeout
        while time.monotonic() < deadline:
            if not alive():
                raise ToolError("the Jupyter server ended before it was up")
            try:
                self._request("GET", "/api/status", timeout=min(5.0, timeout))
            except _NotThereError:
                time.sleep(_POLL_SECONDS)
            else:
                return
        raise ToolError(f"the Jupyter server did not answer within {timeout:g} s")

    def wait_until_answered(self, *, timeout: float, alive: Callable[[], bool]) -> None:
        """Return once the server answers at all, a refusal included; as ``wait_until_up`` otherwise."""
        deadline = time.monotonic() + timeout
        while time.monotonic() < deadline:
            if not alive():
                raise ToolError("the Jupyter server ended before it was up")
            try:
                self._request("GET", "/api", timeout=min(5.0, timeout))
            except _NotThereError:
                time.sleep(_POLL_SECONDS)
            except ToolError:
                return
            else:
                return
        raise ToolError(f"the Jupyter server did not answer within {timeout:g} s")

    def type_in_terminal(self, line: str, *, until: Callable[[], object], timeout: float) -> None:
        """Open a terminal, type a line into it, and wait until something holds; ``timeout`` in seconds."""
        name = self._request("POST", "/api/terminals")["name"]
        deadline = time.monotonic() + timeout
        try:
            with self._websocket(f"/terminals/websocket/{name}", deadline) as channel:
                channel.send(json.dumps(["stdin", f"{line}\r"]))
                while not until():
                    if time.monotonic() > deadline:
                        raise ToolError(f"the terminal did not do it within {timeout:g} s")
                    time.sleep(_POLL_SECONDS)
        except (OSError, WebSocketException) as error:
            raise ToolError(f"the connection to the terminal broke: {error}") from None
        finally:
            self._request("DELETE", f"/api/terminals/{name}")

    def kernelspecs(self) -> tuple[KernelSpec, ...]:
        """The kernels that the launcher shows, by name."""
        answer = self._request("GET", "/api/kernelspecs")
        try:
            found = {name: entry["spec"] for name, entry in answer["kernelspecs"].items()}
            specs = [
                KernelSpec(name, str(spec["display_name"]), tuple(map(str, spec["argv"])))
                for name, spec in sorted(found.items())
            ]
        except (KeyError, TypeError, AttributeError):
            raise ToolError("the Jupyter server's list of kernels cannot be read") from None
        return tuple(specs)

    def run_cell(self, kernel: str, code: str, *, timeout: float) -> CellResult:
        """Start this kernel, run one cell in it, and end it; ``timeout`` in seconds, for all of it together."""
        deadline = time.monotonic() + timeout
        with self._kernel(kernel, timeout) as number:
            try:
                with self._channels(number, deadline) as channels:
                    return _execute(channels, code, deadline)
            except TimeoutError:
                raise ToolError(f"kernel {kernel} did not answer within {timeout:g} s") from None
            except (OSError, WebSocketException) as error:
                raise ToolError(f"the connection to kernel {kernel} broke: {error}") from None

    def shutdown(self) -> None:
        """Ask the server to end itself and its kernels; it answers before it does."""
        self._request("POST", "/api/shutdown")

    @contextmanager
    def _kernel(self, name: str, timeout: float) -> Iterator[str]:
        answer = self._request("POST", "/api/kernels", {"name": name}, timeout=timeout)
        number = answer.get("id") if isinstance(answer, dict) else None
        if not isinstance(number, str):
            raise ToolError(f"the Jupyter server started kernel {name} without saying which")
        try:
            yield number
        finally:
            self._end_kernel(number)

    def _end_kernel(self, number: str) -> None:
        """End a kernel; one that cannot be ended is left to the server's own end."""
        for _ in range(_END_TRIES):
            try:
                self._request("DELETE", f"/api/kernels/{number}")
            except _NotThereError:
                return
            except ToolError:
                time.sleep(_END_SECONDS)  # a server that is just restarting a kernel which died refuses at first
            else:
                return

    def _channels(self, number: str, deadline: float) -> ClientConnection:
        return self._websocket(f"/api/kernels/{number}/channels", deadline)

    def _websocket(self, path: str, deadline: float) -> ClientConnection:
        return connect(
            f"ws{self.url.removeprefix('http')}{path}",
            additional_headers={"Authorization": f"token {self.token}"},
            open_timeout=_left(deadline),
            close_timeout=2,
            max_size=_MESSAGE_LIMIT,
            proxy=None,  # the server is on this machine
        )

    def _request(self, method: str, path: str, body: Any = None, *, timeout: float = _REQUEST_SECONDS) -> Any:
        try:
            with httpx.Client(trust_env=False, timeout=timeout) as client:  # no proxy: the server is on this machine
                headers = {"Authorization": f"token {self.token}"}
                answer = client.request(method, f"{self.url}{path}", headers=headers, json=body)
        except httpx.HTTPError as error:
            raise _NotThereError(f"no Jupyter server answers at {self.url}: {error or type(error).__name__}") from None
        if not answer.is_success:
            raise ToolError(f"the Jupyter server refused {method} {path}: {answer.status_code} {_reason(answer)}")
        return _json(answer)


class _NotThereError(ToolError):
    """Nothing listens yet, or no longer."""


def _execute(channels: ClientConnection, code: str, deadline: float) -> CellResult:
    transcript = Transcript(uuid.uuid4().hex)
    channels.send(execute_request(code, transcript.request, uuid.uuid4().hex))
    while not transcript.complete:
        transcript.feed(parse_message(channels.recv(timeout=_left(deadline))))
    return transcript.result()


def _left(deadline: float) -> float:
    return max(0.0, deadline - time.monotonic())


def _json(answer: httpx.Response) -> Any:
    try:
        return answer.json() if answer.content else None
    except (ValueError, RecursionError):
        raise ToolError(f"what answers at {answer.url.host}:{answer.url.port} is no Jupyter server") from None


def _reason(answer: httpx.Response) -> str:
    """The server's own words for a refusal, where it has any."""
    try:
        said = answer.json()
    except (ValueError, RecursionError):
        return answer.reason_phrase
    message = said.get("message") if isinstance(said, dict) else None
    return str(message or answer.reason_phrase)[:500]
