"""The texts of glue 2. Braces that belong to the texts themselves are doubled."""

from __future__ import annotations

from typing import Final

INHERITED: Final = (
    "PYTHONHOME", "PYTHONPATH", "PYTHONNOUSERSITE", "PYTHONSTARTUP", "VIRTUAL_ENV",
    "CONDA_PREFIX", "CONDA_DEFAULT_ENV", "CONDA_SHLVL", "CONDA_PROMPT_MODIFIER", "CONDA_EXE", "CONDA_PYTHON_EXE",
)  # fmt: skip
"""Variables that would lead one environment into another."""

ENTRY: Final = """\
#!/bin/sh
# Runs what it is given. As the first process of a container, it lets an init collect orphans where there is one.
if [ $# -eq 0 ]; then set -- /usr/local/share/jupyterlab/runlab; fi
if [ $$ -eq 1 ]; then
    for init in /usr/bin/tini-static /usr/bin/tini /sbin/tini /tini; do
        if [ -x "$init" ]; then exec "$init" -- "$@"; fi
    done
fi
exec "$@"
"""

RUNLAB: Final = """\
#!/bin/sh
# Starts the lab from its own environment; arguments are passed on to it.
unset {unset}
# Extensions of the lab find its programs; kernels and terminals are given back what was there before.
PEEL_PATH="${{PATH:-/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin}}"
PATH="$PEEL_PATH":{prefix}/bin
RUNNING_INSIDE_JUPYTERLAB=TRUE
export PATH PEEL_PATH RUNNING_INSIDE_JUPYTERLAB
{variables}# -I: nothing of the user's has a say in how the lab starts.
exec {prefix}/bin/python -I {starter} "$@"
"""

STARTER: Final = '''\
"""Starts the lab as its spawner wants it: Nublado by files, JupyterHub by variables, anybody else by hand.

The lab's Python runs with -s: packages in the user's home cannot break it. No variable says so, because kernels
would inherit it.
"""

import json
import os
import shutil
import sys
import tempfile
import time

PREFIX = {prefix!r}
CONFIG = {config!r}
ARGUMENTS = {arguments!r}
UNSET = {unset!r}
STARTUP = ("/etc/nublado/startup", "/lab_startup")
RESET = (".cache", ".conda", ".config", ".eups", ".jupyter", ".local", ".user_setups")


def main():
    program = nublado() or by_variables()
    for name in UNSET:
        os.environ.pop(name, None)
    ensure_home()
    protect()
    argv = command(program)
    sys.stdout.flush()
    os.execv(argv[0], argv)


def nublado():
    """The command of Nublado's startup files, whose variables go over those that are set."""
    for directory in STARTUP:
        arguments = read(directory + "/args.json")
        if arguments is None:
            continue
        if not isinstance(arguments, list) or not arguments or not all(isinstance(one, str) for one in arguments):
            sys.exit(f"{{directory}}/args.json: should be a list of strings, and not empty")
        variables = read(directory + "/env.json") or {{}}
        if not isinstance(variables, dict) or not all(isinstance(one, str) for one in variables.values()):
            sys.exit(f"{{directory}}/env.json: should be an object of strings")
        for name, value in variables.items():
            if not name or "=" in name or "\\0" in name + value:
                sys.exit(f"{{directory}}/env.json: {{name!r}} cannot be a variable")
            os.environ[name] = value
        return [*arguments, *sys.argv[1:]]
    return None


def read(path):
    try:
        with open(path, encoding="utf-8") as file:
            return json.load(file)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, ValueError, RecursionError) as error:
        sys.exit(f"{{path}}: cannot be read: {{error}}")


def by_variables():
    """The command where nobody wrote it down: JupyterHub names itself by variables."""
    under_hub = any(os.environ.get(name) for name in ("JUPYTERHUB_API_TOKEN", "JUPYTERHUB_SERVICE_PREFIX"))
    if os.environ.get("RESET_USER_ENV"):
        reset(os.environ.get("HOME", ""))
    debug = ["--log-level=DEBUG"] if os.environ.get("DEBUG") else []
    return ["jupyterhub-singleuser" if under_hub else "jupyter-lab", *ARGUMENTS, *debug, *sys.argv[1:]]


def reset(home):
    """Put aside what a user's environment is made of, as the spawner's form promises."""
    found = [name for name in RESET if home and os.path.lexists(os.path.join(home, name))]
    if found:
        aside = os.path.join(home, time.strftime(".user_env.%Y%m%d%H%M%S"))
        try:
            os.makedirs(aside, exist_ok=True)
            for name in found:
                os.rename(os.path.join(home, name), os.path.join(aside, name))
        except OSError as error:
            print(f"the user's environment could not be reset: {{error}}", file=sys.stderr)


def ensure_home():
    """A user whom the image does not know may have no home, and Jupyter has to write somewhere."""
    home = os.environ.get("HOME", "")
    if not (os.path.isabs(home) and os.path.isdir(home) and os.access(home, os.W_OK | os.X_OK)):
        os.environ["HOME"] = tempfile.mkdtemp(prefix="home-")
        print(f"the home {{home!r}} cannot be written to; using {{os.environ['HOME']}}", file=sys.stderr)


def protect():
    """The user's server configuration is code that could keep the lab from starting; settings of the lab are not."""
    if "JUPYTER_CONFIG_DIR" not in os.environ:
        own = os.path.join(os.environ["HOME"], ".jupyter", "lab")
        os.environ["JUPYTER_CONFIG_DIR"] = CONFIG
        os.environ.setdefault("JUPYTERLAB_SETTINGS_DIR", os.path.join(own, "user-settings"))
        os.environ.setdefault("JUPYTERLAB_WORKSPACES_DIR", os.path.join(own, "workspaces"))


def command(program):
    """What to execute: the lab's own programs by its own Python, apart from the user's packages."""
    name, arguments = program[0], program[1:]
    own = os.path.join(PREFIX, "bin", name)
    found = own if "/" not in name and os.path.exists(own) else shutil.which(name)
    if found is None:
        hint = "; declare jupyterhub in the lab's environment" if name == "jupyterhub-singleuser" else ""
        print(f"the lab has no program {{name!r}}{{hint}}", file=sys.stderr)
        sys.exit(127)
    python = os.path.join(PREFIX, "bin", "python")
    if is_python_script(found):
        return [python, "-s", found, *arguments]
    if os.path.samefile(found, python):
        return [python, "-s", *arguments]
    return [found, *arguments]


def is_python_script(path):
    with open(path, "rb") as file:
        head = file.read(1024)
    lines = head.split(b"\\n")
    return head.startswith(b"#!") and any(os.fsencode(PREFIX) + b"/bin/python" in line for line in lines[:2])


if __name__ == "__main__":
    main()
'''

ENVIRONMENT: Final = """\
# Enters the environment {name} when it is sourced; what belongs to another one is forgotten first.
PEEL_PATH="${{PEEL_PATH:-${{PATH:-/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin}}}}"
unset {unset}
# the lab's configuration directory is the lab's alone
if [ "${{JUPYTER_CONFIG_DIR:-}}" = {config} ]; then
    unset JUPYTER_CONFIG_DIR JUPYTERLAB_SETTINGS_DIR JUPYTERLAB_WORKSPACES_DIR
fi
CONDA_PREFIX={prefix}
CONDA_DEFAULT_ENV={name}
CONDA_SHLVL=1
PATH={prefix}/bin:"$PEEL_PATH"
PEEL_ENVIRONMENT={name}
export CONDA_PREFIX CONDA_DEFAULT_ENV CONDA_SHLVL PATH PEEL_PATH PEEL_ENVIRONMENT
for PEEL_SCRIPT in {prefix}/etc/conda/activate.d/*.sh; do
    if [ -r "$PEEL_SCRIPT" ]; then . "$PEEL_SCRIPT"; fi
done
unset PEEL_SCRIPT
{variables}{setup}"""

LAUNCHER: Final = """\
#!/bin/bash
# Starts a kernel of {name} in its own environment, and nothing of the lab's.
arguments=("$@")  # what is sourced below may change them
. {environment}
exec {prefix}/bin/python -m ipykernel_launcher "${{arguments[@]}}"
"""

OWN_LAUNCHER: Final = """\
#!/bin/sh
# Hands over to the launcher that {name} brought, with nothing of the lab's; it enters an environment itself.
PATH="${{PEEL_PATH:-${{PATH:-/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin}}}}"
unset {unset}
if [ "${{JUPYTER_CONFIG_DIR:-}}" = {config} ]; then
    unset JUPYTER_CONFIG_DIR JUPYTERLAB_SETTINGS_DIR JUPYTERLAB_WORKSPACES_DIR
fi
PEEL_ENVIRONMENT={name}
export PATH PEEL_ENVIRONMENT
exec {launcher} "$@"
"""

TERMINAL: Final = """\
# A terminal of JupyterLab enters this environment; a login shell elsewhere, or one beneath a kernel, does not.
if [ -n "${{RUNNING_INSIDE_JUPYTERLAB:-}}" ] && [ -z "${{PEEL_ENVIRONMENT:-}}" ]; then
    . {environment}
fi
"""
