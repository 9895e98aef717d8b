"""Holds linker 1 against py-rattler: every package of a channel, installed by both, compared file by file.

    python tests/oracle.py CHANNEL [--prefix /opt/peel/lab] [--python 3.13]

Each package is installed alone, so that nothing hides anything. Not compared are ``conda-meta``, the bytecode that is
compiled anew and the cache tag, where peel differs on purpose; rattler's modes count as linker 1 widens them. Rattler
0.28 cannot install a package that lists a directory. It runs in a child that ends in ``os._exit``: it may crash when
the interpreter ends.
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import os
import resource
import stat
import subprocess
import sys
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from peel.layers.link import link_conda
from peel.layers.link_payload import final_mode
from peel.layers.link_python import is_replaced_bytecode
from peel.model.entry import Entry, Kind
from peel.model.values import Digest, PythonVersion

PREFIX = "/opt/peel/lab"


@dataclass(frozen=True, slots=True)
class Found:
    """What lies at a path: bytes by their hash, or a link's target."""

    mode: int
    content: str


def archives(channel: Path) -> list[Path]:
    """All packages of a channel directory."""
    return sorted([*channel.glob("*/*.conda"), *channel.glob("*/*.tar.bz2")])


def differences(packages: Sequence[Path], python: PythonVersion, prefix: str = PREFIX) -> list[str]:
    """What linker 1 and rattler do differently, one sentence per path."""
    found = []
    with TemporaryDirectory() as scratch:
        roots = [Path(scratch) / "rattler" / str(number) for number in range(len(packages))]
        install(packages, roots, python, prefix, Path(scratch) / "cache")
        for number, (package, root) in enumerate(zip(packages, roots, strict=True)):
            entries = link(package, python, prefix, Path(scratch) / "peel" / str(number))
            ours, theirs = of_entries(entries, prefix, python), of_tree(root, python)
            found += [f"{package.name}: {line}" for line in compare(ours, theirs)]
    return found


def link(package: Path, python: PythonVersion, prefix: str, stage: Path) -> tuple[Entry, ...]:
    name, version, _ = package.name.rsplit("-", 2)
    digest = Digest.of(package.read_bytes())
    return link_conda(
        package, name=name, version=version, file_name=package.name, digest=digest, prefix=prefix, python=python,
        stage=stage,
    )  # fmt: skip


def compare(ours: dict[str, Found], theirs: dict[str, Found]) -> Iterable[str]:
    for path in sorted(ours.keys() | theirs.keys()):
        if ours.get(path) != theirs.get(path):
            yield f"{path}: peel {ours.get(path)}, rattler {theirs.get(path)}"


def of_entries(entries: Sequence[Entry], prefix: str, python: PythonVersion) -> dict[str, Found]:
    by_path = {entry.path: entry for entry in entries}
    found = {}
    for entry in entries:
        path = entry.path.removeprefix(prefix.lstrip("/") + "/")
        data = by_path[entry.target] if entry.kind is Kind.HARDLINK else entry
        if entry.kind is Kind.SYMLINK:
            found[path] = Found(0o777, entry.target)
        elif _is_compared(path, python):
            assert isinstance(data.source, Path)
            assert data.source.stat().st_size == data.size
            found[path] = Found(entry.mode, _sha256(data.source))
    return found


def of_tree(root: Path, python: PythonVersion) -> dict[str, Found]:
    found = {}
    for folder, folders, files in os.walk(root):
        for name in [*files, *(name for name in folders if Path(folder, name).is_symlink())]:
            path = Path(folder, name)
            relative = str(path.relative_to(root))
            if path.is_symlink():
                found[relative] = Found(0o777, str(path.readlink()))
            elif _is_compared(relative, python):
                found[relative] = Found(final_mode(stat.S_IMODE(path.lstat().st_mode)), _sha256(path))
    return found


def _is_compared(path: str, python: PythonVersion) -> bool:
    is_own = path == "CACHEDIR.TAG" or path.startswith("conda-meta/")
    return not is_own and not is_replaced_bytecode(path, python)


def _sha256(path: Path) -> str:
    with path.open("rb") as source:
        return hashlib.file_digest(source, "sha256").hexdigest()


def install(packages: Sequence[Path], roots: Sequence[Path], python: PythonVersion, prefix: str, cache: Path) -> None:
    """Install each package into its own root with rattler, in a child."""
    for root in roots:
        root.mkdir(parents=True)
    pairs = [str(part) for pair in zip(packages, roots, strict=True) for part in pair]
    command = [sys.executable, __file__, "--child", str(python), prefix, str(cache), *pairs]
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "HOME": str(cache)}, check=False)
    assert done.returncode == 0, done.stderr


async def _install_all(version: str, prefix: str, cache: Path, pairs: Sequence[str]) -> None:
    from rattler import RepoDataRecord, Subdir  # noqa: PLC0415
    from rattler import install as rattler_install  # noqa: PLC0415

    from channels import make_package  # noqa: PLC0415 - in the child alone

    # A Python with nothing in it: noarch packages need to know where to go.
    python = await RepoDataRecord.from_package_archive(make_package(cache.parent, "python", f"{version}.0"))
    for archive, root in zip(pairs[::2], pairs[1::2], strict=True):
        record = await RepoDataRecord.from_package_archive(archive)
        await rattler_install(
            [record] if record.name.normalized == "python" else [record, python], root,
            cache_dir=cache, platform=Subdir("linux-64"), alternative_target_prefix=prefix,
            show_progress=False, execute_link_scripts=False,
        )  # fmt: skip


def main() -> int:
    if sys.argv[1:2] == ["--child"]:
        _, _, version, prefix, cache, *pairs = sys.argv
        asyncio.run(_install_all(version, prefix, Path(cache), pairs))
        sys.stdout.flush()
        os._exit(0)
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("channel", type=Path)
    parser.add_argument("--prefix", default=PREFIX)
    parser.add_argument("--python", type=PythonVersion.parse, default=PythonVersion(3, 13))
    options = parser.parse_args()
    packages = archives(options.channel.resolve())
    found = differences(packages, options.python, options.prefix)
    sys.stdout.write(
        "\n".join([*found, f"{len(packages)} packages, {len(found)} differences", _measure(packages, options), ""])
    )
    return 1 if found else 0


def _measure(packages: Sequence[Path], options: argparse.Namespace) -> str:
    count = size = 0
    with TemporaryDirectory() as scratch:
        begin = time.perf_counter()
        for number, package in enumerate(packages):
            entries = link(package, options.python, options.prefix, Path(scratch, str(number)))
            count += len(entries)
            size += sum(entry.size for entry in entries)
        seconds = time.perf_counter() - begin
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return f"linked {count} entries, {size / 2**20:.0f} MiB in {seconds:.2f} s on one core; peak {peak:.0f} MiB"


if __name__ == "__main__":
    sys.exit(main())
