"""Glue 1, which old locks name: its bytes stay, and nothing that a document says breaks out of them."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from locksets import make_declared, payload
from peel.model.declared import Declared
from peel.model.entry import Entry, Kind
from peel.model.glue.first import make_first_glue
from peel.model.values import PythonVersion

LINES = st.text(st.characters(exclude_categories=["Cs", "Cc"], exclude_characters="\x00"), max_size=30)
VARIABLES = st.dictionaries(st.from_regex(r"X_[A-Z]{1,8}", fullmatch=True), LINES, max_size=4)


def entries(declared: Declared) -> dict[str, Entry]:
    pythons = {environment.name: PythonVersion(3, 13) for environment in declared.environments}
    return {entry.path: entry for entry in make_first_glue(declared, pythons).entries}


def text(entry: Entry) -> str:
    assert isinstance(entry.source, bytes)
    return entry.source.decode()


def environments(*, lab: dict[str, Any] | None = None, science: dict[str, Any] | None = None) -> list[dict[str, Any]]:
    first = make_declared().lab.model_dump(mode="json", exclude_none=True)
    return [{**first, **(lab or {})}, payload("science", **(science or {}))]


EXAMPLE = make_declared(
    "science", launch={"arguments": ["--log-level=INFO"], "variables": {"EDITOR": "vi"}},
    links={"/opt/lsst/software/jupyterlab/runlab.sh": "/usr/local/share/jupyterlab/runlab"},
    environments=environments(lab={"variables": {"A": "1"}}, science={"variables": {"B": "it's $HOME"}}),
)  # fmt: skip


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("usr/local/share/jupyterlab/runlab", "runlab"),
        ("usr/local/share/peel/kernels/science", "launcher"),
        ("usr/local/share/jupyter/kernels/science/kernel.json", "kernel.json"),
        ("opt/peel/lab/etc/jupyter/jupyter_config.json", "jupyter_config.json"),
        ("opt/peel/lab/etc/jupyter/jupyter_server_config.json", "jupyter_server_config.json"),
    ],
)
def test_the_glues_bytes_are_a_promise_across_releases(
    path: str, name: str, golden: Callable[[str, bytes], None]
) -> None:
    golden(f"glue/{name}", text(entries(EXAMPLE)[path]).encode())


def test_the_glue_has_these_files_and_no_others_in_the_order_of_their_names() -> None:
    assert [(entry.path, entry.kind, entry.mode) for entry in entries(EXAMPLE).values()] == [
        ("opt/lsst/software/jupyterlab/runlab.sh", Kind.SYMLINK, 0o777),
        ("opt/peel/lab/etc/jupyter/jupyter_config.json", Kind.FILE, 0o644),
        ("opt/peel/lab/etc/jupyter/jupyter_server_config.json", Kind.FILE, 0o644),
        ("usr/local/share/jupyter/kernels/science/kernel.json", Kind.FILE, 0o644),
        ("usr/local/share/jupyterlab/runlab", Kind.FILE, 0o755),
        ("usr/local/share/peel/kernels/science", Kind.FILE, 0o755),
    ]


def test_only_the_payloads_kernels_are_allowed_and_the_first_is_the_default() -> None:
    found = json.loads(text(entries(make_declared("a", "b"))["opt/peel/lab/etc/jupyter/jupyter_config.json"]))
    assert found["KernelSpecManager"] == {"allowed_kernelspecs": ["a", "b"], "ensure_native_kernel": False}
    assert found["MappingKernelManager"] == {"default_kernel_name": "a"}


def test_an_image_starts_the_lab_whatever_its_base_did() -> None:
    made = make_first_glue(make_declared(launch={"port": 9999, "user": "1:2"}), {}).settings
    assert (made.cmd, made.entrypoint, made.user) == (("/usr/local/share/jupyterlab/runlab",), (), "1:2")
    assert made.exposed_ports == ("9999/tcp",)


@given(display=LINES.filter(bool))
def test_a_display_name_stays_a_string_of_the_kernels_json(display: str) -> None:
    kernel = {"name": "science", "display_name": display}
    found = entries(make_declared(environments=environments(science={"kernel": kernel})))
    spec = json.loads(text(found["usr/local/share/jupyter/kernels/science/kernel.json"]))
    assert (spec["display_name"], sorted(spec)) == (display, ["argv", "display_name", "language", "metadata"])


def started(script: str, prefix: str, folder: Path, *arguments: str) -> list[str]:
    """Run a script with a python that prints its arguments and variables; what it printed, a line each."""
    python = folder / "bin" / "python"
    python.parent.mkdir(parents=True, exist_ok=True)
    python.write_text('#!/bin/sh\nfor word in "$@"; do printf "%s\\n" "$word"; done\n/usr/bin/env -0\n')
    python.chmod(0o755)
    path = folder / "script"
    path.write_text(script.replace(prefix, str(folder)))
    shell = script.splitlines()[0].removeprefix("#!")
    inherited = {"PATH": "/usr/bin:/bin", "PYTHONNOUSERSITE": "1", "CONDA_PREFIX": "/opt/lab", "PYTHONPATH": "/lab"}
    done = subprocess.run(
        [shell, str(path), *arguments], env=inherited, cwd=folder, capture_output=True, check=True, timeout=30
    )
    assert not done.stderr
    return done.stdout.decode().replace("\0", "\n").splitlines()


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(variables=VARIABLES, arguments=st.lists(LINES, max_size=3))
def test_the_start_script_hands_on_what_was_declared_to_the_letter(
    tmp_path: Path, variables: dict[str, str], arguments: list[str]
) -> None:
    declared = make_declared(launch={"arguments": arguments, "variables": variables})
    script = text(entries(declared)["usr/local/share/jupyterlab/runlab"])
    printed = started(script, "/opt/peel/lab", tmp_path, "--last", "two words")
    wanted = "\n".join(["-s", "-m", "jupyterlab", *arguments, "--last", "two words"])
    assert "\n".join(printed).startswith("\n".join(wanted.splitlines()))
    _assert_variables(printed, variables)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(variables=VARIABLES)
def test_a_kernels_script_sets_what_was_declared_to_the_letter(tmp_path: Path, variables: dict[str, str]) -> None:
    declared = make_declared(environments=environments(science={"variables": variables}))
    script = text(entries(declared)["usr/local/share/peel/kernels/science"])
    printed = started(script, "/opt/peel/envs/science", tmp_path, "-f", "connection file.json")
    assert printed[:4] == ["-m", "ipykernel_launcher", "-f", "connection file.json"]
    _assert_variables(printed, variables)
    assert f"CONDA_PREFIX={tmp_path}" in printed
    assert f"PATH={tmp_path}/bin:/usr/bin:/bin" in printed


def _assert_variables(printed: list[str], variables: dict[str, str]) -> None:
    shown = "\n".join(printed)
    for name, value in variables.items():
        assert "\n".join(f"{name}={value}".splitlines()) in shown
    assert not [line for line in printed if line.startswith(("PYTHONNOUSERSITE=", "PYTHONPATH="))]


def test_a_kernel_is_activated_by_its_own_packages_scripts(tmp_path: Path) -> None:
    activate = tmp_path / "etc" / "conda" / "activate.d"
    activate.mkdir(parents=True)
    (activate / "proj.sh").write_text("export PROJ_DATA=here\n")
    (activate / "unset.sh").write_text(': "${NEVER_SET}"\n[ -n "" ]\n')
    script = text(entries(make_declared("science"))["usr/local/share/peel/kernels/science"])
    assert "PROJ_DATA=here" in started(script, "/opt/peel/envs/science", tmp_path)
