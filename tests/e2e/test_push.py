"""``peel push`` and ``peel pull`` of a real image: published once, brought back elsewhere, known to builds there."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from e2e.catalogues import TINY, Demo, clone, record_of
from e2e.running import Peel, refused
from registries import published, real_registry, trusting


@pytest.fixture(scope="module")
def place(tiny: Demo, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Peel, str]]:
    """peel on a built catalogue, and a repository of a real registry that it trusts."""
    directory = tmp_path_factory.mktemp("push")
    with real_registry(directory / "registry") as host:
        own = clone(tiny.peel, directory).with_env(CONTAINERS_REGISTRIES_CONF=str(trusting(host, directory)))
        yield own, f"{host}/science/tiny"


def elsewhere(peel: Peel, directory: Path) -> Peel:
    """Another machine: the catalogue as version control has it, an empty store."""
    for part in ("envs", "lockfiles"):
        shutil.copytree(peel.catalogue / part, directory / "catalogue" / part)
    return replace(peel, catalogue=directory / "catalogue", store=directory / "store")


def test_an_image_is_published_and_brought_back_and_its_layers_are_not_made_again(
    place: tuple[Peel, str], tmp_path: Path
) -> None:
    peel, repository = place
    pushed = peel.must("push", TINY, repository, "--alias", "latest", "--json").json
    recorded = json.loads(record_of(peel, TINY).read_text())["platforms"]["linux-64"]
    (told,) = pushed["registries"]
    assert pushed["digest"] == recorded["manifest"]
    assert told["reference"] == f"{repository}:1.0.0@{recorded['manifest']}"
    assert told["sent"]["blobs"] > len(recorded["layers"])  # the base's, and the config
    assert told["aliases"] == {"latest": {"moved": True, "before": None, "reason": ""}}
    assert peel.must("push", TINY, repository).stdout == f"{repository}:1.0.0@{recorded['manifest']}\n"
    other = elsewhere(peel, tmp_path)
    pulled = other.must("pull", f"{repository}:latest", "--json").json
    assert (pulled["manifest"], pulled["image"], pulled["recorded"]) == (recorded["manifest"], "tiny", True)
    for blob in (peel.store / "blobs" / "sha256").iterdir():  # the base's manifest is no part of an image
        if blob.stat().st_size < 10_000 and not (other.store / "blobs" / "sha256" / blob.name).exists():
            shutil.copy(blob, other.store / "blobs" / "sha256")
    built = other.must("build", TINY, "--json").json
    assert built["manifest"] == recorded["manifest"]
    assert all(layer["reused"] for layer in built["layers"])
    assert "Python" not in other.must("pull", f"{repository}:1.0.0").stderr


def test_the_declaration_says_where_to_and_which_aliases_follow(place: tuple[Peel, str], tmp_path: Path) -> None:
    peel, repository = place
    other = elsewhere(peel, tmp_path)
    shutil.copytree(peel.store, other.store)
    declaration = other.catalogue / "envs" / "tiny.yaml"
    publish = f"publish: {{to: [{repository}-declared], aliases: [latest, latest_release, latest_weekly]}}\n"
    declaration.write_text(declaration.read_text() + publish)
    (told,) = other.must("push", TINY, "--json").json["registries"]
    assert told["repository"] == f"{repository}-declared"
    assert sorted(told["aliases"]) == ["latest", "latest_release"]
    other.must("verify", TINY, "--against", f"docker://{repository}-declared:1.0.0")  # it changes no image


def test_a_tag_that_is_taken_is_refused_and_a_record_is_held_to(
    place: tuple[Peel, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    peel, repository = place
    other = elsewhere(peel, tmp_path)
    host, _, name = repository.partition("/")
    monkeypatch.setenv("CONTAINERS_REGISTRIES_CONF", peel.env["CONTAINERS_REGISTRIES_CONF"])
    published(host, ["1.0.0"], name=f"{name}-taken")
    refused(peel.run("push", TINY, f"{repository}-taken"), 1, "is published", "sha256:")
    refused(other.run("pull", f"{repository}-taken:1.0.0", TINY), 1, "the record of tiny:1.0.0 says")
    assert "was sha256:" in peel.must("push", TINY, f"{repository}-taken", "--force").stderr


@pytest.mark.parametrize(
    ("arguments", "status", "words"),
    [
        (("push", TINY), 2, ("where is", "publish")),
        (("push", TINY, "127.0.0.1:9/a/b"), 5, ("cannot be reached",)),
        (("push", TINY, "not a repository"), 2, ("not a repository",)),
        (("push", TINY, "user:s3cret@host.org/a"), 2, ("not a repository",)),
        (("push", "tiny:9.9.9", "127.0.0.1:9/a/b"), 3, ("is not locked",)),
        (("push", TINY, "127.0.0.1:9/a/b", "--platform", "linux-aarch64"), 2, ("is not built for linux-aarch64",)),
        (("push", TINY, "127.0.0.1:9/a/b", "--alias", "1.2.3"), 2, ("no alias",)),
        (("pull", "127.0.0.1:9/a/b:1"), 5, ("cannot be reached",)),
        (("pull", "127.0.0.1:9/a/b"), 2, ("no tag",)),
        (("menu",), 3, ("envs/menu.yaml", "no such file")),
        (("menu", "--json", "--form"), 2, ("one form at a time",)),
    ],
)  # fmt: skip
def test_bad_usage_is_told(
    place: tuple[Peel, str], arguments: tuple[str, ...], status: int, words: tuple[str, ...]
) -> None:
    outcome = place[0].run(*arguments)
    refused(outcome, status, *words)
    assert "s3cret" not in outcome.stderr
