"""Patch layers: what is brought, what is left alone, what is taken away; and that their bytes are a promise."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import zstandard

from archives import Item, conda, wheel
from compiling import workshop_without_images
from locksets import FORMATS, REF
from peel.errors import ArtifactError, DocumentError
from peel.layers.compress import compression_here
from peel.model.entry import Entry, Kind, file_of_bytes
from peel.model.locked import EnvironmentPatch, Package
from peel.model.lockset import LockedCompression, PatchedEnvironment
from peel.model.oci import BaseImage, Config, ImageSettings
from peel.model.plan import BasePin, Interpreter, PatchedPrefix, PatchLayer, Plan, find_interpreter, layer_key
from peel.model.values import Digest, Platform, PythonVersion
from peel.store.store import Store

PREFIX, ROOT = "/opt/env", "opt/env"
PYTHON = PythonVersion(3, 13)
SITE = PYTHON.site_packages
HERE = compression_here("zstd", 3)
COMPRESSION = LockedCompression(codec="zstd", library=HERE.library, level=3, mode=HERE.mode)
BASE = BaseImage(b"", Config("amd64"), ())


class Bench:
    """A store, the archives that were put into it, and the layer that they make."""

    def __init__(self, root: Path) -> None:
        self.root, self.store, self.made = root, Store(root / "store"), 0

    def conda(self, name: str, items: Sequence[Item], *, omit: Sequence[str] = (), **more: Any) -> Package:
        self.made += 1
        archive = conda(self.root / str(self.made) / f"{name}-1.0-0.conda", items, **more)
        return self.package(archive, "conda", name, omit)

    def wheel(self, name: str, files: Mapping[str, bytes], *, omit: Sequence[str] = ()) -> Package:
        return self.package(wheel(self.root / f"{name}-1.0-py3-none-any.whl", files), "pip", name, omit)

    def package(self, archive: Path, manager: Any, name: str, omit: Sequence[str]) -> Package:
        data = archive.read_bytes()
        return Package(
            manager=manager, name=name, version="1.0", file_name=archive.name, url="https://gone.invalid/",
            digest=self.store.blobs.put_bytes(data), size=len(data), depends=(), omit=tuple(omit),
        )  # fmt: skip

    @property
    def python(self) -> Package:
        """A Python that is good enough for what compiles here."""
        program = Item("bin/python", b"python", mode=0o755)
        made = conda(self.root / "python" / "python-3.13.1-0.conda", [program], index={"version": "3.13.1"})
        found = self.package(made, "conda", "python", ())
        return Package(**{**{n: getattr(found, n) for n in Package.__slots__}, "version": "3.13.1"})

    def step(self, *entries: Entry, **change: Any) -> PatchLayer:
        """The layer of a patch of one environment."""
        made = patch_of(**change)
        interpreter: Interpreter | None = find_interpreter(made.packages)
        return PatchLayer(
            "fix", FORMATS, COMPRESSION, (PatchedPrefix(made, PREFIX, PYTHON, interpreter),), tuple(entries)
        )

    def tar(self, step: PatchLayer) -> dict[str, tarfile.TarInfo]:
        """What the layer holds, by path."""
        with tarfile.open(fileobj=io.BytesIO(self.raw(step))) as tar:
            return {member.name: member for member in tar}

    def raw(self, step: PatchLayer) -> bytes:
        """The layer, uncompressed."""
        plan = planned(step)
        workshop_without_images(self.store).make(plan, [step], BASE)
        found = self.store.layer(layer_key(step, plan))
        assert found is not None
        packed = self.store.blobs.path(found.blob.digest).read_bytes()
        raw = zstandard.ZstdDecompressor().decompressobj().decompress(packed)
        assert Digest.of(raw) == found.diff_id
        return raw


def patch_of(**change: Any) -> EnvironmentPatch:
    fields: dict[str, Any] = {
        "environment": "env", "removed": (), "added": (), "python": "3.13", "gone": (), "kept": (), "restored": (),
    }  # fmt: skip
    fields |= change
    fields.setdefault("packages", (*fields["added"], *(package for package, _ in fields["restored"])))
    return EnvironmentPatch(**fields)


def planned(step: PatchLayer) -> Plan:
    base = BasePin("docker.io/library/base:9", Digest.of(b"base"))
    return Plan(REF, Platform("linux-64"), 0, FORMATS, COMPRESSION, base, (step,), ImageSettings(), ())


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def files(held: Mapping[str, tarfile.TarInfo]) -> list[str]:
    """The paths of all that is no directory, relative to the prefix."""
    return sorted(name.removeprefix(f"{ROOT}/") for name, member in held.items() if not member.isdir())


def test_the_bytes_of_a_patch_layer_are_a_promise_across_releases(bench: Bench) -> None:
    # A change here makes every patched image another one: raise the number of a format on purpose.
    added = bench.conda(
        "tool", [Item("bin/tool", b"new", mode=0o755), Item("share/same", b""), Item(f"{SITE}/t.py", b"1")]
    )
    stays = bench.conda("stays", [Item("share/theirs", b"back"), Item("share/own", b"")])
    notice = file_of_bytes("etc/notice", b"patched\n")
    step = bench.step(
        notice, added=(added,), gone=("share/old",), kept=("share/same",), restored=((stays, ("share/theirs",)),),
        packages=(bench.python, stays, added),
    )  # fmt: skip
    diff_id = "sha256:cf6d13d7ede46ab673e315ea11073c3aa19b657771feb4f11747543a4acc671d"
    assert str(Digest.of(bench.raw(step))) == diff_id


def test_a_layer_brings_added_packages_with_their_bytecode_and_nothing_of_the_others(bench: Bench) -> None:
    added = bench.conda("tool", [Item(f"{SITE}/tool.py", b"new")])
    stays = bench.conda("stays", [Item("share/own", b"")])
    held = bench.tar(bench.step(added=(added,), packages=(bench.python, stays, added)))
    assert files(held) == [
        "conda-meta/tool-1.0-0.json", f"{SITE}/__pycache__/tool.cpython-313.pyc", f"{SITE}/tool.py",
    ]  # fmt: skip


def test_directories_of_a_layer_may_be_entered_by_all(bench: Bench) -> None:
    held = bench.tar(bench.step(added=(bench.conda("tool", [Item("share/deep/file", b"")]),)))
    assert {member.mode for member in held.values() if member.isdir()} == {0o755}


def test_kept_files_and_all_beneath_kept_directories_stay_out_and_so_does_their_bytecode(bench: Bench) -> None:
    items = [Item(f"{SITE}/tool/{name}.py", b"") for name in ("new", "same")]
    added = bench.conda(
        "tool", [*items, Item("share/doc/a", b""), Item("share/doc/deep/b", b""), Item("share/docs", b"")]
    )
    kept = (f"{SITE}/tool/same.py", "share/doc")
    held = bench.tar(bench.step(added=(added,), kept=kept, packages=(bench.python, added)))
    assert files(held) == [
        "conda-meta/tool-1.0-0.json", f"{SITE}/tool/__pycache__/new.cpython-313.pyc", f"{SITE}/tool/new.py",
        "share/docs",
    ]  # fmt: skip


def test_a_record_tells_of_kept_files_too(bench: Bench) -> None:
    added = bench.conda("tool", [Item("share/same", b""), Item("share/new", b"")])
    raw = bench.raw(bench.step(added=(added,), kept=("share/same",)))
    assert b'"files":["share/new","share/same"]' in raw


def test_a_package_that_stays_brings_what_is_restored_and_its_record(bench: Bench) -> None:
    stays = bench.conda("stays", [Item(f"{SITE}/shared.py", b"mine"), Item("share/own", b"")], omit=["share/lost"])
    step = bench.step(restored=((stays, (f"{SITE}/shared.py",)),), packages=(bench.python, stays))
    assert files(bench.tar(step)) == [
        "conda-meta/stays-1.0-0.json", f"{SITE}/__pycache__/shared.cpython-313.pyc", f"{SITE}/shared.py",
    ]  # fmt: skip


def test_a_wheel_that_stays_has_its_record_written_anew(bench: Bench) -> None:
    stays = bench.wheel("stays", {"stays.py": b"", "shared.txt": b""}, omit=[f"{SITE}/shared.txt"])
    held = bench.tar(bench.step(restored=((stays, ()),), packages=(stays,)))
    assert files(held) == [f"{SITE}/stays-1.0.dist-info/RECORD"]


def test_what_is_gone_is_whited_out_by_name(bench: Bench) -> None:
    held = bench.tar(bench.step(gone=("share/old", "lib/dir")))
    assert files(held) == ["lib/.wh.dir", "share/.wh.old"]
    assert {member.size for member in held.values()} == {0}


def test_a_source_that_does_not_compile_takes_the_old_bytecode_away(bench: Bench) -> None:
    added = bench.conda("tool", [Item(f"{SITE}/bad.py", b"def (")])
    held = bench.tar(bench.step(added=(added,), packages=(bench.python, added)))
    assert f"{SITE}/__pycache__/.wh.bad.cpython-313.pyc" in files(held)


def test_of_a_hard_linked_file_another_name_holds_the_bytes_when_the_first_is_kept(bench: Bench) -> None:
    links = [Item(f"bin/{name}", type=tarfile.LNKTYPE, target="bin/a") for name in "bc"]
    listed = [Item(f"bin/{name}", b"program") for name in "abc"]
    added = bench.conda("tool", [Item("bin/a", b"program"), *links], listed=listed)
    held = bench.tar(bench.step(added=(added,), kept=("bin/a",)))
    assert held[f"{ROOT}/bin/b"].isreg()
    assert held[f"{ROOT}/bin/b"].size == len(b"program")
    assert held[f"{ROOT}/bin/c"].linkname == f"{ROOT}/bin/b"


def test_files_of_the_patch_lie_beside_the_packages(bench: Bench) -> None:
    entries = [file_of_bytes("etc/motd", b"hello", mode=0o600), Entry("usr/local/old", Kind.WHITEOUT)]
    held = bench.tar(bench.step(*entries))
    assert held["etc/motd"].mode == 0o600
    assert "usr/local/.wh.old" in held


def test_a_path_that_is_written_and_beneath_what_is_gone_is_refused_by_name(bench: Bench) -> None:
    added = bench.conda("tool", [Item("share/dir/new", b"")])
    with pytest.raises(
        ArtifactError, match=r"'opt/env/share/dir/new' lies beneath 'opt/env/share/dir', which is a whi"
    ):
        bench.raw(bench.step(added=(added,), gone=("share/dir",)))
    with pytest.raises(ArtifactError, match="'opt/env/share/dir/new' twice"):
        bench.raw(bench.step(added=(added,), gone=("share/dir/new",)))


def test_a_file_of_the_patch_that_a_package_also_brings_is_refused_by_name(bench: Bench) -> None:
    added = bench.conda("tool", [Item("share/new", b"")])
    with pytest.raises(ArtifactError, match="'opt/env/share/new' twice"):
        bench.raw(bench.step(file_of_bytes(f"{ROOT}/share/new", b""), added=(added,)))


@pytest.mark.parametrize("path", ["../../etc/passwd", "/etc/passwd", "a//b", "a/.", "", "a/.wh.b"])
@pytest.mark.parametrize("key", ["gone", "kept"])
def test_a_path_that_leads_elsewhere_is_refused_where_it_stands(path: str, key: str) -> None:
    with pytest.raises(ValueError, match="should be a plain path"):
        PatchedEnvironment(removed=(), added=(), python=None, **{key: (path,)})  # type: ignore[arg-type]


def test_a_path_that_leads_elsewhere_is_refused_when_a_layer_is_made(bench: Bench) -> None:
    with pytest.raises(ArtifactError, match=r"not a plain relative path: 'opt/env/\.\./\.\./etc/passwd'"):
        bench.raw(bench.step(gone=("../../etc/passwd",)))


def test_a_wheel_without_a_python_is_refused(bench: Bench) -> None:
    step = bench.step(added=(bench.wheel("tool", {"tool.py": b""}),), python=None)
    bare = PatchLayer("fix", FORMATS, COMPRESSION, (PatchedPrefix(step.prefixes[0].change, PREFIX, None, None),), ())
    with pytest.raises(DocumentError, match="its environment has no python"):
        bench.raw(bare)


def test_nothing_is_compiled_without_an_interpreter(bench: Bench) -> None:
    added = bench.conda("tool", [Item(f"{SITE}/tool.py", b"new")])
    assert files(bench.tar(bench.step(added=(added,)))) == ["conda-meta/tool-1.0-0.json", f"{SITE}/tool.py"]
