"""``peel import`` of whole images: the lock set's image is the very one, and its environments are told."""

from __future__ import annotations

import base64
import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from layers_of import conda_meta, dist_info
from peel.cli import app
from peel.errors import ArtifactError, PeelError, UsageError
from peel.model import oci
from peel.model.lockset import ImageLock
from peel.model.plan import make_plan
from peel.model.progress import Silent
from peel.model.values import Digest, ImageRef, Platform, canonical_json
from peel.store.base import load_base
from peel.store.catalogue import Catalogue
from peel.store.layout import export_layout
from peel.store.store import Store
from peel.tools import process
from peel.workflow.build import Built, build_image
from peel.workflow.fetching import Sources
from peel.workflow.import_image import ImageImport
from peel.workflow.import_result import Imported
from peel.workflow.lock import FORMATS
from peel.workflow.record import accept
from peel.workflow.show import show_image
from registries import real_registry, trusting
from small_images import write_index_layout, write_layout
from tiny import GLIBC

REF = ImageRef("history", "w_2021_14")
LINUX = Platform("linux-64")
CHANNEL = "https://host.example/forge"
FN = "python-3.11.4-h0_0.conda"
KNOWN = {
    "url": f"{CHANNEL}/linux-64/{FN}", "fn": FN, "md5": "e" * 32, "sha256": "a" * 64, "channel": f"{CHANNEL}/linux-64",
    "depends": ["libffi >=3.4,<4", "__glibc >=2.17"],
}  # fmt: skip
NAMELESS = base64.urlsafe_b64encode(bytes.fromhex("b" * 64)).decode().rstrip("=")

needs_registry = pytest.mark.skipif(process.find("docker-registry") is None, reason="docker-registry is not installed")


class Said(Silent):
    """Progress that remembers what people were warned of."""

    def __init__(self) -> None:
        self.warned: list[str] = []

    def warn(self, text: str) -> None:
        self.warned.append(text)


@pytest.fixture
def place(tmp_path: Path) -> Path:
    (tmp_path / "catalogue" / "lockfiles").mkdir(parents=True)
    (tmp_path / "image").mkdir()
    return tmp_path


def write(place: Path, files: dict[str, bytes], tag: str = "w_2021_14") -> Digest:
    """An image with a C library and these files, as a layout in ``place/image``."""
    return write_layout(
        place / "image",
        tag,
        {"lib64/libc.so.6": (GLIBC, 0o755), **{path: (data, 0o644) for path, data in files.items()}},
    )


def usual() -> dict[str, bytes]:
    nameless = {"url": f"ni:///sha-256;{NAMELESS}", "channel": "<unknown>", "fn": "libffi-3.4-0.conda",
                "sha256": "b" * 64, "md5": "c" * 32}  # fmt: skip
    return {
        **conda_meta("/opt/conda", "python", "3.11.4", "h0_0", **KNOWN),
        **conda_meta("/opt/conda", "libffi", "3.4", **nameless),
        **conda_meta("/opt/conda/envs/lsst-scipipe-9.0.0", "zlib", "1.2.8"),
        **dist_info("/opt/conda", "Small_Wheel", "1.5"),
    }


def do(place: Path, source: str | None = None, *, progress: Any = None, dry_run: bool = False, **more: Any) -> Imported:
    chosen = {"ref": REF, "platform": LINUX, "epoch": None, "channels": (), **more}
    return ImageImport(
        source or f"oci:{place / 'image'}", chosen["ref"], chosen["platform"], chosen["epoch"], chosen["channels"],
        Catalogue(place / "catalogue"), Store(place / "store"), progress or Silent(),
    ).run(dry_run=dry_run)  # fmt: skip


def refused(place: Path, kind: type[PeelError], source: str | None = None, **more: Any) -> PeelError:
    with pytest.raises(kind) as raised:
        do(place, source, **more)
    assert not list((place / "catalogue" / "lockfiles").iterdir())
    return raised.value


def lock_of(place: Path, ref: ImageRef = REF) -> ImageLock:
    return Catalogue(place / "catalogue").image_lock(ref)


def build(place: Path, ref: ImageRef = REF) -> Built:
    """Build without network; there is no layer to make."""
    return build_image(
        make_plan(Catalogue(place / "catalogue").lock_set(ref), LINUX), store=Store(place / "store"),
        sources=Sources(network=False), make_layers=lambda *_: pytest.fail("a layer was made"), formats=FORMATS,
        progress=Silent(),
    )  # fmt: skip


def test_every_environment_of_an_image_is_told_by_a_name_of_its_own(place: Path) -> None:
    digest = write(place, usual())
    imported = do(place)
    assert (imported.format, imported.written) == ("image", True)
    assert [(e.name, e.conda, e.pip, e.missing) for e in imported.environments] == [
        ("conda", 2, 1, 0), ("lsst-scipipe-9.0.0", 1, 0, 0),
    ]  # fmt: skip
    lock = lock_of(place)
    assert lock.imported == "oci layout"
    assert lock.declared.base == f"localhost/history@{digest}"
    pinned = lock.base["linux-64"]
    assert (pinned.digest, pinned.glibc, pinned.layers) == (str(digest), "2.34", 1)
    assert lock.layers == {"linux-64": {"conda": (), "lsst-scipipe-9.0.0": ()}}
    assert [(e.name, e.role, e.prefix) for e in lock.declared.environments] == [
        ("conda", "environment", "/opt/conda"),
        ("lsst-scipipe-9.0.0", "environment", "/opt/conda/envs/lsst-scipipe-9.0.0"),
    ]
    assert lock.declared.environments[0].channels == (CHANNEL,)


def test_the_locks_say_what_the_records_say_and_no_path_of_this_machine(place: Path) -> None:
    write(place, usual())
    do(place)
    packages = {package.name: package for package in Catalogue(place / "catalogue").conda_lock(REF, "conda")}
    python = packages["python"]
    assert (python.url, python.hash.md5, python.hash.sha256) == (KNOWN["url"], KNOWN["md5"], KNOWN["sha256"])
    assert python.dependencies == {"libffi": ">=3.4,<4", "__glibc": ">=2.17"}
    assert packages["libffi"].url == "https://unknown.invalid/linux-64/libffi-3.4-0.conda"
    assert packages["libffi"].hash.sha256 == "b" * 64
    assert (packages["small-wheel"].manager, packages["small-wheel"].version) == ("pip", "1.5")
    written = list((place / "catalogue").glob("lockfiles/*/*/*"))
    assert sorted(path.name for path in written) == [
        "conda.conda-lock.yml", "image.lock.yaml", "lsst-scipipe-9.0.0.conda-lock.yml",
    ]  # fmt: skip
    assert not [path for path in written if str(place).encode() in path.read_bytes()]


def test_building_what_was_imported_gives_the_very_manifest(place: Path) -> None:
    digest = write(place, usual())
    do(place)
    for blob in (place / "image" / "blobs" / "sha256").iterdir():
        blob.unlink()  # the store has them all
    built = build(place)
    assert (built.manifest.digest, built.layers) == (digest, ())
    accept(built, Catalogue(place / "catalogue"), Store(place / "store"))
    (shown,) = show_image(REF, Catalogue(place / "catalogue"))
    assert shown.manifest == str(digest)
    assert [package.name for package in shown.packages("conda")] == ["libffi", "python", "small-wheel"]
    assert shown.as_json()["imported"] == "oci layout"
    export_layout(Store(place / "store").blobs, built.manifest, place / "out", "again")
    inspected = subprocess.run(
        ["skopeo", "inspect", f"oci:{place / 'out'}:again"], capture_output=True, text=True, check=True
    )
    assert json.loads(inspected.stdout)["Digest"] == str(digest)


def test_importing_twice_writes_the_same_bytes(place: Path) -> None:
    write(place, usual())
    do(place)
    first = Catalogue(place / "catalogue").read_lock_set(REF)
    do(place)
    assert Catalogue(place / "catalogue").read_lock_set(REF) == first


def as_docker(place: Path) -> Digest:
    """The image of the layout in Docker's media types, as a registry of 2021 gave it out."""
    layout, kind = place / "image", "application/vnd.docker"
    index = json.loads((layout / "index.json").read_text())
    blobs = layout / "blobs" / "sha256"
    manifest = json.loads((blobs / index["manifests"][0]["digest"].partition(":")[2]).read_text())
    manifest["mediaType"] = f"{kind}.distribution.manifest.v2+json"
    manifest["config"]["mediaType"] = f"{kind}.container.image.v1+json"
    for layer in manifest["layers"]:
        layer["mediaType"] = f"{kind}.image.rootfs.diff.tar.gzip"
    data = json.dumps(manifest, indent=3).encode()  # as no writer of ours would have it
    digest = Digest.of(data)
    (blobs / digest.hex).write_bytes(data)
    index["manifests"][0] |= {"digest": str(digest), "size": len(data), "mediaType": manifest["mediaType"]}
    (layout / "index.json").write_bytes(canonical_json(index))
    return digest


def test_dockers_media_types_stay_what_they_are(place: Path) -> None:
    write(place, usual())
    digest = as_docker(place)
    do(place)
    base = load_base(Store(place / "store").blobs, digest, origin="x")
    assert base is not None
    assert base.media_type == "application/vnd.docker.distribution.manifest.v2+json"
    assert [layer.media_type for layer in base.layers] == [oci.LAYER_GZIP]  # what patches are put upon
    built = build(place)
    assert (built.manifest.digest, built.manifest.media_type) == (digest, base.media_type)
    export_layout(Store(place / "store").blobs, built.manifest, place / "out", "again")
    subprocess.run(
        ["skopeo", "copy", "--quiet", "--preserve-digests", f"oci:{place / 'out'}", f"dir:{place / 'dir'}"],
        check=True,
    )
    assert Digest.of((place / "dir" / "manifest.json").read_bytes()) == digest


@pytest.mark.parametrize(
    ("created", "epoch"),
    [
        ("2021-04-08T12:34:56.789012345Z", 1617885296),
        ("2021-04-08T14:34:56+02:00", 1617885296),
        ("0001-01-01T00:00:00Z", 0),
        ("yesterday", 0),
        (None, 0),
    ],
)
def test_the_epoch_is_when_the_image_says_it_was_made(place: Path, created: str | None, epoch: int) -> None:
    write(place, usual())
    say(place, created)
    do(place)
    assert lock_of(place).epoch == epoch
    do(place, epoch=7)
    assert lock_of(place).epoch == 7


def say(place: Path, created: str | None) -> None:
    """Let the config of the layout's image say when it was created."""
    layout = place / "image"
    blobs, index = layout / "blobs" / "sha256", json.loads((layout / "index.json").read_text())
    manifest = json.loads((blobs / index["manifests"][0]["digest"].partition(":")[2]).read_text())
    config = json.loads((blobs / manifest["config"]["digest"].partition(":")[2]).read_text())
    config.pop("created")
    changed = canonical_json({**config, "created": created} if created else config)
    manifest["config"] |= {"digest": str(Digest.of(changed)), "size": len(changed)}
    data = canonical_json(manifest)
    for blob in (changed, data):
        (blobs / Digest.of(blob).hex).write_bytes(blob)
    index["manifests"][0] |= {"digest": str(Digest.of(data)), "size": len(data)}
    (layout / "index.json").write_bytes(canonical_json(index))


def test_names_are_made_valid_and_told_apart(place: Path) -> None:
    files = {
        **conda_meta("/a/My Env".replace(" ", "_") + "_", "one"), **conda_meta("/b/my_env", "two"),
        **conda_meta("/c/my_env", "three"), **conda_meta("/d/__", "four"),
    }  # fmt: skip
    write(place, files)
    assert [(e.name, e.prefix) for e in do_and_read(place)] == [
        ("my_env", "/a/My_Env_"), ("my_env-2", "/b/my_env"), ("my_env-3", "/c/my_env"), ("root", "/d/__"),
    ]  # fmt: skip


def do_and_read(place: Path) -> tuple[Any, ...]:
    do(place)
    return lock_of(place).declared.environments


def test_what_a_lock_cannot_hold_is_left_as_it_is_with_a_word(place: Path) -> None:
    files = {
        **usual(), **conda_meta("/opt/my env", "one"), **conda_meta("/", "two"),
        **dist_info("/usr", "distro", installer="pip", python="3.9"),
    }  # fmt: skip
    write(place, files)
    said = Said()
    imported = do(place, progress=said)
    assert [e.name for e in imported.environments] == ["conda", "lsst-scipipe-9.0.0"]
    assert [
        part for part in ("'/opt/my env'", "'/'", "1 wheel in /usr") if not any(part in w for w in said.warned)
    ] == []


def test_channels_that_are_named_go_before_those_of_the_records(place: Path) -> None:
    write(place, usual())
    do(place, channels=("mirror", "defaults"))
    assert lock_of(place).declared.environments[0].channels == ("mirror", "main", "free", "r")


def test_credentials_in_a_record_reach_no_lock(place: Path) -> None:
    url = f"https://me:hunter2@host.example/t/tk-hunter2/forge/linux-64/{FN}"
    write(place, conda_meta("/opt/conda", "python", "3.11.4", "h0_0", **{**KNOWN, "url": url}))
    do(place)
    written = [path.read_bytes() for path in (place / "catalogue").glob("lockfiles/*/*/*")]
    assert not [data for data in written if b"hunter2" in data]
    assert lock_of(place).declared.environments[0].channels == ("https://host.example/forge",)


def test_a_dry_run_tells_and_keeps_nothing(place: Path) -> None:
    digest = write(place, usual())
    imported = do(place, dry_run=True)
    assert (imported.written, len(imported.environments)) == (False, 2)
    assert not list((place / "catalogue" / "lockfiles").iterdir())
    assert not Store(place / "store").blobs.has(digest)


def test_an_image_without_a_conda_environment_is_refused(place: Path) -> None:
    write(place, dist_info("/usr", "distro", python="3.9"))
    assert "holds no conda environment" in refused(place, ArtifactError).message


def test_an_image_without_a_c_library_is_refused(place: Path) -> None:
    files = {path: (data, 0o644) for path, data in usual().items()}
    write_layout(place / "image", "w_2021_14", files)
    assert "has no GNU C library" in refused(place, ArtifactError).message


def test_an_image_for_another_platform_is_refused_with_what_there_is(place: Path) -> None:
    write_index_layout(place / "image", "w_2021_14", ["arm64"])
    error = refused(place, ArtifactError)
    assert "has no image for linux-64" in error.message
    assert error.hint == "it has: linux/arm64"


def test_of_an_index_the_platforms_own_image_is_imported(place: Path) -> None:
    digest = write(place, usual())
    layout = place / "image"
    entry = json.loads((layout / "index.json").read_text())["manifests"][0]
    entry.pop("annotations")
    nested = canonical_json(
        {
            "schemaVersion": 2, "mediaType": oci.INDEX,
            "manifests": [{**entry, "platform": {"os": "linux", "architecture": "amd64"}}],
        }
    )  # fmt: skip
    (layout / "blobs" / "sha256" / Digest.of(nested).hex).write_bytes(nested)
    named = {**oci.describe(oci.INDEX, nested).as_json(), "annotations": {oci.REF_NAME: "w_2021_14"}}
    (layout / "index.json").write_bytes(canonical_json({"schemaVersion": 2, "manifests": [named]}))
    do(place)
    assert lock_of(place).base["linux-64"].digest == str(digest)


@pytest.mark.parametrize("harm", ["changed", "cut", "gone"])
def test_a_layer_that_is_not_what_its_digest_says_is_refused_and_nothing_is_written(place: Path, harm: str) -> None:
    write(place, usual())
    blobs = sorted((place / "image" / "blobs" / "sha256").iterdir(), key=lambda path: path.stat().st_size)
    data = blobs[-1].read_bytes()
    blobs[-1].unlink()
    if harm != "gone":
        blobs[-1].write_bytes(data[:-1] + b"x" if harm == "changed" else data[:-4])
    error = refused(place, ArtifactError)
    assert blobs[-1].name in error.message


def test_what_names_no_image_is_a_mistake(place: Path) -> None:
    assert "not a published image" in refused(place, UsageError, "docker://").message
    assert "is no OCI layout" in refused(place, ArtifactError, f"oci:{place / 'nowhere'}").message
    write(place, usual())
    assert "no image called 'other'" in refused(place, ArtifactError, f"oci:{place / 'image'}:other").message


@pytest.fixture
def registry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    (tmp_path / "registry").mkdir()
    with real_registry(tmp_path / "registry") as host:
        monkeypatch.setenv("CONTAINERS_REGISTRIES_CONF", str(trusting(host, tmp_path)))
        yield host


@needs_registry
def test_an_image_of_a_registry_is_imported_by_digest_in_dockers_types_too(place: Path, registry: str) -> None:
    write(place, usual())
    argv = ["skopeo", "copy", "--quiet", "--format", "v2s2", "--dest-tls-verify=false"]
    subprocess.run([*argv, f"oci:{place / 'image'}", f"docker://{registry}/lsst/old:w_14"], check=True)
    source = f"docker://{registry}/lsst/old:w_14"
    do(place, source)
    lock = lock_of(place)
    inspected = subprocess.run(
        ["skopeo", "inspect", "--tls-verify=false", source], capture_output=True, text=True, check=True
    )
    digest = json.loads(inspected.stdout)["Digest"]
    assert (lock.imported, lock.declared.base) == (source, f"{registry}/lsst/old@{digest}")
    built = build(place)
    assert str(built.manifest.digest) == digest
    assert built.manifest.media_type == "application/vnd.docker.distribution.manifest.v2+json"


@needs_registry
def test_a_registry_without_the_image_is_told(place: Path, registry: str) -> None:
    error = refused(place, ArtifactError, f"docker://{registry}/lsst/none:1")
    assert "lsst/none:1" in error.message


def peel(place: Path, *argv: str) -> Result:
    return CliRunner().invoke(app, ["-C", str(place / "catalogue"), "--store", str(place / "store"), *argv])


def test_the_verb_imports_an_image_and_builds_it(place: Path) -> None:
    digest = write(place, usual())
    done = peel(place, "import", f"oci:{place / 'image'}", str(REF), "--json")
    assert done.exit_code == 0, done.stderr
    said = json.loads(done.stdout)
    assert (said["format"], said["environments"]["conda"]) == ("image", {"conda": 2, "pip": 1, "missing": 0})
    built = peel(place, "build", str(REF), "--json")
    assert json.loads(built.stdout)["manifest"] == str(digest)
    assert "imported from oci layout" in peel(place, "show", str(REF)).stdout
    again = peel(place, "import", f"oci:{place / 'image'}", str(REF))
    assert (again.exit_code, again.stdout) == (2, "")


@pytest.mark.parametrize("option", ["--environment=x", "--prefix=/opt/x/y", "--base=host/x:1", "--partial"])
def test_what_only_lists_leave_open_is_not_asked_of_an_image(place: Path, option: str) -> None:
    write(place, usual())
    done = peel(place, "import", f"oci:{place / 'image'}", str(REF), option)
    assert done.exit_code == 2
    assert "is for lists of packages" in done.stderr
