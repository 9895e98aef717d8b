"""The only door to other programs: nothing else in peel imports ``subprocess``.

A command is a value with its whole argv and its whole environment; there is never a shell.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Final

from peel.errors import ToolError
from peel.model.secrets import redact

_PASSED = (
    "PATH", "HOME", "USER", "LOGNAME", "TMPDIR",
    "XDG_RUNTIME_DIR", "XDG_CONFIG_HOME", "XDG_DATA_HOME", "XDG_CACHE_HOME",
    "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "no_proxy", "all_proxy",
    "SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "PIP_CERT", "NETRC",
    "REGISTRY_AUTH_FILE", "DOCKER_CONFIG", "CONTAINERS_REGISTRIES_CONF", "CONTAINERS_STORAGE_CONF", "CONTAINERS_CONF",
)  # fmt: skip
SIGNALLED: Final = 128
"""What shells add to a signal's number, to say that a program was ended by it."""

_OF_CREDENTIALS = ("AWS_", "AZURE_", "CLOUDSDK_", "GOOGLE_", "GNUPGHOME", "DBUS_SESSION_BUS_ADDRESS", "PASSWORD_STORE_")
_GRACE_SECONDS = 5.0
_POLL_SECONDS = 0.2
_LAST_LINES = 20


class OutOfTimeError(ToolError):
    """A program took longer than it may."""


@dataclass(frozen=True, slots=True)
class Command:
    """A program to run: its argv, its whole environment, and where."""

    argv: tuple[str, ...]
    env: Mapping[str, str] = field(default_factory=dict)
    cwd: Path | None = None
    stdin: bytes = b""

    def __str__(self) -> str:
        return redact(" ".join(self.argv))


@dataclass(frozen=True, slots=True)
class Completed:
    """What a program left behind."""

    status: int
    stdout: bytes
    stderr: bytes

    @property
    def text(self) -> str:
        """Standard output as text."""
        return self.stdout.decode("utf-8", "replace")


def inherit(extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """The environment children get: paths, proxies and certificates of ours, a fixed locale, and ``extra``.

    Everything else stays out, so that no variable of the caller changes what a tool does.
    """
    passed = {name: os.environ[name] for name in _PASSED if name in os.environ}
    return {**passed, "LC_ALL": "C.UTF-8", "TZ": "UTC", **(extra or {})}


def credential_variables() -> dict[str, str]:
    """What credential helpers read: of clouds, of key rings, of the session's bus."""
    return {name: value for name, value in os.environ.items() if name.startswith(_OF_CREDENTIALS)}


def find(program: str) -> Path | None:
    """Where this program lies on PATH, if it does."""
    found = shutil.which(program)
    return Path(found) if found else None


def run(command: Command, *, check: bool = True, timeout: float | None = None) -> Completed:
    """Run to the end and keep what it printed.

    ``timeout`` is in seconds. Raises ToolError when the program is missing, runs out of time, or, with ``check``,
    ends with a status other than 0; the error shows the last lines it printed. Interrupted, it ends the program first.
    """
    with start(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as child:
        try:
            stdout, stderr = child.communicate(command.stdin, timeout=timeout)
        except subprocess.TimeoutExpired:
            raise OutOfTimeError(f"{command.argv[0]} did not end within {timeout:g} s: {command}") from None
    done = Completed(child.returncode, stdout, stderr)
    if check and done.status != 0:
        raise failure(command, done)
    return done


def failure(command: Command, done: Completed) -> ToolError:
    """The error for a program that ended badly, with the last lines it printed."""
    said = (done.stderr or done.stdout).decode("utf-8", "replace").strip().splitlines()[-_LAST_LINES:]
    lines = redact("\n".join(f"  {line}" for line in said))
    return ToolError(f"{Path(command.argv[0]).name} failed with status {done.status}: {command}\n{lines}".rstrip())


@contextmanager
def start(
    command: Command,
    *,
    stdin: int | IO[bytes] = subprocess.DEVNULL,
    stdout: int | IO[bytes] = subprocess.DEVNULL,
    stderr: int | IO[bytes] = subprocess.DEVNULL,
) -> Iterator[subprocess.Popen[bytes]]:
    """Start a program in a process group of its own; on leaving, the whole group is gone."""
    try:
        child = subprocess.Popen(
            command.argv, env=dict(command.env) or inherit(), cwd=command.cwd,
            stdin=stdin, stdout=stdout, stderr=stderr, start_new_session=True,
            umask=0o022,  # else a container's root may be closed to its user
        )  # fmt: skip
    except FileNotFoundError:
        raise ToolError(f"{command.argv[0]} is not installed", hint="peel doctor names what is missing") from None
    except OSError as error:
        raise ToolError(f"{command.argv[0]} cannot be started: {error.strerror}") from None
    with child:
        try:
            yield child
        finally:
            stop(child)


def attend(command: Command) -> int:
    """Run a program on this process's own terminal and streams, to its end; how it ended, as shells put it.

    The program alone decides what an interrupt means. Raises ToolError when it cannot be started; told to end in
    another way, it is ended first.
    """
    try:
        child = subprocess.Popen(command.argv, env=dict(command.env) or inherit(), cwd=command.cwd)
    except FileNotFoundError:
        raise ToolError(f"{command.argv[0]} is not installed", hint="peel doctor names what is missing") from None
    except OSError as error:
        raise ToolError(f"{command.argv[0]} cannot be started: {error.strerror}") from None
    with child, _interrupting(child):
        try:
            status = child.wait()
        finally:
            if child.poll() is None:
                child.terminate()
                with suppress(subprocess.TimeoutExpired):
                    child.wait(_GRACE_SECONDS)
                child.kill()
    return status if status >= 0 else SIGNALLED - status


@contextmanager
def _interrupting(child: subprocess.Popen[bytes]) -> Iterator[None]:
    """Leave Ctrl-C to a child: of a terminal it hears itself, and what comes otherwise is passed on."""

    def pass_on(number: int, _frame: object) -> None:
        if not os.isatty(0):
            with suppress(ProcessLookupError):
                child.send_signal(number)

    before = signal.signal(signal.SIGINT, pass_on)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def stop(
    child: subprocess.Popen[bytes], *, first: signal.Signals = signal.SIGTERM, grace: float = _GRACE_SECONDS
) -> None:
    """End a program and its group: ask, wait ``grace`` seconds, then force; at once if interrupted again."""
    try:
        if child.poll() is None:
            _signal(child, first)
            with suppress(subprocess.TimeoutExpired):
                child.wait(grace)
    finally:
        _signal(child, signal.SIGKILL)
        with suppress(subprocess.TimeoutExpired):
            child.wait(_GRACE_SECONDS)


def end_left(name: str) -> None:
    """End what a killed process of ours left running: every program that has ``name``, a random one, as an argument."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        deadline = time.monotonic() + _GRACE_SECONDS
        while (left := _running_with(name)) and time.monotonic() < deadline:
            for pid in left:
                with suppress(ProcessLookupError, PermissionError):
                    os.kill(pid, number)
            time.sleep(_POLL_SECONDS)


def _running_with(name: str) -> Sequence[int]:
    found = []
    for place in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):
            if name.encode() in place.read_bytes().split(b"\0"):
                found.append(int(place.parent.name))
    return found


def _signal(child: subprocess.Popen[bytes], number: signal.Signals) -> None:
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(child.pid, number)


def argv_of(*parts: str | Path | Sequence[str] | None) -> tuple[str, ...]:
    """An argv from strings, paths and sequences; None is left out."""
    flat: list[str] = []
    for part in parts:
        if isinstance(part, str | Path):
            flat.append(str(part))
        elif part is not None:
            flat.extend(part)
    return tuple(flat)
