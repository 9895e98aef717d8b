"""Run the lab of an image on this machine's loopback, and check that every payload's kernel is what its lock says."""

from __future__ import annotations

import json
import os
import secrets
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import IO, Final, Protocol, Unpack

from peel.errors import ToolError, UsageError
from peel.tools import system
from peel.tools.buildah import Child, RunOptions, Volume
from peel.tools.jupyter import CellResult, JupyterServer

START_COMMAND: Final = ("/usr/local/share/jupyterlab/runlab",)
HOME_INSIDE: Final = "/home/lab"

_TOKEN_INSIDE: Final = "/run/peel-token"  # noqa: S105 - where it lies, not what it is
UNPRIVILEGED: Final = 1000
"""Whom a lab runs as that root starts."""

_GRACE_SECONDS: Final = 10.0
_POLL_SECONDS: Final = 0.05
_LAST_LINES: Final = 15
_LAST_BYTES: Final = 32768
_QUESTION: Final = "import json, sys; print(json.dumps([sys.version, sys.prefix]))"


class Engine(Protocol):
    """What a launch needs of ``tools.buildah.Buildah``."""

    def container(self, image: str) -> AbstractContextManager[str]:
        """A working container that is removed on leaving."""

    def start(
        self, container: str, argv: Sequence[str], *, log: IO[bytes], **options: Unpack[RunOptions]
    ) -> AbstractContextManager[Child]:
        """A program in it that is gone on leaving."""


@dataclass(frozen=True, slots=True)
class ExpectedKernel:
    """A payload's kernel as the lock has it; ``python`` is a version of two or three parts."""

    name: str
    prefix: str
    python: str


@dataclass(frozen=True, slots=True)
class KernelCheck:
    """What a kernel said of itself; ``version`` and ``prefix`` are empty when it said nothing."""

    name: str
    passed: bool
    version: str = ""
    prefix: str = ""
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Running:
    """A lab that is up; ``url`` opens it in a browser, token and all."""

    url: str = field(repr=False)
    token: str = field(repr=False)
    port: int
    server: JupyterServer
    log: Path
    child: Child

    def wait(self) -> None:
        """Return when the lab ends. Raises ToolError, with the server's last lines, when it ends badly."""
        if status := self.child.wait():
            raise _with_log(ToolError(f"the lab ended with status {status}"), self.log, self.token)


@contextmanager
def launch(
    image: str,
    *,
    engine: Engine,
    port: int | None = None,
    token: str | None = None,
    home: Path | None = None,
    start: Sequence[str] = START_COMMAND,
    volumes: Sequence[Volume] = (),
    env: Mapping[str, str] | None = None,
    user: int = UNPRIVILEGED,
    timeout: float = 60.0,
) -> Iterator[Running]:
    """Run the lab of an image (its id or name) until the block is left; nothing stays behind but ``home``.

    ``port`` and ``token`` default to free and random ones, ``home`` to an empty directory that goes with the lab;
    ``timeout`` is how long, in seconds, it may take to come up. Raises UsageError for a port in use or a home that
    cannot be written, ToolError with the server's last lines when it does not come up.
    """
    if home is not None and not home.is_dir():
        raise UsageError(f"the home {home} is not a directory", hint="make it first, or leave it out for an empty one")
    secret = token or secrets.token_hex(24)
    chosen = system.free_port(port)
    server = JupyterServer(f"http://127.0.0.1:{chosen}", secret)
    with TemporaryDirectory(prefix="peel-launch-", ignore_cleanup_errors=True) as scratch:
        whose, mounts = _furnish(Path(scratch), home, secret, user)
        log = Path(scratch) / "server.log"
        argv = (*start, *server_argv(chosen, as_root=whose == 0))
        options: RunOptions = {
            "volumes": [*mounts, *volumes], "env": {**server_env(), **(env or {})}, "user": f"{whose}:{whose}",
            "network": "host",
            "workdir": HOME_INSIDE,
        }  # fmt: skip
        with (
            engine.container(image) as name,
            log.open("wb") as written,
            engine.start(name, argv, log=written, **options) as child,
        ):
            try:
                _wait_until_up(server, child, timeout, log)
                yield Running(f"{server.url}/lab?token={secret}", secret, chosen, server, log, child)
            finally:
                _end(server, child)


def server_argv(port: int, *, as_root: bool = False) -> tuple[str, ...]:
    """The start command's arguments. The token is none of them: they show in the list of processes."""
    return (
        "--ip=127.0.0.1",
        f"--port={port}",
        "--ServerApp.port_retries=0",  # else it would quietly take the next one
        "--no-browser",
        f"--ServerApp.root_dir={HOME_INSIDE}",
        *(("--allow-root",) if as_root else ()),
    )


def server_env() -> Mapping[str, str]:
    """The variables the lab starts with; its user has no entry in the image's passwd."""
    return {"HOME": HOME_INSIDE, "USER": "lab", "LOGNAME": "lab", "JUPYTER_TOKEN_FILE": _TOKEN_INSIDE}


def check(running: Running, kernels: Sequence[ExpectedKernel], *, timeout: float = 60.0) -> tuple[KernelCheck, ...]:
    """Ask each payload's kernel, through the server, what it is; ``timeout`` in seconds for each.

    Kernels that the launcher shows beyond these, the lab's own among them, and those that it lacks fail too. In order
    of name. Raises ToolError when the server itself does not answer.
    """
    shown = {spec.name for spec in running.server.kernelspecs()}
    expected = {kernel.name: kernel for kernel in kernels}
    return tuple(
        _check_kernel(running, expected.get(name), name, shown=name in shown, timeout=timeout)
        for name in sorted(shown | expected.keys())
    )


def judge(kernel: ExpectedKernel, result: CellResult) -> KernelCheck:
    """Whether what a kernel printed of itself is what the lock says."""
    if result.status != "ok":
        return KernelCheck(kernel.name, passed=False, detail=f"the cell failed: {result.error}")
    try:
        version, prefix = map(str, json.loads(result.text.strip().splitlines()[-1]))
    except (ValueError, IndexError, TypeError):
        return KernelCheck(kernel.name, passed=False, detail=f"the cell printed something else: {result.text[:200]!r}")
    wrong = [
        f"{what} is {found}, the lock says {wanted}"
        for what, found, wanted, same in (
            ("Python", version.partition(" ")[0], kernel.python, is_python(version, kernel.python)),
            ("prefix", prefix, kernel.prefix, prefix == kernel.prefix),
        )
        if not same
    ]
    return KernelCheck(kernel.name, not wrong, version, prefix, "; ".join(wrong))


def is_python(version: str, wanted: str) -> bool:
    """Whether a ``sys.version`` is of the wanted version: of all its parts, or of as many as are given."""
    parts = wanted.split(".") if wanted else []
    return version.partition(" ")[0].rstrip("+").split(".")[: len(parts)] == parts


def _check_kernel(
    running: Running, kernel: ExpectedKernel | None, name: str, *, shown: bool, timeout: float
) -> KernelCheck:
    if kernel is None:
        return KernelCheck(name, passed=False, detail="the launcher shows it, but it is no payload's kernel")
    if not shown:
        return KernelCheck(name, passed=False, detail="the launcher does not show it")
    try:
        return judge(kernel, running.server.run_cell(name, _QUESTION, timeout=timeout))
    except ToolError as error:
        return KernelCheck(name, passed=False, detail=_with_log(error, running.log, running.token).message)


def _wait_until_up(server: JupyterServer, child: Child, timeout: float, log: Path) -> None:
    try:
        server.wait_until_up(timeout=timeout, alive=lambda: child.poll() is None)
    except ToolError as error:
        raise _with_log(error, log, server.token) from None


def _end(server: JupyterServer, child: Child) -> None:
    """Let the server end its kernels and itself; who started it ends by force what is left after that."""
    if child.poll() is not None:
        return
    with suppress(ToolError):
        server.shutdown()
        deadline = time.monotonic() + _GRACE_SECONDS
        while child.poll() is None and time.monotonic() < deadline:
            time.sleep(_POLL_SECONDS)


def _furnish(place: Path, home: Path | None, token: str, unprivileged: int) -> tuple[int, list[Volume]]:
    """Whom the lab runs as inside its container, and what it finds there: its home, and its token in a file.

    For who is not root, user 0 stands for himself in there.
    """
    user = (_owner_of(home) if home else unprivileged) if system.is_root() else 0
    own = home.absolute() if home else _make_home(place / "home", user)
    return user, [
        Volume(own, HOME_INSIDE, "rw"),
        Volume(_write_token(place / "token", token, user), _TOKEN_INSIDE),
    ]


def _owner_of(home: Path) -> int:
    """The user who may write to a home that root chose. Raises UsageError when that is root: a lab does not run so."""
    owner = home.stat().st_uid
    if owner == 0:
        hint = f"give it to another user: chown {UNPRIVILEGED}:{UNPRIVILEGED} {home}"
        raise UsageError(f"the home {home} belongs to root, and a lab does not run as root", hint=hint)
    return owner


def _make_home(home: Path, user: int) -> Path:
    home.mkdir(mode=0o700)
    return _give(home, user)


def _write_token(path: Path, token: str, user: int) -> Path:
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o400), "w") as file:
        file.write(token)
    return _give(path, user)


def _give(path: Path, user: int) -> Path:
    if system.is_root():
        os.chown(path, user, user)
    return path


def _with_log(error: ToolError, log: Path, token: str) -> ToolError:
    """The error with the server's last lines, which is where the reason stands."""
    lines = _last_lines(log).replace(token, "<hidden>")
    return ToolError(f"{error.message}\n{lines}".rstrip(), hint=error.hint or "the server's last lines say why")


def _last_lines(log: Path) -> str:
    try:
        with log.open("rb") as file:
            file.seek(max(0, log.stat().st_size - _LAST_BYTES))
            said = file.read(_LAST_BYTES).decode("utf-8", "replace")
    except OSError:
        return ""
    return "\n".join(f"  {line}" for line in said.strip().splitlines()[-_LAST_LINES:])
