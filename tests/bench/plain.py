"""The plain way to the same image: py-rattler into a mounted container, compileall, commit, copy to a layout."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from measuring import call

from peel.model.plan import EnvironmentLayer, Plan
from peel.store.store import Store
from peel.tools import buildah as buildah_tool
from peel.tools import isolation
from peel.tools.buildah import Buildah

CHILD = Path(__file__).with_name("rattler_child.py")


@dataclass(frozen=True, slots=True)
class PlainWay:
    """Builds a plan's environments in ``work``; archives come from ``store``, the base from the layout ``base``."""

    plan: Plan
    store: Store
    base: Path
    work: Path
    compression: tuple[str, ...] = ()

    def clear(self) -> None:
        """Leave nothing: no container, no mount, no file."""
        if (self.work / "containers").exists():
            storage = self._buildah().storage
            call(["buildah", *storage.argv, "rm", "--all"])
            # buildah mounts its directory onto itself, and now and then leaves it so
            subprocess.run(["umount", "--lazy", f"{storage.root}/overlay"], stderr=subprocess.DEVNULL, check=False)
        shutil.rmtree(self.work, ignore_errors=True)

    def prepare(self) -> None:
        """An empty place, archives under the names that they are installed by, and an isolation that works."""
        self.clear()
        self.work.mkdir(parents=True)
        for name, steps in self._environments().items():
            archives = self.work / "archives" / name
            archives.mkdir(parents=True)
            for package in {p.file_name: p for step in steps for p in step.packages}.values():
                (archives / package.file_name).hardlink_to(self.store.blobs.path(package.digest))
        self._buildah()

    def run(self) -> None:
        """All of it, from the base to the layout."""
        buildah = self._buildah()
        storage = buildah.storage
        with buildah.container(
            buildah_tool.import_layout(storage, self.base, None, "localhost/peel:base")
        ) as container:
            root = Path(call(["buildah", *storage.argv, "mount", container]).decode().strip())
            for name, steps in self._environments().items():
                self._install(name, steps[0], root)
            call(["buildah", *storage.argv, "umount", container])
            for steps in self._environments().values():
                _compile(buildah, container, steps[0])
            call(["buildah", *storage.argv, "commit", "--format", "oci", container, "localhost/plain:1"])
        call(
            ["skopeo", "copy", *self.compression, storage.reference("localhost/plain:1"), "oci:layout:1"], cwd=self.work
        )

    def _environments(self) -> dict[str, list[EnvironmentLayer]]:
        found: dict[str, list[EnvironmentLayer]] = {}
        for step in self.plan.layers:
            if isinstance(step, EnvironmentLayer):
                found.setdefault(step.environment, []).append(step)
        return found

    def _buildah(self) -> Buildah:
        storage = buildah_tool.open_storage(self.work / "containers")
        return Buildah(storage, isolation.probe(storage, self.work / "isolation.json").chosen())

    def _install(self, name: str, step: EnvironmentLayer, root: Path) -> None:
        asked = {
            "archives": str(self.work / "archives" / name),
            "target": str(root / step.prefix.lstrip("/")),
            "prefix": step.prefix,
            "cache": str(self.work / "cache"),
            "python": str(step.interpreter.version) if step.interpreter else None,
        }
        call([sys.executable, CHILD, json.dumps(asked)])


def _compile(buildah: Buildah, container: str, step: EnvironmentLayer) -> None:
    if step.interpreter is None:
        return
    argv = [
        f"{step.prefix}/bin/python", "-s", "-m", "compileall", "-q", "-f", "-j0",
        "--invalidation-mode", "unchecked-hash", f"{step.prefix}/lib/python{step.interpreter.version}",
    ]  # fmt: skip
    buildah.run(container, argv, check=False, user="0:0", workdir="/")  # 1 where a source does not compile
