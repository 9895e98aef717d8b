"""Homes as users have them: one with packages of their own, and one that would stop any lab that listens to it."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from peel.model.values import PythonVersion

OWN_MODULE: Final = "peel_users_own"
"""A module that the user has installed."""

_BROKEN: Final = "raise SystemExit('the user has broken this')\n"
_LAB_NEEDS: Final = ("jupyter_server", "traitlets", "jupyterlab", "jupyterhub", "jupyter_core", "tornado")
_CONFIGURATIONS: Final = ("jupyter_config", "jupyter_server_config", "jupyter_lab_config", "jupyterhub_config")


def furnish(home: Path, pythons: Iterable[PythonVersion], user: int) -> None:
    """Put a module of the user's own into a home, for every Python."""
    for place in _user_sites(home, pythons):
        place.mkdir(parents=True)
        (place / f"{OWN_MODULE}.py").write_text("THERE = True\n")
    _give(home, user)


def break_home(home: Path, pythons: Iterable[PythonVersion], user: int) -> None:
    """Put broken packages and configurations into a home, such as would keep a lab from starting."""
    for place in _user_sites(home, pythons):
        for package in _LAB_NEEDS:
            (place / package).mkdir(parents=True)
            (place / package / "__init__.py").write_text(_BROKEN)
        for module in ("sitecustomize", "usercustomize"):
            (place / f"{module}.py").write_text(_BROKEN)
        (place / "broken.pth").write_text("import sys; sys.exit('the user has broken this')\n")
    configuration = home / ".jupyter"
    configuration.mkdir()
    for name in _CONFIGURATIONS:
        (configuration / f"{name}.py").write_text(_BROKEN)
        (configuration / f"{name}.json").write_text("{ this is no JSON")
    settings = configuration / "lab" / "user-settings" / "@jupyterlab" / "apputils-extension"
    settings.mkdir(parents=True)
    (settings / "themes.jupyterlab-settings").write_text("{ neither is this")
    kernel = home / ".local" / "share" / "jupyter" / "kernels" / "broken"
    kernel.mkdir(parents=True)
    (kernel / "kernel.json").write_text(json.dumps({"argv": []}))
    _give(home, user)


def _user_sites(home: Path, pythons: Iterable[PythonVersion]) -> list[Path]:
    return [home / ".local" / "lib" / f"python{python}" / "site-packages" for python in pythons]


def _give(home: Path, user: int) -> None:
    if os.geteuid() == 0:
        for folder, _, files in os.walk(home):
            os.chown(folder, user, user)
            for name in files:
                os.chown(os.path.join(folder, name), user, user)  # noqa: PTH118 - as os.walk has it
