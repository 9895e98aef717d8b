"""Named sets of links: paths that images of earlier years had, and that spawners and people still use.

Which image of the Rubin platform had which path stands in docs/launch-contract.md.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from peel.model.declaration import CompatName
from peel.model.declared import Declared
from peel.model.glue.places import KERNELS, LAUNCHERS, START

KERNEL: Final = "lsst"
"""The kernel that the links of ``sciplat`` sets lead to; Nublado names it when it starts a lab, too."""

_OLD: Final = "/opt/lsst/software/jupyterlab"
_NEW: Final = "/etc/nublado"
_LAB: Final = "the lab's prefix"
_START: Final = {f"{_OLD}/runlab.sh": START}
_KERNEL_FILES: Final = {
    "lsst_kernel.json": f"{KERNELS}/{KERNEL}/kernel.json",
    "lsstlaunch.bash": f"{LAUNCHERS}/{KERNEL}",
}


def _beneath(directory: str, links: Mapping[str, str]) -> dict[str, str]:
    return {f"{directory}/{name}": target for name, target in links.items()}


_SETS: Final[Mapping[CompatName, Mapping[str, str]]] = {
    "nublado": _START,
    "sciplat-2024": {**_START, **_beneath(_OLD, _KERNEL_FILES)},
    "sciplat-2025": {**_START, **_beneath(_OLD, {**_KERNEL_FILES, "runlab": START})},
    "sciplat-2026": {
        **_START,
        **_beneath(_OLD, {**_KERNEL_FILES, "runlab": START}),
        **_beneath(_NEW, {**_KERNEL_FILES, "venv": _LAB}),
    },
}


def needs_kernel(name: CompatName) -> bool:
    """Whether links of a set lead to the files of the kernel ``lsst``."""
    return any(target in _KERNEL_FILES.values() for target in _SETS[name].values())


def compat_links(declared: Declared) -> Mapping[str, str]:
    """The links of all sets that an image declares: the path of each, and what it points to."""
    links = {path: target for name in declared.compat for path, target in _SETS[name].items()}
    return {path: declared.lab.prefix if target == _LAB else target for path, target in links.items()}
