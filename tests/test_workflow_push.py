"""Publishing and bringing back, with a real registry: digests, aliases, and what is never overwritten."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from peel.errors import ArtifactError, DifferenceError, UsageError
from peel.model.oci import (
    INDEX,
    MANIFEST,
    Config,
    ImageSettings,
    IndexEntry,
    describe,
    make_config,
    make_index,
    make_manifest,
)
from peel.model.progress import Silent
from peel.model.repository import Repository
from peel.model.tags.policy import policy_of
from peel.model.values import Digest, ImageRef, Platform, canonical_json
from peel.registry.client import open_registry
from peel.store.store import Store
from peel.workflow.pull import Published, pull_image
from peel.workflow.push import Publishing, Pushed, push_image
from peel.workflow.push_aliases import AliasRules
from peel.workflow.pushable import Pushable
from registries import odd_registry, status, trusting
from small_images import write_image

AMD = Platform("linux-64")


@pytest.fixture
def place(registry: str, request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Repository:
    """A repository that begins empty."""
    monkeypatch.setenv("CONTAINERS_REGISTRIES_CONF", str(trusting(registry, tmp_path)))
    number = abs(hash(request.node.name))
    return Repository.parse(f"{registry}/test/lab{number}")


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


def image(store: Store, tag: str, *, policy: str = "rsp", contents: str = "", says: bool = True) -> Pushable:
    """An image of one small layer; it ``says`` its version, as those of peel do."""
    written = write_image(store.root, {"file": ((contents or tag).encode(), 0o644)})
    raw = store.blobs.read(written.digest)
    if says:
        document = json.loads(raw)
        annotations = {"org.opencontainers.image.title": "lab", "org.opencontainers.image.version": tag}
        raw = canonical_json({**document, "annotations": annotations})
        store.blobs.put_bytes(raw)
    manifest = describe(MANIFEST, raw)
    return Pushable(ImageRef("lab", tag), policy_of(policy), [manifest], manifest, raw)


def push(one: Pushable, store: Store, *places: Repository, force: bool = False, **aliases: object) -> Pushed:
    return push_image(one, Publishing(places, AliasRules(**aliases), force), store, Silent())


def stands_for(place: Repository, tag: str) -> Digest | None:
    with open_registry(place) as client:
        found = client.describe(tag)
    return found.digest if found else None


def test_an_image_keeps_its_digest_there_and_back_again(place: Repository, store: Store, tmp_path: Path) -> None:
    one = image(store, "r1_0_0")
    pushed = push(one, store, place)
    assert stands_for(place, "r1_0_0") == one.top.digest
    assert len(pushed.places[0].sent) == 2
    elsewhere = Store(tmp_path / "elsewhere")
    pulled = pull_image(
        Published.parse(f"{place}:r1_0_0"), AMD, None, catalogue=None, store=elsewhere, progress=Silent()
    )
    assert (pulled.ref, pulled.manifest.digest) == (ImageRef("lab", "r1_0_0"), one.top.digest)
    assert elsewhere.image(pulled.ref, AMD).digest == one.top.digest
    for blob in pulled.fetched:
        elsewhere.blobs.verify(blob.digest)


def test_what_is_there_is_neither_sent_nor_fetched_again(place: Repository, store: Store) -> None:
    one = image(store, "r1_0_0")
    push(one, store, place)
    assert push(one, store, place).places[0].sent == []
    pulled = pull_image(Published.parse(f"{place}:r1_0_0"), AMD, None, catalogue=None, store=store, progress=Silent())
    assert pulled.fetched == []


def test_a_published_tag_is_replaced_by_force_alone_and_said_to_be(place: Repository, store: Store) -> None:
    one, other = image(store, "r1_0_0"), image(store, "r1_0_0", contents="other")
    push(one, store, place)
    with pytest.raises(DifferenceError, match=str(one.top.digest)) as refused:
        push(other, store, place)
    assert "peel tag next" in refused.value.hint
    assert stands_for(place, "r1_0_0") == one.top.digest
    assert push(other, store, place, force=True).places[0].replaced == one.top.digest
    assert stands_for(place, "r1_0_0") == other.top.digest


def test_an_older_release_leaves_the_alias_and_a_newer_one_moves_it(place: Repository, store: Store) -> None:
    rules = {"declared": ["latest_release", "latest_weekly"]}
    for tag, moved in [("r2_0_0", True), ("r1_0_0_rsp7", False), ("r2_0_0_rsp1", True), ("r2_0_0_rc1", None)]:
        pushed = push(image(store, tag), store, place, **rules)
        outcomes = {outcome.name: outcome for outcome in pushed.places[0].aliases}
        assert {name: one.moved for name, one in outcomes.items()} == (
            {} if moved is None else {"latest_release": moved}
        )
        if moved is False:
            assert outcomes["latest_release"].reason == "it stands at r2_0_0, which is newer"
    assert stands_for(place, "latest_release") == stands_for(place, "r2_0_0_rsp1")
    assert stands_for(place, "latest_weekly") is None


def test_an_alias_goes_back_when_told_so(place: Repository, store: Store) -> None:
    push(image(store, "w_2077_43"), store, place, asked=["recommended"])
    older = image(store, "w_2077_42")
    assert not push(older, store, place, asked=["recommended"]).places[0].aliases[0].moved
    outcome = push(older, store, place, asked=["recommended"], back=True).places[0].aliases[0]
    assert (outcome.moved, outcome.before) == (True, "w_2077_43")
    assert stands_for(place, "recommended") == older.top.digest


def test_tags_of_two_categories_have_no_order_and_an_alias_stays(place: Repository, store: Store) -> None:
    push(image(store, "w_2077_43"), store, place, declared=["latest"])
    outcome = push(image(store, "r30_0_0"), store, place, declared=["latest"]).places[0].aliases[0]
    assert not outcome.moved
    assert "have no order" in outcome.reason


def test_where_an_alias_stands_is_found_by_digest_when_its_image_does_not_say(place: Repository, store: Store) -> None:
    push(image(store, "w_2077_43", says=False), store, place, asked=["recommended"])
    outcome = push(image(store, "w_2077_42", says=False), store, place, asked=["recommended"]).places[0].aliases[0]
    assert (outcome.moved, outcome.before) == (False, "w_2077_43")


@pytest.mark.parametrize("tag", ["w_2077_44-arm64", "w_2077_44_test", "exp_w_2077_44", "w_2077_44_rc"])
def test_a_build_of_one_machine_or_of_somebodys_own_moves_no_declared_alias(
    tag: str, place: Repository, store: Store
) -> None:
    push(image(store, "w_2077_43"), store, place, declared=["latest_weekly", "latest"])
    assert push(image(store, tag), store, place, declared=["latest_weekly", "latest"]).places[0].aliases == []


def test_a_tag_that_another_push_wrote_meanwhile_is_not_replaced(place: Repository, store: Store) -> None:
    one, other = image(store, "r1_0_0"), image(store, "r1_0_0", contents="other")

    class Slow(Silent):
        def step(self, text: str) -> None:
            if text.startswith("sending"):
                push(one, store, place)

    with pytest.raises(DifferenceError, match="published meanwhile"):
        push_image(other, Publishing([place]), store, Slow())
    assert stands_for(place, "r1_0_0") == one.top.digest


def test_an_image_takes_no_other_images_address_by_saying_so(place: Repository, store: Store) -> None:
    evil = image(store, "r1_0_0", contents="evil")
    push(evil, store, place)
    store.set_image(ImageRef("lab", "r1_0_0"), AMD, image(store, "r1_0_0").top)
    published = Published.parse(f"{place}:r1_0_0")
    with pytest.raises(UsageError, match="calls itself lab:r1_0_0"):
        pull_image(published, AMD, None, catalogue=None, store=store, progress=Silent())
    named = pull_image(published, AMD, ImageRef("lab", "r1_0_0"), catalogue=None, store=store, progress=Silent())
    assert named.manifest.digest == evil.top.digest


@pytest.mark.parametrize("alias", ["r1_0_0", "w_2077_1", "", "a b", "-x", "x" * 129])
def test_what_names_a_build_or_nothing_is_no_alias(alias: str, place: Repository, store: Store) -> None:
    with pytest.raises(UsageError, match="no alias"):
        push(image(store, "r1_0_0"), store, place, asked=[alias])
    assert stands_for(place, "r1_0_0") is None


@pytest.mark.parametrize(
    ("policy", "older", "newer"), [("semver", "1.9.0", "1.10.0"), ("calver YYYY.0M", "2077.09", "2077.10")]
)
def test_every_policy_orders_its_own(policy: str, older: str, newer: str, place: Repository, store: Store) -> None:
    push(image(store, newer, policy=policy), store, place, declared=["latest"])
    assert not push(image(store, older, policy=policy), store, place, declared=["latest"]).places[0].aliases[0].moved
    assert stands_for(place, "latest") == stands_for(place, newer)


def test_several_platforms_become_an_index_whose_parts_are_pulled_by_platform(place: Repository, store: Store) -> None:
    written = {
        name: write_image(store.root, {"for": (name.encode(), 0o644)}, architecture=name) for name in ("amd64", "arm64")
    }
    entries = [IndexEntry(manifest, "linux", name) for name, manifest in written.items()]
    document = make_index(entries, {})
    one = replace(
        image(store, "r1_0_0"), manifests=list(written.values()), top=describe(INDEX, document), document=document
    )
    push(one, store, place)
    assert stands_for(place, "r1_0_0") == Digest.of(document)
    arm = Platform("linux-aarch64")
    pulled = pull_image(
        Published.parse(f"{place}:r1_0_0"), arm, ImageRef("mine", "1"), catalogue=None, store=store, progress=Silent()
    )
    assert pulled.manifest.digest == written["arm64"].digest


def test_an_index_is_the_same_whatever_order_its_parts_come_in() -> None:
    config = make_config(Config("amd64"), [], ImageSettings(), epoch=0)
    entries = [
        IndexEntry(describe(MANIFEST, make_manifest(config, [], {"for": name})), "linux", name) for name in ("b", "a")
    ]
    assert make_index(entries, {"x": "y"}) == make_index(entries[::-1], {"x": "y"})


def test_with_a_registry_that_refuses_none_gets_the_tag(
    place: Repository, store: Store, tmp_path: Path, monkeypatch
) -> None:
    with odd_registry(refuse_writing) as host:
        conf = tmp_path / "both.conf"
        conf.write_text(trusting(place.host, tmp_path).read_text() + trusting(host, tmp_path).read_text())
        monkeypatch.setenv("CONTAINERS_REGISTRIES_CONF", str(conf))
        with pytest.raises(ArtifactError, match="so none has the tag") as refused:
            push(image(store, "r1_0_0"), store, place, Repository.parse(f"{host}/a/b"))
    assert host in refused.value.message
    assert stands_for(place, "r1_0_0") is None


def refuse_writing(request: object) -> None:
    """A registry that has nothing, and takes nothing."""
    status(
        404 if request.command in {"GET", "HEAD"} and request.path != "/v2/" else 200 if request.path == "/v2/" else 403
    )(request)


def test_an_image_that_is_another_than_the_record_is_not_taken_for_it(place: Repository, store: Store) -> None:
    with pytest.raises(ArtifactError, match="there is no image"):
        pull_image(Published.parse(f"{place}:none"), AMD, None, catalogue=None, store=store, progress=Silent())


def test_an_image_that_does_not_say_what_it_is_has_to_be_named(place: Repository, store: Store) -> None:
    one = image(store, "1.0.0", says=False)
    push(one, store, place)
    published = Published.parse(f"{place}@{one.top.digest}")
    with pytest.raises(UsageError, match="does not say what it is"):
        pull_image(published, AMD, None, catalogue=None, store=store, progress=Silent())
    named = pull_image(published, AMD, ImageRef("mine", "1"), catalogue=None, store=store, progress=Silent())
    assert store.image(named.ref, AMD).digest == one.top.digest


@pytest.mark.parametrize(
    "text",
    [
        "registry.org/lab", "lab:1", "registry.org/lab:", "registry.org/Lab:1", "https://x/y:1", "r.org/a@sha256:x",
        "r.org/a:b c",
    ],
)  # fmt: skip
def test_what_names_no_published_image_is_refused(text: str) -> None:
    with pytest.raises(UsageError):
        Published.parse(text)


def test_a_digest_names_an_image_too() -> None:
    digest = "sha256:" + "a" * 64
    assert Published.parse(f"docker://registry.org:5000/lab@{digest}").reference == digest
