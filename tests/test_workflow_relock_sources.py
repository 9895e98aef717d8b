"""Where a relock takes packages from: channels, archives, what is locked; and what it keeps to itself."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from channels import index
from peel.errors import ArtifactError, DocumentError
from peel.model.values import Digest
from peel.tools.micromamba import find_solver
from peel.workflow.lock_entries import locked_entries, merge_lock
from relocking import Bench, entry_of, moves, serving, to_lock, versions
from solving import BOTH, REAL

RAISE = {"raise": ["openssl >=3.5.1"]}
HIDDEN = "s3cr3t-t0ken"


@pytest.fixture(params=BOTH if REAL else BOTH[:1])
def bench(request: pytest.FixtureRequest, tmp_path: Path) -> Bench:
    return Bench(tmp_path, find_solver(Path(request.param)))


def test_packages_that_vanished_from_their_channel_stay(bench: Bench) -> None:
    bench.lock("openssl", "3.5.0").unlink()
    bench.lock("gone", "1.0", "openssl", "lost").unlink()
    bench.lock("lost", "1.0", stored=False).unlink()
    bench.make("openssl", "3.5.1")
    relocked = bench.relock(packages=RAISE)
    assert versions(relocked) == {"gone": "1.0", "lost": "1.0", "openssl": "3.5.1"}
    assert relocked.entries[:2] == tuple(bench.locked[1:])


def test_what_the_store_lacks_is_fetched_since_a_lock_says_less_than_an_archive(bench: Bench) -> None:
    bench.lock("openssl", "3.5.0")
    bench.lock("scipy", "1.0", constrains=["openssl <3.5.1"], stored=False)
    bench.make("openssl", "3.5.1")
    bench.make("scipy", "1.1")
    assert versions(bench.relock(packages=RAISE)) == {"openssl": "3.5.1", "scipy": "1.1"}


def test_what_vanished_comes_from_an_archive_under_its_old_address(bench: Bench) -> None:
    bench.lock("libfoo", "2.0")
    vanished = bench.make("libfoo", "1.5")
    url = "https://old.example/channel/linux-64/libfoo-1.5-h0_0.conda"
    entry = {**entry_of(vanished, "linux-64"), "url": url}
    bench.archive(vanished, documents={"lockfiles/lab/r1/lab.conda-lock.yml": to_lock([entry])})
    vanished.unlink()
    relocked = bench.relock(packages={"replace": {"libfoo": "libfoo <2"}})
    assert relocked.entries == (entry,)
    assert moves(relocked) == [
        ("lowered", "libfoo", "libfoo <2 asked for by patch 2026-11-fix"),
    ]
    assert bench.store.blobs.has(Digest.from_hex(entry["hash"]["sha256"]))


def test_an_archive_without_lock_sets_has_its_packages_where_their_like_are(bench: Bench) -> None:
    bench.lock("libfoo", "2.0")
    vanished = bench.make("libfoo", "1.5")
    entry = entry_of(vanished, "linux-64")
    bench.archive(vanished)
    vanished.unlink()
    assert bench.relock(packages={"replace": {"libfoo": "libfoo <2"}}).entries == (entry,)


def test_channels_come_before_archives(bench: Bench) -> None:
    bench.lock("openssl", "3.5.0")
    bench.archive(bench.make("openssl", "3.5.1"))
    bench.make("openssl", "3.5.2")
    assert versions(bench.relock(packages=RAISE)) == {"openssl": "3.5.2"}


def test_a_channel_that_cannot_be_read_is_done_without_where_an_archive_has_it_all(bench: Bench) -> None:
    bench.lock("openssl", "3.5.0")
    bench.lock("curl", "8.1", "openssl")
    bench.archive(bench.make("openssl", "3.5.1"))
    bench.channels = ((bench.root / "none").as_uri(),)
    assert versions(bench.relock(packages=RAISE)) == {"curl": "8.1", "openssl": "3.5.1"}
    assert len(bench.told.warnings) == 1
    assert bench.told.warnings[0].endswith("lab on linux-64 was relocked from what is at hand")


def test_a_channel_that_cannot_be_read_is_named_where_nothing_else_has_it(bench: Bench) -> None:
    bench.lock("openssl", "3.5.0")
    bench.channels = ((bench.root / "none").as_uri(),)
    with pytest.raises(ArtifactError) as caught:
        bench.relock(packages=RAISE)
    assert bench.channels[0] in caught.value.message
    assert "of what is at hand, patch '2026-11-fix' asks for 'openssl >=3.5.1'" in caught.value.message


def test_without_the_network_no_channel_is_asked(bench: Bench) -> None:
    bench.lock("openssl", "3.5.0")
    bench.archive(bench.make("openssl", "3.5.1"))
    bench.make("openssl", "3.5.2")
    bench.network = False
    assert versions(bench.relock(packages=RAISE)) == {"openssl": "3.5.1"}
    assert bench.told.warnings == []


def test_another_platform_is_solved_for_itself(bench: Bench) -> None:
    bench.platform = "linux-aarch64"
    for version in ("3.5.1", "3.5.2"):
        bench.make("openssl", version, subdir="linux-aarch64" if version == "3.5.1" else "linux-64")
    bench.lock("openssl", "3.5.0", subdir="linux-aarch64")
    bench.make("openssl", "3.5.3", "__archspec 1 x86_64", subdir="linux-aarch64")
    bench.make("openssl", "3.5.4", "__glibc >=2.35", subdir="linux-aarch64")
    relocked = bench.relock(packages=RAISE)
    assert versions(relocked) == {"openssl": "3.5.1"}
    assert relocked.entries[0]["platform"] == "linux-aarch64"


def test_a_token_in_a_channels_address_is_written_nowhere(bench: Bench) -> None:
    bench.lock("openssl", "3.5.0")
    bench.make("openssl", "3.5.1")
    index(bench.channel)
    bench.secrets = {"CHANNEL_TOKEN": HIDDEN}
    with serving(bench.root, token=HIDDEN) as server:
        bench.channels = (f"{server}/t/$CHANNEL_TOKEN/channel",)
        relocked = bench.relock(packages=RAISE)
        bench.locked = [dict(entry) for entry in relocked.entries]
        with pytest.raises(DocumentError) as unsolvable:
            bench.relock(packages={"raise": ["openssl >=4"]})
        bench.channels = (f"{server}/t/$CHANNEL_TOKEN/nowhere",)
        with pytest.raises(ArtifactError) as unreadable:
            bench.relock(packages={"raise": ["openssl >=4"]})
    (entry,) = relocked.entries
    assert entry["url"] == f"{server}/t/${{CHANNEL_TOKEN}}/channel/linux-64/openssl-3.5.1-h0_0.conda"
    for error in (unsolvable.value, unreadable.value):
        assert HIDDEN not in f"{error.message}{error.hint}"
    assert "nowhere" in unreadable.value.message


def test_a_token_given_as_a_user_is_written_nowhere_either(bench: Bench) -> None:
    bench.lock("openssl", "3.5.0")
    bench.make("openssl", "3.5.1")
    index(bench.channel)
    bench.secrets = {"CHANNEL_TOKEN": HIDDEN}
    with serving(bench.root) as server:
        bench.channels = (f"{server.replace('://', '://me:${CHANNEL_TOKEN}@')}/channel",)
        (entry,) = bench.relock(packages=RAISE).entries
    assert entry["url"].startswith("http://me:${CHANNEL_TOKEN}@127.0.0.1:")


def test_a_lock_is_the_same_whatever_order_its_channel_and_its_entries_have(bench: Bench) -> None:
    bench.lock("openssl", "3.5.0")
    bench.lock("curl", "8.1", "openssl <3.5.1", "zlib", "idn")
    for name in ("zlib", "idn"):
        bench.lock(name)
        bench.make(name, "2.0")
    for version in ("3.5.1", "3.5.2"):
        bench.make("openssl", version)
    bench.make("curl", "8.2", "openssl", "zlib >=2", "idn >=2")
    url = index(bench.channel)
    first = bench.relock(packages=RAISE)
    repodata = bench.channel / "linux-64" / "repodata.json"
    document = json.loads(repodata.read_text())
    document["packages.conda"] = dict(reversed(document["packages.conda"].items()))
    repodata.write_text(json.dumps(document))
    bench.channels, lock = (url,), to_lock(bench.locked)
    bench.locked.reverse()
    second = bench.relock(packages=RAISE)
    assert merge_lock(lock, "linux-64", first.entries) == merge_lock(lock, "linux-64", second.entries)
    assert first.moves == second.moves


def test_merging_replaces_one_platform_and_keeps_the_others_to_the_letter(bench: Bench) -> None:
    bench.lock("openssl", "3.5.0")
    other = {**bench.locked[0], "platform": "linux-aarch64", "url": "https://x.example/linux-aarch64/openssl-1-0.conda"}
    lock = to_lock([*bench.locked, other])
    bench.make("openssl", "3.5.1")
    merged = merge_lock(lock, "linux-64", bench.relock(packages=RAISE).entries)
    assert locked_entries(merged, "linux-aarch64", "lock") == [other]
    assert [entry["version"] for entry in locked_entries(merged, "linux-64", "lock")] == ["3.5.1"]
    assert merge_lock(merged, "linux-64", locked_entries(merged, "linux-64", "lock")) == merged


def test_a_file_that_is_no_lock_is_refused() -> None:
    with pytest.raises(DocumentError, match=r"^lab.conda-lock.yml: "):
        locked_entries(b"version: 2\n", "linux-64", "lab.conda-lock.yml")


def test_a_damaged_archive_is_named(bench: Bench) -> None:
    bench.lock("libfoo", "2.0")
    vanished = bench.make("libfoo", "1.5")
    bench.archive(vanished)
    (blob,) = [
        path
        for path in bench.archives[0].root.rglob("blobs/sha256/*")
        if path.stat().st_size == len(vanished.read_bytes())
    ]
    blob.write_bytes(vanished.read_bytes()[:-40])
    vanished.unlink()
    with pytest.raises(ArtifactError, match=r"libfoo-1\.5-h0_0\.conda"):
        bench.relock(packages={"replace": {"libfoo": "libfoo <2"}})
