"""An installation script, run in a container of the base: what it changes there is what it installs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from peel.errors import DocumentError, ToolError
from peel.layers.layer_stream import ImageLayer
from peel.model.declared import DeclaredEnvironment
from peel.model.payloads import ScriptRecipe
from peel.model.values import MTIME_CONSTANT, Digest
from peel.store.fetch import Artifact
from peel.tools import process
from peel.tools.buildah import Volume
from peel.tools.buildah_images import commit
from peel.workflow.capturing.changes import changed_layers
from peel.workflow.capturing.material import Material, origin_of
from peel.workflow.containers import import_base
from peel.workflow.fetching import fetch_artifacts

INPUTS: Final = "/run/peel/inputs"
"""Where a script finds what it declared, each under its name."""

_SCRIPT: Final = "/run/peel/script"
_RUNNER: Final = "/run/peel/runner"
_TOLD: Final = "/run/peel/told"
_MARK: Final = "PEEL_CAPTURE"
_OUT_OF_TIME: Final = 124
_LAST_LINES: Final = 20
_SLACK: Final = 60.0  # seconds that a container may take to begin and to end

_RUN: Final = """\
#!/bin/bash
# Runs a script with a time limit, then ends what it left running, and tells of it.
umask 022
mkdir -p "$HOME"
limit=()
if command -v timeout >/dev/null; then limit=(timeout -k 5 "$1"); fi
shift
"${limit[@]}" /bin/bash /run/peel/script "$@" </dev/null
status=$?
for place in /proc/[0-9]*; do
    pid=${place#/proc/}
    if [ "$pid" = $$ ]; then continue; fi
    mapfile -d '' variables 2>/dev/null <"$place/environ" || continue
    for variable in "${variables[@]}"; do
        if [ "$variable" = "PEEL_CAPTURE=$PEEL_CAPTURE" ]; then
            read -r name 2>/dev/null <"$place/comm" && printf '%s\\n' "$name" >>/run/peel/told/left
            kill -9 "$pid" 2>/dev/null
        fi
    done
done
exit $status
"""


@contextmanager
def script_changes(
    environment: DeclaredEnvironment, recipe: ScriptRecipe, files: Mapping[str, bytes], material: Material
) -> Iterator[Sequence[ImageLayer]]:
    """Run an environment's script and lend the layers of what it changed; ``files`` are its attachments by sha256.

    Raises DocumentError when the script fails, takes too long or leaves processes, ArtifactError for inputs that
    cannot be had, ToolError when buildah fails.
    """
    inputs = {name: Digest.from_hex(file.sha256) for name, file in recipe.inputs.items()}
    wanted = [Artifact(name, file.url, inputs[name]) for name, file in recipe.inputs.items()]
    fetch_artifacts(wanted, material.store, material.sources, material.progress)
    with material.store.work() as work:
        volumes = _volumes(work, files[environment.attached["script"].sha256], inputs, material)
        buildah = material.buildah()
        with buildah.container(import_base(material.base, material.store, buildah)) as container:
            material.progress.step(f"running {environment.attached['script'].name} of {environment.name}")
            argv = ("/bin/bash", _RUNNER, str(recipe.timeout), *recipe.arguments)
            try:
                done = buildah.run(
                    container, argv, check=False, timeout=recipe.timeout + _SLACK, volumes=volumes,
                    env=_variables(environment), user="0:0", workdir="/", network="host" if recipe.network else "none",
                )  # fmt: skip
            except process.OutOfTimeError:
                raise _out_of_time(environment, recipe) from None
            _judge(environment, recipe, done, work / "told" / "left")
            layout = commit(buildah, container, work)
        yield changed_layers(layout, material, origin_of(environment))


def _volumes(work: Path, script: bytes, inputs: Mapping[str, Digest], material: Material) -> list[Volume]:
    (work / "script").write_bytes(script)
    (work / "runner").write_text(_RUN)
    (work / "told").mkdir()
    found = [Volume(work / "script", _SCRIPT), Volume(work / "runner", _RUNNER), Volume(work / "told", _TOLD, "rw")]
    found += [Volume(material.store.blobs.path(digest), f"{INPUTS}/{name}") for name, digest in sorted(inputs.items())]
    return found


def _variables(environment: DeclaredEnvironment) -> Mapping[str, str]:
    """All that a script finds set: nothing of this machine is among it."""
    return {
        "PREFIX": environment.prefix, "PEEL_INPUTS": INPUTS, "HOME": "/tmp/home", "TMPDIR": "/tmp",  # noqa: S108
        "LC_ALL": "C.UTF-8", "TZ": "UTC", "SOURCE_DATE_EPOCH": str(MTIME_CONSTANT), "PYTHONHASHSEED": "0",
        "PYTHONDONTWRITEBYTECODE": "1", _MARK: Digest.of(environment.prefix.encode()).hex[:16],
    }  # fmt: skip


def _out_of_time(environment: DeclaredEnvironment, recipe: ScriptRecipe) -> DocumentError:
    return DocumentError(
        f"{_script(environment)} did not end within {recipe.timeout} s, and was ended",
        hint="does it wait for something? if it only takes long, raise timeout in payload.yaml",
    )


def _judge(environment: DeclaredEnvironment, recipe: ScriptRecipe, done: process.Completed, left: Path) -> None:
    if done.status == _OUT_OF_TIME:
        raise _out_of_time(environment, recipe)
    if done.status != 0:
        said = (done.stderr + done.stdout).decode("utf-8", "replace").strip().splitlines()[-_LAST_LINES:]
        lines = "\n".join(f"  {line}" for line in said)
        raise DocumentError(
            f"{_script(environment)} failed with status {done.status}:\n{lines}".rstrip(), hint=_hint(recipe)
        )
    try:
        names = sorted(set(left.read_text(errors="replace").split())) if left.exists() else []
    except OSError as error:
        raise ToolError(f"cannot read what the script left: {error.strerror}") from None
    if names:
        raise DocumentError(
            f"{_script(environment)} left processes running, which were ended: {', '.join(names)}",
            hint="a script that installs has to wait for what it starts",
        )


def _hint(recipe: ScriptRecipe) -> str:
    unknown = "it has no input to read from: what it asks for belongs into arguments"
    return unknown if recipe.network else f"{unknown}; and it has no network unless payload.yaml says network: true"


def _script(environment: DeclaredEnvironment) -> str:
    return f"{origin_of(environment)}/{environment.attached['script'].name}"
