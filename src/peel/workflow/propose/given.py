"""What an author names on the command line, read: a file, a directory or the reference of an image."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from peel.errors import DocumentError, UsageError
from peel.model.proposal.recognise import Form, recognise
from peel.model.values import is_name
from peel.store.documents import read_text

DECLARATION: Final = "payload.yaml"
DOCKER: Final = "docker://"

_IN_DIRECTORIES: Final = (
    "environment.yml", "environment.yaml", "conda-lock.yml", "pixi.lock", "requirements.txt", "install.sh",
)  # fmt: skip
_MOST_BYTES: Final = 64 << 20
_LEFT_OUT: Final = frozenset({".git", ".hg", ".svn", "__pycache__", ".pixi", ".venv"})
_NO_NAMES: Final = frozenset({"environment", "requirements", "conda-lock", "pixi", "install", "dockerfile", "env", ""})
_CALLED = re.compile(r"^name:[ \t]*[\"']?([^\"'#\n]+)", re.MULTILINE)
_NAMES = re.compile(r"^\s*(?:-r|--requirement|-c|--constraint)[ =]\s*(\S+)", re.MULTILINE)
_REFERENCE = re.compile(r"(?:.*/)?(?P<name>[^/:@]+)(?::[^/@]*)?(?:@.*)?")


@dataclass(frozen=True, slots=True)
class Given:
    """What was named. ``text`` is the file's, "" of others; ``files`` are those that go with it, by relative path.

    ``form`` is None for a payload that is declared already. ``name`` is what it might be called, "" when nothing says.
    """

    origin: str
    form: Form | None
    name: str
    path: Path | None = None
    text: str = ""
    files: Mapping[str, bytes] | None = None


def read_given(named: str) -> Given:
    """What this path, or ``docker://`` reference, is.

    Raises UsageError when there is no such thing, DocumentError naming file and line when nobody could say what it is.
    """
    if named.startswith(DOCKER):
        found = _REFERENCE.fullmatch(named.removeprefix(DOCKER))
        return Given(named, Form.IMAGE, make_name(found["name"] if found else ""), text=named.removeprefix(DOCKER))
    path = Path(named)
    if not path.exists():
        raise UsageError(
            f"{named}: no such file or directory", hint="name a file, a directory, or an image: docker://REFERENCE"
        )
    return _directory(path, named) if path.is_dir() else _file(path, named)


def make_name(text: str) -> str:
    """A text as a payload could be called; "" when that is not possible, or says nothing."""
    name = re.sub(r"[^a-z0-9._-]+", "-", text.lower()).strip("-._")
    return name if is_name(name) and name not in _NO_NAMES else ""


def _file(path: Path, origin: str) -> Given:
    if path.name == DECLARATION:
        return _declared(path.parent, origin)
    text = read_text(path, origin=origin).removeprefix("\ufeff").replace("\r\n", "\n")
    form = recognise(text, origin)
    called = _CALLED.search(text) if form is Form.ENVIRONMENT else None
    candidates = (called[1] if called else "", path.name.partition(".")[0], path.absolute().parent.name)
    name = next((name for name in map(make_name, candidates) if name), "")
    return Given(origin, form, name, path, text, _companions(path, form))


def _companions(path: Path, form: Form) -> Mapping[str, bytes]:
    """The files beside a file without which it means nothing: those that a requirements.txt names."""
    if form is not Form.REQUIREMENTS:
        return {}
    root, found, waiting = path.parent, dict[str, bytes](), [path.name]
    while waiting:
        current = waiting.pop()
        text = (root / current).read_text(encoding="utf-8", errors="replace")
        for named in _NAMES.findall(text):
            name = os.path.normpath(Path(current).parent / named)  # relative to the file that names it, as for pip
            place = root / name
            if name not in found and place.is_file() and place.resolve().is_relative_to(root.resolve()):
                found[name] = place.read_bytes()
                waiting.append(name)
    return found


def _directory(path: Path, origin: str) -> Given:
    if (path / DECLARATION).is_file():
        return _declared(path, origin)
    dockerfile = next((path / name for name in ("Dockerfile", "Containerfile") if (path / name).is_file()), None)
    if dockerfile is not None:
        text = read_text(dockerfile, origin=f"{origin}/{dockerfile.name}")
        return Given(origin, Form.DOCKERFILE, make_name(path.absolute().name), dockerfile, text, _tree(path, origin))
    known = [path / name for name in _IN_DIRECTORIES if (path / name).is_file()]
    if len(known) != 1:
        has = f"holds {' and '.join(each.name for each in known)}" if known else "holds nothing that propose knows"
        raise UsageError(f"{origin}: {has}", hint="name the file itself")
    return _file(known[0], str(Path(origin) / known[0].name))


def _declared(path: Path, origin: str) -> Given:
    return Given(origin, None, make_name(path.absolute().name), path / DECLARATION, files=_tree(path, origin))


def _tree(path: Path, origin: str) -> Mapping[str, bytes]:
    """All files beneath a directory. Raises DocumentError for more than a catalogue should hold, and for a link."""
    found, total = dict[str, bytes](), 0
    for file in _walk(path):
        name = str(file.relative_to(path))
        if file.is_symlink() or not file.is_file():
            raise DocumentError(f"{origin}/{name}: is no plain file", hint="put the file itself there")
        total += file.stat().st_size
        if total > _MOST_BYTES:
            raise DocumentError(
                f"{origin}: holds more than {_MOST_BYTES >> 20} MiB", hint="let it fetch large files as declared inputs"
            )
        found[name] = file.read_bytes()
    return found


def _walk(path: Path) -> Iterator[Path]:
    for folder, folders, names in os.walk(path):
        folders[:] = _kept(folders)
        yield from (Path(folder, name) for name in sorted(names))


def _kept(folders: Sequence[str]) -> list[str]:
    return sorted(name for name in folders if name not in _LEFT_OUT)
