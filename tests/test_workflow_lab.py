from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import httpx
import pytest

from peel.errors import ToolError, UsageError
from peel.tools import buildah, isolation, process, system
from peel.tools.buildah import Buildah, Volume
from peel.tools.jupyter import CellResult
from peel.workflow import lab as launching
from peel.workflow.lab import ExpectedKernel, KernelCheck, Running, check, judge, launch
from real_jupyter import install_jupyter
from small_images import write_layout

SECRET = "sesame"  # noqa: S105 - of a server that lives as long as the test
KERNEL = ExpectedKernel("rubin-env", "/opt/rubin", "3.11.7")


class HostEngine:
    """In place of buildah: runs a program on this machine, and keeps what it was asked for."""

    def __init__(self) -> None:
        self.removed: list[str] = []
        self.options: dict[str, object] = {}
        self.argv: Sequence[str] = ()
        self.container_started = ""

    @contextmanager
    def container(self, image: str) -> Iterator[str]:
        try:
            yield f"box of {image}"
        finally:
            self.removed.append(image)

    @contextmanager
    def start(
        self, container: str, argv: Sequence[str], *, log: IO[bytes], **options: object
    ) -> Iterator[buildah.Child]:
        self.container_started, self.argv, self.options = container, argv, options
        with process.start(process.Command(tuple(argv[:3])), stdout=log, stderr=log) as child:
            yield child


def printed(version: str, prefix: str) -> CellResult:
    return CellResult(f'a warning\n["{version}", "{prefix}"]\n', "ok")


def test_a_kernel_that_is_what_the_lock_says_passes() -> None:
    found = judge(KERNEL, printed("3.11.7 | packaged by conda-forge", "/opt/rubin"))
    assert found == KernelCheck(
        "rubin-env", passed=True, version="3.11.7 | packaged by conda-forge", prefix="/opt/rubin"
    )


def test_a_kernel_that_is_something_else_fails_and_says_in_what() -> None:
    found = judge(KERNEL, printed("3.13.5 (main)", "/opt/lab"))
    assert not found.passed
    assert found.detail == "Python is 3.13.5, the lock says 3.11.7; prefix is /opt/lab, the lock says /opt/rubin"


@pytest.mark.parametrize(
    ("result", "detail"),
    [
        (CellResult("", "error", "NameError: x"), "the cell failed: NameError: x"),
        (CellResult("hello", "ok"), "printed something else: 'hello'"),
        (CellResult("", "ok"), "printed something else"),
        (CellResult("[1]", "ok"), "printed something else"),
        (CellResult("3", "ok"), "printed something else"),
    ],
)
def test_a_kernel_that_gives_no_answer_fails(result: CellResult, detail: str) -> None:
    found = judge(KERNEL, result)
    assert not found.passed
    assert detail in found.detail


@pytest.mark.parametrize(
    ("version", "wanted", "same"),
    [
        ("3.11.7 (main)", "3.11.7", True),
        ("3.11.7 (main)", "3.11", True),
        ("3.11.2+ (main)", "3.11.2", True),
        ("3.1.7 (main)", "3.11", False),
        ("3.11.77 (main)", "3.11.7", False),
    ],
)
def test_pythons_are_compared_part_by_part(version: str, wanted: str, same: bool) -> None:
    assert launching.is_python(version, wanted) is same


def test_the_token_is_in_no_argument_and_no_variable() -> None:
    engine = HostEngine()
    with (
        pytest.raises(ToolError),
        launch("image", engine=engine, token=SECRET, start=("sleep", "0", "0"), timeout=30),
    ):
        pass
    assert engine.argv[3:5] == ("--ip=127.0.0.1", engine.argv[4])
    assert "sesame" not in f"{engine.argv} {engine.options}"


def test_a_lab_that_does_not_come_up_is_an_error_with_its_last_lines_and_nothing_is_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    engine = HostEngine()
    with (
        pytest.raises(ToolError, match=r"(?s)ended before it was up.*No module named jupyterlab <hidden>") as error,
        launch("image", engine=engine, token=SECRET, start=("sh", "-c", "echo No module named jupyterlab sesame")),
    ):
        pass
    assert error.value.hint
    assert engine.removed == ["image"]
    assert list(tmp_path.iterdir()) == []


def test_a_port_in_use_is_told_before_anything_is_made() -> None:
    engine = HostEngine()
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(UsageError, match=f"port {port}"), launch("image", engine=engine, port=port):
            pass
    assert engine.removed == []


@pytest.mark.parametrize("name", ["none", "file"])
def test_a_home_that_is_no_directory_is_a_usage_error(tmp_path: Path, name: str) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UsageError, match="is not a directory"), launch("i", engine=HostEngine(), home=tmp_path / name):
        pass


@pytest.mark.skipif(not system.is_root(), reason="for root alone is a home of root's a mistake")
def test_a_home_of_roots_is_refused_with_the_command_that_helps(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="belongs to root") as error, launch("i", engine=HostEngine(), home=tmp_path):
        pass
    assert "chown 1000:1000" in str(error.value.hint)


# What follows launches a real server in a real container: an image of links into the host's /usr.


@dataclass(frozen=True)
class Lab:
    """What launches a real server: its environment's prefix, and the arguments of ``launch``."""

    prefix: Path
    image: str
    engine: Buildah

    @property
    def start(self) -> tuple[str, ...]:
        return (str(self.prefix / "bin" / "python"), "-m", "jupyter_server")

    @property
    def volumes(self) -> list[Volume]:
        places = {Path("/usr"), Path(sys.base_prefix), self.prefix}
        return [Volume(place, str(place)) for place in sorted(places)]

    def launch(self, **options: Any) -> AbstractContextManager[Running]:
        return launch(self.image, engine=self.engine, start=self.start, volumes=self.volumes, **options)


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Lab:
    engine = isolation.open_buildah(tmp_path_factory.mktemp("containers"))
    layout = tmp_path_factory.mktemp("layout")
    links = {name: f"usr/{name}" for name in ("bin", "lib", "lib64") if Path("/", name).is_symlink()}
    write_layout(layout, "x", {}, symlinks=links, directories={"tmp": 0o1777, "usr": 0o755})
    return Lab(
        install_jupyter(tmp_path_factory).parent.parent,
        buildah.import_layout(engine.storage, layout, "x", "localhost/peel:x"),
        engine,
    )


@pytest.mark.e2e
def test_a_real_lab_is_launched_checked_and_gone(lab: Lab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    prefix, version = str(lab.prefix), sys.version.partition(" ")[0]
    with lab.launch() as running:
        assert running.token in running.url
        assert running.token not in repr(running)
        assert check(running, [ExpectedKernel("python3", prefix, version)])[0].passed
        missing, surplus = check(running, [ExpectedKernel("absent", prefix, version)])
        assert (missing.detail, surplus.name) == ("the launcher does not show it", "python3")
        assert not surplus.passed
        mine = running.server.run_cell("python3", "import os; print(os.getuid() or 'me', os.getcwd())", timeout=60)
        assert mine.text == f"{1000 if system.is_root() else 'me'} /home/lab\n"
    with pytest.raises(httpx.ConnectError):
        httpx.get(running.server.url, trust_env=False)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.e2e
def test_a_chosen_home_is_kept(lab: Lab, tmp_path: Path) -> None:
    if system.is_root():
        os.chown(tmp_path, 1000, 1000)
    with lab.launch(home=tmp_path) as running:
        running.server.run_cell("python3", "open('kept', 'w').write('x')", timeout=60)
    assert (tmp_path / "kept").read_text() == "x"


@pytest.mark.e2e
def test_ctrl_c_ends_the_lab_and_leaves_nothing(lab: Lab, tmp_path: Path) -> None:
    script = tmp_path / "interrupted.py"
    script.write_text(
        "from pathlib import Path\nfrom peel.tools.buildah import Buildah, Isolation, Storage, Volume\n"
        "from peel.workflow.lab import launch\n"
        f"engine = Buildah({_text(lab.engine.storage)}, {_text(lab.engine.isolation)})\n"
        f"with launch({lab.image!r}, engine=engine, start={lab.start!r}, volumes={_text(lab.volumes)}) as running:\n"
        "    print(running.server.url, flush=True)\n"
        "    running.wait()\n"
    )
    (tmp_path / "scratch").mkdir()
    env = {**os.environ, "TMPDIR": str(tmp_path / "scratch")}
    child = subprocess.Popen([sys.executable, script], env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert child.stdout is not None
    url = child.stdout.readline().decode().strip()
    assert httpx.get(f"{url}/api", trust_env=False).is_success
    child.send_signal(signal.SIGINT)
    assert b"KeyboardInterrupt" in child.communicate(timeout=60)[1]
    with pytest.raises(httpx.ConnectError):
        httpx.get(url, trust_env=False)
    assert list((tmp_path / "scratch").iterdir()) == []
    listed = subprocess.run(["buildah", *lab.engine.storage.argv, "containers", "-q"], capture_output=True, check=True)
    assert listed.stdout == b""


def _text(value: object) -> str:
    return repr(value).replace("PosixPath", "Path")
