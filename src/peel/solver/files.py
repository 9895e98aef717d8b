"""What ``--file`` may name: a ``conda-lock.yml``, an ``@EXPLICIT`` list, an ``environment.yml``, or a list of specs."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from peel.errors import DocumentError
from peel.model.condalock import CondaLockPackage, parse_conda_lock
from peel.model.secrets import redact
from peel.solver.package import Package, package_from_url
from peel.store.documents import parse_plain, read_text

_SHA256 = re.compile(r"(?:sha256:)?([0-9a-fA-F]{64})")


@dataclass(frozen=True, slots=True)
class Wanted:
    """Specs to be solved, and the channels the file names. ``pip`` are requirements that pip would install."""

    specs: tuple[str, ...]
    channels: tuple[str, ...] = ()
    pip: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Pinned:
    """Packages that are decided already, each with a sha256. ``pip`` are those that only pip installs."""

    packages: tuple[Package, ...]
    pip: tuple[str, ...] = ()


def load_file(path: Path, *, subdir: str, categories: Sequence[str] = ("main",)) -> Wanted | Pinned:
    """Read a file by what it holds. Raises DocumentError naming it and what is wrong.

    Of a lock, the packages of ``subdir`` and of these categories are taken.
    """
    origin = str(path)
    if not path.is_file():
        raise DocumentError(f"{origin}: no such file", hint="a conda-lock.yml or an environment.yml is meant")
    text = read_text(path, origin=origin)
    if path.suffix in {".yml", ".yaml"}:
        document = parse_plain(text, origin)
        if not isinstance(document, dict):
            raise DocumentError(f"{origin}: not a mapping", hint="a conda-lock.yml or an environment.yml is one")
        if "package" in document:
            return _lock(document, origin, subdir, categories)
        return _environment(document, origin)
    lines = [line.strip() for line in text.splitlines()]
    meant = [line for line in lines if line and not line.startswith("#")]
    return _explicit(meant, origin, subdir) if "@EXPLICIT" in meant else Wanted(tuple(meant))


def _lock(document: Mapping[str, Any], origin: str, subdir: str, categories: Sequence[str]) -> Pinned:
    locked = parse_conda_lock(document, origin)
    every = [
        package
        for package, raw in zip(locked, document["package"], strict=True)
        if package.platform == subdir and raw.get("category", "main") in categories
    ]
    if not every:
        known = ", ".join(sorted({package.platform for package in locked})) or "none"
        raise DocumentError(f"{origin}: nothing is locked for {subdir}", hint=f"locked platforms: {known}")
    conda = [_locked(package, origin) for package in every if package.manager == "conda"]
    pip = (f"{package.name} {package.version}" for package in every if package.manager == "pip")
    return Pinned(_distinct(conda, origin), tuple(sorted(pip)))


def _locked(package: CondaLockPackage, origin: str) -> Package:
    where = f"{origin}: {package.name} {package.version}"
    if not package.hash.sha256:
        raise _without_sha256(where)
    made = package_from_url(
        package.url, where,
        sha256=package.hash.sha256, md5=package.hash.md5,
        depends=[f"{name} {version}".strip() for name, version in sorted(package.dependencies.items())],
    )  # fmt: skip
    if (made.name, made.version) != (package.name, package.version):
        raise DocumentError(f"{where}: its URL is that of {made.dist}", hint="lock again")
    return made


def _explicit(lines: Sequence[str], origin: str, subdir: str) -> Pinned:
    packages = []
    for url in lines:
        if url == "@EXPLICIT":
            continue
        where = f"{origin}: {redact(url.partition('#')[0])}"
        found = _SHA256.fullmatch(url.partition("#")[2].strip())
        if found is None:
            raise _without_sha256(where)
        package = package_from_url(url, where, sha256=found[1])
        if package.subdir not in {subdir, "noarch"}:
            raise DocumentError(
                f"{where}: made for {package.subdir}, not {subdir}", hint="CONDA_SUBDIR says otherwise?"
            )
        packages.append(package)
    return Pinned(_distinct(packages, origin))


def _environment(document: Mapping[str, Any], origin: str) -> Wanted:
    dependencies = document.get("dependencies")
    if not isinstance(dependencies, list):
        raise DocumentError(f"{origin}: no list of dependencies", hint="an environment.yml has a list 'dependencies:'")
    specs = tuple(each for each in dependencies if isinstance(each, str))
    sections = [each for each in dependencies if not isinstance(each, str)]
    pip: list[str] = []
    for section in sections:
        if not isinstance(section, dict) or section.keys() != {"pip"}:
            raise DocumentError(f"{origin}: cannot read the dependency {section!r:.60}", hint="only 'pip:' may follow")
        pip += _texts(section["pip"], f"{origin}: pip")
    return Wanted(specs, tuple(_texts(document.get("channels") or [], f"{origin}: channels")), tuple(pip))


def _texts(value: object, where: str) -> list[str]:
    if not isinstance(value, list) or not all(isinstance(each, str) for each in value):
        raise DocumentError(f"{where}: not a list of texts")
    return value


def _distinct(packages: Sequence[Package], origin: str) -> tuple[Package, ...]:
    seen: dict[str, Package] = {}
    for package in packages:
        if (other := seen.setdefault(package.name, package)) is not package:
            raise DocumentError(f"{origin}: {package.name} twice: {other.fn} and {package.fn}", hint="keep one")
    return tuple(packages)


def _without_sha256(where: str) -> DocumentError:
    return DocumentError(
        f"{where}: no sha256, so nobody can tell whether the archive is the right one",
        hint="an explicit list of conda-lock's has md5 only: use the conda-lock.yml itself, or lock again",
    )
