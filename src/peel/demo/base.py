"""A small base image made from Debian's packages: the demo's stand-in for AlmaLinux, and labelled so."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from peel.demo.deb import Unpacked, read_control, read_data
from peel.demo.debian import Deb, fetch_debs
from peel.demo.single_layer import write_layout
from peel.demo.whole import replacing
from peel.layers.tar import canonical
from peel.model.entry import Entry, directory, file_of_bytes, symlink
from peel.model.oci import ImageSettings
from peel.model.values import Digest

SUITE: Final = "trixie"
PACKAGES: Final = (
    "base-files", "base-passwd", "bash", "ca-certificates", "coreutils", "dash", "findutils", "grep", "libc-bin",
    "libc6", "libgcc-s1", "libstdc++6", "mawk", "ncurses-base", "sed", "tini",
)  # fmt: skip
"""What a lab asks of its base; their dependencies come along."""

TAG: Final = "9"
"""The tag it has in its layout: that of the image it stands in for."""

_LABELS = {
    "org.opencontainers.image.description": "stand-in base made from Debian packages; not AlmaLinux",
    "org.opencontainers.image.title": "peel demo base (stand-in)",
}
_MERGED = ("bin", "lib", "lib64", "sbin")
_NOT_READ = re.compile(r"usr/share/(man|info|locale|lintian|menu|bug|doc-base)(/.*)?")
_NOT_LEGAL = re.compile(r"usr/share/doc/[^/]+/(?!copyright$).*")
_CERTIFICATE = re.compile(r"usr/share/ca-certificates/.*\.crt")
# What the packages' installation scripts would copy into place.
_COPIED = {
    "etc/group": "usr/share/base-passwd/group.master",
    "etc/nsswitch.conf": "usr/share/libc-bin/nsswitch.conf",
    "etc/passwd": "usr/share/base-passwd/passwd.master",
    "etc/profile": "usr/share/base-files/profile",
    "root/.bashrc": "usr/share/base-files/dot.bashrc",
    "root/.profile": "usr/share/base-files/dot.profile",
}
_MADE = (
    *(directory(path) for path in ("mnt", "opt", "srv")),
    directory("tmp", mode=0o1777),
    directory("run/lock", mode=0o1777),
    symlink("usr/bin/awk", "mawk"),
    *(symlink(name, f"usr/{name}") for name in _MERGED),
)


@dataclass(frozen=True, slots=True)
class StandInBase:
    """A base image as an OCI layout: where it lies, its tag there, and the digest of its one manifest."""

    layout: Path
    tag: str
    digest: Digest
    packages: int


def make_base(target: Path, *, cache: Path, progress: Callable[[str], object]) -> StandInBase:
    """Write the base image to ``target`` as an OCI layout, replacing what is there; same packages, same bytes.

    Needs the mirror once; what is fetched stays in ``cache``. Raises as ``fetch_debs`` does.
    """
    progress("fetch the base image's Debian packages")
    debs = fetch_debs(SUITE, PACKAGES, cache=cache, closure=True)
    progress(f"make a base image of {len(debs)} Debian packages")
    entries = canonical(_entries(debs, cache))
    settings = ImageSettings(
        env=(("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin"), ("LANG", "C.UTF-8")),
        cmd=("/bin/bash",),
        labels=tuple(sorted(_LABELS.items())),
    )
    epoch = max(entry.mtime for entry in entries)
    with replacing(target) as unfinished:
        digest = write_layout(unfinished, entries, settings, tag=TAG, epoch=epoch)
    return StandInBase(target, TAG, digest, len(debs))


def _entries(debs: Iterable[Deb], cache: Path) -> list[Entry]:
    """The root file system: the packages' files, what their installation scripts would make, dpkg's database."""
    unpacked = [member for deb in debs for member in read_data(deb.path(cache))]
    found = {entry.path: entry for entry in map(entry_of, unpacked) if not _is_documentation(entry.path)}
    for path, original in _COPIED.items():
        found[path] = file_of_bytes(path, _content(found[original]), mtime=found[original].mtime)
    trusted = [found[path] for path in sorted(found) if _CERTIFICATE.fullmatch(path)]
    made = (*_MADE, _join("etc/ssl/certs/ca-certificates.crt", trusted), _database(debs, cache))
    return list({**found, **{entry.path: entry for entry in made}}.values())


def _is_documentation(path: str) -> bool:
    return bool(_NOT_READ.fullmatch(path) or _NOT_LEGAL.fullmatch(path))


def entry_of(member: Unpacked) -> Entry:
    """A package's file as the image has it: with ``/bin`` and its like merged into ``/usr``."""
    top, slash, _ = member.path.partition("/")
    path = f"usr/{member.path}" if slash and top in _MERGED else member.path
    if member.is_directory:
        return directory(path, mode=member.mode, mtime=member.mtime)
    if member.target:
        return symlink(path, member.target, mtime=member.mtime)
    return file_of_bytes(path, member.data, mode=member.mode, mtime=member.mtime)


def _content(entry: Entry) -> bytes:
    return entry.source if isinstance(entry.source, bytes) else entry.source.read_bytes()


def _join(path: str, entries: Iterable[Entry]) -> Entry:
    return file_of_bytes(path, b"".join(_content(entry).rstrip() + b"\n" for entry in entries))


def _database(debs: Iterable[Deb], cache: Path) -> Entry:
    """Write what dpkg keeps as its status file, so that scanners see what is there."""
    paragraphs = (read_control(deb.path(cache)).rstrip() for deb in debs)
    status = "\n\n".join(f"{paragraph}\nStatus: install ok installed" for paragraph in paragraphs)
    return file_of_bytes("var/lib/dpkg/status", f"{status}\n".encode())
