"""Archives as a channel: the conda packages that they keep, with what is known of where those came from."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from peel.errors import ArtifactError
from peel.layers.conda_info import read_index
from peel.model.archive import Kind
from peel.model.conda_record import Record
from peel.model.secrets import holds_credentials
from peel.model.values import Digest
from peel.store.archives import Archive, blob_path, contents, take_from
from peel.store.blobs import Blobs
from peel.store.documents import parse_plain
from peel.workflow.local_channel import described


@dataclass(frozen=True, slots=True)
class Archived:
    """A conda package in an archive: its file name, its digest, and where it lies."""

    file_name: str
    digest: Digest
    path: Path


def archived_in(archives: Sequence[Archive]) -> tuple[Archived, ...]:
    """The conda packages that archives keep, each once. Raises ArtifactError when an archive cannot be read."""
    found: dict[Digest, Archived] = {}
    for archive in archives:
        for content in contents(archive):
            path = blob_path(archive, content.digest)
            # an archive may be a stranger's: what is no plain file there is not opened
            if content.kind is Kind.CONDA_PACKAGE and path.is_file() and not path.is_symlink():
                found.setdefault(content.digest, Archived(content.title, content.digest, path))
    return tuple(sorted(found.values(), key=lambda each: (each.file_name, each.digest)))


def archived_record(archived: Archived) -> Record:
    """What a package says of itself. Its bytes are not checked yet. Raises ArtifactError when it cannot be read."""
    index = read_index(archived.path, archived.file_name)
    bare = Record(
        name=index.name, version=index.version, build=index.build, build_number=index.build_number,
        subdir="", file_name=archived.file_name, sha256=archived.digest.hex, size=archived.path.stat().st_size,
    )  # fmt: skip
    return described(index, bare)


def take_archived(record: Record, archives: Sequence[Archive], blobs: Blobs) -> str:
    """Have a package of an archive in the store, checked, and return its md5 in hexadecimal: locks name that, too."""
    digest = Digest.from_hex(record.sha256)
    take_from(archives, [(digest, record.file_name)], blobs)
    if not blobs.has(digest):
        raise ArtifactError(f"{record.file_name} ({digest}) is in no archive any more", hint="has one just changed?")
    with blobs.path(digest).open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()


def origin_of(digest: Digest, archives: Sequence[Archive], blobs: Blobs) -> str:
    """The URL that the lock sets of archives name for an artifact, "" when none does."""
    for archive in archives:
        documents = [each for each in contents(archive) if each.kind is Kind.LOCK_SET and each.title.endswith(".yml")]
        take_from([archive], [(document.digest, document.title) for document in documents], blobs)
        for document in documents:
            data = blobs.path(document.digest).read_bytes() if blobs.has(document.digest) else b"{}"
            for url, sha256 in _urls_in(parse_plain(data, document.title)):
                if sha256 == digest.hex and not holds_credentials(url):
                    return url
    return ""


def _urls_in(lock: Any) -> Iterator[tuple[str, str]]:
    """Every URL of a conda-lock file, with the sha256 of what is there."""
    packages = lock.get("package") if isinstance(lock, Mapping) else None
    for package in packages if isinstance(packages, list) else ():
        hashes = package.get("hash") if isinstance(package, Mapping) else None
        if isinstance(hashes, Mapping) and isinstance(package.get("url"), str):
            yield package["url"], str(hashes.get("sha256"))
