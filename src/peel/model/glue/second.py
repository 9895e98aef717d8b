"""Glue 2: the lab starts by hand, under JupyterHub and under three generations of Nublado; terminals and own launchers.

The lab's Python ignores the user's site-packages and the user's server configuration: neither can keep it from
starting. It says so to nobody: kernels and terminals start from a clean slate, with their own environment activated.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping, Sequence
from pathlib import PurePosixPath
from typing import Any, Final

from peel.model.declaration import Kernel
from peel.model.declared import Attachment, Declared, DeclaredEnvironment
from peel.model.entry import Entry, file_of_bytes, symlink
from peel.model.glue import second_texts as texts
from peel.model.glue.compat import compat_links
from peel.model.glue.places import (
    ENTRY,
    ENVIRONMENTS,
    KERNELS,
    LAB_CONFIG,
    LAUNCHERS,
    OWN_LAUNCHERS,
    SETUPS,
    START,
    STARTER,
    TERMINAL,
)
from peel.model.glue.value import Glue
from peel.model.oci import ImageSettings

_SHELL: Final = ("/bin/bash", "-il")
_LOGOS: Final = {".svg": "logo-svg.svg", ".png": "logo-64x64.png"}


def make_second_glue(declared: Declared, files: Mapping[str, bytes]) -> Glue:
    """All that joins the environments; ``files`` are what payloads bring with them, by sha256."""
    entries = [*_start(declared), *_lab_configuration(declared)]
    for payload in declared.payloads:
        entries += _environment(payload, declared, files)
        if payload.kernel is not None:
            entries += _kernel(payload, payload.kernel, declared, files)
        if payload.terminal:
            entries.append(_file(TERMINAL, texts.TERMINAL.format(environment=_quoted(ENVIRONMENTS, payload.name))))
    links = {**compat_links(declared), **declared.links}
    entries += [symlink(path[1:], target) for path, target in sorted(links.items())]
    return Glue(tuple(sorted(entries, key=lambda entry: entry.path)), _settings(declared))


def _start(declared: Declared) -> Sequence[Entry]:
    """What starts the lab, whoever asks for it."""
    runlab = texts.RUNLAB.format(
        prefix=shlex.quote(declared.lab.prefix),
        unset=" ".join(texts.INHERITED),
        variables=_exports({**declared.lab.variables, **declared.launch.variables}),
        starter=STARTER,
    )
    starter = texts.STARTER.format(
        prefix=declared.lab.prefix,
        config=LAB_CONFIG,
        arguments=list(declared.launch.arguments),
        unset=texts.INHERITED,
    )
    return [_script(START, runlab), _script(ENTRY, texts.ENTRY), _file(STARTER, starter)]


def _lab_configuration(declared: Declared) -> Sequence[Entry]:
    """The kernels that are shown, where the lab listens, and a configuration directory that is nobody's.

    The lab's own kernel is hidden in ``jupyter_config.json``, so that ``jupyter kernelspec list`` agrees. ``migrated``
    keeps jupyter_core from writing there.
    """
    kernels = [payload.kernel.name for payload in declared.payloads if payload.kernel]
    shown = {
        "KernelSpecManager": {"ensure_native_kernel": False, "allowed_kernelspecs": kernels},
        "MappingKernelManager": {"default_kernel_name": kernels[0]} if kernels else {},
    }
    server = {
        "ServerApp": {
            "ip": "0.0.0.0",  # noqa: S104 - in a container, where the spawner reaches it
            "port": declared.launch.port,
            "open_browser": False,
            "terminado_settings": {"shell_command": list(_SHELL)},
        }
    }
    directory = f"{declared.lab.prefix}/etc/jupyter"
    return [
        _json(f"{directory}/jupyter_config.json", shown),
        _json(f"{directory}/jupyter_server_config.json", server),
        _file(f"{LAB_CONFIG}/migrated", "nothing of the user's is kept here\n"),
    ]


def _environment(payload: DeclaredEnvironment, declared: Declared, files: Mapping[str, bytes]) -> Sequence[Entry]:
    """What enters a payload's environment, and the payload's own setup."""
    entries, setup = [], ""
    if (script := payload.attached.get("setup")) is not None:
        place = f"{SETUPS}/{payload.name}.sh"
        entries.append(_attached(place, script, files))
        setup = f". {shlex.quote(place)}\n"
    text = texts.ENVIRONMENT.format(
        name=shlex.quote(payload.name),
        prefix=shlex.quote(payload.prefix),
        config=LAB_CONFIG,
        unset=_unset(declared),
        variables=_exports(payload.variables),
        setup=setup,
    )
    return [*entries, _file(f"{ENVIRONMENTS}/{payload.name}", text)]


def _unset(declared: Declared) -> str:
    """The variables that no kernel and no terminal inherits from the lab."""
    labs_own = sorted(declared.lab.variables.keys() - declared.launch.variables.keys())
    return " ".join((*texts.INHERITED, *labs_own))


def _kernel(
    payload: DeclaredEnvironment, kernel: Kernel, declared: Declared, files: Mapping[str, bytes]
) -> Sequence[Entry]:
    directory, launcher = f"{KERNELS}/{kernel.name}", f"{LAUNCHERS}/{kernel.name}"
    python = kernel.language == "python"
    spec = {
        "argv": [launcher, "-f", "{connection_file}"],
        "display_name": kernel.display_name,
        "language": kernel.language,
        "metadata": {"debugger": True} if python else {},
    }
    entries = [_json(f"{directory}/kernel.json", spec), *_launcher(launcher, payload, declared, files)]
    if (logo := payload.attached.get("logo")) is not None:
        entries.append(_attached(f"{directory}/{_LOGOS[PurePosixPath(logo.name).suffix]}", logo, files))
    return entries


def _launcher(
    path: str, payload: DeclaredEnvironment, declared: Declared, files: Mapping[str, bytes]
) -> Sequence[Entry]:
    """What starts a kernel; before a launcher that a payload brought, what is the lab's is taken away."""
    if (own := payload.attached.get("launcher")) is None:
        made = texts.LAUNCHER.format(
            name=payload.name, environment=_quoted(ENVIRONMENTS, payload.name), prefix=shlex.quote(payload.prefix)
        )
        return [_script(path, made)]
    place = f"{OWN_LAUNCHERS}/{payload.name}"
    handing_over = texts.OWN_LAUNCHER.format(
        name=shlex.quote(payload.name), config=LAB_CONFIG, unset=_unset(declared), launcher=shlex.quote(place)
    )
    return [_script(path, handing_over), _attached(place, own, files, mode=0o755)]


def _attached(path: str, attached: Attachment, files: Mapping[str, bytes], *, mode: int = 0o644) -> Entry:
    return file_of_bytes(path[1:], files[attached.sha256], mode=mode)


def _quoted(directory: str, name: str) -> str:
    return shlex.quote(f"{directory}/{name}")


def _exports(variables: Mapping[str, str]) -> str:
    return "".join(f"export {name}={shlex.quote(value)}\n" for name, value in sorted(variables.items()))


def _file(path: str, text: str) -> Entry:
    return file_of_bytes(path[1:], text.encode())


def _script(path: str, text: str) -> Entry:
    return file_of_bytes(path[1:], text.encode(), mode=0o755)


def _json(path: str, value: Any) -> Entry:
    return _file(path, json.dumps(value, indent=2, sort_keys=True) + "\n")


def _settings(declared: Declared) -> ImageSettings:
    launch = declared.launch
    return ImageSettings(
        entrypoint=(ENTRY,),
        cmd=(START,),
        user=launch.user,
        working_dir=launch.working_dir,
        exposed_ports=(f"{launch.port}/tcp",),
    )
