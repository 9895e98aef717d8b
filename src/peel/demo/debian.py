"""Debian packages of any suite, from the mirrors this machine already uses, without touching its own apt.

apt itself resolves, downloads and checks signatures, in a configuration of its own.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import re
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from urllib.parse import unquote

from peel.demo.apt_sources import load_sources, turn_to
from peel.errors import ArtifactError, PeelError, ToolError
from peel.model.values import Digest, canonical_json
from peel.tools import process

_PRINTED = re.compile(r"'[^']*' (?P<file>\S+) (?P<size>\d+) SHA256:(?P<sha256>[0-9a-f]{64})")
_CONFIGURATION = """\
#clear APT::Update::Post-Invoke;
#clear APT::Update::Post-Invoke-Success;
#clear APT::Architectures;
APT::Architecture "amd64";
APT::Architectures "amd64";
APT::Sandbox::User "root";
APT::Update::Error-Mode "any";
Acquire::ForceHash "SHA256";
Acquire::Languages "none";
Acquire::Retries "3";
Dir::Cache "{state}/cache";
Dir::Etc::preferences "/dev/null";
Dir::Etc::preferencesparts "/dev/null";
Dir::Etc::sourcelist "/dev/null";
Dir::Etc::sourceparts "{state}/sources";
Dir::State "{state}";
Dir::State::lists "{state}/lists";
Dir::State::status "{state}/status";
"""


@dataclass(frozen=True, slots=True)
class Deb:
    """A Debian package: its file name on the mirror, its size in bytes, its sha256."""

    file: str
    size: int
    digest: Digest

    @property
    def name(self) -> str:
        """The package's name."""
        return self.file.partition("_")[0]

    @property
    def version(self) -> str:
        """The whole Debian version, with epoch and revision."""
        return unquote(self.file.split("_")[1])

    def path(self, cache: Path) -> Path:
        """Where a cache keeps it: by content."""
        return cache / "debs" / f"{self.digest.hex}.deb"


def parse_printed_uris(text: str) -> tuple[Deb, ...]:
    """The packages that ``apt-get --print-uris`` names, sorted by file name; its other lines are passed over."""
    found = (_PRINTED.fullmatch(line.strip()) for line in text.splitlines())
    debs = (Deb(line["file"], int(line["size"]), Digest.from_hex(line["sha256"])) for line in found if line)
    return tuple(sorted(debs, key=lambda deb: deb.file))


def fetch_debs(suite: str, names: Sequence[str], *, cache: Path, closure: bool = False) -> tuple[Deb, ...]:
    """Have these packages of a suite in the cache, every one checked; offline once they have been resolved.

    With ``closure``, also all that they depend on (not what they recommend). Raises ToolError when apt or a mirror
    is missing or fails, ArtifactError when a file is not what the signed index promised.
    """
    key = hashlib.sha256(canonical_json([sorted(names), closure])).hexdigest()[:16]
    resolved = cache / "apt" / suite / f"{key}.json"
    with _locked(resolved.parent):
        debs = _load(resolved)
        if not all(deb.path(cache).is_file() for deb in debs) or not debs:
            apt = _configure(suite, resolved.parent)
            apt("update")
            debs = _resolve(apt, names, closure=closure)
            _download(apt, [deb for deb in debs if not deb.path(cache).is_file()], cache)
            resolved.write_bytes(canonical_json([[deb.file, deb.size, deb.digest.text] for deb in debs]))
    for deb in debs:
        verify(deb, deb.path(cache))
    return debs


@contextmanager
def _locked(directory: Path) -> Iterator[None]:
    """One process at a time: apt refuses a second one in the same directories."""
    directory.mkdir(parents=True, exist_ok=True)
    with (directory / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _load(resolved: Path) -> tuple[Deb, ...]:
    try:
        return tuple(Deb(file, size, Digest(digest)) for file, size, digest in json.loads(resolved.read_bytes()))
    except FileNotFoundError:
        return ()
    except (ValueError, TypeError, PeelError):
        resolved.unlink()
        return ()


def _configure(suite: str, state: Path) -> Callable[..., str]:
    """An apt of its own in ``state``; the value runs ``apt-get`` in it and returns what it printed."""
    if process.find("apt-get") is None:
        raise ToolError(
            "apt-get is not installed: the demo's stand-ins are made from Debian's packages",
            hint="run the demo on Debian; with network access, --online does without them",
        )
    for part in ("lists/partial", "cache/archives/partial", "sources"):
        (state / part).mkdir(parents=True, exist_ok=True)
    (state / "status").touch()
    stanzas = "\n".join(source.stanza() for source in turn_to(suite, load_sources()))
    (state / "sources" / "debian.sources").write_text(stanzas)
    configuration = state / "apt.conf"
    configuration.write_text(_CONFIGURATION.format(state=state.resolve()))

    def apt(*arguments: str, cwd: Path | None = None) -> str:
        argv = ("apt-get", "-q", "-c", str(configuration.resolve()), *arguments)
        environment = process.inherit({"DEBIAN_FRONTEND": "noninteractive"})
        return process.run(process.Command(argv, env=environment, cwd=cwd)).text

    return apt


def _resolve(apt: Callable[..., str], names: Sequence[str], *, closure: bool) -> tuple[Deb, ...]:
    verb = ("install", "--yes", "--no-install-recommends") if closure else ("download",)
    debs = parse_printed_uris(apt(*verb, "--print-uris", *sorted(names)))
    missing = sorted(set(names) - {deb.name for deb in debs})
    if missing:
        raise ToolError(f"apt named no file for {', '.join(missing)}")
    return debs


def _download(apt: Callable[..., str], debs: Sequence[Deb], cache: Path) -> None:
    if not debs:
        return
    with TemporaryDirectory(dir=cache, prefix="download-") as directory:
        apt("download", *(f"{deb.name}={deb.version}" for deb in debs), cwd=Path(directory))
        (cache / "debs").mkdir(exist_ok=True)
        for deb in debs:
            fetched = Path(directory, deb.file)
            verify(deb, fetched)
            shutil.move(fetched, deb.path(cache))


def verify(deb: Deb, path: Path) -> None:
    """Raise ArtifactError unless this file is the package; one that is not is removed."""
    try:
        with path.open("rb") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
    except FileNotFoundError:
        raise ArtifactError(f"{deb.file} was not downloaded", hint="run it again") from None
    if found != deb.digest.hex:
        path.unlink()
        raise ArtifactError(
            f"{deb.file} has sha256 {found}, the signed index says {deb.digest.hex}",
            hint="the file is removed; run it again to fetch it anew",
        )
