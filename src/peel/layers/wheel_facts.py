"""What locking needs to know of a wheel, without linking it."""

from __future__ import annotations

import hashlib
from base64 import urlsafe_b64decode
from collections.abc import Iterator, Mapping
from contextlib import suppress
from email.message import Message
from email.parser import HeaderParser
from pathlib import Path
from typing import Final

from installer.records import parse_record_file
from installer.sources import WheelFile
from installer.utils import parse_entrypoints
from packaging.utils import canonicalize_name

from peel.layers.archive import PackageFacts, PathFact
from peel.layers.link_python import place
from peel.layers.wheel_file import opened
from peel.model.entry import Kind
from peel.model.values import PythonVersion

_ROOTS: Final = {
    "purelib": "site-packages/", "platlib": "site-packages/", "scripts": "python-scripts/",
    "headers": "python-headers/", "data": "",
}  # fmt: skip
_REPLACED = frozenset({"RECORD", "RECORD.jws", "RECORD.p7s", "INSTALLER", "REQUESTED", "direct_url.json"})
_WRITTEN = ("/RECORD", "/INSTALLER")


def read_wheel_facts(archive: Path, file_name: str) -> PackageFacts:
    """Read a wheel's facts, as far as it has what a conda package has.

    ``name`` is normalized (PEP 503), ``depends`` are its Requires-Dist; ``paths`` lie where a ``noarch: python``
    package holds them; ``build`` and ``subdir`` are empty. Raises ArtifactError as
    :func:`peel.layers.wheel.link_wheel` does.
    """
    with opened(archive, file_name) as wheel:
        metadata = HeaderParser().parsestr(wheel.read_dist_info("METADATA"))
        paths = tuple(sorted(_paths(wheel), key=lambda fact: fact.path))
        return PackageFacts(
            name=canonicalize_name(wheel.distribution),
            version=wheel.version,
            build="",
            build_number=0,
            subdir="",
            noarch="python",
            depends=tuple(metadata.get_all("Requires-Dist", [])),
            license=_license(metadata),
            timestamp=None,
            installed_size=sum(fact.size for fact in paths),
            paths=paths,
            link_scripts=(),
            entry_points=tuple(_entry_points(wheel)),
        )


def packaged_path(scheme: str, path: str, distribution: str) -> str:
    """A wheel's path as a ``noarch: python`` package would hold it; headers lie beneath ``python-headers/``."""
    return f"{_ROOTS[scheme]}{distribution + '/' if scheme == 'headers' else ''}{path}"


def installed_path(packaged: str, python: PythonVersion) -> str | None:
    """Where such a path goes, relative to the prefix; None when it is left out."""
    in_cache = "__pycache__" in packaged.split("/")[:-1]  # which `installer` passes over wherever it is
    if in_cache or (is_replaced(packaged) and not packaged.endswith(_WRITTEN)):
        return None
    if packaged.startswith("python-headers/"):
        return f"include/python{python}/{packaged.removeprefix('python-headers/')}"
    return place(packaged, python)


def is_replaced(path: str) -> bool:
    """Whether this is metadata of an installation: peel writes its own, or none."""
    folder, _, name = path.rpartition("/")
    return folder.endswith(".dist-info") and name in _REPLACED


def installed_wheel_paths(facts: PackageFacts, python: PythonVersion) -> Mapping[str, str | None]:
    """Where the paths of a wheel end up, relative to the prefix; scripts and INSTALLER are among them.

    Each with what identifies its contents, as of ``link.installed_paths``.
    """
    placed = {installed_path(fact.path, python): _identity(fact) for fact in facts.paths}
    scripts = {f"bin/{text.partition('=')[0].strip()}": text for text in facts.entry_points}
    hashed = {path: hashlib.sha256(text.encode()).hexdigest() for path, text in scripts.items()}
    return {**{path: identity for path, identity in placed.items() if path is not None}, **hashed}


def installed_wheel_modes(archive: Path, file_name: str, python: PythonVersion) -> Mapping[str, int]:
    """The mode of each file of a wheel where it ends up, relative to the prefix; scripts that are made have none.

    Raises ArtifactError as ``read_wheel_facts`` does.
    """
    modes = {}
    with opened(archive, file_name) as wheel:
        for (path, _, _), _, is_executable in wheel.get_contents():
            packaged = _packaged(path, wheel)
            if (placed := installed_path(packaged, python)) is not None:
                is_script = packaged.startswith("python-scripts/")
                modes[placed] = 0o755 if is_executable or is_script else 0o644
    return modes


def _identity(fact: PathFact) -> str | None:
    """A script's first line may change, so that only another wheel's can end up the same."""
    is_script = fact.path.startswith("python-scripts/")
    return f"{fact.identity}:script" if is_script and fact.identity else fact.identity


def _paths(wheel: WheelFile) -> Iterator[PathFact]:
    rows = parse_record_file(wheel.read_dist_info("RECORD").splitlines())
    for path, digest, size in rows:
        yield PathFact(_packaged(path, wheel), _sha256(digest), int(size or 0), Kind.FILE)
    yield PathFact(f"site-packages/{wheel.dist_info_dir}/INSTALLER", None, 0, Kind.FILE)


def _sha256(digest: str) -> str | None:
    """A hash as RECORD writes it (PEP 427: urlsafe base64 without padding), in hexadecimal."""
    algorithm, _, value = digest.partition("=")
    if algorithm != "sha256":
        return None
    with suppress(ValueError):
        return urlsafe_b64decode(f"{value}=").hex()
    return None


def _packaged(path: str, wheel: WheelFile) -> str:
    if not path.startswith(f"{wheel.data_dir}/"):
        return packaged_path("purelib", path, wheel.distribution)
    scheme, _, rest = path.removeprefix(f"{wheel.data_dir}/").partition("/")
    return packaged_path(scheme, rest, wheel.distribution)


def _license(metadata: Message) -> str:
    return str(metadata.get("License-Expression") or metadata.get("License") or "").partition("\n")[0]


def _entry_points(wheel: WheelFile) -> Iterator[str]:
    if "entry_points.txt" in wheel.dist_info_filenames:
        for name, module, function, _ in parse_entrypoints(wheel.read_dist_info("entry_points.txt")):
            yield f"{name} = {module}:{function}"
