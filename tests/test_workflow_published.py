"""Published images: found by tag and platform, checked to the last blob, refused by name."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest

from peel.errors import ArtifactError, PeelError, UsageError
from peel.layers.layer_stream import layer_members
from peel.model.progress import Silent
from peel.model.values import Digest, Platform
from peel.store.store import Store
from peel.workflow.published import (
    LayoutImage,
    PublishedImage,
    RegistryImage,
    is_published,
    open_image,
    parse_published,
)
from registries import odd_registry, real_registry, status, trusting
from rewriting import GZIP, ImageCopy, file, packed_gzip
from small_images import write_index_layout, write_layout

AMD64, ARM64 = Platform("linux-64"), Platform("linux-aarch64")


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


@pytest.fixture
def image(tmp_path: Path) -> ImageCopy:
    """An image of two layers: one zstd, one gzip."""
    made = ImageCopy.make(tmp_path / "layout", "1", [file("etc/name", "small")], [file("usr/one", "1")])
    made.recompress(1, GZIP, packed_gzip)
    return made


@contextmanager
def opened(reference: str, store: Store, platform: Platform = AMD64, **more: Any) -> Iterator[PublishedImage]:
    with open_image(reference, platform, store, Silent(), **more) as found:
        yield found


def refused(reference: str, store: Store, **more: Any) -> PeelError:
    """What opening and checking it says; the store keeps nothing of it."""
    with pytest.raises(PeelError) as raised, opened(reference, store, **more) as found:
        found.check(Silent())
    assert list((store.root / "tmp").iterdir()) == []
    assert raised.value.hint
    return raised.value


def test_an_image_of_a_layout_is_read_where_it_lies(image: ImageCopy, store: Store) -> None:
    with opened(image.reference, store) as found:
        found.check(Silent())
        assert found.name == image.reference
        assert found.manifest.digest == Digest(image._entry["digest"])
        assert json.loads(found.raw_manifest) == image.manifest
        assert [str(digest) for digest in found.config.diff_ids] == image.config["rootfs"]["diff_ids"]
        paths = [[member.path for member in layer_members(layer, found.name)] for layer in found.layers]
        assert paths == [["etc/name"], ["usr/one"]]


def test_a_layout_of_one_image_needs_no_tag(image: ImageCopy, store: Store) -> None:
    with opened(f"oci:{image.directory}", store, tag="another") as found:
        assert found.manifest.digest == Digest(image._entry["digest"])


def test_of_several_images_the_preferred_one_is_taken_or_a_tag_is_asked_for(image: ImageCopy, store: Store) -> None:
    index = image.directory / "index.json"
    entry = image._entry
    others = [{**entry, "annotations": {"org.opencontainers.image.ref.name": name}} for name in ("1", "2")]
    index.write_text(json.dumps({"schemaVersion": 2, "manifests": others}))
    with opened(f"oci:{image.directory}", store, tag="2") as found:
        assert found.manifest.digest == Digest(entry["digest"])
    error = refused(f"oci:{image.directory}", store)
    assert isinstance(error, UsageError)
    assert "holds several images" in error.message
    assert "1, 2" in str(error.hint)


def test_an_index_is_resolved_for_the_platform(tmp_path: Path, store: Store) -> None:
    digests = write_index_layout(tmp_path / "both", "x", ["arm64", "amd64"])
    for platform, name in ((AMD64, "amd64"), (ARM64, "arm64")):
        with opened(f"oci:{tmp_path}/both:x", store, platform) as found:
            assert found.manifest.digest == digests[name]
    with (
        pytest.raises(ArtifactError, match="has no image for linux-ppc64le"),
        opened(f"oci:{tmp_path}/both:x", store, Platform("linux-ppc64le")),
    ):
        pass


def test_an_image_for_another_machine_is_refused(tmp_path: Path, store: Store) -> None:
    write_layout(tmp_path / "arm", "x", {"a": (b"a", 0o644)}, architecture="arm64")
    assert "is made for arm64, not for linux-64" in refused(f"oci:{tmp_path}/arm:x", store).message


def test_an_image_as_docker_has_it_is_read_too(image: ImageCopy, store: Store) -> None:
    docker = "application/vnd.docker"
    manifest, config = image.manifest, image.config
    manifest["mediaType"] = f"{docker}.distribution.manifest.v2+json"
    manifest["config"]["mediaType"] = f"{docker}.container.image.v1+json"
    manifest["layers"][1]["mediaType"] = f"{docker}.image.rootfs.diff.tar.gzip"
    image.put(config, manifest)
    with opened(image.reference, store) as found:
        found.check(Silent())
        assert [layer.blob.media_type.rpartition("+")[2] for layer in found.layers] == ["zstd", "gzip"]


@pytest.mark.parametrize("number", [0, 1])
def test_a_missing_blob_is_named(image: ImageCopy, store: Store, number: int) -> None:
    digest = image.manifest["layers"][number]["digest"]
    image.path(digest).unlink()
    error = refused(image.reference, store)
    assert error.message == f"{image.reference}: blob {digest} cannot be had: No such file or directory"


def test_a_missing_config_is_named(image: ImageCopy, store: Store) -> None:
    digest = image.manifest["config"]["digest"]
    image.path(digest).unlink()
    assert f"blob {digest} cannot be had" in refused(image.reference, store).message


@pytest.mark.parametrize("part", ["layer", "config", "manifest"])
def test_a_blob_that_is_not_what_its_digest_says_is_named(image: ImageCopy, store: Store, part: str) -> None:
    manifest = image.manifest
    named = {"layer": manifest["layers"][0], "config": manifest["config"], "manifest": image._entry}[part]["digest"]
    data = bytearray(image.blob(named))
    data[-1] ^= 1
    image.path(named).unlink()
    image.path(named).write_bytes(data)
    error = refused(image.reference, store)
    assert isinstance(error, ArtifactError)
    assert f"{image.reference}" in error.message
    assert named in error.message
    assert str(Digest.of(bytes(data))) in error.message


def test_a_blob_cut_short_is_named_with_both_sizes(image: ImageCopy, store: Store) -> None:
    layer = image.manifest["layers"][0]
    path = image.path(layer["digest"])
    data = path.read_bytes()[:-5]
    path.unlink()
    path.write_bytes(data)
    assert (
        f"has {layer['size'] - 5:,} bytes, and its manifest says {layer['size']:,}"
        in refused(image.reference, store).message
    )


@pytest.mark.parametrize("place", [("layers", 0), ("config",)])
def test_a_media_type_that_nobody_knows_is_named(image: ImageCopy, store: Store, place: tuple[Any, ...]) -> None:
    manifest = image.manifest
    part = manifest
    for key in place:
        part = part[key]
    part["mediaType"] = "application/vnd.example.strange"
    image.put(None, manifest)
    assert "application/vnd.example.strange" in refused(image.reference, store).message


@pytest.mark.parametrize("where", ["index", "manifest"])
def test_a_manifest_of_an_unknown_media_type_is_refused(image: ImageCopy, store: Store, where: str) -> None:
    strange = "application/vnd.example.manifest"
    if where == "index":
        image._write_index({**image._entry, "mediaType": strange})
    else:
        image.edit_manifest(lambda manifest: manifest.update(mediaType=strange))
    error = refused(image.reference, store)
    assert isinstance(error, ArtifactError)
    assert strange in error.message


def test_an_artifact_that_is_no_image_is_refused(image: ImageCopy, store: Store) -> None:
    manifest = {**image.manifest, "artifactType": "application/vnd.example.archive", "layers": []}
    manifest["config"] = image._put("application/vnd.oci.empty.v1+json", b"{}")
    image.put(None, manifest)
    assert "application/vnd.oci.empty.v1+json" in refused(image.reference, store).message


def test_an_image_that_contradicts_itself_is_refused(image: ImageCopy, store: Store) -> None:
    image.edit_config(lambda config: config["rootfs"]["diff_ids"].pop())
    assert "contradicts itself: 2 layers, 1 diffIDs" in refused(image.reference, store).message


def test_an_image_of_ten_thousand_layers_is_refused(image: ImageCopy, store: Store) -> None:
    config, manifest = image.config, image.manifest
    config["rootfs"]["diff_ids"] *= 5000
    manifest["layers"] *= 5000
    image.put(config, manifest)
    assert "10,000 layers" in refused(image.reference, store).message


def test_an_index_that_names_itself_comes_to_an_end(image: ImageCopy, store: Store) -> None:
    kind = "application/vnd.oci.image.index.v1+json"
    entry = image._entry
    for _ in range(5):
        nested = json.dumps({"schemaVersion": 2, "mediaType": kind, "manifests": [entry]}).encode()
        entry = image._put(kind, nested)
    image._write_index({**entry, "annotations": {"org.opencontainers.image.ref.name": "1"}})
    assert "index of indexes" in refused(image.reference, store).message


def test_a_pipe_in_place_of_a_blob_is_not_waited_for(image: ImageCopy, store: Store) -> None:
    path = image.path(image.manifest["layers"][0]["digest"])
    path.unlink()
    os.mkfifo(path)
    assert "is no regular file" in refused(image.reference, store).message


def test_a_directory_in_place_of_a_blob_is_named(image: ImageCopy, store: Store) -> None:
    path = image.path(image.manifest["config"]["digest"])
    path.unlink()
    path.mkdir()
    assert "is no regular file" in refused(image.reference, store).message


def test_a_tag_that_is_not_there_is_told_with_those_that_are(image: ImageCopy, store: Store) -> None:
    error = refused(f"oci:{image.directory}:9", store)
    assert f"oci:{image.directory} has no image called '9'" in error.message
    assert error.hint == "it has: 1"


@pytest.mark.parametrize("index", [None, b"", b"{", b"[]", b'{"schemaVersion": 2, "manifests": []}'])
def test_what_is_no_layout_or_an_empty_one_is_one_clear_error(
    tmp_path: Path, store: Store, index: bytes | None
) -> None:
    place = tmp_path / "empty"
    place.mkdir()
    if index is not None:
        (place / "index.json").write_bytes(index)
    error = refused(f"oci:{place}", store)
    assert str(place) in error.message
    assert "\n" not in error.message


@pytest.mark.parametrize(
    "text", ["", "oci:", "oci:a:b:c", "docker:x", "docker://", "docker://-x", "docker://x@sha256:12", "x/y:1", "/dir"]
)
def test_what_names_no_image_is_a_mistake_of_usage(text: str) -> None:
    with pytest.raises(UsageError, match="not a published image"):
        parse_published(text)


def test_references_are_read_as_skopeo_reads_them() -> None:
    assert parse_published("oci:out") == LayoutImage(Path("out"), None)
    assert parse_published("oci:/a/b:1.0") == LayoutImage(Path("/a/b"), "1.0")
    pinned = f"host:5000/a/b@sha256:{'0' * 64}"
    for reference in ("almalinux:9", "quay.io/a/b", "host:5000/a/b:1", pinned, "127.0.0.1:80/x:1"):
        assert parse_published(f"docker://{reference}") == RegistryImage(reference)
    assert [is_published(text) for text in ("oci:x", "docker://x", "lab:r1")] == [True, True, False]


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A real registry; yields its address."""
    if shutil.which("docker-registry") is None:
        pytest.skip("docker-registry is not installed")
    with real_registry(tmp_path_factory.mktemp("registry")) as host:
        yield host


def push(layout: str, host: str, name: str, *options: str) -> str:
    copy = ["skopeo", "copy", "--quiet", "--preserve-digests", "--dest-tls-verify=false", *options]
    subprocess.run([*copy, layout, f"docker://{host}/{name}"], check=True, capture_output=True)
    return f"docker://{host}/{name}"


def trust(host: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CONTAINERS_REGISTRIES_CONF", str(trusting(host, tmp_path)))


def test_an_image_of_a_registry_comes_whole_and_goes_again(
    image: ImageCopy, registry: str, store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trust(registry, tmp_path, monkeypatch)
    reference = push(image.reference, registry, "library/small:1")
    digest = image._entry["digest"]
    for named in (reference, f"docker://{registry}/library/small@{digest}"):
        with opened(named, store) as found:
            found.check(Silent())
            assert (found.name, str(found.manifest.digest)) == (named, digest)
            assert len(found.layers) == 2
            assert len([member for layer in found.layers for member in layer_members(layer, "x")]) == 2
        assert list((store.root / "tmp").iterdir()) == []


def test_an_index_of_a_registry_is_resolved_for_the_platform(
    registry: str, store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trust(registry, tmp_path, monkeypatch)
    digests = write_index_layout(tmp_path / "both", "x", ["arm64", "amd64"])
    reference = push(f"oci:{tmp_path}/both:x", registry, "library/both:1", "--all")
    with opened(reference, store, ARM64) as found:
        assert found.manifest.digest == digests["arm64"]


def test_an_image_that_a_registry_does_not_have_is_told(
    registry: str, store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trust(registry, tmp_path, monkeypatch)
    error = refused(f"docker://{registry}/library/none:1", store)
    assert isinstance(error, ArtifactError)
    assert f"no image {registry}/library/none:1 in its registry" in error.message


@pytest.mark.parametrize(
    ("number", "words"), [(401, "does not let us read"), (404, "there is no registry"), (500, "the registry of")]
)
def test_a_registry_that_refuses_or_fails_is_one_clear_error(
    number: int, words: str, store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with odd_registry(status(number)) as host:
        trust(host, tmp_path, monkeypatch)
        error = refused(f"docker://{host}/library/small:1", store)
    assert isinstance(error, ArtifactError)
    assert words in error.message
    assert host in error.message


def test_a_registry_that_never_answers_is_not_waited_for_for_ever(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = threading.Event()

    def wait(_: BaseHTTPRequestHandler) -> None:
        told.wait(60)

    with odd_registry(wait) as host:
        trust(host, tmp_path, monkeypatch)
        error = refused(f"docker://{host}/library/small:1", store, patience=0.3)
        told.set()
    assert isinstance(error, ArtifactError)
    assert f"the registry of {host}/library/small:1 is too slow" in error.message


def test_credentials_in_a_reference_are_not_shown() -> None:
    with pytest.raises(PeelError) as raised:
        parse_published("docker://me:sesame@host/x y")
    assert "sesame" not in raised.value.message
