"""The ``peel`` command as people run it: a process of its own, with an environment that the test chose."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

COMMANDS = Path(sys.executable).parent
SYSTEM_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
LONGEST = 300.0  # seconds after which a run is taken to hang


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a run ended and what it printed."""

    status: int
    stdout: str
    stderr: str

    @property
    def json(self) -> Any:
        return json.loads(self.stdout)


@dataclass(frozen=True, slots=True)
class Peel:
    """peel on a catalogue and a store, with an environment that holds nothing of the caller's."""

    catalogue: Path
    store: Path
    home: Path
    env: Mapping[str, str] = field(default_factory=dict)
    before: tuple[str, ...] = ()

    def with_env(self, **variables: str) -> Peel:
        return replace(self, env={**self.env, **variables})

    def under(self, *before: str) -> Peel:
        """The same, run by another program such as ``unshare``, within those that run it already."""
        return replace(self, before=(*self.before, *before))

    @property
    def variables(self) -> dict[str, str]:
        path = f"{COMMANDS}:{SYSTEM_PATH}"
        return {"PATH": path, "HOME": str(self.home), "LC_ALL": "C.UTF-8", **self.env}

    def argv(self, *arguments: str | Path) -> list[str]:
        places = ("-C", str(self.catalogue), "--store", str(self.store))
        return [*self.before, str(COMMANDS / "peel"), *places, *map(str, arguments)]

    def run(self, *arguments: str | Path, cwd: Path | None = None) -> Outcome:
        """Run to the end, whatever the status."""
        done = subprocess.run(
            self.argv(*arguments), env=self.variables, cwd=cwd, capture_output=True, text=True, timeout=LONGEST,
            check=False,
        )  # fmt: skip
        return Outcome(done.returncode, done.stdout, done.stderr)

    def must(self, *arguments: str | Path, cwd: Path | None = None) -> Outcome:
        """Run to the end, and well."""
        done = self.run(*arguments, cwd=cwd)
        assert done.status == 0, done.stderr
        return done

    @contextmanager
    def start(self, *arguments: str | Path) -> Iterator[subprocess.Popen[str]]:
        """Start it; it is ended on leaving, should it still run."""
        with subprocess.Popen(
            self.argv(*arguments), env=self.variables, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        ) as child:
            try:
                yield child
            finally:
                if child.poll() is None:
                    child.kill()

    def cut_off(self, *arguments: str | Path, after: float, by: signal.Signals) -> Outcome:
        """Run it, and send it a signal after so many seconds if it still runs then."""
        with self.start(*arguments) as child:
            try:
                stdout, stderr = child.communicate(timeout=after)
            except subprocess.TimeoutExpired:
                child.send_signal(by)
                stdout, stderr = child.communicate(timeout=LONGEST)
        return Outcome(child.returncode, stdout, stderr)


def refused(outcome: Outcome, status: int, *words: str) -> None:
    """See that a run ended with this status, one error that has these words, and a hint; and no traceback."""
    said = outcome.stderr
    assert outcome.status == status, said
    lines = said.splitlines()
    assert sum(line.startswith("error: ") for line in lines) == 1, said
    assert any(line.startswith("hint: ") for line in lines), said
    assert "Traceback" not in said
    assert outcome.stdout == ""
    error = said[said.index("error: ") :]
    assert all(word in error for word in words), f"{words} in: {error}"


def programs(place: Path, **scripts: str) -> Path:
    """A directory for PATH with shell scripts of these names."""
    place.mkdir()
    for name, script in scripts.items():
        (place / name).write_text(f"#!/bin/sh\n{script}\n")
        (place / name).chmod(0o755)
    return place


def path_without(place: Path, *absent: str) -> Path:
    """A directory for PATH with all the programs of this machine but these."""
    place.mkdir()
    for folder in SYSTEM_PATH.split(":"):
        for path in Path(folder).iterdir() if Path(folder).is_dir() else ():
            link = place / path.name
            if path.name not in absent and not link.is_symlink():
                link.symlink_to(path)
    return place


def becomes_true(condition: Callable[[], object], what: str, *, within: float = 60.0) -> None:
    """Wait until something holds; fail after so many seconds."""
    deadline = time.monotonic() + within
    while not condition():
        assert time.monotonic() < deadline, f"waited {within:g} s in vain: {what}"
        time.sleep(0.05)


def processes_naming(text: str) -> list[str]:
    """The command lines of all living processes that have this text in them."""
    return [line for line in map(_command_line, Path("/proc").glob("[0-9]*")) if text in line]


def _command_line(process: Path) -> str:
    try:
        return process.joinpath("cmdline").read_bytes().replace(b"\0", b" ").decode("utf-8", "replace")
    except OSError:
        return ""


def mounts_beneath(place: Path) -> list[str]:
    """What is mounted beneath a directory."""
    points = [line.split(" ")[1] for line in Path("/proc/mounts").read_text().splitlines()]
    return [point for point in points if point.startswith(f"{place}{os.sep}")]


def containers_of(store: Path) -> list[str]:
    """The names of the working containers in a store's container storage."""
    if not (store / "containers" / "storage").is_dir():
        return []
    listed = subprocess.run(
        [*buildah(store), "containers", "--format", "{{.ContainerName}}"], check=True, capture_output=True, text=True
    )
    return listed.stdout.split()


def buildah(store: Path) -> list[str]:
    """How every buildah command on a store's container storage begins."""
    place = store / "containers"
    driver = "overlay" if (place / "storage" / "overlay-images").is_dir() else "vfs"
    return ["buildah", "--root", f"{place}/storage", "--runroot", f"{place}/run", "--storage-driver", driver]
