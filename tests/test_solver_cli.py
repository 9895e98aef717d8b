"""The program beside micromamba 2.8.1: the same JSON, order and exit status for the same requests."""

from __future__ import annotations

import http.server
import json
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

import peel
from channels import index, make_package
from solving import BOTH, Solver, embedded

RECORDED = Path(__file__).parents[2] / "shared" / "data" / "micromamba"
REQUESTS = ["create-dry-run", "create-real", "list", "update-dry-run"]
FAILURES = {"create-unsat": ["libbar 99"], "create-unsat-conflict": ["libbar=2.0", "libfoo=1.0"],
            "create-missing": ["no-such-package"]}  # fmt: skip


@pytest.fixture
def channel(tmp_path: Path) -> str:
    """The channel that the recordings were made with: two versions of libfoo, and of libbar, which needs it."""
    for version in ("1.0", "1.1"):
        make_package(tmp_path / "channel", "libfoo", version, build="h0_0", files={"lib/foo.txt": version})
        make_package(tmp_path / "channel", "libbar", version, build="h0_0", depends=["libfoo >=1.0,<2"])
    return index(tmp_path / "channel")


@pytest.fixture
def solver(tmp_path: Path) -> Solver:
    return embedded(tmp_path / "home")


def ask(solver: Solver, request: str, channel: str, prefix: Path) -> Any:
    """Run what was run for a recording."""
    new = ["create", "--yes", "--override-channels", "--channel", channel, "--prefix", prefix]
    if request == "create-dry-run":
        return solver.json(*new, "--dry-run", "libbar")
    made = solver.json(*new, "libbar=1.0")
    if request == "list":
        return solver.json("list", "--no-pip", "-p", prefix)
    if request == "update-dry-run":
        return solver.json("update", "--override-channels", "--channel", channel, "-p", prefix, "--dry-run", "libbar")
    return made


def comparable(value: Any, channel: str, prefix: str) -> str:
    """The JSON with what legitimately differs replaced: places, hashes, sizes."""
    text = json.dumps(value, indent=4).replace(channel, "file:///channel").replace(prefix, "/prefix")
    text = re.sub(r'"(md5|sha256)": "[0-9a-f]+"', r'"\1": "HASH"', text)
    text = text.replace('"channel": "file:///channel/linux-64"', '"channel": "file:///channel"')  # in UNLINK only
    return re.sub(r'"size": \d+', '"size": 0', text) + "\n"


@pytest.mark.parametrize("request_name", REQUESTS)
def test_the_json_is_the_golden_one(
    request_name: str, solver: Solver, channel: str, tmp_path: Path, golden: Callable[[str, bytes], None]
) -> None:
    answer = ask(solver, request_name, channel, tmp_path / "prefix")
    golden(f"solver/{request_name}.json", comparable(answer, channel, str(tmp_path / "prefix")).encode())


@pytest.mark.skipif(not RECORDED.is_dir(), reason="the recordings of micromamba 2.8.1 are not in this checkout")
@pytest.mark.parametrize("request_name", REQUESTS)
def test_the_golden_json_is_what_micromamba_printed(request_name: str) -> None:
    recorded = json.loads((RECORDED / f"{request_name}.stdout").read_text())
    own = (Path(__file__).parent / "golden" / "solver" / f"{request_name}.json").read_text()
    assert own == comparable(recorded, "file:///channel", "/prefix")


@pytest.mark.skipif(not RECORDED.is_dir(), reason="the recordings of micromamba 2.8.1 are not in this checkout")
@pytest.mark.parametrize("request_name", [*FAILURES, "create-bad-channel"])
def test_a_failure_ends_as_micromambas_does(request_name: str, solver: Solver, channel: str, tmp_path: Path) -> None:
    where = (tmp_path / "none").as_uri() if request_name == "create-bad-channel" else channel
    specs = FAILURES.get(request_name, ["libbar"])
    done = solver.run("create", "-p", tmp_path / "p", "-c", where, "--dry-run", "--json", "--override-channels", *specs)
    recorded = (RECORDED / f"{request_name}.stdout").read_text()
    assert done.returncode == int((RECORDED / f"{request_name}.exit").read_text())
    assert bool(done.stdout) == bool(recorded)
    if recorded:
        assert json.loads(done.stdout).keys() == json.loads(recorded).keys()
    first = (RECORDED / f"{request_name}.stderr").read_text().splitlines()[0]
    assert done.stderr.splitlines()[0].split()[:2] == first.split()[:2] == ["critical", "libmamba"]


@pytest.mark.skipif(not RECORDED.is_dir(), reason="the recordings of micromamba 2.8.1 are not in this checkout")
def test_info_and_config_have_the_keys_of_micromamba(solver: Solver) -> None:
    recorded = json.loads((RECORDED / "info.stdout").read_text())
    assert recorded.keys() <= solver.json("info").keys()
    assert (
        solver.run("config", "--json", "list", "pkgs_dirs", CONDA_PKGS_DIRS="/pkgs").stdout
        == (RECORDED / "config-pkgs-dirs.stdout").read_text()
    )
    assert solver.run("--version").stdout == (RECORDED / "version.stdout").read_text()


def test_info_tells_the_embedded_solver_from_a_real_micromamba(solver: Solver) -> None:
    told = solver.json("info", CONDA_OVERRIDE_GLIBC="2.34")
    assert told["peel-micromamba version"] == peel.__version__
    assert "__glibc=2.34=0" in told["virtual packages"]


@pytest.mark.parametrize("path", BOTH)
def test_an_unsatisfiable_request_fails_with_status_one_and_json(path: str, channel: str, tmp_path: Path) -> None:
    solver = Solver(path, tmp_path / "home")
    done = solver.run("create", "-p", tmp_path / "p", "-c", channel, "--dry-run", "--json", "libbar 99")
    assert done.returncode == 1
    assert json.loads(done.stdout)["success"] is False


@pytest.mark.parametrize("path", BOTH)
def test_the_same_request_has_the_same_answer_from_every_solver(
    path: str, channel: str, tmp_path: Path, golden: Callable[[str, bytes], None]
) -> None:
    prefix = tmp_path / "prefix"
    answer = ask(Solver(path, tmp_path / "home"), "create-dry-run", channel, prefix)
    golden("solver/create-dry-run.json", comparable(answer, channel, str(prefix)).encode())


def test_the_solvers_own_explanation_is_on_stderr_and_in_the_json(solver: Solver, tmp_path: Path) -> None:
    make_package(tmp_path / "c", "app", depends=["libfoo >=2", "helper"])
    make_package(tmp_path / "c", "helper", depends=["libfoo <2"])
    for version in ("1.0", "2.0"):
        make_package(tmp_path / "c", "libfoo", version)
    done = solver.run("create", "-p", tmp_path / "p", "-c", index(tmp_path / "c"), "--dry-run", "--json", "app")
    problems = json.loads(done.stdout)["solver_problems"]
    assert any("libfoo <2" in line for line in problems)
    assert done.stderr.startswith("critical libmamba Could not solve for environment specs\n    ")
    assert all(line in done.stderr for line in problems)


def test_a_channel_changed_between_two_runs_is_read_anew(solver: Solver, tmp_path: Path) -> None:
    make_package(tmp_path / "c", "libfoo", "1.0")
    url = index(tmp_path / "c")
    request = ["create", "-p", tmp_path / "p", "-c", url, "--dry-run", "libfoo"]
    assert solver.json(*request)["actions"]["LINK"][0]["version"] == "1.0"
    make_package(tmp_path / "c", "libfoo", "1.1")
    index(tmp_path / "c")
    assert solver.json(*request)["actions"]["LINK"][0]["version"] == "1.1"


def two_channels(tmp_path: Path) -> list[str]:
    make_package(tmp_path / "first", "libfoo", "1.0")
    make_package(tmp_path / "second", "libfoo", "2.0")
    return ["-c", index(tmp_path / "first"), "-c", index(tmp_path / "second")]


@pytest.mark.parametrize(
    ("option", "spec", "version"),
    [
        ([], "libfoo", "1.0"),
        ([], "libfoo >=2", "2.0"),
        (["--strict-channel-priority"], "libfoo", "1.0"),
        (["--no-channel-priority"], "libfoo", "2.0"),
    ],
)
def test_the_first_channel_wins_unless_it_cannot_or_priorities_are_off(
    option: list[str], spec: str, version: str, solver: Solver, tmp_path: Path
) -> None:
    answer = solver.json("create", "-p", tmp_path / "p", "--dry-run", *two_channels(tmp_path), *option, spec)
    assert answer["actions"]["LINK"][0]["version"] == version


def test_strict_priority_refuses_what_only_a_later_channel_has(solver: Solver, tmp_path: Path) -> None:
    channels = two_channels(tmp_path)
    done = solver.run("create", "-p", tmp_path / "p", "--dry-run", *channels, "--strict-channel-priority", "libfoo >=2")
    assert done.returncode == 1
    assert "strict channel priority" in done.stderr


def test_virtual_packages_are_those_of_the_overrides(solver: Solver, tmp_path: Path) -> None:
    make_package(tmp_path / "c", "app", "2.0", depends=["__glibc >=2.38"])
    make_package(tmp_path / "c", "app", "1.0", depends=["__glibc >=2.17"])
    request = ["create", "-p", tmp_path / "p", "-c", index(tmp_path / "c"), "--dry-run", "app"]
    for glibc, version in (("2.17", "1.0"), ("2.38", "2.0")):
        answer = solver.json(*request, CONDA_OVERRIDE_GLIBC=glibc)
        assert [each["version"] for each in answer["actions"]["LINK"]] == [version]
    assert solver.run(*request, CONDA_OVERRIDE_GLIBC="").returncode == 1


def test_dependencies_can_be_left_out_or_asked_for_alone(solver: Solver, channel: str, tmp_path: Path) -> None:
    request = ["create", "-p", tmp_path / "p", "-c", channel, "--dry-run", "libbar"]
    for option, names in (("--no-deps", ["libbar"]), ("--only-deps", ["libfoo"])):
        assert [each["name"] for each in solver.json(*request, option)["actions"]["LINK"]] == names


def installed(solver: Solver, tmp_path: Path, *specs: str) -> Path:
    prefix = tmp_path / "installed"
    solver.json("create", "-p", prefix, "-c", (tmp_path / "channel").as_uri(), *specs)
    return prefix


def test_an_update_moves_nothing_it_need_not_move(solver: Solver, channel: str, tmp_path: Path) -> None:
    prefix = installed(solver, tmp_path, "libbar=1.0", "libfoo=1.0")
    answer = solver.json("update", "-p", prefix, "-c", channel, "--dry-run", "libbar")
    assert [each["fn"] for each in answer["actions"]["LINK"]] == ["libbar-1.1-h0_0.conda"]


def test_an_update_moves_what_it_must_and_keeps_what_the_channel_no_longer_has(
    solver: Solver, channel: str, tmp_path: Path
) -> None:
    prefix = installed(solver, tmp_path, "libbar=1.0", "libfoo=1.0")
    make_package(tmp_path / "channel", "libbar", "1.2", build="h0_0", depends=["libfoo >=1.1,<2"])
    (tmp_path / "channel/linux-64/libbar-1.0-h0_0.conda").unlink()
    index(tmp_path / "channel")
    moved = solver.json("update", "-p", prefix, "-c", channel, "--dry-run", "libbar")["actions"]
    assert [each["fn"] for each in moved["LINK"]] == ["libfoo-1.1-h0_0.conda", "libbar-1.2-h0_0.conda"]
    kept = solver.json("update", "-p", prefix, "-c", channel, "--dry-run", "libfoo")["actions"]
    assert [each["fn"] for each in kept["LINK"]] == ["libfoo-1.1-h0_0.conda"]


def test_an_install_leaves_a_package_that_will_do_and_obeys_the_pins(
    solver: Solver, channel: str, tmp_path: Path
) -> None:
    prefix = installed(solver, tmp_path, "libfoo=1.0")
    request = ["-p", prefix, "-c", channel, "--dry-run"]
    assert "already installed" in solver.json("install", *request, "libfoo")["message"]
    (prefix / "conda-meta/pinned").write_text("libfoo 1.0.*  # stays\n")
    assert "already installed" in solver.json("update", *request, "libfoo")["message"]
    assert solver.json("update", *request, "--no-pin", "libfoo")["actions"]["LINK"][0]["version"] == "1.1"


def test_python_keeps_its_minor_version_unless_it_is_asked_for(solver: Solver, tmp_path: Path) -> None:
    for version in ("3.11.1", "3.11.2", "3.13.0"):
        make_package(tmp_path / "channel", "python", version)
    make_package(tmp_path / "channel", "app", "1.0", depends=["python"])
    make_package(tmp_path / "channel", "app", "2.0", depends=["python >=3.13"])
    request = ["-c", index(tmp_path / "channel"), "--dry-run"]
    prefix = installed(solver, tmp_path, "python=3.11.1", "app=1.0")
    assert "already installed" in solver.json("update", "-p", prefix, *request, "app")["message"]
    moved = solver.json("update", "-p", prefix, *request, "--no-py-pin", "app")["actions"]["LINK"]
    assert [each["version"] for each in moved] == ["3.13.0", "2.0"]


def test_changing_an_environment_in_place_is_refused(solver: Solver, channel: str, tmp_path: Path) -> None:
    done = solver.run("install", "-p", tmp_path, "-c", channel, "libfoo")
    assert (done.returncode, done.stdout) == (1, "")
    assert "without --dry-run" in done.stderr


@contextmanager
def serving(body: bytes, promised: int) -> Iterator[str]:
    """A server that promises more bytes than it sends: a channel that goes down half-way."""

    class Truncating(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            known = self.path.endswith("/repodata.json")
            self.send_response(200 if known else 404)
            self.send_header("Content-Length", str(promised if known else 0))
            self.end_headers()
            self.wfile.write(body if known else b"")

        do_HEAD = do_GET  # noqa: N815 - the name that http.server looks for

        def log_message(self, *_: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Truncating) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/t/SECRET/channel"
        finally:
            server.shutdown()
            thread.join()


def test_a_channel_that_goes_down_half_way_is_named_without_its_token(
    solver: Solver, channel: str, tmp_path: Path
) -> None:
    with serving(b'{"packages": {', 100_000) as url:
        done = solver.run("create", "-p", tmp_path / "p", "-c", channel, "-c", url, "--dry-run", "--json", "libbar")
    assert (done.returncode, done.stdout) == (1, "")
    assert "/t/<hidden>/channel cannot be read" in done.stderr
    assert "SECRET" not in done.stderr


def test_an_index_that_is_no_json_names_its_channel(solver: Solver, channel: str, tmp_path: Path) -> None:
    index(tmp_path / "broken")
    (tmp_path / "broken/linux-64/repodata.json").write_text("<html>")
    broken = (tmp_path / "broken").as_uri()
    done = solver.run("create", "-p", tmp_path / "p", "-c", channel, "-c", broken, "--dry-run", "--json", "libbar")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith(f"critical libmamba The index of channel {broken} cannot be read\n")


@pytest.mark.parametrize(
    ("argv", "complaint"),
    [
        (["create", "-p", "p", "libfoo >="], "Cannot read the spec 'libfoo >='"),
        (["create", "-p", "p", "[[["], "Cannot read the spec"),
        (["create", "libfoo"], "No target prefix specified"),
        (["create", "-p", "p", "-n", "n", "libfoo"], "Both --prefix and --name"),
        (["create", "-n", "../n", "libfoo"], "Not a name of an environment"),
        (["create", "-p", "p", "-f", "none.yml"], "none.yml: no such file"),
        (["create", "-p", "p", "--platform", "amiga-68k", "libfoo"], "Not a platform: 'amiga-68k'"),
        (["create", "-p", "p", "--channel-priority", "loose", "libfoo"], "'loose' is not one of"),
        (["list", "-p", "p"], "does not exist"),
        (["update", "-p", "p", "--dry-run", "libfoo"], "does not exist"),
        (["config", "list", "colour"], "No such configuration: colour"),
    ],
)
def test_bad_input_is_one_readable_error_and_never_a_traceback(
    argv: list[str], complaint: str, solver: Solver, tmp_path: Path
) -> None:
    empty = index(tmp_path / "empty")
    placed = [str(tmp_path / "p") if each == "p" else each for each in argv]
    done = solver.run(*placed, *(["-c", empty] if argv[0] in {"create", "update"} else []))
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("critical libmamba ")
    assert complaint in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "p").exists()


def test_broken_metadata_of_an_environment_is_named(solver: Solver, tmp_path: Path) -> None:
    meta = tmp_path / "p/conda-meta"
    meta.mkdir(parents=True)
    (meta / "libfoo-1.0-0.json").write_text("{")
    done = solver.run("list", "-p", tmp_path / "p", "--json")
    assert done.returncode == 1
    assert "libfoo-1.0-0.json cannot be read" in done.stderr
