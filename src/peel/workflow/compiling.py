"""Compiling a staged environment by its own Python, in a container of the base."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from peel.layers import bytecode
from peel.layers.bytecode import Refused
from peel.model.oci import BaseImage
from peel.model.progress import Progress
from peel.store.store import Store
from peel.tools.buildah import Buildah, Volume
from peel.workflow.containers import import_base
from peel.workflow.pools import process_count

_SCRIPT: Final = "/run/peel/compile.py"
_LISTING: Final = "/run/peel/sources"
_OUT: Final = "/run/peel/bytecode"
_MOST_NAMED: Final = 3


def run_compiler(
    prefix: str, work: Path, *, base: BaseImage, store: Store, buildah: Callable[[], Buildah]
) -> Sequence[Refused]:
    """Compile what the list ``work/sources`` names of the tree ``work/stage`` into ``work/bytecode``.

    Returns the sources that do not compile. Raises ToolError when the environment's Python does not run.
    """
    engine = buildah()
    image = import_base(base, store, engine)
    argv = bytecode.argv(prefix=prefix, script=_SCRIPT, out=_OUT, listing=_LISTING, workers=process_count())
    volumes = [
        Volume(work / "stage", prefix),
        Volume(work / "bytecode", _OUT, "rw"),
        Volume(work / "sources", _LISTING),
        Volume(bytecode.SCRIPT, _SCRIPT),
    ]
    with engine.container(image) as container:
        done = engine.run(
            container, argv, volumes=volumes, env=bytecode.ENVIRONMENT, user="0:0", workdir="/",
            capabilities="none",  # packages brought the Python that runs here
        )  # fmt: skip
    return bytecode.refused(done.text)


def warn_of(refused: Sequence[Refused], environment: str, progress: Progress) -> None:
    """Tell of sources without bytecode, if there are any."""
    if refused:
        names = ", ".join(source.path for source in refused[:_MOST_NAMED])
        more = ", …" if len(refused) > _MOST_NAMED else ""
        progress.warn(f"{environment}: files that do not compile: {len(refused)} ({names}{more})")
