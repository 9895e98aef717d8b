"""Comparing lock sets and images as they lie on disk."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from layers_of import WHITEOUT, conda_meta, dist_info, make_layer
from locksets import COMPRESSION, FORMATS, group, locked, make_declared, make_lock, sha256
from peel.errors import ArtifactError, DocumentError, UsageError
from peel.layers.layer_stream import ImageLayer
from peel.model import oci
from peel.model.condalock import CondaLockPackage
from peel.model.diff import Difference
from peel.model.lockset import (
    LOCK_FILE,
    LockedBase,
    LockedPatch,
    MissingArtifact,
    PatchedEnvironment,
    PatchedFile,
    Record,
    RecordedImage,
    RecordedLayer,
    SupersededPackage,
    environment_lock_file,
)
from peel.model.plan import layer_key, make_plan
from peel.model.progress import Silent
from peel.model.values import Digest, ImageRef, Platform, canonical_json
from peel.store.catalogue import Catalogue
from peel.store.documents import to_yaml
from peel.store.store import LayerRecord, Store
from peel.workflow.diff import Published, diff, parse_places
from peel.workflow.locked_contents import make_thin_plan, open_locked

LINUX = Platform("linux-64")
OLD, NEW = ImageRef("lab", "r1_0_0"), ImageRef("lab", "r1_0_1")
PYTHON = locked("python", "3.13.1")
STATUS = "Package: bash\nVersion: {version}\nArchitecture: amd64\nStatus: install ok installed\n"


class Place:
    """A catalogue and a store, both empty at first."""

    def __init__(self, root: Path) -> None:
        (root / "lockfiles").mkdir(parents=True)
        self.root, self.catalogue, self.store = root, Catalogue(root), Store(root / "store")
        self.images = root / "images"

    def lock(self, ref: ImageRef, *packages: CondaLockPackage, **more: Any) -> None:
        """A lab of Python and these packages, each in a layer of its own."""
        self.write(ref, {"lab": [group(p.name, p) for p in (PYTHON, *packages)]}, {"lab": [PYTHON, *packages]}, **more)

    def write(
        self,
        ref: ImageRef,
        layers: Mapping[str, Sequence[Any]],
        packages: Mapping[str, Sequence[CondaLockPackage]],
        *,
        declared: Any = None,
        files: Mapping[str, bytes] | None = None,
        **more: Any,
    ) -> None:
        lock = make_lock(declared or make_declared(), layers, image=ref.image, tag=ref.tag, **more)
        written = {LOCK_FILE: to_yaml(lock.as_document()), **(files or {})}
        for name, found in packages.items():
            document = {"version": 1, "package": [package.model_dump() for package in found]}
            written[environment_lock_file(name)] = yaml.safe_dump(document).encode()
        self.catalogue.write_lock_set(ref, written)

    def build(self, ref: ImageRef, *, remember: bool = True) -> None:
        """Let it count as built, each layer as large as its key is long; the store may have forgotten them."""
        plan = make_plan(self.catalogue.lock_set(ref), LINUX)
        layers = []
        for step in plan.layers:
            data = str(layer_key(step, plan)).encode()
            blob = oci.describe(oci.LAYER_ZSTD, data)
            layers.append(RecordedLayer(
                diff_id=str(blob.digest), digest=str(blob.digest), size=blob.size, contents=step.contents
            ))  # fmt: skip
            if remember:
                self.store.blobs.put_bytes(data)
                self.store.remember_layer(layer_key(step, plan), LayerRecord(blob, blob.digest))
        digest = str(plan.digest)
        built = RecordedImage(manifest=digest, config=digest, plan=digest, layers=tuple(layers))
        self.catalogue.write_record(ref, Record(schema=1, platforms={"linux-64": built}))

    def base(self, *files: Mapping[str, bytes]) -> dict[str, LockedBase]:
        """A base of these layers, in the store."""
        manifest = self._image(files, oci.ImageSettings(env=(("PATH", "/bin"),)), {})
        for blob in (self.images / "blobs" / "sha256").iterdir():
            self.store.blobs.put_bytes(blob.read_bytes())
        return {"linux-64": LockedBase(digest=str(manifest.digest), glibc="2.34", layers=len(files))}

    def image(
        self, tag: str, *files: Mapping[str, bytes], settings: oci.ImageSettings | None = None, **labels: str
    ) -> Published:
        """An image of these layers in a layout."""
        manifest = self._image(files, settings or oci.ImageSettings(), labels)
        place = self.images / "index.json"
        known = json.loads(place.read_bytes())["manifests"] if place.exists() else []
        entry = {**manifest.as_json(), "annotations": {oci.REF_NAME: tag}}
        place.write_bytes(canonical_json({"schemaVersion": 2, "manifests": [*known, entry]}))
        (self.images / "oci-layout").write_text('{"imageLayoutVersion": "1.0.0"}')
        return Published(f"oci:{self.images}:{tag}")

    def _image(
        self, files: Sequence[Mapping[str, bytes]], settings: oci.ImageSettings, labels: Mapping[str, str]
    ) -> oci.Descriptor:
        blobs = self.images / "blobs" / "sha256"
        blobs.mkdir(parents=True, exist_ok=True)
        layers: list[ImageLayer] = [make_layer(blobs, found) for found in files]
        added = [oci.AddedLayer(layer.blob, layer.blob.digest, f"peel: part {n}") for n, layer in enumerate(layers)]
        labelled = replace(settings, labels=tuple(sorted(labels.items())))
        config = oci.make_config(oci.Config("amd64"), added, labelled, epoch=0)
        manifest = oci.make_manifest(config, [layer.blob for layer in layers], {})
        for data in (config, manifest):
            (blobs / Digest.of(data).hex).write_bytes(data)
        return oci.describe(oci.MANIFEST, manifest)

    def diff(self, a: ImageRef | Published, b: ImageRef | Published, *, store: bool = True) -> Difference:
        found = self.store if store else None
        return diff(a, b, LINUX, catalogue=self.catalogue, store=found, progress=Silent())


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


def changes(found: Difference, environment: str = "lab") -> list[str]:
    (one,) = [e.packages for e in found.environments if e.name == environment]
    return [
        *(f"{c.kind} {c.name} {c.before.text} → {c.after.text}" for c in one.changed),
        *(f"removed {p.name} {p.text}" for p in one.removed), *(f"added {p.name} {p.text}" for p in one.added),
    ]  # fmt: skip


def pulled(found: Difference) -> tuple[int, int, int, int]:
    """Layers shared and new, bytes to pull that are known, and how many sizes are not."""
    assert found.layers is not None
    return found.layers.shared, len(found.layers.new), found.layers.new_bytes, found.layers.new_unknown


def test_packages_of_two_lock_sets_are_compared(place: Place) -> None:
    place.lock(OLD, locked("a"), locked("b"), locked("c"))
    rebuilt = locked("c", url="https://host/channel/linux-64/c-1.0-h7_1.conda")
    place.lock(NEW, locked("a", "2.0"), rebuilt, locked("d"))
    found = place.diff(OLD, NEW)
    assert (found.a, found.b) == ("lab:r1_0_0", "lab:r1_0_1")
    assert changes(found) == [
        "raised a 1.0 0 → 2.0 0", "rebuilt c 1.0 0 → 1.0 h7_1", "removed b 1.0 0", "added d 1.0 0",
    ]  # fmt: skip


def test_wheels_are_known_by_their_file_names(place: Place) -> None:
    def wheel(version: str) -> CondaLockPackage:
        name = f"some_wheel-{version}-py3-none-any.whl"
        return locked("some-wheel", version, manager="pip", url=f"https://host/{name}")

    place.lock(OLD, wheel("1.0"))
    place.lock(NEW, wheel("1.0.post1"))
    assert changes(place.diff(OLD, NEW)) == ["raised some-wheel 1.0 → 1.0.post1"]


def test_a_lock_set_does_not_differ_from_itself(place: Place) -> None:
    place.lock(OLD, locked("a"))
    found = place.diff(OLD, OLD)
    assert not found
    assert pulled(found) == (4, 0, 0, 0)  # base, python, a, glue
    assert found.unknown == (
        "lab:r1_0_0 is not built, so only those of its layers have a known size that the store has",
    )


def test_conda_locks_files_are_not_read(place: Place) -> None:
    place.lock(OLD, locked("a"))
    place.lock(NEW, locked("a", "2.0"))
    for file in place.root.glob("lockfiles/*/*/*.conda-lock.yml"):
        file.unlink()
    assert changes(place.diff(OLD, NEW)) == ["raised a 1.0 0 → 2.0 0"]


def test_two_built_lock_sets_share_blobs_and_the_rest_is_to_be_pulled(place: Place) -> None:
    place.lock(OLD, locked("a"), locked("b"))
    place.lock(NEW, locked("a", "2.0"), locked("b"))
    place.build(OLD)
    place.build(NEW)
    found = place.diff(OLD, NEW, store=False)
    size = len(str(Digest.of(b"")))
    assert pulled(found) == (4, 1, size, 0)
    assert found.layers is not None
    assert found.layers.gone == 1
    assert [layer.contents for layer in found.layers.new] == ["lab: a 2.0"]


@pytest.mark.parametrize("built", [OLD, NEW])
def test_where_one_is_not_built_layers_are_known_by_what_they_are_made_from(built: ImageRef, place: Place) -> None:
    place.lock(OLD, locked("a"), locked("b"))
    place.lock(NEW, locked("a", "2.0"), locked("b"))
    place.build(built, remember=False)
    found = place.diff(OLD, NEW)
    assert pulled(found)[:2] == (4, 1)
    assert found.layers is not None
    assert found.layers.shared_unknown == 1  # the base: what one side knows of the others, the other need not
    assert pulled(found)[2:] == ((0, 1) if built is OLD else (71, 0))
    assert len(found.unknown) == 1


def test_the_store_may_know_the_sizes_of_layers_that_are_not_built(place: Place) -> None:
    place.lock(OLD, locked("a"))
    place.lock(NEW, locked("a", "2.0"))
    place.build(NEW)
    (place.catalogue.lock_directory(NEW) / "record.json").unlink()
    assert pulled(place.diff(OLD, NEW)) == (3, 1, 71, 0)
    assert pulled(place.diff(OLD, NEW, store=False)) == (3, 1, 0, 1)


def patch_of(place: Place, ref: ImageRef) -> None:
    """A lock set with a patch that raises b, and brings and removes files."""
    old, new, data = locked("b"), locked("b", "2.0"), b"patched\n"
    added = group("b", new).packages
    change = PatchedEnvironment(removed=("b",), added=added, python="3.13", gone=("lib/b",))
    patch = LockedPatch(
        name="raise-b", formats=FORMATS, compression=COMPRESSION, environments={"linux-64": {"lab": change}},
        files=(PatchedFile(path="/etc/b.conf", sha256=Digest.of(data).hex, size=len(data), mode=0o644),),
        removed_files=("/etc/old.conf",),
    )  # fmt: skip
    superseded = SupersededPackage(
        name="b", version="1.0", manager="conda", file=old.file_name, url=old.url, sha256=sha256("b", "1.0")
    )
    groups = {"lab": [group(p.name, p) for p in (PYTHON, locked("a"), old)]}
    place.write(
        ref, groups, {"lab": [PYTHON, locked("a"), new]}, patches=(patch,),
        superseded={"linux-64": {"lab": (superseded,)}}, files={f"files/{Digest.of(data).hex}": data},
    )  # fmt: skip


def test_a_patched_lock_set_is_what_it_is_in_the_end_and_keeps_its_layers(place: Place) -> None:
    place.lock(OLD, locked("a"), locked("b"))
    patch_of(place, NEW)
    found = place.diff(OLD, NEW)
    assert changes(found) == ["raised b 1.0 0 → 2.0 0"]
    assert pulled(found)[:2] == (5, 1)
    assert [(file.key, file.after) for file in found.files] == [
        ("/etc/b.conf", f"sha256:{Digest.of(b'patched' + bytes([10])).hex} 0644"), ("/etc/old.conf", "removed"),
    ]  # fmt: skip


def test_the_plan_made_without_conda_locks_files_has_the_keys_of_the_real_one(place: Place) -> None:
    patch_of(place, OLD)
    place.write(
        NEW, {"lab": [group("python", PYTHON)], "calm": [group("x", locked("x"), locked("python", "3.11.2"))]},
        {"lab": [PYTHON], "calm": [locked("x"), locked("python", "3.11.2", depends=["x"])]},
        declared=make_declared("calm"),
    )  # fmt: skip
    for ref in (OLD, NEW):
        thin = make_thin_plan(open_locked(ref, LINUX, place.catalogue, None))
        real = make_plan(place.catalogue.lock_set(ref), LINUX)
        assert [layer_key(s, thin) for s in thin.layers] == [layer_key(s, real) for s in real.layers]
        assert [s.contents for s in thin.layers] == [s.contents for s in real.layers]
        assert thin.settings == real.settings


def test_what_is_declared_of_launching_is_compared(place: Place) -> None:
    place.lock(OLD)
    place.lock(NEW, declared=make_declared(launch={"port": 9999}))
    assert [(s.key, s.before, s.after) for s in place.diff(OLD, NEW).launch] == [("launch.port", "8888", "9999")]


def test_system_packages_of_another_base_are_compared_if_both_are_at_hand(place: Place) -> None:
    common = {"etc/os-release": b"ID=tiny\n"}
    place.lock(OLD, base=place.base(common, {"var/lib/dpkg/status": STATUS.format(version="5.1-1").encode()}))
    place.lock(NEW, base=place.base(common, {"var/lib/dpkg/status": STATUS.format(version="5.2-1").encode()}))
    found = place.diff(OLD, NEW)
    assert found.base is not None
    assert found.system is not None
    assert [(c.name, c.before.text, c.after.text, c.kind) for c in found.system.changed] == [
        ("bash", "5.1-1 amd64", "5.2-1 amd64", "raised")
    ]
    shared, new, _, unknown = pulled(found)
    assert (shared, new, unknown) == (3, 1, 0)  # the base's first layer, python and glue; the base's second


def test_a_base_that_is_not_at_hand_is_never_fetched(place: Place) -> None:
    place.lock(OLD, base=place.base({"var/lib/dpkg/status": STATUS.format(version="5.1-1").encode()}))
    place.lock(NEW)
    found = place.diff(OLD, NEW)
    assert found.system is None
    assert found.base is not None
    assert any(f"sha256:{'b' * 64} is not in the store" in sentence for sentence in found.unknown)
    assert place.diff(NEW, OLD, store=False).system is None


def test_one_base_that_is_not_at_hand_is_shared_all_the_same(place: Place) -> None:
    place.lock(OLD)
    place.lock(NEW)
    found = place.diff(OLD, NEW)
    assert not found
    assert found.system is not None
    assert pulled(found)[:2] == (3, 0)


def test_a_damaged_base_is_refused_by_name(place: Place) -> None:
    status = {"var/lib/dpkg/status": STATUS.format(version="1").encode()}
    place.lock(OLD, base=place.base(status))
    place.lock(NEW, base=(other := place.base({**status, "etc/x": b""})))
    layer = json.loads(place.store.blobs.read(Digest(other["linux-64"].digest)))["layers"][0]["digest"]
    path = place.store.blobs.path(Digest(layer))
    path.chmod(0o644)
    path.write_bytes(b"x" * path.stat().st_size)
    with pytest.raises(ArtifactError, match=rf"layer {layer} of lab:r1_0_1"):
        place.diff(OLD, NEW)


def test_an_incomplete_import_is_compared_by_what_is_known(place: Place) -> None:
    missing = {"linux-64": {"lab": (MissingArtifact(name="lost", version="0.5", build="h1_0"),)}}
    place.write(OLD, {}, {"lab": [PYTHON, locked("a")]}, base={}, missing=missing)
    place.lock(NEW, locked("a", "2.0"))
    found = place.diff(OLD, NEW)
    assert changes(found) == ["raised a 1.0 0 → 2.0 0", "removed lost 0.5 h1_0"]
    assert found.layers is None
    assert "lab:r1_0_0 is an incomplete import, so its layers are not known" in found.unknown


def test_an_imported_image_has_the_packages_of_conda_locks_files_and_the_layers_of_its_base(place: Place) -> None:
    environment = {"name": "conda", "role": "environment", "prefix": "/opt/conda", "channels": [], "dependencies": []}
    declared = make_declared(environments=[environment])
    pinned = place.base({"a": b"1"}, {"b": b"2"})
    place.write(
        OLD, {"conda": []}, {"conda": [PYTHON, locked("a")]}, declared=declared, base=pinned, imported="oci:x",
    )  # fmt: skip
    image = place.image("1", {"a": b"1"}, {"b": b"2"}, conda_meta("/opt/conda", "a", "1.1"))
    found = place.diff(OLD, image)
    assert changes(found, "conda") == ["raised a 1.0 0 → 1.1 0", "removed python 3.13.1 0"]
    assert pulled(found)[:2] == (2, 1)


def test_a_lock_set_and_an_image_are_compared_by_prefix(place: Place) -> None:
    status = {"var/lib/dpkg/status": STATUS.format(version="5.1-1").encode()}
    pinned = place.base(status)
    place.lock(OLD, locked("a"), base=pinned)
    files = {
        **conda_meta("/opt/peel/lab", "python", "3.13.1", sha256=PYTHON.hash.sha256),
        **conda_meta("/opt/peel/lab", "a", "2.0"), **dist_info("/opt/peel/lab", "extra"),
    }  # fmt: skip
    settings = oci.ImageSettings(env=(("PATH", "/bin"),), user="1000:1000")
    image = place.image("1", status, files, settings=settings)
    found = place.diff(OLD, image)
    assert changes(found) == ["raised a 1.0 0 → 2.0 0", "added extra 1.0"]
    assert found.system is not None
    assert not found.system
    assert {s.key: (s.before, s.after) for s in found.launch}["User"] == ("65534:65534", "1000:1000")
    assert "Env PATH" not in {s.key for s in found.launch}
    assert pulled(found)[:2] == (1, 1)


def test_two_images_are_compared_by_what_their_layers_hold(place: Place) -> None:
    lower = {**conda_meta("/opt/conda", "a"), **conda_meta("/opt/conda", "b")}
    one = place.image("1", lower)
    two = place.image("2", lower, {
        **dict.fromkeys(conda_meta("/opt/conda", "a"), WHITEOUT), **conda_meta("/opt/conda", "a", "2.0"),
        **conda_meta("/opt/new", "c"),
    })  # fmt: skip
    found = place.diff(one, two)
    assert found.a == f"oci:{place.images}:1"
    assert changes(found, "/opt/conda") == ["raised a 1.0 0 → 2.0 0"]
    assert changes(found, "/opt/new") == ["added c 1.0 0"]
    assert found.system is None
    shared, new, size, _ = pulled(found)
    assert (shared, new) == (1, 1)
    assert found.layers is not None
    assert size == found.layers.new[0].size
    assert found.layers.new[0].contents == "part 1"
    assert not place.diff(one, one)


def test_what_an_image_says_it_was_built_on_is_compared(place: Place) -> None:
    def image(tag: str, digit: str) -> Published:
        labels = {"org.opencontainers.image.base.name": "docker.io/library/base:9",
                  "org.opencontainers.image.base.digest": f"sha256:{digit * 64}"}  # fmt: skip
        return place.image(tag, {}, **labels)

    found = place.diff(image("1", "a"), image("2", "b"))
    assert found.base is not None
    assert [base.text for base in found.base] == [f"docker.io/library/base:9@sha256:{d * 64}" for d in "ab"]


def test_an_image_with_a_damaged_record_is_refused_with_its_path(place: Place) -> None:
    good, bad = place.image("1", {}), place.image("2", {"opt/conda/conda-meta/a.json": b"{"})
    with pytest.raises(ArtifactError, match=r"oci:.*:2: /opt/conda/conda-meta/a.json is not JSON"):
        place.diff(good, bad)


def test_work_on_an_image_leaves_nothing_in_the_store(place: Place) -> None:
    before = sorted(path for path in place.store.root.rglob("*"))
    place.diff(place.image("1", conda_meta("/x", "a")), place.image("2", conda_meta("/x", "b")))
    assert sorted(path for path in place.store.root.rglob("*")) == before


def test_a_tag_that_is_not_locked_is_told(place: Place) -> None:
    place.lock(OLD)
    with pytest.raises(DocumentError, match=r"lab:r1_0_1 is not locked"):
        place.diff(OLD, NEW)


def test_a_platform_that_is_not_locked_is_told_with_those_that_are(place: Place) -> None:
    place.lock(OLD)
    with pytest.raises(DocumentError, match=r"lab:r1_0_0 is not locked for linux-aarch64") as raised:
        diff(OLD, OLD, Platform("linux-aarch64"), catalogue=place.catalogue, store=None, progress=Silent())
    assert raised.value.hint == "name one with --platform: linux-64"


def test_a_bare_tag_is_another_of_the_first_image() -> None:
    assert parse_places("lab:r1_0_0", "r1_0_1") == (OLD, NEW)
    assert parse_places("lab:r1_0_0", "oci:out") == (OLD, Published("oci:out"))
    assert parse_places("docker://host/x:1", "lab:r1_0_1") == (Published("docker://host/x:1"), NEW)
    with pytest.raises(UsageError, match="'r1_0_1' is a tag of no image"):
        parse_places("oci:out:1", "r1_0_1")
    for bad in ("lab", ":x", "lab:", "Lab:1"):
        with pytest.raises(DocumentError):
            parse_places(bad, "lab:r1_0_1")


def test_comparing_lock_sets_loads_nothing_that_is_slow(place: Place) -> None:
    place.lock(OLD, locked("a"))
    place.lock(NEW, locked("a", "2.0"))
    script = (
        "import sys; from peel.cli import main\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        "sys.stderr.write(' '.join(sys.modules))"
    )
    argv = [sys.executable, "-c", script, "-C", str(place.root), "--store", str(place.store.root), "diff",
            "lab:r1_0_0", "r1_0_1"]  # fmt: skip
    done = subprocess.run(argv, capture_output=True, text=True, check=True)
    loaded = set(done.stderr.split())
    assert "peel.workflow.diff" in loaded
    slow = {"rattler", "httpx", "rich", "sqlite3", "zstandard", "tarfile", "packaging", "asyncio", "peel.tools.process"}
    assert loaded & slow == set()
    assert "1 raised" in done.stdout
