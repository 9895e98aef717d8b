"""A real environment at a prefix: all of it, or nothing."""

from __future__ import annotations

import json
import re
import shutil
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from peel.errors import ToolError
from peel.solver import engine
from peel.solver.archives import fetch_all
from peel.solver.package import Package

_CREDENTIALS = re.compile(r"/t/[^/]+(?=/)|(?<=://)[^/@]+@")
_ATTEMPTS = 20
_PAUSE_SECONDS = 0.05


def make_environment(packages: Sequence[Package], prefix: Path, *, subdir: str, cache: Path) -> None:
    """Fetch, check and link packages into a prefix that holds nothing yet.

    Raises ToolError when something is there, ArtifactError for an archive that is not what it should be. After an
    error or an interruption the prefix is as it was.
    """
    refuse_used(prefix)
    try:
        archives = fetch_all(packages, cache)
        with _nothing_left_on_failure(prefix):
            engine.install(archives, prefix, subdir=subdir, cache=cache)
            for package in packages:
                _tidy(prefix / "conda-meta" / f"{package.dist}.json", package)
    except OSError as error:
        raise ToolError(f"{error.filename or prefix} cannot be written: {error.strerror}") from None


def refuse_used(prefix: Path) -> None:
    """Raise ToolError when a prefix is taken: nothing of anybody's is overwritten."""
    if (prefix / "conda-meta").is_dir():
        raise ToolError(f"An environment exists at {prefix} already", hint="remove it, or name another prefix")
    if prefix.exists() and (not prefix.is_dir() or any(prefix.iterdir())):
        raise ToolError(f"Non-conda folder exists at prefix {prefix}", hint="name a prefix that does not exist yet")


@contextmanager
def _nothing_left_on_failure(prefix: Path) -> Iterator[None]:
    made = [each for each in (prefix, *prefix.parents) if not each.exists()]
    try:
        yield
    except BaseException:
        for path in made[-1:] or sorted(prefix.iterdir()):
            _remove(path)
        raise


def _remove(path: Path) -> None:
    """Remove what is there; again, for py-rattler may still be writing after an interruption."""
    for _ in range(_ATTEMPTS):
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)
        if not path.exists():
            return
        time.sleep(_PAUSE_SECONDS)


def _tidy(meta: Path, package: Package) -> None:
    """Say in ``conda-meta`` where a package is from, not where its checked copy lay; readable by everyone.

    Credentials stay out: an environment is often shared.
    """
    if not meta.is_file():
        raise ToolError(f"{meta} was not written", hint="is the package cache damaged? remove it and try again")
    record = json.loads(meta.read_bytes())
    record["url"] = _CREDENTIALS.sub("", package.url)
    record["channel"] = _CREDENTIALS.sub("", package.channel)
    if package.md5:
        record["md5"] = package.md5
    meta.write_text(json.dumps(record, indent=2), encoding="utf-8")
    meta.chmod(0o644)
