"""Variables that spawners and peel set themselves, and that no declaration may therefore set.

Nublado refuses the same names in its own configuration (RESERVED_ENV in its controller).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from peel.errors import DocumentError

_NAMES: Final = frozenset({
    "ACCESS_TOKEN", "CONTAINER_SIZE", "CPU_GUARANTEE", "CPU_LIMIT", "DEBUG", "EXTERNAL_INSTANCE_URL",
    "IMAGE_DESCRIPTION", "IMAGE_DIGEST", "JUPYTERLAB_CONFIG_DIR", "JUPYTERLAB_START_COMMAND", "JUPYTER_IMAGE",
    "JUPYTER_IMAGE_SPEC", "K8S_NODE_NAME", "KUBERNETES_NODE_NAME", "MEM_GUARANTEE", "MEM_LIMIT", "REPERTOIRE_BASE_URL",
    "RESET_USER_ENV", "RUNNING_INSIDE_JUPYTERLAB",
})  # fmt: skip
_PREFIXES: Final = ("JUPYTERHUB_", "JPY_", "NUBLADO_", "PEEL_")


def is_reserved(name: str) -> bool:
    """Whether a variable is a spawner's, or peel's own."""
    return name in _NAMES or name.startswith(_PREFIXES)


def refuse_reserved(whose: str, variables: Iterable[str], origin: str) -> None:
    """Raise DocumentError for a reserved variable among those that ``whose`` declares."""
    if taken := sorted(filter(is_reserved, variables)):
        raise DocumentError(
            f"{origin}: {whose}: variables: {taken[0]} is set by the spawner, and no image may set it",
            hint="choose another name",
        )
