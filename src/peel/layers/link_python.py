"""What linker 1 does for Python packages: where noarch files go, and the text of command scripts."""

from __future__ import annotations

from typing import Final

from peel.layers.conda_info import EntryPoint
from peel.layers.prefix import SHEBANG_LIMIT
from peel.model.values import PythonVersion

SCRIPT_MODE: Final = 0o775
"""The mode of a command script, as conda's installers have it."""

_SCRIPT = """\
{shebang}
# -*- coding: utf-8 -*-
import re
import sys

from {module} import {name}

if __name__ == '__main__':
\tsys.argv[0] = re.sub(r'(-script\\.pyw?|\\.exe)?$', '', sys.argv[0])
\tsys.exit({function}())
"""


def place(path: str, python: PythonVersion) -> str:
    """Where a file of a ``noarch: python`` package goes, relative to the prefix."""
    for packaged, installed in (("site-packages/", python.site_packages), ("python-scripts/", "bin")):
        if path.startswith(packaged):
            return f"{installed}/{path.removeprefix(packaged)}"
    return path


def is_replaced_bytecode(path: str, python: PythonVersion | None) -> bool:
    """Whether this is a cached pyc, by its place in the prefix, that the environment's own Python makes anew.

    Those are left out. Elsewhere, as in ``share/gdb``, nothing is compiled, and a packaged pyc is a file like others.
    """
    folder, _, name = path.rpartition("/")
    is_cached = name.endswith((".pyc", ".pyo")) and folder.endswith("/__pycache__")
    return is_cached and python is not None and path.startswith(f"lib/python{python}/")


def script(point: EntryPoint, prefix: str, python: PythonVersion) -> bytes:
    """The script of an entry point. Its bytes are a constant of linker 1, the ones that rattler writes."""
    return _SCRIPT.format(
        shebang=shebang(prefix, python),
        module=point.module,
        name=point.function.partition(".")[0],
        function=point.function,
    ).encode()


def shebang(prefix: str, python: PythonVersion) -> str:
    """The interpreter line that starts the prefix's Python, by way of ``/bin/sh`` where a kernel would refuse it."""
    program = f"{prefix}/bin/python{python}"
    if " " in program or len(program.encode()) > SHEBANG_LIMIT - len("#!"):
        return f"#!/bin/sh\n'''exec' \"{program}\" \"$0\" \"$@\" #'''"
    return f"#!{program}"
