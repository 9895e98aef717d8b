"""Layers made without buildah, and the tree that an image's layers make."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import zstandard

from peel.errors import ToolError
from peel.layers.bytecode import Refused, pyc_path
from peel.model.oci import BaseImage
from peel.model.paths import is_covered
from peel.model.plan import Plan
from peel.model.progress import Silent
from peel.model.values import PythonVersion
from peel.store.store import Store
from peel.tools.buildah import Buildah
from peel.workflow.build import Built, build_image
from peel.workflow.fetching import Sources
from peel.workflow.layers import Workshop
from peel.workflow.lock import FORMATS

PYTHON = PythonVersion(3, 13)


class Compiling(Workshop):
    """Compiles without an image: the bytecode of a source holds the source. What is called bad.py does not compile."""

    def _run_compiler(self, prefix: str, base: BaseImage, work: Path) -> Sequence[Refused]:  # noqa: ARG002
        paths = [line.split("\t")[1] for line in (work / "sources").read_text().splitlines()]
        assert (work / "stage" / "bin/python").is_file(), "the Python that compiles is staged"
        for path in paths:
            made = work / "bytecode" / pyc_path(path, PYTHON)
            made.parent.mkdir(parents=True, exist_ok=True)
            if not path.endswith("bad.py"):
                made.write_bytes(b"bytecode of " + (work / "stage" / path).read_bytes())
        return [Refused(path, "it is bad") for path in paths if path.endswith("bad.py")]


def workshop_without_images(store: Store) -> Workshop:
    """A workshop in which nothing ever runs, and nothing is fetched."""

    def no_buildah() -> Buildah:
        raise ToolError("nothing has to run")

    return Compiling(store, no_buildah, Sources(network=False), Silent())


def build_without_images(plan: Plan, store: Store) -> Built:
    """Build a plan of which all archives are in the store."""
    make = workshop_without_images(store).make
    return build_image(
        plan, store=store, sources=Sources(network=False), make_layers=make, formats=FORMATS, progress=Silent()
    )


@dataclass(frozen=True, slots=True)
class Leaf:
    """What is at a path: a file's bytes or a link's target, and the mode; a directory has only that it is one."""

    kind: bytes
    mode: int = 0
    data: bytes = b""


def tree_of(built: Built, store: Store) -> dict[str, Leaf]:
    """What the layers that peel made come to, one upon the other (OCI layer.md, "Applying Changesets")."""
    tree: dict[str, Leaf] = {}
    for layer in built.layers:
        packed = store.blobs.path(layer.record.blob.digest).read_bytes()
        with tarfile.open(fileobj=io.BytesIO(zstandard.ZstdDecompressor().decompressobj().decompress(packed))) as tar:
            members = tar.getmembers()
            gone = {m.name.replace("/.wh.", "/") for m in members if "/.wh." in m.name}
            tree = {path: leaf for path, leaf in tree.items() if not is_covered(path, gone)}
            for member in members:
                if "/.wh." in member.name:
                    continue
                if not member.isdir():
                    tree = {path: leaf for path, leaf in tree.items() if not is_covered(path, {member.name})}
                file = tar.extractfile(member) if member.isfile() or member.islnk() else None
                data = file.read() if file else member.linkname.encode()
                kind = tarfile.REGTYPE if member.islnk() else member.type
                tree[member.name] = Leaf(kind) if member.isdir() else Leaf(kind, member.mode, data)
    return tree
