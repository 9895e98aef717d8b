"""podman: an image's file system run as a spawner runs it: read-only, by any user, without capabilities.

It keeps what it knows of containers in a directory that goes with it. The file system is one that buildah has
mounted, so that no image is copied.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import IO, Final, Unpack

from peel.errors import ToolError
from peel.interrupts import uninterrupted
from peel.tools import mounts, process, system
from peel.tools.buildah import Buildah, Child, RunOptions, Volume, volume_text

MINIMUM: Final = (4, 0)
_READY_SECONDS: Final = 20.0
_POLL_SECONDS: Final = 0.05
_LIMITS: Final = ("nofile=20000:20000", "nproc=20000:20000")
"""Where limits cannot be raised, podman has to be told which ones to set."""


@dataclass(frozen=True, slots=True)
class Podman:
    """podman on a storage of its own, which is empty, for file systems that buildah mounts.

    An ``Engine`` of the lab. Every method raises ToolError when podman or buildah is missing or fails.
    """

    buildah: Buildah
    place: Path

    @contextmanager
    def container(self, image: str) -> Iterator[str]:
        """The root of an image's file system, mounted until the block is left."""
        with self.buildah.container(image) as container:
            yield self.buildah.mount(container)

    @contextmanager
    def start(
        self, container: str, argv: Sequence[str], *, log: IO[bytes], **options: Unpack[RunOptions]
    ) -> Iterator[Child]:
        """Start a program in a container of this root; on leaving it is gone."""
        name = f"peel-{secrets.token_hex(8)}"
        command = process.Command(self._run_argv(name, container, argv, **options), process.inherit())
        with process.start(command, stdout=log, stderr=log) as child:
            try:
                yield child
            finally:
                with uninterrupted():
                    process.run(process.Command(self._remove_argv(name), process.inherit()), check=False)

    def run(
        self, container: str, argv: Sequence[str], *, timeout: float, **options: Unpack[RunOptions]
    ) -> process.Completed:
        """Run a program to its end, whatever its status; ``timeout`` in seconds."""
        name = f"peel-{secrets.token_hex(8)}"
        command = process.Command(self._run_argv(name, container, argv, **options), process.inherit())
        return process.run(command, check=False, timeout=timeout)

    def _argv(self) -> tuple[str, ...]:
        return (
            "podman",
            "--root", str(self.place / "root"),
            "--runroot", str(self.place / "run"),
            "--tmpdir", str(self.place / "tmp"),
            "--storage-driver", "vfs",
            "--runtime", "crun" if self.buildah.isolation.name == "crun" else "runc",
        )  # fmt: skip

    def _remove_argv(self, name: str) -> tuple[str, ...]:
        return (*self._argv(), "rm", "--force", "--ignore", "--time", "2", name)

    def _run_argv(self, name: str, root: str, argv: Sequence[str], **options: Unpack[RunOptions]) -> tuple[str, ...]:
        env: Mapping[str, str] = options.get("env", {})
        volumes: Sequence[Volume] = options.get("volumes", ())
        return process.argv_of(
            self._argv(), "run",
            "--rm",
            "--name", name,
            "--read-only",
            "--tmpfs", "/tmp:rw,mode=1777",  # noqa: S108 - in the container, where a spawner mounts one
            "--cap-drop", "ALL",
            "--security-opt", "no-new-privileges",
            tuple(item for limit in _LIMITS for item in ("--ulimit", limit)),
            "--network", options.get("network", "none"),
            "--hostname", options.get("hostname", "localhost"),
            ("--user", options["user"]) if "user" in options else None,
            ("--workdir", options["workdir"]) if "workdir" in options else None,
            tuple(item for key, value in sorted(env.items()) for item in ("--env", f"{key}={value}")),
            tuple(item for volume in volumes for item in ("--volume", volume_text(volume))),
            "--rootfs", root,
            argv,
        )  # fmt: skip


@contextmanager
def open_podman(buildah: Buildah) -> Iterator[Podman]:
    """Lend a podman with nothing in it. Raises ToolError, with a hint, when it is missing or too old."""
    system.require_version("podman", MINIMUM)
    with TemporaryDirectory(prefix="peel-", ignore_cleanup_errors=True) as place:  # short: podman refuses long paths
        yield Podman(buildah, Path(place))


@contextmanager
def serve_podman(registries_conf: Path) -> Iterator[str]:
    """Serve Docker's API from a podman with nothing in it, on a socket of its own; yields the socket's URL.

    ``registries_conf`` says how it pulls. On leaving, its containers and images are gone. Raises ToolError when podman
    is missing, too old or does not start.
    """
    system.require_version("podman", MINIMUM)
    with TemporaryDirectory(prefix="peel-", ignore_cleanup_errors=True) as place:  # short: as a socket's path has to be
        root, socket = Path(place), Path(place, "podman.sock")
        places = [argument for name in ("root", "runroot", "tmpdir") for argument in (f"--{name}", str(root / name))]
        podman = ("podman", *places, *(("--runtime", "runc") if process.find("runc") else ()))
        env = process.inherit({"CONTAINERS_REGISTRIES_CONF": str(registries_conf)})
        argv = (*podman, "system", "service", "--time", "0", f"unix://{socket}")
        try:
            with process.start(process.Command(argv, env)) as child:
                _await_socket(socket, child.poll)
                yield f"unix://{socket}"
        finally:
            with uninterrupted():
                remove = (*podman, "rm", "--all", "--force", "--time", "2")
                process.run(process.Command(remove, env), check=False)
                mounts.detach(root)


def _await_socket(socket: Path, ended: Callable[[], object]) -> None:
    for _ in range(round(_READY_SECONDS / _POLL_SECONDS)):
        if socket.exists():
            return
        if ended() is not None:
            break
        time.sleep(_POLL_SECONDS)
    raise ToolError("podman does not serve Docker's API", hint="see why: podman system service --time 5")
