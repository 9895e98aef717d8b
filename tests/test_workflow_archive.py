"""Archives of real lock sets: made, carried through a registry, and built from when nothing else is left."""

from __future__ import annotations

import json
import shutil
import subprocess
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner, Result

from channels import repodata_record
from peel.cli import app
from peel.errors import ArtifactError, DocumentError, UsageError
from peel.model.archive import Kind
from peel.model.lockset import LockedPackage, LockedPatch, PatchedEnvironment, PatchedFile, SupersededPackage
from peel.model.plan import make_plan
from peel.model.progress import Silent
from peel.model.values import Digest, ImageRef, Platform
from peel.store.archives import Archive, contents
from peel.store.catalogue import Catalogue
from peel.store.documents import to_yaml
from peel.store.fetch import Artifact
from peel.store.layout import read_index
from peel.store.store import Store
from peel.tools import process, skopeo
from peel.workflow.archive import archive_image, packages_of, parse_destination
from peel.workflow.archives import LayoutPlace, RegistryPlace, open_archives, parse_place
from peel.workflow.base import fetch_base
from peel.workflow.fetching import Sources, fetch_artifacts
from peel.workflow.gc import find_garbage
from registries import odd_registry, real_registry, status, trusting
from tiny import REF, Tiny

TAG = "lab-r1_0_0"
needs_registry = pytest.mark.skipif(process.find("docker-registry") is None, reason="docker-registry is not installed")


@pytest.fixture
def tiny(tmp_path: Path) -> Tiny:
    made = Tiny(tmp_path)
    made.lock_simply()
    return made


@pytest.fixture
def registry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    (tmp_path / "registry").mkdir()
    with real_registry(tmp_path / "registry") as host:
        monkeypatch.setenv("CONTAINERS_REGISTRIES_CONF", str(trusting(host, tmp_path)))
        yield host


def archive(tiny: Tiny, to: str | Path, *, store: Store | None = None, **sources: Any) -> Digest:
    kept = store or tiny.store
    place = parse_destination(str(to), REF, kept)
    return archive_image(
        REF, destination=place, catalogue=tiny.catalogue, store=kept, sources=Sources(**sources), progress=Silent()
    ).manifest


def opened(tiny: Tiny, store: Store, *named: str | Path) -> Any:
    return open_archives(
        [str(place) for place in named], ref=REF, catalogue=tiny.catalogue, store=store, progress=Silent()
    )


def have_everything(tiny: Tiny, store: Store, *named: str | Path) -> None:
    """Have all that building takes in a store, without the network."""
    locks = tiny.catalogue.lock_set(REF)
    with opened(tiny, store, *named) as archives:
        sources = Sources(archives=archives, network=False)
        wanted = [Artifact(p.file_name, p.url, p.digest, p.size) for p in packages_of(locks)]
        fetch_artifacts(wanted, store, sources, Silent())
        plan = make_plan(locks, Platform("linux-64"))
        fetch_base(plan.base, plan.platform, store, sources, Silent())


def peel(tiny: Tiny, *argv: str) -> Result:
    return CliRunner().invoke(app, ["-C", str(tiny.root), "--store", str(tiny.store.root), *argv])


def test_an_archive_holds_packages_base_and_documents_and_nothing_else(tiny: Tiny, tmp_path: Path) -> None:
    (tiny.lock_set / "my notes.conda-lock.yml").write_text("not a document of this lock set")
    archive(tiny, tmp_path / "archive")
    found = contents(Archive("x", tmp_path / "archive"))
    assert [(content.kind, content.title) for content in found] == [
        (Kind.BASE, "base/linux-64/config.json"),
        (Kind.BASE, "base/linux-64/layer-000"),
        (Kind.BASE, "base/linux-64/manifest.json"),
        (Kind.CONDA_PACKAGE, "jupyterlab-4.6.0-0.conda"),
        (Kind.CONDA_PACKAGE, "python-3.13.1-0.conda"),
        (Kind.LOCK_SET, "image.lock.yaml"),
        (Kind.LOCK_SET, "lab.conda-lock.yml"),
    ]
    blobs = {path.name for path in (tmp_path / "archive" / "blobs" / "sha256").iterdir()}
    assert len(blobs) == len(found) + 2  # the manifest and the empty config


def test_the_same_lock_set_gives_the_same_archive_wherever_it_is_made(tiny: Tiny, tmp_path: Path) -> None:
    first = archive(tiny, tmp_path / "first")
    assert archive(tiny, f"oci:{tmp_path / 'second'}:another-tag") == first
    assert archive(tiny, tmp_path / "first") == first
    shutil.copytree(tiny.root / "lockfiles", tmp_path / "elsewhere" / "lockfiles")
    other = Store(tmp_path / "other")
    with opened(tiny, other, tmp_path / "first") as archives:
        made = archive_image(
            REF, destination=LayoutPlace(tmp_path / "third"), catalogue=Catalogue(tmp_path / "elsewhere"), store=other,
            sources=Sources(archives=archives), progress=Silent(),
        )  # fmt: skip
    assert made.manifest == first


def test_a_record_is_kept_too(tiny: Tiny, tmp_path: Path) -> None:
    before = archive(tiny, tmp_path / "archive")
    tiny.record()
    assert archive(tiny, tmp_path / "archive") != before
    assert "record.json" in [content.title for content in contents(Archive("x", tmp_path / "archive"))]
    assert len(read_index(tmp_path / "archive").entries) == 1


def test_of_a_patched_lock_set_what_the_patch_took_away_and_the_files_it_brought_are_kept_too(
    tiny: Tiny, tmp_path: Path
) -> None:
    note = b"a patched file\n"
    patch_lab(tiny, note)
    archive(tiny, tmp_path / "archive")
    titles = [content.title for content in contents(Archive("x", tmp_path / "archive"))]
    assert {"jupyterlab-4.6.0-0.conda", "jupyterlab-4.7.0-0.conda", f"files/{Digest.of(note).hex}"} < set(titles)
    shutil.rmtree(tiny.channel)
    have_everything(tiny, Store(tmp_path / "empty"), tmp_path / "archive")
    assert find_garbage(tiny.root, tiny.store, images=False, progress=Silent()).waste == ()


def patch_lab(tiny: Tiny, note: bytes) -> None:
    """Put a patch upon the lock set, as ``peel patch`` writes one: a newer jupyterlab, and a file."""
    made = tiny.add("jupyterlab", "4.7.0", depends=["python"], files={"share/lab": "newer"})
    record, lock = repodata_record(made), tiny.catalogue.image_lock(REF)
    path = tiny.lock_set / "lab.conda-lock.yml"
    document = yaml.safe_load(path.read_text())
    (entry,) = [package for package in document["package"] if package["name"] == "jupyterlab"]
    old = SupersededPackage(
        name="jupyterlab", version=entry["version"], manager="conda", file=entry["url"].rpartition("/")[2],
        url=entry["url"], sha256=entry["hash"]["sha256"], depends=("python",),
    )  # fmt: skip
    entry.update(version="4.7.0", url=made.as_uri(), hash={"sha256": record["sha256"]})
    new = LockedPackage(name="jupyterlab", file=made.name, sha256=record["sha256"], size=record["size"])
    change = PatchedEnvironment(removed=("jupyterlab",), added=(new,), python="3.13")
    file = PatchedFile(path="/etc/note", sha256=Digest.of(note).hex, size=len(note), mode=0o644)
    patch = LockedPatch(
        name="newer", formats=lock.formats, compression=lock.compression, files=(file,),
        environments={"linux-64": {"lab": change}},
    )  # fmt: skip
    patched = lock.model_copy(update={"patches": (patch,), "superseded": {"linux-64": {"lab": (old,)}}})
    path.write_text(yaml.safe_dump(document))
    (tiny.lock_set / "files").mkdir()
    (tiny.lock_set / "files" / file.sha256).write_bytes(note)
    (tiny.lock_set / "image.lock.yaml").write_bytes(to_yaml(patched.as_document()))


def test_an_archive_alone_gives_an_empty_store_all_that_a_build_needs(tiny: Tiny, tmp_path: Path) -> None:
    archive(tiny, tmp_path / "archive")
    shutil.rmtree(tiny.channel)
    have_everything(tiny, Store(tmp_path / "empty"), tmp_path / "archive")


def test_an_archive_is_made_from_another_one_where_store_and_channel_are_gone(tiny: Tiny, tmp_path: Path) -> None:
    first = archive(tiny, tmp_path / "first")
    shutil.rmtree(tiny.channel)
    empty = Store(tmp_path / "empty")
    with opened(tiny, empty, tmp_path / "first") as archives:
        assert archive(tiny, tmp_path / "second", store=empty, archives=archives) == first


def test_what_is_gone_everywhere_is_told_and_no_archive_is_begun(tiny: Tiny, tmp_path: Path) -> None:
    shutil.rmtree(tiny.channel)
    shutil.rmtree(tiny.store.blobs.path(Digest.of(b"")).parent)
    with pytest.raises(ArtifactError, match=r"jupyterlab-4\.6\.0"):
        archive(tiny, tmp_path / "archive")
    assert not (tmp_path / "archive").exists()


def test_an_unlocked_image_makes_no_lock_set_and_no_archive(tiny: Tiny, tmp_path: Path) -> None:
    other = ImageRef("lab", "r9")
    with pytest.raises(DocumentError, match="is not locked"):
        archive_image(
            other, destination=LayoutPlace(tmp_path / "archive"), catalogue=tiny.catalogue, store=tiny.store,
            sources=Sources(), progress=Silent(),
        )  # fmt: skip
    assert not tiny.catalogue.lock_directory(other).exists()
    assert not (tmp_path / "archive").exists()


# places


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("keep", LayoutPlace(Path("/at/keep"))),
        ("/keep", LayoutPlace(Path("/keep"))),
        ("oci:keep", LayoutPlace(Path("/at/keep"))),
        ("oci:/keep:lab-1", LayoutPlace(Path("/keep"), "lab-1")),
        ("docker://host/keep", RegistryPlace("host/keep")),
        ("docker://127.0.0.1:5000/a/b:c", RegistryPlace("127.0.0.1:5000/a/b", "c")),
        (f"docker://host/a@sha256:{'0' * 64}", RegistryPlace("host/a", None, f"@sha256:{'0' * 64}")),
    ],
)
def test_a_place_is_read(text: str, place: Any) -> None:
    assert parse_place(text, at=Path("/at")) == place


@pytest.mark.parametrize(
    "text", ["", "-x", "dir:x", "https://host/x", "oci:", "oci:a:b:c", "docker://", "docker://me:pw@host/x", "docker:x"]
)
def test_what_is_no_place_is_a_mistake(text: str) -> None:
    with pytest.raises(UsageError, match="not a place of an archive") as raised:
        parse_place(text, at=Path("/at"))
    assert "pw" not in raised.value.message


def test_a_destination_must_be_one(tiny: Tiny, tmp_path: Path) -> None:
    for text, words in [
        (f"docker://host/a@sha256:{'0' * 64}", "under a digest"),
        (str(tiny.store.root), "the store itself"),
        (str(tmp_path), "no OCI layout"),
    ]:
        with pytest.raises(UsageError, match=words):
            parse_destination(text, REF, tiny.store)
    with pytest.raises(UsageError, match="too long for a registry"):
        parse_destination("docker://host/a", ImageRef("a" * 100, "b" * 100), tiny.store)
    assert parse_destination("docker://host/a:c", ImageRef("a" * 100, "b" * 100), tiny.store)


def test_archives_that_were_named_come_before_those_of_the_settings(tiny: Tiny, tmp_path: Path) -> None:
    archive(tiny, tmp_path / "named")
    tiny.write("settings.yaml", {"schema": 1, "archives": ["kept/archive", "docker://host/keep"]})
    with opened(tiny, tiny.store, tmp_path / "named") as archives:
        assert [a.name for a in archives] == [
            str(tmp_path / "named"), str(tiny.root / "kept" / "archive"), "docker://host/keep",
        ]  # fmt: skip


def test_an_archive_of_the_settings_is_asked_without_being_named(tiny: Tiny, tmp_path: Path) -> None:
    archive(tiny, tiny.root / "kept")
    tiny.write("settings.yaml", {"schema": 1, "archives": ["kept"]})
    have_everything(tiny, Store(tmp_path / "empty"))


def test_an_archive_of_the_settings_that_is_not_there_matters_only_when_something_is_missing(
    tiny: Tiny, tmp_path: Path
) -> None:
    tiny.write("settings.yaml", {"schema": 1, "archives": ["unmounted"]})
    have_everything(tiny, tiny.store)
    with pytest.raises(ArtifactError, match="unmounted is not there"):
        have_everything(tiny, Store(tmp_path / "empty"))


def test_the_settings_archive_may_be_the_one_that_is_being_made(tiny: Tiny) -> None:
    tiny.write("settings.yaml", {"schema": 1, "archives": ["kept"]})
    for path in tiny.store.blobs.path(Digest.of(b"")).parent.iterdir():
        if path.read_bytes()[:2] == b"PK":
            path.unlink()
    done = peel(tiny, "archive", str(REF), "--to", str(tiny.root / "kept"))
    assert done.exit_code == 0, done.stderr
    have_everything(tiny, Store(tiny.root / "empty"))


@pytest.mark.parametrize(
    ("document", "words"),
    [
        ({"archives": ["kept"]}, r"envs/settings\.yaml:1: schema: missing"),
        ({"schema": 1, "archive": ["kept"]}, "did you mean 'archives'"),
        ({"schema": 1, "archives": "kept"}, "archives: .*list"),
        ({"schema": 1, "archives": ["kept", "ftp://x"]}, r"envs/settings\.yaml: archives\[1\]: not a place"),
    ],
)
def test_bad_settings_are_told_with_file_and_key(tiny: Tiny, document: Any, words: str) -> None:
    tiny.write("settings.yaml", document)
    with pytest.raises(DocumentError, match=words), opened(tiny, tiny.store):
        pass


def test_settings_are_no_image(tiny: Tiny) -> None:
    tiny.write("settings.yaml", {"schema": 1})
    assert tiny.catalogue.images() == ["lab"]


def test_a_place_that_was_named_must_be_an_archive(tiny: Tiny, tmp_path: Path) -> None:
    (tmp_path / "thesis").mkdir()
    for place, words in [
        (tmp_path / "nowhere", "is not there"),
        (tmp_path / "thesis", "is no OCI layout"),
        (tmp_path / "base", "holds no archive of a lock set"),
    ]:
        with pytest.raises(ArtifactError, match=words), opened(tiny, tiny.store, place):
            pass


# registries


@needs_registry
def test_a_registry_carries_an_archive_with_every_digest_kept(tiny: Tiny, tmp_path: Path, registry: str) -> None:
    digest = archive(tiny, f"docker://{registry}/keep/lab")
    assert digest == archive(tiny, tmp_path / "archive")
    assert Digest.of(skopeo.inspect(f"{registry}/keep/lab:{TAG}")) == digest
    shutil.rmtree(tiny.channel)
    have_everything(tiny, Store(tmp_path / "one"), f"docker://{registry}/keep/lab")
    have_everything(tiny, Store(tmp_path / "two"), f"docker://{registry}/keep/lab@{digest}")
    assert list((tmp_path / "one" / "tmp").iterdir()) == []


@needs_registry
def test_skopeo_carries_a_registrys_archive_into_a_directory_that_is_one(
    tiny: Tiny, tmp_path: Path, registry: str
) -> None:
    digest = archive(tiny, f"docker://{registry}/keep/lab")
    (tmp_path / "copy").mkdir()
    source = f"docker://{registry}/keep/lab:{TAG}"
    command = ["skopeo", "copy", "--quiet", "--preserve-digests", "--src-tls-verify=false", source, f"oci:.:{TAG}"]
    subprocess.run(command, cwd=tmp_path / "copy", check=True)
    assert [entry.manifest.digest for entry in read_index(tmp_path / "copy").entries] == [digest]
    have_everything(tiny, Store(tmp_path / "empty"), tmp_path / "copy")


@needs_registry
def test_a_registry_without_an_archive_of_this_lock_set_matters_only_when_named(
    tiny: Tiny, tmp_path: Path, registry: str
) -> None:
    tiny.write("settings.yaml", {"schema": 1, "archives": [f"docker://{registry}/keep/none"]})
    with pytest.raises(ArtifactError, match="in no archive and not in the store"):
        have_everything(tiny, Store(tmp_path / "empty"))
    with pytest.raises(ArtifactError, match=f"no image {registry}/keep/none:{TAG} in its registry"):
        have_everything(tiny, Store(tmp_path / "empty"), f"docker://{registry}/keep/none")


@needs_registry
def test_an_image_in_a_registry_is_no_archive_and_is_not_fetched(tiny: Tiny, tmp_path: Path, registry: str) -> None:
    with pytest.raises(ArtifactError, match="is no archive of lock sets") as raised:
        have_everything(tiny, Store(tmp_path / "empty"), f"docker://{registry}/library/any:any")
    assert f"docker://{registry}/library/any:any" in raised.value.message


@pytest.mark.parametrize(
    ("answer", "words"),
    [(401, "does not let us"), (404, "there is no registry where"), (500, "fails: .*500")],
)
def test_a_registry_that_refuses_is_told_by_name(
    tiny: Tiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, answer: int, words: str
) -> None:
    with odd_registry(status(answer)) as host:
        monkeypatch.setenv("CONTAINERS_REGISTRIES_CONF", str(trusting(host, tmp_path)))
        for go in (
            lambda: archive(tiny, f"docker://{host}/keep/lab"),
            lambda: have_everything(tiny, Store(tmp_path / "empty"), f"docker://{host}/keep/lab"),
        ):
            with pytest.raises(ArtifactError, match=words) as raised:
                go()
            assert f"{host}/keep/lab:{TAG}" in raised.value.message
            assert raised.value.hint
    assert list((tmp_path / "store" / "tmp").iterdir()) == []


def test_a_registry_that_falls_silent_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def silence(_: BaseHTTPRequestHandler) -> None:
        time.sleep(5)

    with odd_registry(silence) as host:
        monkeypatch.setenv("CONTAINERS_REGISTRIES_CONF", str(trusting(host, tmp_path)))
        with pytest.raises(ArtifactError, match=f"the registry of {host}/keep/lab:x is too slow") as raised:
            skopeo.inspect(f"{host}/keep/lab:x", timeout=0.3)
        assert raised.value.hint


def test_a_manifest_of_an_unknown_media_type_is_refused_before_anything_is_fetched(
    tiny: Tiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kind = "application/vnd.strange.v9+json"
    body, asked = json.dumps({"schemaVersion": 2, "mediaType": kind}).encode(), list[str]()

    def answer(request: BaseHTTPRequestHandler) -> None:
        asked.append(request.path)
        request.send_response(200)
        request.send_header("Content-Type", kind if "manifests" in request.path else "application/json")
        request.send_header("Content-Length", str(len(body)))
        request.end_headers()
        request.wfile.write(body)

    with odd_registry(answer) as host:
        monkeypatch.setenv("CONTAINERS_REGISTRIES_CONF", str(trusting(host, tmp_path)))
        with pytest.raises(ArtifactError, match=r"strange\.v9"):
            have_everything(tiny, Store(tmp_path / "empty"), f"docker://{host}/keep/lab")
    assert not [path for path in asked if "blobs" in path]


# the verb


def test_the_verb_prints_the_digest_and_json_says_the_rest(tiny: Tiny, tmp_path: Path) -> None:
    done = peel(tiny, "archive", str(REF), "--to", str(tmp_path / "archive"))
    assert done.exit_code == 0, done.stderr
    told = json.loads(peel(tiny, "archive", str(REF), "--to", f"oci:{tmp_path / 'archive'}", "--json").stdout)
    assert told == {
        "schema": 1, "image": "lab", "tag": "r1_0_0", "archive": done.stdout.strip(),
        "place": f"oci:{tmp_path / 'archive'}:{TAG}", "artifacts": 7, "size": told["size"],
    }  # fmt: skip
    assert told["size"] == sum(content.size for content in contents(Archive("x", tmp_path / "archive")))


@pytest.mark.parametrize(
    ("argv", "code", "words"),
    [
        (["archive", "lab:r1_0_0"], 2, "--to"),
        (["archive", "lab:r9", "--to", "a"], 3, "is not locked"),
        (["archive", "lab:r1_0_0", "--to", "ftp://x"], 2, "not a place of an archive"),
        (["build", "lab:r1_0_0", "--platform", "linux-64", "--archive", "nowhere"], 5, "nowhere is not there"),
        (["build", "lab:r1_0_0", "--platform", "linux-64", "--archive", "ftp:x"], 2, "not a place of an archive"),
        (["lock", "lab:r1_0_0", "--archive", "nowhere"], 5, "nowhere is not there"),
    ],
)
def test_a_mistake_is_one_error_with_its_code(
    tiny: Tiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, argv: list[str], code: int, words: str
) -> None:
    monkeypatch.chdir(tmp_path)
    before = tiny.files()
    done = peel(tiny, *argv)
    assert (done.exit_code, done.stdout) == (code, ""), done.output
    assert words in done.stderr
    assert done.stderr.count("error: ") == 1
    assert tiny.files() == before


def test_locking_takes_from_an_archive_what_a_channel_lists_but_lost(tiny: Tiny, tmp_path: Path) -> None:
    archive(tiny, tmp_path / "archive")
    next(tiny.channel.glob("*/jupyterlab-*.conda")).unlink()
    empty = Store(tmp_path / "empty")
    argv = ["-C", str(tiny.root), "--store", str(empty.root), "lock", str(REF)]
    assert CliRunner().invoke(app, argv).exit_code == 5
    done = CliRunner().invoke(app, [*argv, "--archive", str(tmp_path / "archive")])
    assert done.exit_code == 0, done.stderr
