"""Archives on disk: what is taken from them and checked, what is refused, and how they are written."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from peel.errors import ArtifactError, ToolError, UsageError
from peel.model.archive import Content, Kind
from peel.model.values import Digest, ImageRef
from peel.store.archives import Archive, contents, refuse_foreign_archive, take_from
from peel.store.archiving import write_archive
from peel.store.blobs import Blobs
from peel.store.layout import read_index
from peel.store.store import Store
from small_images import write_layout

REF = ImageRef("lab", "r1_0_0")
DATA = b"numpy" * 1000
NUMPY = Digest.of(DATA)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


@pytest.fixture
def archive(tmp_path: Path) -> Archive:
    """An archive of two packages and a document, made from a store of its own."""
    return written(tmp_path / "archive", Store(tmp_path / "other"))


def content(data: bytes, title: str, kind: Kind = Kind.CONDA_PACKAGE) -> Content:
    return Content(kind, title, Digest.of(data), len(data))


def written(root: Path, store: Store, *, ref: ImageRef = REF, scipy: bytes = b"scipy") -> Archive:
    for data in (DATA, scipy):
        store.blobs.put_bytes(data)
    lock = f"the lock of {ref}".encode()
    kept = [
        content(DATA, "numpy.conda"),
        content(scipy, "scipy.conda"),
        content(lock, "image.lock.yaml", Kind.LOCK_SET),
    ]
    documents = {Digest.of(lock): lock}
    write_archive(ref, kept, documents, store.blobs, directory=root, tag=f"{ref.image}-{ref.tag}")
    return Archive("the archive", root)


def blob(archive: Archive, digest: Digest = NUMPY) -> Path:
    return archive.root / "blobs" / "sha256" / digest.hex


def take(archive: Archive, store: Store) -> None:
    take_from([archive], [(NUMPY, "numpy.conda")], store.blobs)


def replace_blob(archive: Archive, data: bytes, mode: int = 0o444) -> None:
    blob(archive).unlink()
    blob(archive).write_bytes(data)
    blob(archive).chmod(mode)


def test_what_an_archive_has_enters_the_store_and_nothing_else_does(archive: Archive, store: Store) -> None:
    absent = Digest.of(b"never made")
    take_from([archive], [(NUMPY, "numpy.conda"), (absent, "absent.conda")], store.blobs)
    assert store.blobs.read(NUMPY) == DATA
    assert not store.blobs.has(absent)
    assert len(list((store.root / "blobs" / "sha256").iterdir())) == 1
    assert list((store.root / "tmp").iterdir()) == []


def test_the_first_archive_that_has_it_is_taken_from(archive: Archive, store: Store, tmp_path: Path) -> None:
    first = Archive("an empty one", tmp_path / "empty")
    last = Archive("a bad one", tmp_path / "bad")
    blob(last).parent.mkdir(parents=True)
    blob(last).write_bytes(b"not numpy")
    take_from([first, archive, last], [(NUMPY, "numpy.conda")], store.blobs)
    assert store.blobs.read(NUMPY) == DATA


def test_an_archive_is_not_brought_when_nothing_is_missing(archive: Archive, store: Store) -> None:
    def bring() -> None:
        raise AssertionError("it was looked at")

    store.blobs.put_bytes(DATA)
    take(Archive("unneeded", archive.root, bring), store)
    take_from([archive, Archive("unneeded", archive.root, bring)], [(Digest.of(b"scipy"), "scipy")], store.blobs)
    with pytest.raises(AssertionError):
        take_from([Archive("needed", archive.root, bring)], [(Digest.of(b"x"), "x")], store.blobs)


@pytest.mark.parametrize("mode", [0o444, 0o644], ids=["linked", "copied"])
def test_a_wrong_blob_is_refused_naming_archive_artifact_and_both_digests(
    archive: Archive, store: Store, mode: int
) -> None:
    replace_blob(archive, b"something else", mode)
    with pytest.raises(ArtifactError) as raised:
        take(archive, store)
    for words in ("the archive", "numpy.conda", str(NUMPY), str(Digest.of(b"something else"))):
        assert words in raised.value.message
    assert str(blob(archive)) in str(raised.value.hint)
    assert not store.blobs.has(NUMPY)
    assert list((store.root / "tmp").iterdir()) == []


def test_a_blob_cut_short_is_refused(archive: Archive, store: Store) -> None:
    replace_blob(archive, DATA[:-1])
    with pytest.raises(ArtifactError, match=r"numpy\.conda: expected"):
        take(archive, store)


def test_a_sealed_blob_of_ours_is_linked_and_its_mode_stays(archive: Archive, store: Store) -> None:
    take(archive, store)
    assert store.blobs.path(NUMPY).samefile(blob(archive))
    assert blob(archive).stat().st_mode & 0o777 == 0o444


def test_a_blob_that_may_be_written_to_is_copied_so_that_nobody_changes_the_stores(
    archive: Archive, store: Store
) -> None:
    replace_blob(archive, DATA, 0o664)
    take(archive, store)
    blob(archive).write_bytes(b"changed")
    assert store.blobs.read(NUMPY) == DATA
    assert store.blobs.path(NUMPY).stat().st_mode & 0o777 == 0o444
    assert blob(archive).stat().st_mode & 0o777 == 0o664


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_a_blob_of_another_user_is_copied(archive: Archive, store: Store) -> None:
    os.chown(blob(archive), 12345, 12345)
    take(archive, store)
    assert not store.blobs.path(NUMPY).samefile(blob(archive))
    assert store.blobs.path(NUMPY).stat().st_uid == os.geteuid()


def _link(path: Path) -> None:
    path.with_suffix(".elsewhere").write_bytes(DATA)
    path.symlink_to(path.with_suffix(".elsewhere"))


@pytest.mark.parametrize("make", [_link, os.mkfifo, Path.mkdir], ids=["a link", "a pipe", "a directory"])
def test_what_is_no_regular_file_counts_as_missing(
    archive: Archive, store: Store, make: Callable[[Path], None]
) -> None:
    blob(archive).unlink()
    make(blob(archive))
    take(archive, store)
    assert not store.blobs.has(NUMPY)
    assert list((store.root / "tmp").iterdir()) == []


def test_progress_is_told_in_bytes(archive: Archive, store: Store) -> None:
    told: list[int] = []
    take_from([archive], [(NUMPY, "numpy.conda")], store.blobs, advance=told.append)
    assert sum(told) == len(DATA)


def test_the_contents_of_all_lock_sets_are_told_once_each(archive: Archive, tmp_path: Path) -> None:
    written(archive.root, Store(tmp_path / "other"), ref=ImageRef("lab", "r1_0_1"), scipy=b"scipy 2")
    found = contents(archive)
    assert sorted((c.title, c.size) for c in found) == [
        ("image.lock.yaml", 22), ("image.lock.yaml", 22), ("numpy.conda", 5000), ("scipy.conda", 5), ("scipy.conda", 7),
    ]  # fmt: skip
    assert {c.kind for c in found} == {Kind.CONDA_PACKAGE, Kind.LOCK_SET}


def test_images_beside_archives_are_passed_over_but_an_archive_there_must_be(archive: Archive, tmp_path: Path) -> None:
    refuse_foreign_archive(archive)
    image = Archive("an image", tmp_path / "image")
    write_layout(image.root, "x", {"hello": (b"hello", 0o644)})
    with pytest.raises(ArtifactError, match="an image holds no archive of a lock set"):
        refuse_foreign_archive(image)
    written(image.root, Store(tmp_path / "other"))
    refuse_foreign_archive(image)
    assert len(contents(image)) == 3


def test_a_tag_that_is_not_there_is_told(archive: Archive) -> None:
    refuse_foreign_archive(archive, "lab-r1_0_0")
    with pytest.raises(ArtifactError, match="holds nothing called 'lab-r9'"):
        refuse_foreign_archive(archive, "lab-r9")


def _truncate_index(root: Path) -> None:
    index = root / "index.json"
    index.write_bytes(index.read_bytes()[:-5])


def _change_manifest(root: Path) -> None:
    (entry,) = json.loads((root / "index.json").read_text())["manifests"]
    path = root / "blobs" / "sha256" / entry["digest"].removeprefix("sha256:")
    path.chmod(0o644)
    path.write_bytes(path.read_bytes() + b" ")


def _lose_manifest(root: Path) -> None:
    (entry,) = json.loads((root / "index.json").read_text())["manifests"]
    (root / "blobs" / "sha256" / entry["digest"].removeprefix("sha256:")).unlink()


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (_truncate_index, r"index\.json is not a document of an image"),
        (_change_manifest, "its manifest is not sha256:"),
        (_lose_manifest, "its manifest sha256:.* is missing"),
        (lambda root: (root / "index.json").unlink(), "is no OCI layout"),
        (lambda root: root.rename(root.with_name("gone")), "is not there"),
    ],
)
def test_a_damaged_archive_is_refused_by_name(archive: Archive, damage: Callable[[Path], None], words: str) -> None:
    damage(archive.root)
    with pytest.raises(ArtifactError, match=words):
        refuse_foreign_archive(archive)


# writing


def test_writing_twice_changes_nothing(archive: Archive, tmp_path: Path) -> None:
    before = files_of(archive.root)
    written(archive.root, Store(tmp_path / "other"))
    assert files_of(archive.root) == before
    assert set(before) >= {"oci-layout", "index.json"}
    assert len(before) == 2 + 5  # two packages, a document, the empty config, the manifest


def test_a_lock_set_that_changed_takes_its_tag_and_drops_what_nobody_needs(archive: Archive, tmp_path: Path) -> None:
    written(archive.root, Store(tmp_path / "other"), scipy=b"scipy 2")
    (entry,) = read_index(archive.root).entries
    assert not blob(archive, Digest.of(b"scipy")).exists()
    assert blob(archive).exists()
    fresh = written(tmp_path / "fresh", Store(tmp_path / "other"), scipy=b"scipy 2")
    assert files_of(archive.root) == files_of(fresh.root)
    assert read_index(fresh.root).entries == (entry,)


def test_a_damaged_blob_of_an_archive_is_replaced(archive: Archive, tmp_path: Path) -> None:
    replace_blob(archive, b"x" * len(DATA))
    written(archive.root, Store(tmp_path / "other"))
    assert blob(archive).read_bytes() == DATA


def test_a_damaged_store_makes_no_archive(archive: Archive, tmp_path: Path) -> None:
    other = Store(tmp_path / "other")
    path = other.blobs.path(Digest.of(b"scipy"))
    path.unlink()
    path.write_bytes(b"sciPy")
    with pytest.raises(ArtifactError, match="is damaged"):
        written(tmp_path / "fresh", other)
    assert read_index(tmp_path / "fresh").entries == ()
    assert list((tmp_path / "fresh" / "blobs" / "sha256").iterdir()) == []
    assert files_of(archive.root)["index.json"]


@pytest.mark.parametrize("error", [KeyboardInterrupt(), ArtifactError("x")], ids=["interrupt", "error"])
def test_broken_off_an_archive_stays_as_it_was(archive: Archive, tmp_path: Path, error: BaseException) -> None:
    before, other = files_of(archive.root), Store(tmp_path / "other")
    more = [other.blobs.put_bytes(str(n).encode()) for n in range(3)]
    kept = [Content(Kind.WHEEL, str(n), digest, 1) for n, digest in enumerate(more)]

    def advance(_: int) -> None:
        if len(files_of(archive.root)) > len(before) + 2:
            raise error

    with pytest.raises(type(error)):
        write_archive(REF, kept, {}, other.blobs, directory=archive.root, tag="lab-r1_0_0", advance=advance)
    assert files_of(archive.root) == before


def test_an_archive_goes_neither_into_the_store_nor_among_other_things(store: Store, tmp_path: Path) -> None:
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "thesis.txt").touch()
    with pytest.raises(UsageError, match="no OCI layout"):
        written(tmp_path / "thesis", store)
    with pytest.raises(UsageError, match="the store itself"):
        written(store.root, store)


def test_a_full_disk_is_told_and_leaves_nothing(store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "hardlink_to", full)
    monkeypatch.setattr("peel.store.layout.shutil.copyfile", full)
    with pytest.raises(ToolError, match="No space left"):
        written(tmp_path / "fresh", store)
    assert list((tmp_path / "fresh" / "blobs" / "sha256").iterdir()) == []


def test_on_another_disk_blobs_are_copies_with_the_same_mode(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def other_disk(*_: object) -> None:
        raise OSError(18, "Invalid cross-device link")

    monkeypatch.setattr(Path, "hardlink_to", other_disk)
    archive = written(tmp_path / "fresh", store)
    assert not blob(archive).samefile(store.blobs.path(NUMPY))
    assert blob(archive).stat().st_mode & 0o777 == 0o444
    Blobs(archive.root).verify(NUMPY)


def files_of(root: Path) -> dict[str, bytes]:
    return {str(path.relative_to(root)): path.read_bytes() for path in sorted(root.rglob("*")) if path.is_file()}
