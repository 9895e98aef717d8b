from __future__ import annotations

import gzip
import io
import json
import os
import shutil
import subprocess
import tarfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from peel.errors import ArtifactError, UsageError
from peel.model import oci
from peel.model.oci import AddedLayer, Config, Descriptor, ImageSettings, make_config, make_manifest
from peel.model.values import Digest, ImageRef, Platform
from peel.store.base import import_directory, load_base
from peel.store.blobs import Blobs
from peel.store.layout import export_layout, needed_blobs, read_index, set_reference
from peel.store.store import Store

AMD = Platform("linux-64")
needs_skopeo = pytest.mark.skipif(shutil.which("skopeo") is None, reason="skopeo is not installed")
needs_buildah = pytest.mark.skipif(
    shutil.which("buildah") is None or os.geteuid() != 0, reason="buildah is not installed, or this is not root"
)


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path / "store")


def tar_of(name: str, text: str) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        member = tarfile.TarInfo(name)
        member.size = len(text)
        tar.addfile(member, io.BytesIO(text.encode()))
    return buffer.getvalue()


def make_image(store: Store, *texts: str) -> Descriptor:
    """Put an image with one small layer per text into the store."""
    layers = []
    for text in texts:
        tar = tar_of(f"etc-{text}", text)
        blob = gzip.compress(tar, mtime=0)
        descriptor = Descriptor(oci.LAYER_GZIP, store.blobs.put_bytes(blob), len(blob))
        layers.append(AddedLayer(descriptor, Digest.of(tar), created_by=f"peel: {text}"))
    config = make_config(Config("amd64"), layers, ImageSettings(cmd=("/bin/sh",)), epoch=1_700_000_000)
    manifest = make_manifest(config, [layer.blob for layer in layers], {})
    store.blobs.put_bytes(config)
    store.blobs.put_bytes(manifest)
    return oci.describe(oci.MANIFEST, manifest)


def files_of(directory: Path) -> set[str]:
    return {str(path.relative_to(directory)) for path in directory.rglob("*") if path.is_file()}


def blobs_of(directory: Path) -> set[str]:
    return {path.name for path in (directory / "blobs" / "sha256").iterdir()}


def skopeo(*argv):
    return subprocess.run(["skopeo", *argv], check=True, capture_output=True).stdout


def test_an_export_holds_what_the_image_needs_and_nothing_else(store, tmp_path):
    image = make_image(store, "one", "two")
    make_image(store, "other")
    export_layout(store.blobs, image, tmp_path / "out", "v1")
    names = {name for name in files_of(tmp_path / "out") if not name.startswith("blobs/")}
    assert names == {"index.json", "oci-layout"}
    assert len(blobs_of(tmp_path / "out")) == 4
    assert json.loads((tmp_path / "out" / "oci-layout").read_bytes()) == {"imageLayoutVersion": "1.0.0"}


def test_two_exports_are_the_same_bytes(store, tmp_path):
    image = make_image(store, "one")
    for name in "ab":
        export_layout(store.blobs, image, tmp_path / name, "v1")
    assert (tmp_path / "a" / "index.json").read_bytes() == (tmp_path / "b" / "index.json").read_bytes()


def test_an_export_replaces_its_tag_and_what_only_that_needed(store, tmp_path):
    out = tmp_path / "out"
    kept, old, new = make_image(store, "one"), make_image(store, "one", "old"), make_image(store, "one", "new")
    export_layout(store.blobs, kept, out, "kept")
    export_layout(store.blobs, old, out, "v1")
    export_layout(store.blobs, new, out, "v1")
    assert {entry.manifest.digest for entry in read_index(out).entries} == {kept.digest, new.digest}
    export_layout(store.blobs, new, tmp_path / "plain", "v1")
    export_layout(store.blobs, kept, tmp_path / "plain", "kept")
    assert blobs_of(out) == blobs_of(tmp_path / "plain")


def test_exports_at_the_same_time_keep_each_others_blobs(store, tmp_path):
    out = tmp_path / "out"
    images = {f"v{n}": [make_image(store, "shared", f"{n}-{m}") for m in range(6)] for n in range(4)}
    with ThreadPoolExecutor(4) as pool:
        done = [
            pool.submit(lambda tag=tag, found=found: [export_layout(store.blobs, image, out, tag) for image in found])
            for tag, found in images.items()
        ]
        assert all(task.result(timeout=60) for task in done)
    last = {found[-1].digest for found in images.values()}
    assert {entry.manifest.digest for entry in read_index(out).entries} == last
    needed = {blob.digest.hex for found in images.values() for blob in needed_blobs(Blobs(out), found[-1])}
    assert blobs_of(out) == needed


def test_an_export_into_a_layout_of_others_keeps_what_it_does_not_know(store, tmp_path):
    out = tmp_path / "out"
    export_layout(store.blobs, make_image(store, "one"), out, "theirs")
    index = json.loads((out / "index.json").read_bytes())
    index["annotations"] = {"theirs": "kept"}
    index["manifests"][0]["urls"] = ["x"]
    (out / "index.json").write_text(json.dumps(index))
    export_layout(store.blobs, make_image(store, "two"), out, "ours")
    again = json.loads((out / "index.json").read_bytes())
    assert again["annotations"] == {"theirs": "kept"}
    assert sorted(entry.get("urls", []) for entry in again["manifests"]) == [[], ["x"]]


def test_an_export_into_a_directory_with_other_things_is_refused(store, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "thesis.txt").touch()
    with pytest.raises(UsageError, match="no OCI layout"):
        export_layout(store.blobs, make_image(store, "one"), tmp_path / "out", "v1")
    assert files_of(tmp_path / "out") == {"thesis.txt"}
    with pytest.raises(UsageError, match=r"thesis\.txt"):
        export_layout(store.blobs, make_image(store, "one"), tmp_path / "out" / "thesis.txt", "v1")


def test_an_export_into_the_store_itself_is_refused(store):
    with pytest.raises(UsageError, match="the store itself"):
        export_layout(store.blobs, make_image(store, "one"), store.root, "v1")


def test_an_export_without_a_layer_in_the_store_names_it(store, tmp_path):
    image = make_image(store, "one")
    layer = json.loads(store.blobs.read(image.digest))["layers"][0]["digest"]
    store.blobs.path(Digest(layer)).unlink()
    with pytest.raises(ArtifactError, match=layer):
        export_layout(store.blobs, image, tmp_path / "out", "v1")
    assert read_index(tmp_path / "out").entries == ()


def test_a_reference_without_a_platform_replaces_all_of_its_name(store):
    image = make_image(store, "one")
    for platform in (AMD, Platform("linux-aarch64")):
        set_reference(store.root, "x", image, platform)
    set_reference(store.root, "x", image)
    assert len(read_index(store.root).entries) == 1


@needs_skopeo
def test_skopeo_reads_an_export_and_the_store_itself(store, tmp_path):
    image = make_image(store, "one", "two")
    export_layout(store.blobs, image, tmp_path / "out", "r1_0_0")
    assert Digest.of(skopeo("inspect", "--raw", f"oci:{tmp_path}/out:r1_0_0")) == image.digest
    store.set_image(ImageRef("demo-lab", "r1_0_0"), AMD, image)
    told = json.loads(skopeo("inspect", f"oci:{store.root}:demo-lab:r1_0_0"))
    assert told["Digest"] == str(image.digest)
    assert told["Created"] == "2023-11-14T22:13:20Z"


@needs_skopeo
def test_a_digest_survives_skopeos_copy(store, tmp_path):
    image = make_image(store, "one", "two")
    export_layout(store.blobs, image, tmp_path / "out", "v1")
    skopeo("copy", "--preserve-digests", f"oci:{tmp_path}/out:v1", f"dir:{tmp_path}/dir")
    assert Digest.of((tmp_path / "dir" / "manifest.json").read_bytes()) == image.digest


@needs_buildah
def test_buildah_takes_an_export_and_keeps_its_layers(store, tmp_path):
    image = make_image(store, "one", "two")
    export_layout(store.blobs, image, tmp_path / "out", "v1")
    buildah = ["buildah", "--root", tmp_path / "root", "--runroot", tmp_path / "run", "--storage-driver", "vfs"]
    try:
        pulled = subprocess.run([*buildah, "pull", "-q", "oci:out:v1"], check=True, capture_output=True, cwd=tmp_path)
        image_id = pulled.stdout.decode().strip()
        config = json.loads(store.blobs.read(image.digest))["config"]["digest"]
        assert f"sha256:{image_id}" == config
    finally:
        subprocess.run([*buildah, "rmi", "--all", "--force"], check=False, capture_output=True)


@pytest.fixture
def copied(tmp_path):
    """Where skopeo has left an image of another store, and its manifest's digest."""
    elsewhere = Store(tmp_path / "elsewhere")
    image = make_image(elsewhere, "one", "two")
    export_layout(elsewhere.blobs, image, tmp_path / "out", "v1")
    skopeo("copy", "--preserve-digests", f"oci:{tmp_path}/out:v1", f"dir:{tmp_path}/dir")
    return tmp_path / "dir", image.digest


@needs_skopeo
def test_a_base_that_skopeo_fetched_is_taken_over_and_found_again(store, copied):
    directory, digest = copied
    assert load_base(store.blobs, digest, origin="base") is None
    base = import_directory(directory, digest, store.blobs, origin="base")
    assert base.digest == digest
    assert base.config.settings.cmd == ("/bin/sh",)
    assert len(base.layers) == len(base.config.diff_ids) == 2
    assert load_base(store.blobs, digest, origin="base") == base
    store.blobs.path(base.layers[0].digest).unlink()
    assert load_base(store.blobs, digest, origin="base") is None


@needs_skopeo
@pytest.mark.usefixtures("copied")
def test_a_base_in_dockers_form_is_taken_over_with_its_own_digest(store, tmp_path):
    skopeo("copy", "--format", "v2s2", f"oci:{tmp_path}/out:v1", f"dir:{tmp_path}/docker")
    raw = (tmp_path / "docker" / "manifest.json").read_bytes()
    base = import_directory(tmp_path / "docker", Digest.of(raw), store.blobs, origin="base")
    assert base.manifest == raw
    assert {layer.media_type for layer in base.layers} == {oci.LAYER_GZIP}


@needs_skopeo
def test_a_base_with_another_manifest_than_the_pinned_is_refused(store, copied):
    directory, _ = copied
    with pytest.raises(ArtifactError, match="not the pinned sha256:"):
        import_directory(directory, Digest.of(b"x"), store.blobs, origin="base")


@needs_skopeo
@pytest.mark.parametrize("damage", [Path.unlink, lambda path: path.write_bytes(b"x" * path.stat().st_size)])
def test_a_base_with_a_missing_or_altered_layer_is_refused_by_name(store, copied, damage):
    directory, digest = copied
    layer = json.loads((directory / "manifest.json").read_bytes())["layers"][0]["digest"]
    damage(directory / layer.removeprefix("sha256:"))
    with pytest.raises(ArtifactError, match=f"base: blob {layer}"):
        import_directory(directory, digest, store.blobs, origin="base")
    assert not store.blobs.has(digest)
    assert not store.blobs.has(Digest(layer))


def test_a_base_that_never_came_is_told(store, tmp_path):
    with pytest.raises(ArtifactError, match="base: no manifest came"):
        import_directory(tmp_path, Digest.of(b"x"), store.blobs, origin="base")
