"""What goes wrong from outside: one clear error each, nothing half-written, a store that stays good."""

from __future__ import annotations

import shutil
import socket
import subprocess
import tarfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from channels import Symlink, index, make_package
from e2e.catalogues import TINY, Demo, contents_of, declare_channel, forget_artifacts, forget_layers
from e2e.running import SYSTEM_PATH, Peel, containers_of, mounts_beneath, path_without, programs, refused

NEXT = "tiny:1.0.1"


@pytest.fixture
def channel(own_tiny: Peel, tiny: Demo) -> Path:
    """The tiny catalogue's channel as its own copy, which its declarations name."""
    place = own_tiny.catalogue / "channel"
    shutil.copytree(tiny.peel.catalogue / "channel", place)
    declare_channel(own_tiny, index(place))
    return place


def test_an_archive_that_was_changed_after_it_was_locked_is_refused(own_tiny: Peel, channel: Path) -> None:
    own_tiny.must("lock", NEXT)
    forget_layers(own_tiny)
    forget_artifacts(own_tiny)
    archive = channel / "linux-64" / "small-1.0-0.conda"
    archive.write_bytes(archive.read_bytes()[:-1] + b"!")
    with unharmed(own_tiny):
        refused(own_tiny.run("build", NEXT), 5, "small-1.0-0.conda", "sha256:")


def test_a_truncated_archive_is_refused(own_tiny: Peel, channel: Path) -> None:
    own_tiny.must("lock", NEXT)
    forget_layers(own_tiny)
    forget_artifacts(own_tiny)
    archive = channel / "linux-64" / "small-1.0-0.conda"
    archive.write_bytes(archive.read_bytes()[:-40])
    with unharmed(own_tiny):
        refused(own_tiny.run("build", NEXT), 5, "small-1.0-0.conda")


def member(name: str, **settings: Any) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    for key, value in settings.items():
        setattr(info, key, value)
    return info


@pytest.mark.parametrize(
    ("what", "hostile"),
    [
        ("escapes.txt", member("share/../../../escapes.txt")),
        ("absolute.txt", member("/absolute.txt")),
        ("device", member("share/device", type=tarfile.CHRTYPE, devmajor=1, devminor=3)),
        ("fifo", member("share/fifo", type=tarfile.FIFOTYPE)),
        ("setuid", member("share/setuid", mode=0o4755)),
    ],
)
def test_a_hostile_member_is_refused_although_its_hash_is_right(
    own_tiny: Peel, channel: Path, what: str, hostile: tarfile.TarInfo
) -> None:
    make_package(channel, "small", "9.0", files={"share/small.txt": "nine\n"}, members=[hostile])
    declare_channel(own_tiny, index(channel))
    own_tiny.must("lock", NEXT)
    with unharmed(own_tiny):
        refused(own_tiny.run("build", NEXT), 5, "small-9.0-0.conda", what)
    assert not Path("/absolute.txt").exists()


def test_a_link_that_leads_out_of_its_environment_is_refused(own_tiny: Peel, channel: Path) -> None:
    make_package(channel, "small", "9.0", files={"share/out": Symlink("../../../../../../../../etc/shadow")})
    declare_channel(own_tiny, index(channel))
    own_tiny.must("lock", NEXT)
    with unharmed(own_tiny):
        refused(own_tiny.run("build", NEXT), 5, "small-9.0-0.conda", "share/out")


def test_a_spec_that_nothing_satisfies_is_told_in_the_solvers_words(own_tiny: Peel) -> None:
    spec = own_tiny.catalogue / "envs" / "lab" / "environment.yml"
    spec.write_text(spec.read_text().replace("3.13.*", "3.99.*"))
    with unharmed(own_tiny):
        refused(own_tiny.run("lock", NEXT), 3, "lab", "python", "3.99")


def test_a_package_that_no_channel_has_is_named(own_tiny: Peel) -> None:
    spec = own_tiny.catalogue / "envs" / "lab" / "environment.yml"
    spec.write_text(spec.read_text().replace("jupyterlab", "jupiterlab"))
    with unharmed(own_tiny):
        refused(own_tiny.run("lock", NEXT), 3, "jupiterlab")


def test_a_channel_that_goes_down_half_way_is_told_of_and_what_came_is_kept(own_tiny: Peel, channel: Path) -> None:
    forget_layers(own_tiny)
    with channel_server(channel) as server:
        declare_channel(own_tiny, server.url)
        own_tiny.must("lock", NEXT)
        forget_artifacts(own_tiny)
        server.left = 4
        with unharmed(own_tiny):
            refused(own_tiny.run("build", NEXT), 5, "conda")
        server.left = 1000
        own_tiny.must("build", NEXT)


def test_a_channel_that_is_not_there_is_named(own_tiny: Peel) -> None:
    nothing = f"http://127.0.0.1:{closed_port()}/channel"
    declare_channel(own_tiny, nothing)
    with unharmed(own_tiny):
        done = own_tiny.run("lock", NEXT)
    assert done.status in {4, 5}, done.stderr
    refused(done, done.status, nothing)


def test_a_registry_that_is_down_is_named(own_tiny: Peel, tmp_path: Path) -> None:
    conf = tmp_path / "registries.conf"
    place = f"127.0.0.1:{closed_port()}"
    conf.write_text(f'[[registry]]\nprefix = "docker.io/library"\nlocation = "{place}/library"\ninsecure = true\n')
    elsewhere = Peel(own_tiny.catalogue, tmp_path / "empty", own_tiny.home, {"CONTAINERS_REGISTRIES_CONF": str(conf)})
    refused(elsewhere.run("build", TINY), 5, "docker.io/library/peel-demo-base", "registry")
    refused(elsewhere.run("lock", NEXT), 5, "docker.io/library/peel-demo-base", "registry")


def test_no_buildah_is_told_with_the_command_that_installs_it(own_tiny: Peel, tmp_path: Path) -> None:
    forget_layers(own_tiny)
    path = path_without(tmp_path / "bin", "buildah")
    with unharmed(own_tiny):
        refused(own_tiny.with_env(PATH=str(path)).run("build", TINY), 4, "buildah is not installed")


def test_a_buildah_that_is_too_old_is_told_of(own_tiny: Peel, tmp_path: Path) -> None:
    forget_layers(own_tiny)
    old = programs(tmp_path / "bin", buildah="echo 'buildah version 1.20.0 (image-spec 1.0.1, runtime-spec 1.0.2)'")
    with unharmed(own_tiny):
        refused(own_tiny.with_env(PATH=f"{old}:{SYSTEM_PATH}").run("build", TINY), 4, "1.20.0", "too old")


def test_a_machine_where_no_isolation_works_is_told_why_each_does_not(own_tiny: Peel, tmp_path: Path) -> None:
    forget_layers(own_tiny)
    path = path_without(tmp_path / "bin", "runc", "crun", "unshare")
    with unharmed(own_tiny):
        refused(own_tiny.with_env(PATH=str(path)).run("build", TINY), 4, "runc: ", "crun: ", "chroot: ", "no isolation")


@pytest.mark.parametrize("mebibytes", [45, 80, 105])
def test_a_full_disk_is_told_of_and_the_build_goes_on_when_there_is_room(
    own_tiny: Peel, tiny: Demo, tmp_path: Path, mebibytes: int
) -> None:
    forget_layers(own_tiny)
    with small_disk(tmp_path / "disk", mebibytes) as disk:
        shutil.copytree(own_tiny.store, disk / "store")
        cramped = Peel(own_tiny.catalogue, disk / "store", own_tiny.home)
        done = cramped.run("build", TINY)
        refused(done, 4)
        assert "space" in done.stderr or "room" in done.stderr
        assert list((disk / "store" / "tmp").iterdir()) == []
        assert containers_of(disk / "store") == []
        subprocess.run(["mount", "-o", "remount,size=2g", disk], check=True)
        assert cramped.must("build", TINY, "--json").json["manifest"] == tiny.manifest


@contextmanager
def unharmed(peel: Peel) -> Iterator[None]:
    """See that lock sets stay byte for byte the same, that nothing is left behind, and that the store still builds."""
    locks = contents_of(peel.catalogue / "lockfiles")
    yield
    assert contents_of(peel.catalogue / "lockfiles") == locks
    assert [path.name for path in peel.catalogue.glob("lockfiles/*/.*")] == []
    assert list((peel.store / "tmp").iterdir()) == []
    assert containers_of(peel.store) == []
    assert mounts_beneath(peel.store) == []


class Server(ThreadingHTTPServer):
    """A channel on loopback that breaks off after ``left`` more archives."""

    left = 1000

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


class Handler(SimpleHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        if self.path.endswith(".conda"):
            self.server.left -= 1
            if self.server.left < 0:
                self.close_connection = True
                return
        super().do_GET()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class names it so
        pass


@contextmanager
def channel_server(channel: Path) -> Iterator[Server]:
    def make(*arguments: Any) -> Handler:
        return Handler(*arguments, directory=str(channel))

    with Server(("127.0.0.1", 0), make) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


def closed_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextmanager
def small_disk(place: Path, mebibytes: int) -> Iterator[Path]:
    """A disk of its own that holds so much and no more."""
    place.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={mebibytes}m", "tmpfs", place], check=True)
    try:
        yield place
    finally:
        for mounted in sorted(mounts_beneath(place), reverse=True):
            subprocess.run(["umount", mounted], check=False)
        subprocess.run(["umount", place], check=True)
