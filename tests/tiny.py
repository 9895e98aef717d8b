"""A catalogue, a channel and a base so small that locking takes no longer than its tools do."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from channels import index, make_package
from peel.model.lockset import Record, RecordedImage
from peel.model.progress import Silent
from peel.model.values import ImageRef
from peel.store.catalogue import Catalogue
from peel.store.store import Store
from peel.tools.conda_lock import CondaLock, Request
from peel.tools.micromamba import Solver, find_solver
from peel.workflow.lock import Locked, LockOptions, lock_image
from small_images import write_layout

REF = ImageRef("lab", "r1_0_0")
GLIBC = b"GNU C Library (GNU libc) stable release version 2.34.\n"
EMBEDDED = Path(sys.executable).parent / "peel-micromamba"


class ChannelLock:
    """In place of conda-lock: takes the only version of everything that is asked for, and what it depends on."""

    solver = Solver(Path("none"), "micromamba", "2.0.0")

    def __init__(self, channel: Path, *, hashes: Sequence[str] = ("md5", "sha256")) -> None:
        self.channel, self.hashes, self.secrets = channel, hashes, dict[str, str]()

    def version(self) -> str:
        return "4.0.0"

    def lock(self, request: Request, directory: Path) -> bytes:  # noqa: ARG002 - as CondaLock has it
        found = {record["name"]: record for record in self.records()}
        wanted, taken = [spec.split()[0] for spec in request.environment.dependencies], dict[str, Any]()
        while wanted:
            name = wanted.pop()
            taken[name] = found[name]
            wanted += [spec.split()[0] for spec in found[name].get("depends", ()) if spec.split()[0] not in taken]
        return yaml.safe_dump({"version": 1, "package": [self.package(taken[name]) for name in sorted(taken)]}).encode()

    def records(self) -> list[dict[str, Any]]:
        return [
            {**record, "url": (path.parent / name).as_uri()}
            for path in sorted(self.channel.glob("*/repodata.json"))
            for kind in ("packages", "packages.conda")
            for name, record in json.loads(path.read_text())[kind].items()
        ]

    def package(self, record: Mapping[str, Any]) -> dict[str, Any]:
        return {
            "name": record["name"], "version": record["version"], "manager": "conda", "platform": "linux-64",
            "url": record["url"], "hash": {name: record[name] for name in self.hashes},
            "dependencies": dict.fromkeys((spec.split()[0] for spec in record.get("depends", ())), ""),
        }  # fmt: skip


@dataclass
class Tiny:
    """A catalogue with the image ``lab``, whose base is in the store already."""

    root: Path
    store: Store = field(init=False)
    base: str = field(init=False)

    def __post_init__(self) -> None:
        self.store = Store(self.root / "store")
        layout = self.root / "base"
        layout.mkdir()
        digest = write_layout(layout, "9", {"lib64/libc.so.6": (GLIBC, 0o755)})
        for blob in layout.glob("blobs/sha256/*"):
            self.store.blobs.put_bytes(blob.read_bytes())
        self.base = f"docker.io/library/tiny@{digest}"
        make_package(self.channel, "python", "3.13.1", files={"bin/python": "tiny", "lib/python3.13/os.py": ""})
        make_package(self.channel, "jupyterlab", "4.6.0", depends=["python"], files={"share/lab": "lab"})
        make_package(self.channel, "ipykernel", "7.0", depends=["python"], files={"share/kernel": "kernel"})
        self.declare_lab("jupyterlab")
        self.declare_image()

    @property
    def channel(self) -> Path:
        return self.root / "channel"

    @property
    def catalogue(self) -> Catalogue:
        return Catalogue(self.root)

    @property
    def lock_set(self) -> Path:
        return self.catalogue.lock_directory(REF)

    def write(self, place: str, document: Any) -> None:
        path = self.root / "envs" / place
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(yaml.safe_dump(document))

    def declare_image(self, **more: Any) -> None:
        self.write("lab.yaml", {"schema": 1, "base": self.base, **more})

    def declare_lab(self, *dependencies: str, channels: Sequence[str] = ()) -> None:
        spec = {"channels": list(channels) or [index(self.channel)], "dependencies": list(dependencies)}
        self.write("lab/environment.yml", spec)

    def declare_payload(self, name: str, *dependencies: str, **more: Any) -> None:
        kernel = {"name": name, "display_name": name.title()}
        self.write(f"{name}/payload.yaml", {"schema": 1, "kind": "conda", "kernel": kernel, **more})
        spec = {"channels": [index(self.channel)], "dependencies": list(dependencies)}
        self.write(f"{name}/environment.yml", spec)

    def add(self, name: str, version: str = "1.0", **more: Any) -> Path:
        made = make_package(self.channel, name, version, **more)
        index(self.channel)
        return made

    def lock(self, conda_lock: Any = None, *, ref: ImageRef = REF, **options: Any) -> Locked:
        """Lock with conda-lock and peel's own solver, or with what is given in their place."""
        tool = conda_lock or CondaLock(find_solver(EMBEDDED), {})
        return lock_image(
            ref, catalogue=self.catalogue, store=self.store, conda_lock=tool,
            options=LockOptions(**options), progress=Silent(),
        )  # fmt: skip

    def lock_simply(self, **more: Any) -> Locked:
        """Lock without a solver."""
        index(self.channel)
        return self.lock(ChannelLock(self.channel, **more))

    def files(self) -> dict[str, bytes]:
        return {path.name: path.read_bytes() for path in self.lock_set.iterdir()}

    def versions(self, environment: str = "lab") -> dict[str, str]:
        return {package.name: package.version for package in self.catalogue.conda_lock(REF, environment)}

    def record(self) -> None:
        """Let the lock set count as built."""
        digest = f"sha256:{'a' * 64}"
        built = RecordedImage(manifest=digest, config=digest, plan=digest, layers=())
        self.catalogue.write_record(REF, Record(schema=1, platforms={"linux-64": built}))
