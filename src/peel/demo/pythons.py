"""Debian's pythons and the libraries they need, made relocatable, as conda packages."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory
from typing import Final

from peel.demo.conda_archive import PLACEHOLDER, Member, Package
from peel.demo.deb import Unpacked, read_data
from peel.demo.debian import Deb
from peel.errors import ArtifactError
from peel.model.values import Digest, PythonVersion
from peel.tools import process


@dataclass(frozen=True, slots=True)
class Library:
    """A shared library as a conda package: the Debian packages it is made from, its licence, its dependencies."""

    name: str
    debs: tuple[str, ...]
    licence: str
    depends: tuple[str, ...] = ()


LIBRARY_SUITE: Final = "trixie"
LIBRARIES: Final = (
    Library("bzip2", ("libbz2-1.0",), "bzip2-1.0.6"),
    Library("libexpat", ("libexpat1",), "MIT"),
    Library("libffi", ("libffi8",), "MIT"),
    Library("liblzma", ("liblzma5",), "0BSD"),
    Library("libsqlite", ("libsqlite3-0",), "blessing"),
    Library("libuuid", ("libuuid1",), "BSD-3-Clause"),
    Library("libxcrypt", ("libcrypt1",), "LGPL-2.1-or-later"),
    Library("libzlib", ("zlib1g",), "Zlib"),
    Library("ncurses", ("libncursesw6", "libtinfo6"), "X11-distribute-modifications-variant"),
    Library("openssl", ("libssl3t64",), "Apache-2.0", ("libzlib", "zstd")),
    Library("readline", ("libreadline8t64",), "GPL-3.0-or-later", ("ncurses",)),
    Library("zstd", ("libzstd1",), "BSD-3-Clause OR GPL-2.0-only"),
)
"""Both pythons ask for the same versions of these (the same sonames), so one suite provides them."""

_NEEDED: Final = tuple(sorted(library.name for library in LIBRARIES if library.name not in {"libxcrypt", "zstd"}))


@dataclass(frozen=True, slots=True)
class DebianPython:
    """A Python, the suite that has it, and what it needs beside the libraries that every Python needs."""

    version: PythonVersion
    suite: str
    also: tuple[str, ...] = ()

    @property
    def debs(self) -> tuple[str, ...]:
        """The Debian packages it is made from."""
        name = f"python{self.version}"
        return (f"{name}-minimal", name, f"lib{name}-minimal", f"lib{name}-stdlib")

    @property
    def depends(self) -> tuple[str, ...]:
        """The channel's packages it needs."""
        return tuple(sorted({*_NEEDED, *self.also}))


PYTHONS: Final = (
    DebianPython(PythonVersion(3, 11), "bookworm", ("libxcrypt",)),
    DebianPython(PythonVersion(3, 13), "trixie"),
)

_LIBRARY_DIRECTORY = "usr/lib/x86_64-linux-gnu/"
_GLIBC = re.compile(rb"GLIBC_2\.(\d+)")
_RPATH = f"{PLACEHOLDER}/lib:$ORIGIN/../lib"
# Tests, editors and installers of Debian's that a lab has no use for, and modules that need libraries we do not carry.
_LEFT_OUT = re.compile(
    r"(test|idlelib|tkinter|turtledemo|ensurepip|lib2to3|config-[^/]+)/.*"
    r"|turtle\.py|EXTERNALLY-MANAGED|sitecustomize\.py|_distutils_system_mod\.py"
    r"|lib-dynload/(_test\w+|_ctypes_test|_xx\w+|xx\w+|_dbm|nis)\.cpython-.*"
    r"|.*/__pycache__/.*"
)


def upstream_version(version: str) -> str:
    """The upstream part of a Debian version, in the form conda has it: ``1:1.3.dfsg+really1.3.1-1`` is ``1.3.1``."""
    upstream = version.partition(":")[2] or version
    upstream = upstream.rpartition("-")[0] or upstream
    found = re.match(r"\d+(?:\.\d+)*", upstream.rpartition("really")[2])
    if found is None:
        raise ArtifactError(f"no upstream version in {version!r}")
    return found[0]


def build_string(debs: Sequence[Deb]) -> str:
    """A build string that tells the Debian packages apart which a package may be made from."""
    return f"h{Digest.of(b''.join(deb.digest.text.encode() for deb in debs)).hex[:7]}_0"


def library_package(library: Library, debs: Sequence[Deb], cache: Path) -> tuple[Package, tuple[Member, ...]]:
    """A library's package: only the shared objects, in ``lib``."""
    unpacked = [member for deb in debs for member in read_data(deb.path(cache))]
    members = tuple(sorted(_shared_objects(unpacked), key=lambda member: member.path))
    package = _package(library.name, debs, unpacked, members)
    depends = (*package.depends, *library.depends)
    return replace(package, licence=library.licence, depends=depends), members


def _shared_objects(unpacked: Iterable[Unpacked]) -> Iterator[Member]:
    for item in unpacked:
        name = item.path.removeprefix(_LIBRARY_DIRECTORY)
        if item.path.startswith(_LIBRARY_DIRECTORY) and "/" not in name and ".so" in name and not item.is_directory:
            yield Member(f"lib/{name}", item.data, mode=0o755, target=item.target)


def python_package(
    python: DebianPython, debs: Sequence[Deb], cache: Path, *, patchelf: Path
) -> tuple[Package, tuple[Member, ...]]:
    """A Python's package, made relocatable.

    ``site`` and ``sysconfig`` look in ``site-packages`` instead of Debian's places; the executable finds the libraries
    beside it by a DT_RPATH, which, other than a RUNPATH, also counts for what those libraries need. ``patchelf`` is the
    program that sets it. Raises ToolError when that fails.
    """
    unpacked = [member for deb in debs for member in read_data(deb.path(cache))]
    version = python.version
    files = {member.path: member for item in unpacked if (member := _python_member(item, version, patchelf))}
    for name in ("bin/python", f"bin/python{version.major}"):
        files[name] = Member(name, target=f"python{version}")
    members = tuple(files[path] for path in sorted(files))
    package = _package("python", debs, unpacked, members)
    depends = (*package.depends, *python.depends)
    return replace(package, licence="PSF-2.0", depends=depends, site_packages=version.site_packages), members


def _python_member(item: Unpacked, version: PythonVersion, patchelf: Path) -> Member | None:
    library = f"usr/lib/python{version}/"
    path = item.path.removeprefix("usr/")
    if item.is_directory:
        return None
    if item.path == f"usr/bin/python{version}":
        data = item.data.replace(b"dist-packages", b"site-packages")  # in the frozen site module: the same length
        return Member(path, set_rpath(data, patchelf), mode=0o755, prefix="binary")
    if item.path == f"usr/bin/pydoc{version}":
        script = re.sub(rb"\A#! */usr/", f"#!{PLACEHOLDER}/".encode(), item.data)
        return Member(path, script, mode=0o755, prefix="text")
    if not item.path.startswith(library) or _LEFT_OUT.fullmatch(item.path.removeprefix(library)):
        return None
    return _standard_library(path, item, PurePosixPath(item.path).name)


def _standard_library(path: str, item: Unpacked, name: str) -> Member:
    mode = 0o755 if item.mode & 0o111 or path.endswith(".so") else 0o644
    data = item.data
    if item.target:
        return Member(path, target=item.target)
    if name.startswith("_sysconfigdata_"):
        moved = re.sub(rb"(?<=['\"= ])/usr(?=['\"/ ])", PLACEHOLDER.encode(), data)
        return Member(path, moved, mode=mode, prefix="text" if moved != data else "")
    if path.endswith(("/site.py", "/sysconfig.py", "/sysconfig/__init__.py", "/pydoc.py")):
        data = data.replace(b"dist-packages", b"site-packages")
        data = data.replace(b"prefix_scheme = 'posix_local'", b"prefix_scheme = 'posix_prefix'")
    return Member(path, data, mode=mode)


def set_rpath(executable: bytes, patchelf: Path) -> bytes:
    """The executable with a DT_RPATH to the libraries of its prefix."""
    with TemporaryDirectory(prefix="peel-python-") as directory:
        path = Path(directory, "python")
        path.write_bytes(executable)
        argv = (str(patchelf), "--force-rpath", "--set-rpath", _RPATH, str(path))
        process.run(process.Command(argv, env=process.inherit()))
        return path.read_bytes()


def _package(name: str, debs: Sequence[Deb], unpacked: Sequence[Unpacked], members: Sequence[Member]) -> Package:
    """What the Debian packages themselves tell of the package."""
    version = upstream_version(debs[0].version)
    return Package(
        name=name,
        version=version,
        build=build_string(debs),
        depends=(f"__glibc >=2.{newest_glibc(members)}",),
        timestamp=max(item.mtime for item in unpacked),
        summary=f"stand-in: {name} {version} made from the Debian packages {', '.join(deb.name for deb in debs)}",
        licences=tuple(_copyrights(unpacked).items()),
    )


def _copyrights(unpacked: Iterable[Unpacked]) -> Mapping[str, bytes]:
    named = (item for item in unpacked if item.is_file and item.path.endswith("/copyright"))
    return {f"{PurePosixPath(item.path).parent.name}.txt": item.data for item in named}


def newest_glibc(members: Iterable[Member]) -> int:
    """The newest minor version of glibc 2 whose symbols these files ask for."""
    return max((int(found) for member in members for found in _GLIBC.findall(member.data)), default=0)
