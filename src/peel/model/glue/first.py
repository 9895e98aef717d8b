"""Glue 1: these texts are a promise, and change never again.

The lab's Python ignores the user's site-packages (``-s``), and says so to nobody: kernels start from a clean slate,
with their own environment activated, and do see them.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping, Sequence
from typing import Any

from peel.model.declaration import Kernel
from peel.model.declared import Declared, DeclaredEnvironment
from peel.model.entry import Entry, file_of_bytes, symlink
from peel.model.glue.places import KERNELS, LAUNCHERS, START
from peel.model.glue.value import Glue
from peel.model.oci import ImageSettings
from peel.model.values import PythonVersion

_INHERITED = (
    "PYTHONHOME", "PYTHONPATH", "PYTHONNOUSERSITE", "PYTHONSTARTUP", "VIRTUAL_ENV",
    "CONDA_PREFIX", "CONDA_DEFAULT_ENV", "CONDA_SHLVL", "CONDA_PROMPT_MODIFIER", "CONDA_EXE", "CONDA_PYTHON_EXE",
)  # fmt: skip

_RUNLAB = """\
#!/bin/sh
# Starts JupyterLab from its own environment; arguments are passed on to it.
# -s: packages in the user's home cannot break the lab. No variable says so, because kernels would inherit it.
unset {unset}
# Extensions of the lab find its programs; kernels are given back what was there before.
PEEL_PATH="${{PATH:-/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin}}"
PATH="$PEEL_PATH":{prefix}/bin
export PATH PEEL_PATH
{variables}exec {prefix}/bin/python -s -m jupyterlab {arguments}"$@"
"""

_LAUNCHER = """\
#!/bin/bash
# Starts a kernel of {name} in its own environment, and nothing of the lab's.
arguments=("$@")  # what is sourced below may change them
PATH="${{PEEL_PATH:-${{PATH:-/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin}}}}"
unset PEEL_PATH {unset}
CONDA_PREFIX={prefix}
CONDA_DEFAULT_ENV={name}
CONDA_SHLVL=1
PATH={prefix}/bin:"$PATH"
export CONDA_PREFIX CONDA_DEFAULT_ENV CONDA_SHLVL PATH
for script in {prefix}/etc/conda/activate.d/*.sh; do
    if [ -r "$script" ]; then . "$script"; fi
done
{variables}exec {prefix}/bin/python -m ipykernel_launcher "${{arguments[@]}}"
"""


def make_first_glue(declared: Declared, pythons: Mapping[str, PythonVersion | None]) -> Glue:
    """All that joins the environments; ``pythons`` is by environment, None where one has no Python."""
    entries = [_runlab(declared), _lab_kernels(declared), _lab_server(declared)]
    for payload in declared.payloads:
        if payload.kernel is not None and pythons[payload.name] is not None:
            entries += _kernel(payload, payload.kernel, declared)
    entries += [symlink(path[1:], target) for path, target in sorted(declared.links.items())]
    return Glue(tuple(sorted(entries, key=lambda entry: entry.path)), _settings(declared))


def _runlab(declared: Declared) -> Entry:
    arguments = "".join(f"{shlex.quote(text)} " for text in declared.launch.arguments)
    text = _RUNLAB.format(
        prefix=shlex.quote(declared.lab.prefix), arguments=arguments, unset=" ".join(_INHERITED),
        variables=_exports({**declared.lab.variables, **declared.launch.variables}),
    )  # fmt: skip
    return _script(START, text)


def _lab_kernels(declared: Declared) -> Entry:
    """What hides the lab's own kernel; in ``jupyter_config.json``, so that ``jupyter kernelspec list`` agrees."""
    kernels = [payload.kernel.name for payload in declared.payloads if payload.kernel]
    settings = {
        "KernelSpecManager": {"ensure_native_kernel": False, "allowed_kernelspecs": kernels},
        "MappingKernelManager": {"default_kernel_name": kernels[0]} if kernels else {},
    }
    return _json(f"{declared.lab.prefix}/etc/jupyter/jupyter_config.json", settings)


def _lab_server(declared: Declared) -> Entry:
    """Where the lab listens when nobody says otherwise: in a file, because arguments may not come twice."""
    settings = {"ServerApp": {"ip": "0.0.0.0", "port": declared.launch.port, "open_browser": False}}  # noqa: S104
    return _json(f"{declared.lab.prefix}/etc/jupyter/jupyter_server_config.json", settings)


def _kernel(payload: DeclaredEnvironment, kernel: Kernel, declared: Declared) -> Sequence[Entry]:
    launcher = f"{LAUNCHERS}/{kernel.name}"
    labs_own = sorted(declared.lab.variables.keys() - declared.launch.variables.keys())
    spec = {
        "argv": [launcher, "-f", "{connection_file}"],
        "display_name": kernel.display_name,
        "language": kernel.language,
        "metadata": {"debugger": True},
    }
    text = _LAUNCHER.format(
        name=shlex.quote(payload.name),
        prefix=shlex.quote(payload.prefix),
        unset=" ".join((*_INHERITED, *labs_own)),
        variables=_exports(payload.variables),
    )
    return [_json(f"{KERNELS}/{kernel.name}/kernel.json", spec), _script(launcher, text)]


def _exports(variables: Mapping[str, str]) -> str:
    return "".join(f"export {name}={shlex.quote(value)}\n" for name, value in sorted(variables.items()))


def _script(path: str, text: str) -> Entry:
    return file_of_bytes(path[1:], text.encode(), mode=0o755)


def _json(path: str, value: Any) -> Entry:
    return file_of_bytes(path[1:], (json.dumps(value, indent=2, sort_keys=True) + "\n").encode())


def _settings(declared: Declared) -> ImageSettings:
    launch = declared.launch
    return ImageSettings(
        cmd=(START,),
        entrypoint=(),  # whatever the base had, it was meant for another command
        user=launch.user,
        working_dir=launch.working_dir,
        exposed_ports=(f"{launch.port}/tcp",),
    )
