"""Glue 2: how the lab starts for each spawner, and what kernels and terminals find; its scripts run for real."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from locksets import make_declared, payload
from peel.errors import DocumentError
from peel.model.declared import Declared
from peel.model.entry import Entry, Kind
from peel.model.glue import make_glue
from peel.model.values import Digest

LAB, SCIENCE = "/opt/peel/lab", "/opt/peel/envs/science"
SETUP, LAUNCHER, LOGO = b"export FROM_SETUP=yes\n", b"#!/bin/sh\nexec true\n", b"<svg/>"
FILES = {Digest.of(data).hex: data for data in (SETUP, LAUNCHER, LOGO)}
LINES = st.text(st.characters(exclude_categories=["Cs", "Cc"], exclude_characters="\x00"), max_size=30)
VARIABLES = st.dictionaries(st.from_regex(r"X_[A-Z]{1,8}", fullmatch=True), LINES, max_size=4)
PATH = "/usr/bin:/bin"
Golden = Callable[[str, bytes], None]


def attached(data: bytes, name: str) -> dict[str, Any]:
    return {"name": name, "sha256": Digest.of(data).hex, "size": len(data)}


def environments(lab: Mapping[str, Any] | None = None, **science: Any) -> list[dict[str, Any]]:
    first = make_declared().lab.model_dump(mode="json", exclude_none=True)
    return [{**first, **(lab or {})}, payload("science", terminal=True, **science)]


def entries(declared: Declared) -> dict[str, Entry]:
    return {entry.path: entry for entry in make_glue(2, declared, {}, FILES).entries}


def text(entry: Entry) -> str:
    assert isinstance(entry.source, bytes)
    return entry.source.decode()


EXAMPLE = make_declared(
    launch={"arguments": ["--log-level=INFO", "it's"], "variables": {"EDITOR": "vi"}},
    compat=["nublado"],
    links={"/opt/old/place": "/opt/new/place"},
    environments=environments(
        {"variables": {"A": "1"}},
        variables={"B": "it's $HOME"},
        attached={"setup": attached(SETUP, "setup.sh"), "logo": attached(LOGO, "logo.svg")},
    ),
)


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("usr/local/share/jupyterlab/runlab", "runlab"),
        ("usr/local/share/peel/entry", "entry"),
        ("usr/local/share/peel/start.py", "start.txt"),
        ("usr/local/share/peel/kernels/science", "launcher"),
        ("usr/local/share/peel/environments/science", "environment"),
        ("etc/profile.d/peel.sh", "terminal"),
        ("usr/local/share/jupyter/kernels/science/kernel.json", "kernel.json"),
        ("opt/peel/lab/etc/jupyter/jupyter_config.json", "jupyter_config.json"),
        ("opt/peel/lab/etc/jupyter/jupyter_server_config.json", "jupyter_server_config.json"),
    ],
)
def test_the_glues_bytes_are_a_promise_across_releases(path: str, name: str, golden: Golden) -> None:
    golden(f"glue2/{name}", text(entries(EXAMPLE)[path]).encode())


def test_the_glue_has_these_files_and_no_others_in_the_order_of_their_names() -> None:
    assert [(entry.path, entry.kind, entry.mode) for entry in entries(EXAMPLE).values()] == [
        ("etc/profile.d/peel.sh", Kind.FILE, 0o644),
        ("opt/lsst/software/jupyterlab/runlab.sh", Kind.SYMLINK, 0o777),
        ("opt/old/place", Kind.SYMLINK, 0o777),
        ("opt/peel/lab/etc/jupyter/jupyter_config.json", Kind.FILE, 0o644),
        ("opt/peel/lab/etc/jupyter/jupyter_server_config.json", Kind.FILE, 0o644),
        ("usr/local/share/jupyter/kernels/science/kernel.json", Kind.FILE, 0o644),
        ("usr/local/share/jupyter/kernels/science/logo-svg.svg", Kind.FILE, 0o644),
        ("usr/local/share/jupyterlab/runlab", Kind.FILE, 0o755),
        ("usr/local/share/peel/entry", Kind.FILE, 0o755),
        ("usr/local/share/peel/environments/science", Kind.FILE, 0o644),
        ("usr/local/share/peel/jupyter/migrated", Kind.FILE, 0o644),
        ("usr/local/share/peel/kernels/science", Kind.FILE, 0o755),
        ("usr/local/share/peel/setup/science.sh", Kind.FILE, 0o644),
        ("usr/local/share/peel/start.py", Kind.FILE, 0o644),
    ]


def test_a_number_that_nobody_knows_is_refused() -> None:
    with pytest.raises(DocumentError, match="glue 3 is none that this peel writes"):
        make_glue(3, EXAMPLE, {}, {})


def test_the_entry_point_passes_on_what_it_is_given() -> None:
    made = make_glue(2, EXAMPLE, {}, FILES).settings
    assert (made.entrypoint, made.cmd) == (("/usr/local/share/peel/entry",), ("/usr/local/share/jupyterlab/runlab",))
    script = text(entries(EXAMPLE)["usr/local/share/peel/entry"])
    done = subprocess.run(
        ["sh", "-c", script, "entry", "printf", "%s|", "two words", "", "*"], capture_output=True, check=True
    )
    assert done.stdout == b"two words||*|"


def test_every_set_of_old_links_leads_to_what_the_image_has() -> None:
    declared = make_declared(
        compat=["sciplat-2026"], environments=environments(kernel={"name": "lsst", "display_name": "LSST"})
    )
    made = entries(declared)
    links = {path: entry.target for path, entry in made.items() if entry.kind is Kind.SYMLINK}
    assert links["opt/lsst/software/jupyterlab/runlab.sh"] == "/usr/local/share/jupyterlab/runlab"
    assert links["etc/nublado/venv"] == LAB
    assert links["etc/nublado/lsstlaunch.bash"] == "/usr/local/share/peel/kernels/lsst"
    assert {target[1:] for target in links.values()} - made.keys() == {LAB[1:]}


@pytest.fixture
def image(tmp_path: Path) -> Path:
    """A directory that stands for an image's root: the lab's Python tells how it was called."""
    for prefix in (LAB, SCIENCE):
        bin_ = tmp_path / prefix[1:] / "bin"
        bin_.mkdir(parents=True)
        (bin_ / "python").write_text('#!/bin/sh\nfor word in "$@"; do printf "%s\\n" "$word"; done\n/usr/bin/env -0\n')
        (bin_ / "python").chmod(0o755)
    for name in ("jupyter-lab", "jupyterhub-singleuser"):
        (tmp_path / LAB[1:] / "bin" / name).write_text(f"#!{tmp_path}{LAB}/bin/python\n")
    (tmp_path / "home").mkdir()
    return tmp_path


def placed(image: Path, script: str) -> str:
    """A script of the glue with the image's root in front of the paths that it names."""
    for path in (LAB, SCIENCE, "/usr/local/share/peel", "/etc/nublado", "/lab_startup"):
        script = script.replace(path, f"{image}{path}")
    return script


def place(image: Path, declared: Declared) -> None:
    for path, entry in entries(declared).items():
        if entry.kind is Kind.FILE:
            (image / path).parent.mkdir(parents=True, exist_ok=True)
            (image / path).write_text(placed(image, text(entry)))
            (image / path).chmod(entry.mode)


def told(done: subprocess.CompletedProcess[bytes]) -> list[str]:
    return done.stdout.decode().replace("\0", "\n").splitlines()


def start(image: Path, *arguments: str, **variables: str) -> subprocess.CompletedProcess[bytes]:
    """Run start.py as the lab's Python would."""
    env = {"PATH": PATH, "HOME": str(image / "home"), "TMPDIR": str(image), **variables}
    script = image / "usr/local/share/peel/start.py"
    return subprocess.run([sys.executable, "-I", str(script), *arguments], env=env, capture_output=True, check=False)


def startup(image: Path, place_: str, arguments: Any, variables: Any = None) -> None:
    directory = image / place_
    directory.mkdir(parents=True)
    (directory / "args.json").write_text(arguments if isinstance(arguments, str) else json.dumps(arguments))
    if variables is not None:
        (directory / "env.json").write_text(json.dumps(variables))


def test_by_hand_the_lab_starts_without_the_users_packages(image: Path) -> None:
    place(image, EXAMPLE)
    words = told(start(image, "--last", "two words"))
    lab = f"{image}{LAB}/bin/jupyter-lab"
    assert words[:6] == ["-s", lab, "--log-level=INFO", "it's", "--last", "two words"]


def test_runlab_gives_the_lab_its_own_path_last_and_remembers_the_one_before(image: Path) -> None:
    place(image, EXAMPLE)
    env = {"PATH": PATH, "HOME": str(image / "home"), "PYTHONPATH": "/bad", "VIRTUAL_ENV": "/bad", "PYTHONHOME": "/bad"}
    runlab = image / "usr/local/share/jupyterlab/runlab"
    words = told(subprocess.run([str(runlab), "--more"], env=env, capture_output=True, check=True))
    assert words[:3] == ["-I", f"{image}/usr/local/share/peel/start.py", "--more"]
    assert {f"PATH={PATH}:{image}{LAB}/bin", f"PEEL_PATH={PATH}", "A=1", "EDITOR=vi"} <= set(words)
    assert "RUNNING_INSIDE_JUPYTERLAB=TRUE" in words
    assert not [word for word in words if "/bad" in word]


def test_under_the_hubs_variables_it_is_a_single_users_server(image: Path) -> None:
    place(image, EXAMPLE)
    words = told(start(image, JUPYTERHUB_SERVICE_PREFIX="/user/me/", DEBUG="1"))
    assert words[:5] == [
        "-s", f"{image}{LAB}/bin/jupyterhub-singleuser", "--log-level=INFO", "it's", "--log-level=DEBUG",
    ]  # fmt: skip


def test_a_lab_without_jupyterhub_says_so_to_the_hub(image: Path) -> None:
    place(image, EXAMPLE)
    (image / LAB[1:] / "bin" / "jupyterhub-singleuser").unlink()
    done = start(image, JUPYTERHUB_SERVICE_PREFIX="/user/me/")
    assert done.returncode == 127
    assert b"no program 'jupyterhub-singleuser'; declare jupyterhub in the lab's environment" in done.stderr


@pytest.mark.parametrize("where", ["etc/nublado/startup", "lab_startup"])
def test_nublados_files_decide_over_variables(image: Path, where: str) -> None:
    place(image, EXAMPLE)
    arguments = ["jupyterhub-singleuser", "--ip=0.0.0.0", "--MappingKernelManager.default_kernel_name=lsst"]
    startup(image, where, arguments, {"HOME": str(image), "PYTHONPATH": "/bad", "TMPDIR": "/tmp/x"})
    words = told(start(image, JUPYTERHUB_SERVICE_PREFIX="/user/me/"))
    assert words[:4] == ["-s", f"{image}{LAB}/bin/jupyterhub-singleuser", *arguments[1:]]
    assert {f"HOME={image}", "TMPDIR=/tmp/x"} <= set(words)
    assert not [word for word in words if "/bad" in word]


def test_the_newer_place_of_nublados_files_comes_first(image: Path) -> None:
    place(image, EXAMPLE)
    startup(image, "etc/nublado/startup", ["jupyter-lab", "--new"])
    startup(image, "lab_startup", ["jupyter-lab", "--old"])
    assert told(start(image))[2] == "--new"


@pytest.mark.parametrize("bad", ["", "{", "[]", '{"a": 1}', "[1]", '"text"', "[" * 100_000])
def test_startup_files_that_are_none_are_told_by_name(image: Path, bad: str) -> None:
    place(image, EXAMPLE)
    startup(image, "etc/nublado/startup", bad)
    done = start(image)
    assert done.returncode == 1
    assert b"args.json: " in done.stderr
    assert b"Traceback" not in done.stderr


@pytest.mark.parametrize("bad", [["A"], {"A": 1}, {"": "x"}, {"A=B": "x"}, {"A": "\0"}])
def test_variables_that_are_none_are_told_by_name(image: Path, bad: Any) -> None:
    place(image, EXAMPLE)
    startup(image, "etc/nublado/startup", ["jupyter-lab"], bad)
    done = start(image)
    assert (done.returncode, b"Traceback" in done.stderr) == (1, False)
    assert b"env.json: " in done.stderr


def test_the_users_server_configuration_stays_out_and_their_settings_of_the_lab_do_not(image: Path) -> None:
    place(image, EXAMPLE)
    words, own = told(start(image)), f"{image}/home/.jupyter/lab"
    assert f"JUPYTER_CONFIG_DIR={image}/usr/local/share/peel/jupyter" in words
    assert {f"JUPYTERLAB_SETTINGS_DIR={own}/user-settings", f"JUPYTERLAB_WORKSPACES_DIR={own}/workspaces"} <= set(words)
    assert "JUPYTER_CONFIG_DIR=/mine" in told(start(image, JUPYTER_CONFIG_DIR="/mine"))


@pytest.mark.parametrize("home", ["/nowhere/at/all", "", "/dev/null"])
def test_who_has_no_home_gets_one(image: Path, home: str) -> None:
    place(image, EXAMPLE)
    done = start(image, HOME=home)
    (found,) = [word.removeprefix("HOME=") for word in told(done) if word.startswith("HOME=")]
    assert Path(found).is_dir()
    assert Path(found).parent == image
    assert b"cannot be written to" in done.stderr


def test_a_users_environment_is_put_aside_when_the_form_asks_for_it(image: Path) -> None:
    place(image, EXAMPLE)
    home = image / "home"
    for name in (".local", ".jupyter"):
        (home / name).mkdir()
    (home / "notebooks").mkdir()
    start(image, RESET_USER_ENV="1")
    (aside,) = home.glob(".user_env.*")
    assert sorted(path.name for path in aside.iterdir()) == [".jupyter", ".local"]
    assert sorted(path.name for path in home.iterdir()) == sorted([aside.name, "notebooks"])


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(arguments=st.lists(LINES, max_size=3))
def test_declared_arguments_reach_the_lab_to_the_letter(image: Path, arguments: list[str]) -> None:
    place(image, make_declared(launch={"arguments": arguments}))
    done = start(image)
    wanted = "".join(f"{word}\n" for word in ["-s", f"{image}{LAB}/bin/jupyter-lab", *arguments])
    assert done.stdout.decode().startswith(wanted)


def kernel(image: Path, *arguments: str, **variables: str) -> list[str]:
    env = {"PATH": f"{PATH}:{image}{LAB}/bin", "PEEL_PATH": PATH, "HOME": str(image / "home"), **variables}
    launcher = image / "usr/local/share/peel/kernels/science"
    done = subprocess.run([str(launcher), *arguments], env=env, capture_output=True, check=True)
    assert not done.stderr
    return told(done)


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(variables=VARIABLES)
def test_a_kernel_gets_what_was_declared_to_the_letter(image: Path, variables: dict[str, str]) -> None:
    place(image, make_declared(environments=environments(variables=variables)))
    words = kernel(image, "-f", "connection file.json")
    assert words[:4] == ["-m", "ipykernel_launcher", "-f", "connection file.json"]
    assert {f"{name}={value}" for name, value in variables.items() if "\n" not in value} - set(words) == {
        f"{name}={value}" for name, value in variables.items() if len(f"{name}={value}".splitlines()) > 1
    }


def test_a_kernel_inherits_nothing_that_is_the_labs(image: Path) -> None:
    place(image, EXAMPLE)
    bad = dict.fromkeys(("PYTHONHOME", "PYTHONPATH", "PYTHONNOUSERSITE", "VIRTUAL_ENV", "CONDA_PREFIX", "A"), "/bad")
    own = {"JUPYTER_CONFIG_DIR": f"{image}/usr/local/share/peel/jupyter", "JUPYTERLAB_SETTINGS_DIR": "/bad"}
    words = kernel(image, **bad, **own)
    assert not [word for word in words if "/bad" in word or word.startswith("JUPYTER_CONFIG_DIR=")]
    assert {f"CONDA_PREFIX={image}{SCIENCE}", f"PATH={image}{SCIENCE}/bin:{PATH}", "FROM_SETUP=yes"} <= set(words)


def test_a_users_own_configuration_directory_is_left_to_the_kernel(image: Path) -> None:
    place(image, EXAMPLE)
    assert "JUPYTER_CONFIG_DIR=/mine" in kernel(image, JUPYTER_CONFIG_DIR="/mine")


def test_a_kernel_is_activated_by_its_own_packages_scripts_before_the_payloads_variables(image: Path) -> None:
    place(image, EXAMPLE)
    activate = image / SCIENCE[1:] / "etc" / "conda" / "activate.d"
    activate.mkdir(parents=True)
    (activate / "one.sh").write_text("export PROJ_DATA=here B=overridden\nset -- lost\n")
    (activate / "two.sh").write_text(': "${NEVER_SET}"\n[ -n "" ]\n')
    words = kernel(image, "-f", "file")
    assert words[2:4] == ["-f", "file"]
    assert {"PROJ_DATA=here", "B=it's $HOME"} <= set(words)


def test_a_payloads_own_launcher_is_the_file_that_it_brought() -> None:
    own = environments(attached={"launcher": attached(LAUNCHER, "launch.sh")})
    found = entries(make_declared(environments=own))["usr/local/share/peel/launchers/science"]
    assert (found.source, found.mode) == (LAUNCHER, 0o755)


def test_a_payloads_own_launcher_inherits_nothing_that_is_the_labs(image: Path, golden: Golden) -> None:
    own = environments({"variables": {"A": "1"}}, attached={"launcher": attached(LAUNCHER, "launch.sh")})
    declared = make_declared(environments=own)
    golden("glue2/own-launcher", text(entries(declared)["usr/local/share/peel/kernels/science"]).encode())
    place(image, declared)
    tells = '#!/bin/sh\nfor word in "$@"; do printf "%s\\n" "$word"; done\n/usr/bin/env -0\n'
    (image / "usr/local/share/peel/launchers/science").write_text(tells)
    bad = dict.fromkeys(("PYTHONHOME", "PYTHONNOUSERSITE", "VIRTUAL_ENV", "A", "JUPYTERLAB_SETTINGS_DIR"), "/bad")
    words = kernel(image, "-f", "a file", **bad, JUPYTER_CONFIG_DIR=f"{image}/usr/local/share/peel/jupyter")
    assert words[:2] == ["-f", "a file"]
    assert {f"PATH={PATH}", "PEEL_ENVIRONMENT=science"} <= set(words)
    assert not [word for word in words if "/bad" in word or word.startswith("JUPYTER_CONFIG_DIR=")]


def terminal(image: Path, shell: str, **variables: str) -> list[str]:
    hook = image / "etc/profile.d/peel.sh"
    env = {"PATH": f"{PATH}:{image}{LAB}/bin", "PEEL_PATH": PATH, "HOME": str(image / "home"), **variables}
    done = subprocess.run([shell, "-c", f'. "{hook}"; /usr/bin/env -0'], env=env, capture_output=True, check=True)
    return told(done)


@pytest.mark.parametrize("shell", ["sh", "bash"])
def test_a_terminal_of_the_lab_enters_the_environment_and_a_shell_elsewhere_does_not(image: Path, shell: str) -> None:
    place(image, EXAMPLE)
    inside = terminal(image, shell, RUNNING_INSIDE_JUPYTERLAB="TRUE")
    assert {f"PATH={image}{SCIENCE}/bin:{PATH}", "FROM_SETUP=yes", "PEEL_ENVIRONMENT=science"} <= set(inside)
    elsewhere = terminal(image, shell)
    assert not [word for word in elsewhere if word.startswith(("FROM_SETUP=", "PEEL_ENVIRONMENT="))]
    beneath = terminal(image, shell, RUNNING_INSIDE_JUPYTERLAB="TRUE", PEEL_ENVIRONMENT="other")
    assert "PEEL_ENVIRONMENT=other" in beneath


def test_a_terminal_can_go_from_one_environment_to_another(image: Path) -> None:
    place(image, EXAMPLE)
    script = f'. "{image}/usr/local/share/peel/environments/science"\n'
    env = {"PATH": PATH, "HOME": str(image)}
    done = subprocess.run(["bash", "-c", f"{script}{script}echo $PATH"], env=env, capture_output=True, check=True)
    assert done.stdout.decode().strip() == f"{image}{SCIENCE}/bin:{PATH}"


@pytest.mark.skipif(shutil.which("dash") is None, reason="no dash to read the scripts with")
def test_every_script_is_read_by_the_shell_that_its_first_line_names() -> None:
    for path, entry in entries(EXAMPLE).items():
        if entry.kind is Kind.FILE and path.endswith(("runlab", "entry", "peel.sh", "environments/science")):
            done = subprocess.run(["dash", "-n"], input=text(entry).encode(), capture_output=True, check=False)
            assert (done.returncode, done.stderr) == (0, b""), path
