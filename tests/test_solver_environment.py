"""Real environments: made of specs, of a lock, of an explicit list; whole or not at all; of checked archives only."""

from __future__ import annotations

import functools
import hashlib
import http.server
import json
import os
import signal
import subprocess
import tarfile
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from channels import PLACEHOLDER, File, Symlink, index, make_package, repodata_record, tamper
from solving import Solver, embedded


@pytest.fixture
def solver(tmp_path: Path) -> Solver:
    return embedded(tmp_path / "home")


@pytest.fixture
def channel(tmp_path: Path) -> Path:
    """A Python, a pure-Python application with an entry point, and a library with a prefix in it."""
    folder = tmp_path / "channel"
    make_package(folder, "python", "3.11.9", files={"bin/python3.11": File("#!/bin/sh\n", mode=0o755),
                                                    "bin/python": Symlink("python3.11")})  # fmt: skip
    make_package(folder, "libfoo", "1.0", extension=".tar.bz2",
                 files={"etc/foo.conf": File(f"root={PLACEHOLDER}/share\n", placeholder=PLACEHOLDER)})  # fmt: skip
    make_package(folder, "app", "2.0", noarch="python", depends=["python >=3.11", "libfoo"],
                 files={"site-packages/app.py": "def main(): pass\n"}, entry_points=["app = app:main"])  # fmt: skip
    index(folder)
    return folder


def archive(channel: Path, name: str) -> Path:
    (found,) = channel.glob(f"*/{name}-*")
    return found


def lock_entry(path: Path, **changed: str) -> str:
    """One entry of a conda-lock.yml, version 1; ``changed`` replaces fields."""
    record = repodata_record(path)
    fields = {
        "name": record["name"], "version": record["version"], "manager": "conda", "platform": "linux-64",
        "url": path.resolve().as_uri(), "hash": {"md5": record["md5"], "sha256": record["sha256"]},
        "dependencies": {}, "category": "main", "optional": False, **changed,
    }  # fmt: skip
    return f"- {json.dumps(fields)}\n"


def write_lock(path: Path, *entries: str) -> Path:
    path.write_text("version: 1\nmetadata: {}\npackage:\n" + "".join(entries))
    return path


def tree(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if not path.is_dir() or path.is_symlink())


APP_FILES = [
    "bin/app", "bin/python", "bin/python3.11", "etc/foo.conf", "lib/python3.11/site-packages/app.py",
]  # fmt: skip


def test_an_environment_of_specs_has_every_file_and_its_own_prefix(
    solver: Solver, channel: Path, tmp_path: Path
) -> None:
    prefix = tmp_path / "env"
    done = solver.run("create", "-p", prefix, "-c", channel.as_uri(), "app")
    assert done.returncode == 0, done.stderr
    assert [path for path in tree(prefix) if not path.startswith(("conda-meta", "CACHEDIR"))] == APP_FILES
    assert (prefix / "etc/foo.conf").read_text() == f"root={prefix}/share\n"
    assert str(prefix) in (prefix / "bin/app").read_text()


def test_a_lock_makes_the_same_environment_and_conda_meta_says_where_it_is_from(
    solver: Solver, channel: Path, tmp_path: Path
) -> None:
    names = ("python", "libfoo", "app")
    lock = write_lock(tmp_path / "x.conda-lock.yml", *(lock_entry(archive(channel, name)) for name in names))
    prefix = tmp_path / "env"
    made = solver.json("create", "--yes", "-p", prefix, "-f", lock)
    assert (made["success"], made["dry_run"]) == (True, False)
    assert [path for path in tree(prefix) if not path.startswith(("conda-meta", "CACHEDIR"))] == APP_FILES
    meta = prefix / "conda-meta/app-2.0-0.json"
    record = json.loads(meta.read_text())
    assert record["url"] == archive(channel, "app").as_uri()
    assert (record["channel"], record["noarch"]) == (channel.as_uri(), "python")
    assert meta.stat().st_mode & 0o777 == 0o644
    assert [each["name"] for each in solver.json("list", "-p", prefix)] == ["app", "libfoo", "python"]


def test_an_explicit_list_makes_an_environment(solver: Solver, channel: Path, tmp_path: Path) -> None:
    path = archive(channel, "libfoo")
    listed = tmp_path / "explicit.txt"
    listed.write_text(f"@EXPLICIT\n{path.as_uri()}#sha256:{repodata_record(path)['sha256']}\n")
    assert solver.run("create", "-p", tmp_path / "env", "--file", listed).returncode == 0
    assert (tmp_path / "env/etc/foo.conf").is_file()


def test_pip_packages_of_a_lock_are_named_and_left_alone(solver: Solver, channel: Path, tmp_path: Path) -> None:
    path = archive(channel, "libfoo")
    wheel = lock_entry(path, name="requests", version="2.32.0", manager="pip", url="https://host/requests-2.32.0.whl")
    lock = write_lock(tmp_path / "l.yml", lock_entry(path), wheel)
    done = solver.run("create", "-p", tmp_path / "env", "-f", lock)
    assert done.returncode == 0
    assert "not installed" in done.stderr
    assert "requests 2.32.0" in done.stderr


@pytest.mark.parametrize("name", ["libfoo", "app"])
@pytest.mark.parametrize("way", ["specs", "lock"])
def test_a_tampered_archive_is_refused_by_name_and_nothing_is_left(
    way: str, name: str, solver: Solver, channel: Path, tmp_path: Path
) -> None:
    entries = [lock_entry(archive(channel, each)) for each in ("python", "libfoo", "app")]
    lock = write_lock(tmp_path / "l.yml", *entries)
    tamper(archive(channel, name))
    asked = ["-c", channel.as_uri(), "app"] if way == "specs" else ["-f", lock]
    done = solver.run("create", "-p", tmp_path / "deep/env", *asked)
    assert (done.returncode, done.stdout) == (1, "")
    assert f"{archive(channel, name).name} from file://" in done.stderr
    assert "has the wrong bytes" in done.stderr
    assert not (tmp_path / "deep").exists()


def test_a_tampered_copy_in_the_cache_is_fetched_again(solver: Solver, channel: Path, tmp_path: Path) -> None:
    request = ["-c", channel.as_uri(), "libfoo"]
    assert solver.run("create", "-p", tmp_path / "one", *request).returncode == 0
    (cached,) = (solver.home / "pkgs/archives").rglob("libfoo-*")
    tamper(cached)
    assert solver.run("create", "-p", tmp_path / "two", *request).returncode == 0
    assert cached.read_bytes() == archive(channel, "libfoo").read_bytes()


def test_an_edit_in_one_environment_reaches_neither_the_cache_nor_the_next(
    solver: Solver, channel: Path, tmp_path: Path
) -> None:
    request = ["-c", channel.as_uri(), "app"]
    assert solver.run("create", "-p", tmp_path / "one", *request).returncode == 0
    module = Path("lib/python3.11/site-packages/app.py")
    (tmp_path / "one" / module).write_text("edited")
    (extracted,) = (solver.home / "pkgs").glob("app-2.0-0/site-packages/app.py")
    assert extracted.read_text() == "def main(): pass\n"
    extracted.write_text("edited")
    assert solver.run("create", "-p", tmp_path / "two", *request).returncode == 0
    assert (tmp_path / "two" / module).read_text() == "def main(): pass\n"


def test_two_builds_of_one_name_are_not_mistaken_for_each_other(solver: Solver, tmp_path: Path) -> None:
    for folder in ("one", "two"):
        make_package(tmp_path / folder, "libfoo", files={"which": folder})
        prefix = tmp_path / f"env-{folder}"
        assert solver.run("create", "-p", prefix, "-c", index(tmp_path / folder), "libfoo").returncode == 0
        assert (prefix / "which").read_text() == folder


def test_a_truncated_archive_is_refused_even_if_its_hash_was_indexed(solver: Solver, tmp_path: Path) -> None:
    path = make_package(tmp_path / "c", "libfoo", files={"data": os.urandom(20_000)})
    entry = json.loads(lock_entry(path).removeprefix("- "))
    path.write_bytes(path.read_bytes()[:10_000])
    entry["hash"] = {"sha256": hashlib.sha256(path.read_bytes()).hexdigest()}
    lock = write_lock(tmp_path / "l.yml", f"- {json.dumps(entry)}\n")
    done = solver.run("create", "-p", tmp_path / "env", "-f", lock)
    assert done.returncode == 1
    assert "libfoo-1.0-0.conda is damaged" in done.stderr
    assert not (tmp_path / "env").exists()


def test_an_archive_that_holds_another_package_is_refused(solver: Solver, tmp_path: Path) -> None:
    path = make_package(tmp_path / "c", "evil")
    renamed = path.rename(path.with_name("libfoo-1.0-0.conda"))
    record = repodata_record_of_renamed(renamed)
    lock = write_lock(tmp_path / "l.yml", f"- {json.dumps(record)}\n")
    done = solver.run("create", "-p", tmp_path / "env", "-f", lock)
    assert done.returncode == 1
    assert "libfoo-1.0-0.conda holds another package: evil-1.0-0" in done.stderr
    assert not (tmp_path / "env").exists()


def repodata_record_of_renamed(path: Path) -> dict[str, object]:
    return {
        "name": "libfoo", "version": "1.0", "manager": "conda", "platform": "linux-64", "url": path.as_uri(),
        "hash": {"sha256": hashlib.sha256(path.read_bytes()).hexdigest()}, "dependencies": {},
    }  # fmt: skip


def test_members_that_escape_are_not_written(solver: Solver, tmp_path: Path) -> None:
    escaping = tarfile.TarInfo("../../../../../../../../escaped-by-peel-test")
    make_package(tmp_path / "c", "evil", members=[escaping])
    solver.run("create", "-p", tmp_path / "env", "-c", index(tmp_path / "c"), "evil")
    assert not Path("/escaped-by-peel-test").exists()
    assert not list(tmp_path.rglob("escaped-by-peel-test"))


def test_nothing_is_written_but_the_prefix_and_the_cache(solver: Solver, channel: Path, tmp_path: Path) -> None:
    solver.home.mkdir()
    before = tree(tmp_path)
    cache = {"CONDA_PKGS_DIRS": str(tmp_path / "cache"), "TMPDIR": str(solver.home)}
    assert solver.run("create", "-p", tmp_path / "env", "-c", channel.as_uri(), "app", **cache).returncode == 0
    added = set(tree(tmp_path)).difference(before)
    assert {path.split("/")[0] for path in added} == {"env", "cache"}


@pytest.mark.parametrize("there", ["a file", "a folder with something in it", "an environment"])
def test_a_prefix_that_is_taken_is_left_as_it_is(there: str, solver: Solver, channel: Path, tmp_path: Path) -> None:
    prefix = tmp_path / "env"
    if there == "a file":
        prefix.write_text("mine")
    else:
        (prefix / ("conda-meta" if there == "an environment" else "mine")).mkdir(parents=True)
    done = solver.run("create", "--yes", "-p", prefix, "-c", channel.as_uri(), "app")
    assert done.returncode == 1
    assert str(prefix) in done.stderr
    assert prefix.is_file() or [path.name for path in prefix.iterdir()] in (["mine"], ["conda-meta"])


def test_an_empty_folder_may_become_an_environment(solver: Solver, channel: Path, tmp_path: Path) -> None:
    (tmp_path / "env").mkdir()
    assert solver.run("create", "-p", tmp_path / "env", "-c", channel.as_uri(), "libfoo").returncode == 0


@pytest.fixture
def served(channel: Path) -> Iterator[str]:
    class Quiet(http.server.SimpleHTTPRequestHandler):
        def translate_path(self, path: str) -> str:
            return super().translate_path(path.removeprefix("/t/SECRET"))

        def log_message(self, *_: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=str(channel))) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/t/SECRET"
        server.shutdown()
        thread.join()


def test_archives_are_fetched_over_http_and_the_token_stays_out_of_the_environment(
    solver: Solver, served: str, tmp_path: Path
) -> None:
    done = solver.run("create", "-p", tmp_path / "env", "-c", served, "app")
    assert done.returncode == 0, done.stderr
    assert not any("SECRET" in path.read_text() for path in (tmp_path / "env/conda-meta").glob("*.json"))


def test_a_missing_archive_is_named_without_the_token(
    solver: Solver, served: str, channel: Path, tmp_path: Path
) -> None:
    archive(channel, "libfoo").unlink()
    done = solver.run("create", "-p", tmp_path / "env", "-c", served, "app")
    assert (done.returncode, done.stdout) == (1, "")
    assert "libfoo-1.0-0.tar.bz2 cannot be had from" in done.stderr
    assert "SECRET" not in done.stderr


def open_when_read(fifo: Path) -> int:
    """Open a fifo for writing as soon as somebody reads it."""
    for _ in range(600):
        with suppress(OSError):
            return os.open(fifo, os.O_WRONLY | os.O_NONBLOCK)
        time.sleep(0.05)
    pytest.fail("the solver never opened the archive")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_creation_leaves_nothing(
    number: signal.Signals, solver: Solver, channel: Path, tmp_path: Path
) -> None:
    fifo = channel / "linux-64" / "fifo-1.0-0.conda"
    os.mkfifo(fifo)  # an archive that never comes
    stuck = lock_entry(archive(channel, "app"), name="fifo", version="1.0", url=fifo.as_uri())
    lock = write_lock(tmp_path / "l.yml", lock_entry(archive(channel, "libfoo")), stuck)
    solver.home.mkdir()
    argv = [solver.path, "create", "-p", tmp_path / "env", "-f", lock]
    with subprocess.Popen(argv, env=solver.environment, stderr=subprocess.PIPE) as child:
        sink = open_when_read(fifo)
        child.send_signal(number)
        _, stderr = child.communicate(timeout=30)
        os.close(sink)
    assert child.returncode == 130
    assert stderr == b"critical libmamba Interrupted\n"
    assert not (tmp_path / "env").exists()
    assert not list((solver.home / "pkgs/archives").glob(".new-*"))


def test_a_cache_that_cannot_be_written_is_named(solver: Solver, channel: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    cache = str(tmp_path / "file" / "pkgs")
    done = solver.run("create", "-p", tmp_path / "env", "-c", channel.as_uri(), "app", CONDA_PKGS_DIRS=cache)
    assert (done.returncode, done.stdout) == (1, "")
    assert f"{cache} cannot be written" in done.stderr or "file/pkgs" in done.stderr
