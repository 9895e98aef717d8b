"""Where the glue puts things. Spawners, kernels and people rely on these paths."""

from __future__ import annotations

from typing import Final

START: Final = "/usr/local/share/jupyterlab/runlab"
"""What starts the lab (the start path of today's sciplat-lab)."""

KERNELS: Final = "/usr/local/share/jupyter/kernels"
"""A directory per kernel, with its ``kernel.json``."""

LAUNCHERS: Final = "/usr/local/share/peel/kernels"
"""A launcher per kernel."""

ENVIRONMENTS: Final = "/usr/local/share/peel/environments"
"""A script per payload that enters its environment when sourced, by sh or bash."""

OWN_LAUNCHERS: Final = "/usr/local/share/peel/launchers"
"""The launchers that payloads bring, by payload; those of ``LAUNCHERS`` hand over to them."""

SETUPS: Final = "/usr/local/share/peel/setup"
"""The setup scripts that payloads bring."""

ENTRY: Final = "/usr/local/share/peel/entry"
"""The image's entry point: passes on what it is given."""

STARTER: Final = "/usr/local/share/peel/start.py"
"""What decides how the lab starts."""

LAB_CONFIG: Final = "/usr/local/share/peel/jupyter"
"""What the lab takes for the user's configuration directory."""

TERMINAL: Final = "/etc/profile.d/peel.sh"
"""What lets a terminal of the lab enter a payload's environment."""
