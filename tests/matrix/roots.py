"""Root file systems of Debian's releases, made by mmdebstrap from this machine's mirrors, and programs run in them."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from peel.demo.apt_sources import load_sources, turn_to
from peel.tools.system import distribution

SUITES = ("bookworm", "trixie", "sid")  # Debian 12, Debian 13, and what will be next
PACKAGES = ("buildah", "ca-certificates", "netavark", "python3", "python3-venv", "runc", "skopeo")
PROGRAMS = ("mmdebstrap", "unshare", "pivot_root", "buildah", "skopeo")  # what this machine has to have

WORK = Path("/matrix")  # where a root sees the work directory
FOLDERS = ("/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin")
_PEEL = "/opt/peel"
_CHECKOUT = Path(__file__).parents[2]
_SOURCE = "/source"
_ENTER = Path(__file__).with_name("enter.sh")
_LAST_LINES = 20

# What lets programs in a root reach what this machine reaches: names, certificates, package indexes.
_TAKEN_OVER = ("/etc/resolv.conf", "/etc/hosts", "/etc/ssl/certs", "/etc/pip.conf", "/etc/xdg/pip")
_PASSED = ("PIP_", "SSL_", "REQUESTS_CA_", "CURL_CA_", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "ALL_PROXY")
_APT_OPTIONS = ("Acquire::http", "Acquire::https", "Acquire::Check-")


def call(argv: Sequence[str | Path], *, check: bool = True) -> subprocess.CompletedProcess[str]:
    """Run a program to its end. When it fails, with ``check``, so does this one, with the last lines it printed."""
    done = subprocess.run([str(part) for part in argv], capture_output=True, text=True, check=False)
    if check and done.returncode:
        said = "\n".join((done.stderr or done.stdout).splitlines()[-_LAST_LINES:])
        raise SystemExit(f"{said}\nfailed with status {done.returncode}: {' '.join(str(part) for part in argv)}")
    return done


@dataclass(frozen=True, slots=True)
class Root:
    """A root file system at ``path``, in which the directory ``work`` is seen as ``WORK``."""

    path: Path
    work: Path

    @property
    def distribution(self) -> str:
        return distribution(self.path)

    def version(self, program: str) -> str:
        """The version that a program of this root says it has: the first word with a digit."""
        said = self.run(program, "--version").stdout.split()
        return next(word for word in said if word[0].isdigit())

    def inside(self, place: Path) -> str:
        """How this root names a path beneath the work directory."""
        return str(WORK / place.relative_to(self.work))

    def run(
        self, *command: str, path: str = ":".join(FOLDERS), network: bool = False, check: bool = True
    ) -> subprocess.CompletedProcess[str]:
        """Run a program in this root, with nothing of the caller's environment; offline unless ``network``."""
        own = {"PATH": path, "HOME": "/root", "LC_ALL": "C.UTF-8"}
        variables = {**(_passed() if network else {}), **own}
        mounts = (f"{self.work}:{WORK}:rw", f"{_CHECKOUT}:{_SOURCE}:ro", *_taken_over())
        return call(
            (
                "unshare", "--mount", "--pid", "--fork", "--kill-child",
                *(() if network else ("--net",)),
                "--", "sh", _ENTER, self.path, *mounts,
                "--", "env", "-i", *(f"{name}={value}" for name, value in sorted(variables.items())), *command,
            ),
            check=check,
        )  # fmt: skip

    def peel(self, *arguments: str, path: str) -> subprocess.CompletedProcess[str]:
        """Run this root's peel, offline, whatever the status."""
        return self.run(f"{_PEEL}/bin/peel", *arguments, path=path, check=False)


def make_root(suite: str, work: Path) -> Root:
    """The root of a release, with its buildah, and with this checkout's peel of the locked requirements.

    One that an earlier run left in the work directory is used again; peel is installed anew in any case.
    """
    root = Root(work / "roots" / suite, work)
    if not root.path.exists():
        sys.stderr.write(f"making a root of {suite}\n")
        root.path.parent.mkdir(exist_ok=True)
        unfinished = root.path.with_suffix(".unfinished")
        call(_bootstrap(suite, unfinished, _sources(suite, work)))
        unfinished.rename(root.path)
    sys.stderr.write(f"installing peel in {suite}\n")
    pip = (f"{_PEEL}/bin/python", "-m", "pip", "install", "--quiet", "--cache-dir", f"{WORK}/pip")
    root.run("python3", "-m", "venv", _PEEL)
    root.run(*pip, "--require-hashes", "-r", f"{_SOURCE}/.ci/requirements.txt", network=True)
    root.run(*pip, "--no-deps", "--force-reinstall", _SOURCE, network=True)
    return root


def _bootstrap(suite: str, target: Path, sources: Path) -> tuple[str | Path, ...]:
    options = (f"--aptopt={line}" for line in _apt_options())
    return ("mmdebstrap", "--variant=minbase", f"--include={','.join(PACKAGES)}", *options, suite, target, sources)


def _sources(suite: str, work: Path) -> Path:
    """A file with this machine's Debian sources, turned to another release; sid has no updates beside itself."""
    turned = turn_to(suite, load_sources())
    path = work / f"{suite}.sources"
    path.write_text("\n".join(source.stanza() for source in turned if suite != "sid" or not source.kind))
    return path


def _apt_options() -> Iterator[str]:
    """How this machine's apt reaches its mirrors, such as through a proxy."""
    for line in call(("apt-config", "dump", "Acquire")).stdout.splitlines():
        name, _, value = line.partition(" ")
        if name.startswith(_APT_OPTIONS) and value not in {'"";', ""}:
            yield line


def _passed() -> Mapping[str, str]:
    return {name: value for name, value in os.environ.items() if name.upper().startswith(_PASSED)}


def _taken_over() -> Iterator[str]:
    """The mounts that bring this machine's files to their places in a root."""
    for place in _TAKEN_OVER:
        if Path(place).exists():
            yield f"{Path(place).resolve()}:{place}:ro"
    own = Path.home() / ".config" / "pip"
    if own.is_dir():
        yield f"{own}:/root/.config/pip:ro"
