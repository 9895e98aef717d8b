from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from peel.errors import ToolError, UsageError
from peel.tools import buildah, isolation, process
from peel.tools.buildah import CHROOT, CRUN, RUNC, Buildah, Storage, Volume
from small_images import write_layout

OWN = Storage(Path("/s/storage"), Path("/s/run"), "overlay")
GLOBAL = ("buildah", "--root", "/s/storage", "--runroot", "/s/run", "--storage-driver", "overlay")


def test_the_argv_of_a_run_can_be_read() -> None:
    assert buildah.run_argv(
        OWN, RUNC, "box", ["python", "-c", "print('a; b')"],
        volumes=[Volume(Path("/host/x"), "/inside"), Volume(Path("/host/y"), "/y", "rw")],
        env={"B": "two words", "A": "$(one)"}, user="1000:1000", workdir="/w",
    ) == (
        *GLOBAL, "run", "--isolation", "oci", "--runtime", "runc", "--network", "none", "--hostname", "localhost",
        "--user", "1000:1000", "--workingdir", "/w",
        "--env", "A=$(one)", "--env", "B=two words",
        "--volume", "/host/x:/inside:ro", "--volume", "/host/y:/y:rw",
        "box", "--", "python", "-c", "print('a; b')",
    )  # fmt: skip


def test_under_chroot_a_namespace_around_buildah_takes_the_network_away() -> None:
    offline = buildah.run_argv(OWN, CHROOT, "box", ["true"])
    assert offline[:4] == ("unshare", "--net", "--", "buildah")
    assert offline[offline.index("--network") + 1] == "host"
    assert buildah.run_argv(OWN, CHROOT, "box", ["true"], network="host")[0] == "buildah"


def test_a_runtime_takes_the_network_away_itself() -> None:
    argv = buildah.run_argv(OWN, CRUN, "box", ["true"], network="none")
    assert (argv[0], argv[argv.index("--network") + 1]) == ("buildah", "none")


def test_a_container_is_never_made_of_an_image_from_elsewhere() -> None:
    limits = ("--ulimit", "nofile=20000:20000")
    assert buildah.from_argv(OWN, "abc", "box", limits) == (
        *GLOBAL,
        "from",
        "--pull-never",
        "--name",
        "box",
        *limits,
        "abc",
    )


def test_the_machines_own_storage_needs_no_options() -> None:
    assert Storage().argv == ()
    assert Storage().reference("localhost/x:1") == "containers-storage:localhost/x:1"
    assert OWN.reference("x:1") == "containers-storage:[overlay@/s/storage+/s/run]x:1"


@pytest.mark.parametrize("path", ["/with:colon", "relative"])
def test_a_volume_without_a_notation_is_refused(path: str) -> None:
    with pytest.raises(UsageError, match="cannot be mounted"):
        buildah.volume_text(Volume(Path(path), "/inside"))


@pytest.mark.parametrize("path", ["/a+b", "/a@b", "/[a]", "/a,b", "/a:b"])
def test_a_store_that_the_tools_cannot_name_is_refused_with_what_to_do(path: str) -> None:
    with pytest.raises(UsageError, match="in the path") as error:
        Storage.beneath(Path(path), "overlay")
    assert "--store" in str(error.value.hint)


def test_a_storage_keeps_the_driver_it_has(tmp_path: Path) -> None:
    (tmp_path / "storage" / "vfs-images").mkdir(parents=True)
    assert buildah.open_storage(tmp_path).driver == "vfs"


def test_where_overlay_cannot_be_mounted_vfs_is_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "buildah").write_text(
        '#!/bin/sh\ncase "$*" in *"--storage-driver overlay"*) echo not here >&2; exit 125;; esac\n'
    )
    (tmp_path / "buildah").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    assert buildah.open_storage(tmp_path / "store").driver == "vfs"


def test_a_container_is_removed_even_when_it_could_not_be_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    storage = fake_buildah(tmp_path, monkeypatch, 'case "$*" in *" rm "*) ;; *) exit 1;; esac')
    with pytest.raises(ToolError), Buildah(storage, RUNC).container("x"):
        pass
    made, removed = calls(tmp_path)
    assert made[made.index("--name") + 1] == removed[-1]
    assert not list(storage.claims.iterdir())


def test_a_container_that_could_not_be_removed_is_removed_by_a_later_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = f'case "$*" in *" rm "*) [ -e {tmp_path}/works ];; *containers*) ls {tmp_path}/own/claims;; esac'
    storage = fake_buildah(tmp_path, monkeypatch, script)
    with Buildah(storage, RUNC).container("x") as name:
        Buildah(storage, RUNC).sweep()
        assert len(calls(tmp_path)) == 1  # it is in use
    assert [path.name for path in storage.claims.iterdir()] == [name]
    (tmp_path / "works").touch()
    Buildah(storage, RUNC).sweep()
    assert calls(tmp_path)[-1][-2:] == ["rm", name]
    assert not list(storage.claims.iterdir())


def test_a_container_that_a_killed_run_left_is_removed_by_a_later_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    storage = fake_buildah(tmp_path, monkeypatch, "")
    script = (
        "import os, signal, sys\nfrom pathlib import Path\nfrom peel.tools.buildah import RUNC, Buildah, Storage\n"
        "with Buildah(Storage.beneath(Path(sys.argv[1]), 'vfs'), RUNC).container('x'):\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    subprocess.run([sys.executable, "-c", script, tmp_path / "own"], check=False, timeout=60)
    (left,) = storage.claims.iterdir()
    Buildah(storage, RUNC).sweep()
    assert calls(tmp_path)[-1][-2:] == ["rm", left.name]
    assert not left.exists()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_an_interrupt_while_a_container_is_removed_waits_until_it_is_gone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: signal.Signals
) -> None:
    script = f'case "$*" in *" rm "*) kill -{number.value} {os.getpid()}; touch {tmp_path}/removed;; esac'
    storage = fake_buildah(tmp_path, monkeypatch, script)
    before = signal.signal(number, signal.default_int_handler)
    try:
        with pytest.raises(KeyboardInterrupt), Buildah(storage, RUNC).container("x"):
            pass
    finally:
        signal.signal(number, before)
    assert (tmp_path / "removed").exists()
    assert not list(storage.claims.iterdir())


def fake_buildah(place: Path, monkeypatch: pytest.MonkeyPatch, script: str) -> Storage:
    """A buildah that notes how it is called and does this; gives it a storage."""
    (place / "buildah").write_text(f'#!/bin/sh\necho "$@" >> {place}/calls\n{script}\n')
    (place / "buildah").chmod(0o755)
    monkeypatch.setenv("PATH", f"{place}:/usr/bin:/bin")
    return Storage.beneath(place / "own", "vfs")


def calls(place: Path) -> list[list[str]]:
    return [line.split() for line in (place / "calls").read_text().splitlines()]


# What follows runs the real program.


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Buildah]:
    place = tmp_path_factory.mktemp("Containers")  # upper case on purpose
    engine = isolation.open_buildah(place)
    yield engine
    assert not _containers(engine.storage)


@pytest.fixture(scope="module")
def image(engine: Buildah, tmp_path_factory: pytest.TempPathFactory) -> str:
    """An image that holds a shell and little else."""
    layout = tmp_path_factory.mktemp("layout") / "Upper: case"
    busybox = process.find("busybox")
    if busybox is None:
        pytest.skip("busybox is not installed (Debian: busybox-static)")
    files = {"bin/busybox": (busybox.read_bytes(), 0o755), "marker": (b"mine\n", 0o644)}
    write_layout(layout, "Demo_1", files, symlinks={"bin/sh": "busybox"}, directories={"tmp": 0o1777})
    return buildah.import_layout(engine.storage, layout, "Demo_1", "localhost/peel:demo")


def _containers(storage: Storage) -> str:
    return subprocess.run(
        ["buildah", *storage.argv, "containers", "-q"], capture_output=True, text=True, check=True
    ).stdout


def sh(script: str) -> list[str]:
    return ["/bin/busybox", "sh", "-c", script]


@pytest.mark.e2e
def test_an_imported_image_is_known_by_the_digest_of_its_config(engine: Buildah, tmp_path: Path) -> None:
    assert engine.find_image("localhost/peel:x") is None
    write_layout(tmp_path, "x", {"a": (b"a", 0o644)})
    image_id = buildah.import_layout(engine.storage, tmp_path, "x", "localhost/peel:x")
    assert (tmp_path / "blobs" / "sha256" / image_id).is_file()
    assert engine.find_image("localhost/peel:x") == image_id
    with pytest.raises(ToolError):
        buildah.image_id(engine.storage, "localhost/peel:y")


@pytest.mark.e2e
def test_a_program_runs_in_the_image_as_it_is_told_to(engine: Buildah, image: str, tmp_path: Path) -> None:
    tmp_path.chmod(0o755)  # what is mounted keeps its mode
    (tmp_path / "in").write_text("from the host\n")
    with engine.container(image) as box:
        done = engine.run(
            box, sh('busybox id -u; echo "$WORDS$GREETING"; busybox pwd; busybox cat /host/in; busybox hostname'),
            volumes=[Volume(tmp_path, "/host")], env={"WORDS": "a  b; c", "PATH": "/bin"},
            user="1000:1000", workdir="/tmp",
        )  # fmt: skip
    assert done.text.splitlines() == ["1000", "a  b; cfrom the image", "/tmp", "from the host", "localhost"]


@pytest.mark.e2e
def test_a_read_only_volume_cannot_be_written_and_a_writable_one_can(
    engine: Buildah, image: str, tmp_path: Path
) -> None:
    with engine.container(image) as box:
        script = sh("echo x > /v/file")
        assert engine.run(box, script, volumes=[Volume(tmp_path, "/v")], check=False).status != 0
        engine.run(box, script, volumes=[Volume(tmp_path, "/v", "rw")])
    assert (tmp_path / "file").read_text() == "x\n"


@pytest.mark.e2e
@pytest.mark.parametrize("way", [RUNC, CHROOT], ids=lambda way: way.name)
def test_a_program_is_offline_unless_told_otherwise(engine: Buildah, image: str, way: buildah.Isolation) -> None:
    if process.find({"chroot": "unshare"}.get(way.name, way.name)) is None:
        pytest.skip(f"{way.name} is not installed")
    with (box := Buildah(engine.storage, way)).container(image) as name:
        offline = box.run(name, ["/bin/busybox", "ip", "route"]).text
        devices = box.run(name, ["/bin/busybox", "ls", "/sys/class/net"], check=False).text
        online = box.run(name, ["/bin/busybox", "cat", "/proc/net/dev"], network="host").text
    assert offline == ""
    assert "eth0" not in devices or way is CHROOT  # chroot shows the host's /sys
    assert online.splitlines()[2:] != []


@pytest.mark.e2e
@pytest.mark.parametrize("way", [RUNC, CHROOT], ids=lambda way: way.name)
def test_without_capabilities_root_can_do_what_its_files_let_it_and_no_more(
    engine: Buildah, image: str, way: buildah.Isolation, tmp_path: Path
) -> None:
    if process.find({"chroot": "unshare"}.get(way.name, way.name)) is None:
        pytest.skip(f"{way.name} is not installed")
    script = sh("busybox grep CapEff /proc/self/status; echo made > /v/file; busybox chown 7 /v/file")
    with (box := Buildah(engine.storage, way)).container(image) as name:
        done = box.run(
            name, script, volumes=[Volume(tmp_path, "/v", "rw")], env={"PATH": "/bin"}, user="0:0", check=False,
            capabilities="none",
        )  # fmt: skip
    assert done.text.split() == ["CapEff:", "0" * 16]
    assert b"not permitted" in done.stderr
    assert (tmp_path / "file").read_text() == "made\n"
    assert (tmp_path / "file").stat().st_uid == os.geteuid()


@pytest.mark.e2e
def test_a_failing_program_is_an_error_with_its_last_lines(engine: Buildah, image: str) -> None:
    with pytest.raises(ToolError, match="it went wrong"), engine.container(image) as box:
        engine.run(box, sh("echo it went wrong >&2; exit 3"))


@pytest.mark.e2e
def test_an_unknown_image_is_a_tool_error(engine: Buildah) -> None:
    with pytest.raises(ToolError, match="no-such"), engine.container("localhost/no-such:1"):
        pass


@pytest.mark.e2e
def test_a_program_that_runs_for_long_is_gone_on_leaving(engine: Buildah, image: str, tmp_path: Path) -> None:
    marker = f"3{os.getpid()}"  # how long it would sleep tells it from others
    with (
        engine.container(image) as box,
        (tmp_path / "log").open("wb") as log,
        engine.start(box, sh(f"echo up; busybox sleep {marker}; echo never"), log=log, env={"PATH": "/bin"}) as child,
    ):
        _until(lambda: (tmp_path / "log").read_bytes() == b"up\n")
        assert child.poll() is None
    _until(lambda: not _sleeping(marker))


@pytest.mark.e2e
def test_ctrl_c_leaves_no_container_and_no_program(engine: Buildah, image: str, tmp_path: Path) -> None:
    marker = f"4{os.getpid()}"
    child = sleeper(engine, image, marker, tmp_path)
    child.send_signal(signal.SIGINT)
    assert b"KeyboardInterrupt" in child.communicate(timeout=60)[1]
    _until(lambda: not _sleeping(marker))
    assert not _containers(engine.storage)


@pytest.mark.e2e
def test_what_a_killed_run_left_running_is_ended_by_a_later_one(engine: Buildah, image: str, tmp_path: Path) -> None:
    marker = f"5{os.getpid()}"
    child = sleeper(engine, image, marker, tmp_path)
    child.kill()
    child.communicate(timeout=60)
    assert _containers(engine.storage)
    engine.sweep()
    _until(lambda: not _sleeping(marker))
    assert not _containers(engine.storage)


def sleeper(engine: Buildah, image: str, marker: str, place: Path) -> subprocess.Popen[bytes]:
    """A process of its own that runs a long sleep in a container; it sleeps by now."""
    script = place / "interrupted.py"
    script.write_text(
        "import sys\nfrom pathlib import Path\nfrom peel.tools.buildah import RUNC, CHROOT, Buildah, Storage\n"
        "root, run, driver, way, image, marker = sys.argv[1:]\n"
        "way = {'runc': RUNC, 'chroot': CHROOT}[way]\n"
        "engine = Buildah(Storage(Path(root), Path(run), driver), way)\n"
        "with engine.container(image) as box:\n    engine.run(box, ['/bin/busybox', 'sleep', marker])\n"
    )
    storage = engine.storage
    where = [str(storage.root), str(storage.runroot), storage.driver, engine.isolation.name, image, marker]
    child = subprocess.Popen([sys.executable, script, *where], stderr=subprocess.PIPE)
    _until(lambda: _sleeping(marker))
    return child


@pytest.mark.e2e
def test_loading_imports_into_the_storage_that_other_tools_see(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    conf = tmp_path / "storage.conf"  # a machine's own storage, but not this machine's
    conf.write_text(f'[storage]\ndriver = "vfs"\ngraphroot = "{tmp_path}/root"\nrunroot = "{tmp_path}/run"\n')
    monkeypatch.setenv("CONTAINERS_STORAGE_CONF", str(conf))
    write_layout(tmp_path / "layout", "x", {"a": (b"a", 0o644)})
    image_id = buildah.load(tmp_path / "layout", "x", "localhost/loaded:1")
    listed = subprocess.run(
        ["buildah", "images", "--no-trunc", "localhost/loaded:1"], capture_output=True, text=True, check=True
    )
    assert image_id in listed.stdout


def _sleeping(marker: str) -> bool:
    """Whether some process sleeps for this long; dead ones that wait to be reaped have no command line."""
    for place in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if (
                place.read_bytes().split(b"\0")[-3:-1] == [b"sleep", marker.encode()]
                and b"buildah" not in place.read_bytes()
            ):
                return True
        except OSError:
            continue
    return False


def _until(holds: object) -> None:
    for _ in range(400):
        if holds():  # type: ignore[operator]
            return
        time.sleep(0.05)
    raise AssertionError("it did not come to pass")
