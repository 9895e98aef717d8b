"""A conda channel of real packages, made from wheels and from Debian's pythons: the demo's stand-in for conda-forge."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

from peel.demo.conda_archive import Member, Package, write_package
from peel.demo.debian import Deb, fetch_debs
from peel.demo.pins import fetch_wheels, load_pins
from peel.demo.pythons import LIBRARIES, LIBRARY_SUITE, PYTHONS, DebianPython, library_package, python_package
from peel.demo.wheel_packages import plan_wheels
from peel.demo.wheels import Wheel, load_wheel, read_members
from peel.demo.whole import replacing
from peel.model.values import PythonVersion

LAB_PYTHON: Final = PythonVersion(3, 13)
PAYLOAD_PYTHON: Final = PythonVersion(3, 11)

_PINNED: Final = {LAB_PYTHON: "lab", PAYLOAD_PYTHON: "payload"}
_SUBDIRS = ("linux-64", "noarch")
_WORKERS = 4


@dataclass(frozen=True, slots=True)
class Channel:
    """A conda channel on disk and how many packages it has."""

    directory: Path
    packages: int

    @property
    def url(self) -> str:
        """The address that solvers take."""
        return self.directory.resolve().as_uri()


@dataclass(frozen=True, slots=True)
class _Planned:
    """A package to be written, and what gives its files when the time comes."""

    package: Package
    members: Callable[[], Iterable[Member]]


def make_channel(directory: Path, *, cache: Path, progress: Callable[[str], object]) -> Channel:
    """Write the channel (``linux-64``, ``noarch``) to ``directory``, replacing what is there; same input, same bytes.

    Needs the mirrors once; what is fetched stays in ``cache``. Raises ToolError when apt or pip is missing or fails,
    ArtifactError when an artifact cannot be had or fails its hash.
    """
    progress("fetch wheels and Debian's pythons")
    with _pool() as pool:
        tools = pool.submit(fetch_wheels, load_pins("tools"), LAB_PYTHON, cache=cache)
        wheels = {python: pool.submit(_fetch_wheels, name, python, cache) for python, name in _PINNED.items()}
        libraries = pool.submit(_fetch_libraries, cache)
        pythons = [(each, pool.submit(fetch_debs, each.suite, each.debs, cache=cache)) for each in PYTHONS]
        planned = _plan_wheels({python: fetched.result() for python, fetched in wheels.items()})
        planned += _plan_libraries(libraries.result(), cache)
        with _patchelf(*tools.result().values()) as patchelf:
            planned += [_plan_python(python, debs.result(), cache, patchelf) for python, debs in pythons]
        progress(f"write a channel of {len(planned)} conda packages")
        with replacing(directory) as unfinished:
            _write(planned, unfinished, pool)
    return Channel(directory, len(planned))


@contextmanager
def _pool() -> Iterator[ThreadPoolExecutor]:
    """Threads suffice: hashing, compressing and inflating all happen outside of the interpreter's lock."""
    with ThreadPoolExecutor(_WORKERS) as pool:
        try:
            yield pool
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)  # an error or Ctrl-C does not wait for what has not begun
            raise


def _fetch_wheels(pins: str, python: PythonVersion, cache: Path) -> tuple[Wheel, ...]:
    fetched = fetch_wheels(load_pins(pins), python, cache=cache)
    return tuple(load_wheel(path, pin.digest) for pin, path in fetched.items())


def _fetch_libraries(cache: Path) -> Mapping[str, Deb]:
    names = [name for library in LIBRARIES for name in library.debs]
    return {deb.name: deb for deb in fetch_debs(LIBRARY_SUITE, names, cache=cache)}


@contextmanager
def _patchelf(path: Path) -> Iterator[Path]:
    """The program that edits ELF headers, out of its wheel, which is made for any x86_64 Linux."""
    with TemporaryDirectory(prefix="peel-patchelf-") as directory, zipfile.ZipFile(path) as wheel:
        program = Path(directory, "patchelf")
        inside = next(name for name in wheel.namelist() if name.endswith(".data/scripts/patchelf"))
        program.write_bytes(wheel.read(inside))
        program.chmod(0o755)
        yield program


def _plan_wheels(pinned: Mapping[PythonVersion, tuple[Wheel, ...]]) -> list[_Planned]:
    return [_Planned(made.package, partial(read_members, made.wheel, made.python)) for made in plan_wheels(pinned)]


def _plan_libraries(debs: Mapping[str, Deb], cache: Path) -> list[_Planned]:
    made = (library_package(library, [debs[name] for name in library.debs], cache) for library in LIBRARIES)
    return [_Planned(package, partial(iter, members)) for package, members in made]


def _plan_python(python: DebianPython, debs: Sequence[Deb], cache: Path, patchelf: Path) -> _Planned:
    package, members = python_package(python, debs, cache, patchelf=patchelf)
    return _Planned(package, partial(iter, members))


def _write(planned: Sequence[_Planned], directory: Path, pool: ThreadPoolExecutor) -> None:
    for subdir in _SUBDIRS:
        (directory / subdir).mkdir()
    entries = list(pool.map(lambda each: _write_one(each, directory), planned))
    for subdir in _SUBDIRS:
        found = {
            each.package.file_name: entry
            for each, entry in zip(planned, entries, strict=True)
            if each.package.subdir == subdir
        }
        (directory / subdir / "repodata.json").write_bytes(repodata(subdir, found))


def _write_one(planned: _Planned, directory: Path) -> dict[str, Any]:
    return write_package(planned.package, planned.members(), directory / planned.package.subdir)


def repodata(subdir: str, packages: Mapping[str, Mapping[str, Any]]) -> bytes:
    """The index of one folder of a channel (repodata version 1), by file name."""
    document = {
        "info": {"subdir": subdir},
        "packages": {},
        "packages.conda": dict(packages),
        "removed": [],
        "repodata_version": 1,
    }
    return json.dumps(document, indent=1, sort_keys=True).encode() + b"\n"
