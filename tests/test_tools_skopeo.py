from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from peel.errors import ArtifactError, PeelError, ToolError
from peel.model.values import Digest, Platform
from peel.tools import process, skopeo, system
from small_images import write_index_layout, write_layout

AMD64, ARM64 = Platform("linux-64"), Platform("linux-aarch64")
NAME = "docker.io/library/small"


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """A real registry on loopback; yields its port."""
    if process.find("docker-registry") is None:
        pytest.skip("docker-registry is not installed")
    place = tmp_path_factory.mktemp("registry")
    port = system.free_port()
    config = {
        "version": "0.1",
        "log": {"level": "error"},
        "storage": {"filesystem": {"rootdirectory": str(place / "data")}},
        "http": {"addr": f"127.0.0.1:{port}"},
    }
    (place / "config.yml").write_text(json.dumps(config))
    with (
        (place / "log").open("wb") as log,
        process.start(process.Command(("docker-registry", "serve", str(place / "config.yml"))), stdout=log, stderr=log),
    ):
        _wait_for(f"http://127.0.0.1:{port}/v2/")
        yield port


@pytest.fixture(scope="module")
def images(registry: int, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Digest]:
    """What the registry holds: an index called both:1, and an image for amd64 alone called one:1."""
    place = tmp_path_factory.mktemp("layouts")
    digests = write_index_layout(place / "both", "x", ["arm64", "amd64"])
    digests["one"] = write_layout(place / "one", "x", {"hello": (b"hello", 0o644)})
    for name in ("both", "one"):
        target = f"docker://127.0.0.1:{registry}/library/small-{name}:1"
        copy = ["skopeo", "copy", "--quiet", "--all", "--preserve-digests", "--dest-tls-verify=false"]
        subprocess.run([*copy, f"oci:{place / name}:x", target], check=True)
    return digests


@pytest.fixture
def remapped(registry: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """docker.io as this machine's registries.conf may have it: served from loopback."""
    conf = tmp_path / "registries.conf"
    conf.write_text(f'[[registry]]\nprefix = "docker.io"\nlocation = "127.0.0.1:{registry}"\ninsecure = true\n')
    monkeypatch.setenv("CONTAINERS_REGISTRIES_CONF", str(conf))


def _wait_for(url: str) -> None:
    for _ in range(200):
        try:
            if httpx.get(url, trust_env=False).is_success:
                return
        except httpx.HTTPError:
            pass
        time.sleep(0.05)
    raise AssertionError(f"{url} did not come up")


@pytest.mark.usefixtures("remapped")
def test_an_index_resolves_to_the_manifest_of_each_platform(images: dict[str, Digest]) -> None:
    assert skopeo.resolve(f"{NAME}-both:1", AMD64) == images["amd64"]
    assert skopeo.resolve(f"{NAME}-both:1", ARM64) == images["arm64"]


@pytest.mark.usefixtures("remapped")
def test_a_single_image_resolves_to_its_own_digest(images: dict[str, Digest]) -> None:
    assert skopeo.resolve(f"{NAME}-one:1", AMD64) == images["one"]
    assert skopeo.resolve(f"{NAME}-one@{images['one']}", AMD64) == images["one"]
    assert skopeo.resolve(f"{NAME}-one:a-tag-that-moved-on@{images['one']}", AMD64) == images["one"]


@pytest.mark.usefixtures("remapped", "images")
def test_an_image_that_is_not_made_for_the_platform_is_refused() -> None:
    with pytest.raises(ArtifactError, match="no image for linux-aarch64"):
        skopeo.resolve(f"{NAME}-one:1", ARM64)
    with pytest.raises(ArtifactError, match="no image for linux-ppc64le"):
        skopeo.resolve(f"{NAME}-both:1", Platform("linux-ppc64le"))


@pytest.mark.usefixtures("remapped")
def test_a_copy_keeps_every_byte_whatever_its_directory_is_called(images: dict[str, Digest], tmp_path: Path) -> None:
    directory = tmp_path / "Copy: of, one"
    skopeo.copy_to_directory(f"{NAME}-one@{images['one']}", directory)
    manifest = (directory / "manifest.json").read_bytes()
    assert Digest.of(manifest) == images["one"]
    for blob in (json.loads(manifest)["config"], *json.loads(manifest)["layers"]):
        assert str(Digest.of((directory / blob["digest"].removeprefix("sha256:")).read_bytes())) == blob["digest"]


@pytest.mark.usefixtures("remapped", "images")
@pytest.mark.parametrize("name", [f"{NAME}-one:2", f"{NAME}-none:1", f"{NAME}-one@sha256:{'0' * 64}"])
def test_an_unknown_image_is_one_clear_error(name: str, tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match=f"no image {name} in its registry") as error:
        skopeo.resolve(name, AMD64)
    assert "\n" not in error.value.message
    assert error.value.hint
    with pytest.raises(ArtifactError):
        skopeo.copy_to_directory(name, tmp_path / "copy")


def test_a_registry_that_is_not_there_is_said_to_be_out_of_reach() -> None:
    with pytest.raises(ArtifactError, match=r"cannot be reached.*connection refused") as error:
        skopeo.resolve(f"127.0.0.1:{system.free_port()}/nothing:1", AMD64)
    assert "registries.conf" in str(error.value.hint)


@pytest.mark.parametrize("reference", ["", "--all", "a b:1", "docker://x:1", "x@y@z"])
def test_what_is_no_reference_never_reaches_skopeo(reference: str) -> None:
    with pytest.raises(ArtifactError, match="not an image reference"):
        skopeo.resolve(reference, AMD64)


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ("reading manifest 9 in docker.io/x: unauthorized: authentication required", "does not let us read"),
        ("requested access to the resource is denied", "does not let us read"),
        ("pinging container registry x: Get https://x/v2/: dial tcp: lookup x: no such host", "cannot be reached"),
        ("Get https://x/v2/: tls: failed to verify certificate: x509: signed by unknown authority", "certificate"),
    ],
)
def test_each_kind_of_refusal_has_words_and_a_hint_of_its_own(said: str, words: str) -> None:
    error = _explained(said)
    assert isinstance(error, ArtifactError)
    assert words in error.message
    assert said in error.message
    assert error.hint


def test_an_unforeseen_failure_keeps_what_skopeo_said() -> None:
    error = _explained("the moon is in the way")
    assert isinstance(error, ToolError)
    assert "the moon is in the way" in error.message


def test_a_full_disk_is_no_fault_of_the_registry() -> None:
    error = _explained("writing blob: write /x/blob: no space left on device")
    assert isinstance(error, ToolError)
    assert "the disk is full" in error.message


def test_credentials_are_never_shown() -> None:
    error = _explained("Get https://me:sesame@x/v2/: Authorization: Bearer abc.def: unauthorized")
    assert "sesame" not in error.message
    assert "abc.def" not in error.message


def test_the_reason_is_taken_out_of_a_log_line() -> None:
    line = 'time="2026-11-23T14:56:30Z" level=fatal msg="Error: \\"x\\": no such host"\n'
    assert skopeo.said_by(f"warning: y\n{line}") == 'Error: "x": no such host'


def _explained(said: str) -> PeelError:
    stderr = f'time="2026-11-23T14:56:30Z" level=fatal msg={json.dumps(said)}\n'.encode()
    return skopeo.explain("x:9", process.Command(("skopeo", "inspect", "x:9")), process.Completed(1, b"", stderr))
