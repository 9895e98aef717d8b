"""``peel archive`` and ``peel gc`` with real images: an archive is all a rebuild needs, and gc takes nothing needed."""

from __future__ import annotations

import json
import shutil
import signal
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from channels import index, make_package
from e2e.catalogues import TINY, Demo, declare_channel, forget_layers
from e2e.running import LONGEST, Peel, becomes_true, refused
from e2e.test_build import NEXT, skopeo
from registries import real_registry, trusting


@pytest.fixture
def registry(own_tiny: Peel, tmp_path: Path) -> Iterator[tuple[Peel, str]]:
    """A real registry, and peel as somebody runs it whose registries.conf trusts it."""
    (tmp_path / "registry").mkdir()
    with real_registry(tmp_path / "registry") as host:
        yield own_tiny.with_env(CONTAINERS_REGISTRIES_CONF=str(trusting(host, tmp_path))), host


def built_elsewhere(peel: Peel, ref: str, *archives: str | Path) -> str:
    """The manifest of an image as a store gives it that held nothing before."""
    fresh = replace(peel, store=peel.store.with_name("fresh"))
    options = [option for place in archives for option in ("--archive", str(place))]
    return str(fresh.must("build", ref, "--json", *options).json["manifest"])


def test_what_channel_registry_and_store_have_lost_is_rebuilt_from_the_archive_offline(
    own_tiny: Peel, tiny: Demo, tmp_path: Path
) -> None:
    channel = own_tiny.catalogue / "channel"
    shutil.copytree(tiny.peel.catalogue / "channel", channel)
    withdrawn = make_package(channel, "small", "2.0", files={"share/small.txt": "two\n"})
    declare_channel(own_tiny, index(channel))
    own_tiny.must("lock", NEXT)
    manifest = own_tiny.must("build", NEXT, "--json").json["manifest"]
    own_tiny.must("archive", NEXT, "--to", tmp_path / "archive")
    withdrawn.unlink()
    offline = replace(own_tiny, store=own_tiny.store.with_name("offline")).under("unshare", "--net", "--")
    refused(offline.run("build", NEXT), 5, "docker.io/library")
    assert built_elsewhere(own_tiny.under("unshare", "--net", "--"), NEXT, tmp_path / "archive") == manifest
    assert not withdrawn.exists()


def test_an_archive_in_a_registry_keeps_its_digest_and_is_built_from(
    registry: tuple[Peel, str], tiny: Demo, tmp_path: Path
) -> None:
    peel, host = registry
    told = peel.must("archive", TINY, "--to", f"docker://{host}/keep/tiny", "--json").json
    raw = skopeo("inspect", "--raw", "--tls-verify=false", told["place"])
    assert json.loads(raw)["artifactType"] == "application/vnd.peel-images.archive.v1"
    assert peel.must("archive", TINY, "--to", tmp_path / "archive").stdout.strip() == told["archive"]
    assert built_elsewhere(peel, TINY, f"docker://{host}/keep/tiny@{told['archive']}") == tiny.manifest


def test_gc_takes_what_is_in_vain_and_a_build_afterwards_makes_nothing(own_tiny: Peel, tiny: Demo) -> None:
    assert own_tiny.must("gc").stdout == "0\n"
    vain = own_tiny.store / "blobs" / "sha256" / ("0" * 64)
    vain.write_bytes(b"in vain")
    assert own_tiny.must("gc", "--dry-run", "--json").json["freed"] == 7
    assert own_tiny.must("gc").stdout == "7\n"
    built = own_tiny.under("unshare", "--net", "--").must("build", TINY, "--json").json
    assert built["manifest"] == tiny.manifest
    assert all(layer["reused"] for layer in built["layers"])


def test_gc_refuses_while_a_build_uses_the_store(own_tiny: Peel, tiny: Demo) -> None:
    forget_layers(own_tiny)
    with own_tiny.start("build", TINY) as child:
        becomes_true(lambda: list((own_tiny.store / "tmp").iterdir()), "the build is at work")
        child.send_signal(signal.SIGSTOP)
        try:
            refused(own_tiny.run("gc"), 4, "in use by another run")
        finally:
            child.send_signal(signal.SIGCONT)
        assert child.communicate(timeout=LONGEST)[0].strip() == tiny.manifest
    own_tiny.must("gc")
