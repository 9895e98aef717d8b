"""One environment of a few packages, locked without a solver, to be relocked with the real ones."""

from __future__ import annotations

import functools
import hashlib
import http.server
import json
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement

from archives import wheel
from channels import index, make_package, repodata_record
from peel.model.conda_record import lock_dependencies
from peel.model.declared import DeclaredEnvironment
from peel.model.patch import PackageChange, changes_for
from peel.model.patch_document import DeclaredPatch, PatchDeclaration
from peel.model.progress import Silent
from peel.store.archives import Archive
from peel.store.documents import to_yaml
from peel.store.store import Store
from peel.tools.conda_lock import CondaLock
from peel.tools.micromamba import Solver
from peel.workflow.fetching import Sources
from peel.workflow.relock import Relocked, Wish, relock


class Told(Silent):
    """Progress that remembers."""

    def __init__(self) -> None:
        self.steps, self.warnings = list[str](), list[str]()

    def step(self, text: str) -> None:
        self.steps.append(text)

    def warn(self, text: str) -> None:
        self.warnings.append(text)


def patch(name: str = "2026-11-fix", **asked: Any) -> DeclaredPatch:
    """A patch as if it had been read."""
    declaration = PatchDeclaration.model_validate({"schema": 1, "reason": "a test", **asked})
    return DeclaredPatch(name, declaration, "0" * 64)


@dataclass
class Bench:
    """A channel, a store, an environment that is locked; ``platform`` is what it is locked for."""

    root: Path
    solver: Solver
    dependencies: tuple[str, ...] = ()
    pip: tuple[str, ...] = ()
    pip_repositories: tuple[str, ...] = ()
    channels: tuple[str, ...] = ()
    secrets: dict[str, str] = field(default_factory=dict)
    locked: list[dict[str, Any]] = field(default_factory=list)
    told: Told = field(default_factory=Told)
    archives: tuple[Archive, ...] = ()
    platform: str = "linux-64"
    network: bool = True

    def __post_init__(self) -> None:
        self.store = Store(self.root / "store")

    @property
    def channel(self) -> Path:
        return self.root / "channel"

    def make(self, name: str, version: str = "1.0", *depends: str, **more: Any) -> Path:
        """An archive in the channel."""
        number = more.get("build_number", 0)
        build = more.pop("build", f"h0_{number}")
        return make_package(self.channel, name, version, depends=depends, build=build, **more)

    def lock_wheel(self, name: str, version: str = "1.0", *requires: str) -> Path:
        """A wheel in the index that is locked, and in the store."""
        return self.add_wheel(self.make_wheel(name, version, *requires), *requires)

    def add_wheel(self, wheel: Path, *requires: str) -> Path:
        """A wheel that was made, locked now, and in the store."""
        self.locked.append(wheel_entry(wheel, requires, self.platform))
        self.store.blobs.put_bytes(wheel.read_bytes())
        return wheel

    def make_wheel(self, name: str, version: str, *requires: str, python: str = "", tag: str = "py3-none-any") -> Path:
        """A wheel in the index."""
        folder = self.root / "simple" / name
        folder.mkdir(parents=True, exist_ok=True)
        lines = [*(f"Requires-Dist: {each}" for each in requires), *([f"Requires-Python: {python}"] if python else [])]
        metadata = "\n".join(["Metadata-Version: 2.1", f"Name: {name}", f"Version: {version}", *lines, ""])
        about = f"{name}-{version}.dist-info"
        files = {f"{name}/__init__.py": b"", f"{about}/METADATA": metadata.encode()}
        return wheel(folder / f"{name}-{version}-{tag}.whl", files)

    def lock(self, name: str, version: str = "1.0", *depends: str, stored: bool = True, **more: Any) -> Path:
        """An archive in the channel that is locked, and in the store unless it is not ``stored``."""
        archive = self.make(name, version, *depends, **more)
        self.locked.append(entry_of(archive, self.platform))
        if stored:
            self.store.blobs.put_bytes(archive.read_bytes())
        return archive

    @property
    def environment(self) -> DeclaredEnvironment:
        return DeclaredEnvironment(
            name="lab", role="payload", prefix="/opt/peel/envs/lab", dependencies=self.dependencies, pip=self.pip,
            channels=self.channels or (index(self.channel, subdirs=(self.platform, "noarch")),),
            pip_repositories=self.pip_repositories, allow_pypi_requests=False,
        )  # fmt: skip

    def change(self, asked: DeclaredPatch) -> PackageChange:
        there = {m: [e["name"] for e in self.locked if e["manager"] == m] for m in ("conda", "pip")}
        return changes_for(asked, {"lab": there})["lab"]

    def relock(
        self, asked: DeclaredPatch | None = None, *, held: PackageChange | None = None, **patched: Any
    ) -> Relocked:
        wish = Wish(
            self.environment, self.platform, "2.34", self.locked, self.change(asked or patch(**patched)),
            held or PackageChange(),
        )  # fmt: skip
        return relock(
            wish, store=self.store, conda_lock=CondaLock(self.solver, self.secrets), progress=self.told,
            sources=Sources(self.secrets, self.archives, self.network),
        )  # fmt: skip

    def archive(self, *paths: Path, documents: Mapping[str, bytes] | None = None) -> None:
        """Keep these packages in an archive, and lock-set documents by their title."""
        self.archives = (*self.archives, write_archive(self.root / f"archive-{len(self.archives)}", paths, documents))


def entry_of(archive: Path, platform: str) -> dict[str, Any]:
    """What conda-lock writes of a package."""
    record = repodata_record(archive)
    return {
        "name": record["name"], "version": record["version"], "manager": "conda", "platform": platform,
        "dependencies": lock_dependencies(record["depends"]), "url": archive.as_uri(),
        "hash": {"md5": record["md5"], "sha256": record["sha256"]}, "category": "main", "optional": False,
    }  # fmt: skip


def wheel_entry(wheel: Path, requires: Sequence[str], platform: str) -> dict[str, Any]:
    """What conda-lock writes of a wheel."""
    name, version, *_ = wheel.name.split("-")
    needs = {Requirement(text).name: str(Requirement(text).specifier) or "*" for text in requires}
    return {
        "name": name, "version": version, "manager": "pip", "platform": platform, "dependencies": needs,
        "url": f"https://wheels.example/{wheel.name}",
        "hash": {"sha256": hashlib.sha256(wheel.read_bytes()).hexdigest()}, "category": "main", "optional": False,
    }  # fmt: skip


def versions(relocked: Relocked) -> dict[str, str]:
    return {entry["name"]: entry["version"] for entry in relocked.entries}


def moves(relocked: Relocked) -> list[tuple[str, str, str]]:
    """Kind, name and reason of every move."""
    return [(move.kind, move.name, move.reason) for move in relocked.moves]


def write_archive(root: Path, packages: Sequence[Path], documents: Mapping[str, bytes] | None = None) -> Archive:
    """An archive of peel's: an OCI layout with one manifest."""
    kinds = "application/vnd.peel-images.{}.v1"
    blobs = root / "blobs" / "sha256"
    blobs.mkdir(parents=True)

    def blob(data: bytes, media_type: str, **annotations: str) -> dict[str, Any]:
        digest = hashlib.sha256(data).hexdigest()
        (blobs / digest).write_bytes(data)
        descriptor: dict[str, Any] = {"mediaType": media_type, "digest": f"sha256:{digest}", "size": len(data)}
        if annotations:
            key, value = annotations.popitem()
            descriptor["annotations"] = {f"org.opencontainers.image.{key.replace('_', '.')}": value}
        return descriptor

    layers = [blob(path.read_bytes(), kinds.format("conda-package"), title=path.name) for path in packages]
    layers += [blob(data, kinds.format("lock-set"), title=title) for title, data in (documents or {}).items()]
    manifest = {
        "schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "artifactType": kinds.format("archive"), "config": blob(b"{}", "application/vnd.oci.empty.v1+json"),
        "layers": layers, "annotations": {"org.opencontainers.image.title": "lab",
                                          "org.opencontainers.image.version": "r1"},
    }  # fmt: skip
    named = blob(json.dumps(manifest).encode(), manifest["mediaType"], ref_name="lab-r1")
    (root / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": [named]}))
    (root / "oci-layout").write_text('{"imageLayoutVersion": "1.0.0"}')
    return Archive(str(root), root)


def to_lock(entries: Sequence[Mapping[str, Any]]) -> bytes:
    """A conda-lock file of these entries."""
    return to_yaml({"version": 1, "metadata": {"content_hash": {}, "platforms": []}, "package": list(entries)})


@contextmanager
def serving(directory: Path, *, token: str = "") -> Iterator[str]:
    """A web server on loopback over a directory; its base URL. With a ``token``, only paths beneath ``/t/TOKEN``."""

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
            """Say nothing."""

        def translate_path(self, path: str) -> str:
            if token and not path.startswith(f"/t/{token}/"):
                return "/nowhere"
            return super().translate_path(path.removeprefix(f"/t/{token}") if token else path)

    handler = functools.partial(Quiet, directory=str(directory))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()
