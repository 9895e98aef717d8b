"""``peel patch`` on real images: every other layer stays the old one, and what was patched runs."""

from __future__ import annotations

import json
import re
import shutil
import signal
from pathlib import Path
from typing import Any

import pytest

from channels import Content, index, make_package
from e2e.catalogues import Demo, clone, contents_of, forget_layers, record_of
from e2e.images import Image
from e2e.patching import declare_patch, newer_wheel, own_channel, rebuilt, replace_text
from e2e.running import Peel, refused
from peel.model.lockset import LOCK_FILE
from peel.model.paths import is_covered
from peel.tools.jupyter import JupyterServer
from relocking import serving

NEXT = "tiny:1.0.1"
DEMO_NEXT = "demo-lab:r2_0_0"
LAB, SCIENCE = "opt/peel/lab", "opt/peel/envs/science"
SITE_HERE = "lib/python3.11/site-packages"
SITE = f"{SCIENCE}/{SITE_HERE}"


@pytest.fixture
def patchable(own_tiny: Peel, tiny: Demo) -> Peel:
    """A tiny catalogue with a channel of its own, locked and built as NEXT; its channel has a newer ``small``."""
    return make_patchable(own_tiny, tiny)


@pytest.fixture(scope="module")
def unchanged(tiny: Demo, tmp_path_factory: pytest.TempPathFactory) -> Peel:
    """The same, for reading."""
    return make_patchable(clone(tiny.peel, tmp_path_factory.mktemp("patchable")), tiny)


def make_patchable(own: Peel, tiny: Demo) -> Peel:
    channel = own_channel(own, tiny.peel.catalogue / "channel", NEXT)
    make_package(channel, "small", "2.0", files={"share/smaller.txt": "two\n"})
    index(channel)
    declare_patch(own, "raise-small", packages={"raise": ["small"]})
    return own


def layers_of(peel: Peel, ref: str) -> list[str]:
    """The digests of what peel added to the base."""
    return [each["digest"] for each in json.loads(record_of(peel, ref).read_text())["platforms"]["linux-64"]["layers"]]


def patched(peel: Peel, *arguments: str) -> Any:
    return peel.must("patch", NEXT, *arguments, "--json").json


def test_a_raised_package_is_one_layer_more_and_all_others_are_the_old_ones(patchable: Peel) -> None:
    told = patched(patchable, "raise-small", "--as", "1.0.1-p1")
    old = layers_of(patchable, NEXT)
    assert layers_of(patchable, "tiny:1.0.1-p1")[:-1] == old
    assert told["kept"][1:] == old
    assert [(each["contents"], each["digest"]) for each in told["new"]] == [
        ("patch: raise-small", layers_of(patchable, "tiny:1.0.1-p1")[-1])
    ]
    (move,) = told["moves"]
    assert (move["environment"], move["package"], move["from"], move["to"]) == ("lab", "small", "1.0 0", "2.0 0")


def tree_of(peel: Peel, manifest: str) -> dict[str, bytes]:
    """Every file that the image's own layers come to, with its bytes where they are few."""
    tree: dict[str, bytes] = {}
    image = Image.load(peel.store, manifest)
    base = len(image.manifest["layers"]) - sum(
        entry["created_by"].startswith("peel: ") for entry in image.config["history"]
    )
    for number in range(base, len(image.manifest["layers"])):
        members = [member for member in image.members(number) if not member.info.isdir()]
        gone = {member.path.replace("/.wh.", "/") for member in members if "/.wh." in member.path}
        if gone:
            tree = {path: data for path, data in tree.items() if not is_covered(path, gone)}
        tree |= {member.path: member.data[:100_000] for member in members if "/.wh." not in member.path}
    return tree


def test_the_digest_alone_is_on_stdout_and_the_story_on_stderr(patchable: Peel) -> None:
    done = patchable.must("patch", NEXT, "raise-small", "--as", "1.0.1-p1")
    assert re.fullmatch(r"sha256:[0-9a-f]{64}\n", done.stdout)
    assert "lab: raised small 1.0 0 -> 2.0 0 (" in done.stderr
    assert "kept" in done.stderr
    assert "new: patch: raise-small" in done.stderr


def test_what_a_patch_takes_away_is_gone_from_the_tree_and_the_records_are_right(
    patchable: Peel, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    told = patched(patchable, "raise-small", "--as", "1.0.1-p1", "--to", f"oci:{out}:here")
    tree = tree_of(patchable, told["manifest"])
    small = sorted(path for path in tree if "small" in path)
    assert small == [f"{LAB}/conda-meta/small-2.0-0.json", f"{LAB}/share/smaller.txt"]
    image = Image.load(out, told["manifest"])
    assert image.config["config"]["Labels"]["io.peel-images.made-from"].startswith(f"{NEXT}@sha256:")


def test_the_same_patch_in_an_empty_store_gives_the_same_digest(patchable: Peel) -> None:
    told = patched(patchable, "raise-small", "--as", "1.0.1-p1")
    locks = contents_of(patchable.catalogue / "lockfiles" / "tiny" / "1.0.1-p1")
    shutil.rmtree(patchable.catalogue / "lockfiles" / "tiny" / "1.0.1-p1")
    forget_layers(patchable)
    again = patched(patchable, "raise-small", "--as", "1.0.1-p1")
    assert again["manifest"] == told["manifest"]
    assert contents_of(patchable.catalogue / "lockfiles" / "tiny" / "1.0.1-p1") == locks
    patchable.must("verify", "tiny:1.0.1-p1", "--fetch")


def test_patches_stack_and_a_patch_can_be_patched(patchable: Peel) -> None:
    first = patched(patchable, "raise-small", "--as", "1.0.1-p1")
    channel = patchable.catalogue / "channel"
    make_package(channel, "ipykernel", "2.0", files={"share/ipykernel.txt": "newer\n"})
    index(channel)
    declare_patch(patchable, "raise-kernel", packages={"raise": ["ipykernel"]})
    second = patchable.must("patch", "tiny:1.0.1-p1", "raise-kernel", "--as", "1.0.1-p2", "--json").json
    both = patched(patchable, "raise-small", "raise-kernel", "--as", "1.0.1-both")
    assert second["kept"][:-1] == first["kept"]
    assert layers_of(patchable, "tiny:1.0.1-p2") == layers_of(patchable, "tiny:1.0.1-both")
    assert tree_of(patchable, second["manifest"]) == tree_of(patchable, both["manifest"])
    assert [each["contents"] for each in both["new"]] == ["patch: raise-small", "patch: raise-kernel"]


def test_replace_makes_only_the_touched_layers_anew(patchable: Peel) -> None:
    overlay = patched(patchable, "raise-small", "--as", "1.0.1-p1")
    replaced = patched(patchable, "raise-small", "--as", "1.0.1-r1", "--mode", "replace")
    (new,) = replaced["new"]
    assert new["contents"].startswith("lab: ")
    assert len(layers_of(patchable, "tiny:1.0.1-r1")) == len(layers_of(patchable, NEXT))
    assert tree_of(patchable, replaced["manifest"]) == tree_of(patchable, overlay["manifest"])


def test_a_layer_that_is_not_what_the_record_says_is_named_and_nothing_recorded(patchable: Peel) -> None:
    path = record_of(patchable, NEXT)
    record = json.loads(path.read_text())
    layer = record["platforms"]["linux-64"]["layers"][0]
    layer["digest"] = "sha256:" + "0" * 64
    path.write_text(json.dumps(record))
    done = patchable.run("patch", NEXT, "raise-small", "--as", "1.0.1-p1")
    refused(done, 1, layer["contents"], "0" * 64)
    assert not record_of(patchable, "tiny:1.0.1-p1").exists()


def test_an_origin_that_is_not_built_can_be_patched(patchable: Peel) -> None:
    record_of(patchable, NEXT).unlink()
    told = patched(patchable, "raise-small", "--as", "1.0.1-p1")
    assert told["made_from"]["manifests"] == {}
    assert len(told["kept"]) == len(layers_of(patchable, "tiny:1.0.1-p1"))


def test_another_lab_leaves_every_payload_layer_as_it_was(patchable: Peel) -> None:
    def payloads(manifest: str) -> list[str]:
        image = Image.load(patchable.store, manifest)
        made = [entry["created_by"] for entry in image.config["history"]]
        digests = [layer["digest"] for layer in image.manifest["layers"]]
        return [digest for name, digest in zip(made, digests, strict=True) if name.startswith("peel: calm")]

    patchable.must("lock", "tiny:2.0.0")
    built = patchable.must("build", "tiny:2.0.0", "--json").json
    origin = json.loads(record_of(patchable, NEXT).read_text())["platforms"]["linux-64"]["manifest"]
    taken = patched(patchable, "--lab", "tiny:2.0.0", "--as", "taken")
    assert payloads(taken["manifest"]) == payloads(origin) != []
    assert {each["digest"] for each in taken["new"]} <= {each["digest"] for each in built["layers"]}
    locked = patched(patchable, "--lab", "lab/environment.yml", "--as", "locked")
    assert payloads(locked["manifest"]) == payloads(origin)
    assert tree_of(patchable, locked["manifest"]) == tree_of(patchable, taken["manifest"])
    assert f"{LAB}/share/smaller.txt" in tree_of(patchable, taken["manifest"])


def test_a_package_that_vanished_from_its_channel_is_still_there_in_the_patched_image(patchable: Peel) -> None:
    channel = patchable.catalogue / "channel"
    for archive in channel.glob("*/jupyterlab-*.conda"):
        archive.unlink()
    index(channel)
    told = patched(patchable, "raise-small", "--as", "1.0.1-p1")
    assert [move["package"] for move in told["moves"]] == ["small"]


def test_a_dry_run_tells_the_moves_and_leaves_everything_as_it_was(unchanged: Peel) -> None:
    before = contents_of(unchanged.catalogue)
    done = unchanged.must("patch", NEXT, "raise-small", "--as", "1.0.1-p1", "--dry-run")
    assert re.search(r"lab +raised +small +1\.0 0 +2\.0 0 +\S", done.stdout)
    told = patched(unchanged, "raise-small", "--as", "1.0.1-p1", "--dry-run")
    assert (told["manifest"], told["kept"], told["new"]) == (None, [], [])
    assert contents_of(unchanged.catalogue) == before


def test_no_build_makes_the_lock_set_alone(patchable: Peel) -> None:
    done = patchable.must("patch", NEXT, "raise-small", "--as", "1.0.1-p1", "--no-build")
    place = patchable.catalogue / "lockfiles" / "tiny" / "1.0.1-p1"
    assert done.stdout == f"{place}\n"
    assert (place / "image.lock.yaml").is_file()
    assert not (place / "record.json").exists()
    built = patchable.must("build", "tiny:1.0.1-p1", "--json").json
    assert patched(patchable, "raise-small", "--as", "1.0.1-p1")["manifest"] == built["manifest"]


@pytest.mark.parametrize("seconds", [1.0, 3.0, 5.0])
def test_an_interrupted_patch_leaves_nothing_half_done(patchable: Peel, seconds: float) -> None:
    forget_layers(patchable)
    place = patchable.catalogue / "lockfiles" / "tiny" / "1.0.1-p1"
    patchable.cut_off("patch", NEXT, "raise-small", "--as", "1.0.1-p1", after=seconds, by=signal.SIGINT)
    if (place / LOCK_FILE).exists():  # it is written last: without it, what lies there is not locked
        patchable.must("show", "tiny:1.0.1-p1")
    assert list((patchable.store / "tmp").iterdir()) == []
    patched(patchable, "raise-small", "--as", "1.0.1-p1")


@pytest.mark.parametrize(
    ("arguments", "status", "words"),
    [
        (["nothing-like-it"], 3, ["envs/patches/nothing-like-it.yaml", "no such file"]),
        (["raise-small"], 2, ["no next tag is known"]),
        ([], 2, ["nothing to change"]),
        (["raise-small", "--as", "1.0.1"], 2, ["itself"]),
        (["raise-small", "--as", "not a tag"], 2, ["not a tag"]),
        (["raise-small", "--as", "x", "--platform", "linux-aarch64"], 3, ["is not locked for linux-aarch64"]),
        (["--lab", "nowhere", "--as", "x"], 2, ["no lab 'nowhere'"]),
        (["--lab", "Tiny:9", "--as", "x"], 2, ["not an image name: 'Tiny'"]),
        (["--lab", "tiny:9", "--as", "x"], 3, ["tiny:9 is not locked"]),
        (["raise-small", "--as", "x", "--to", "nowhere"], 2, ["not a place to write an image to"]),
    ],
)
def test_bad_input_is_one_clear_error_and_writes_nothing(
    unchanged: Peel, arguments: list[str], status: int, words: list[str]
) -> None:
    before = contents_of(unchanged.catalogue)
    refused(unchanged.run("patch", NEXT, *arguments), status, *words)
    assert contents_of(unchanged.catalogue) == before


CELL = """if True:
    import importlib.metadata, importlib.util, comm, humanize, psutil
    print(comm.__version__, importlib.metadata.version('comm'), importlib.metadata.version('humanize'))
    print(psutil.PATCHED, psutil.Process().pid > 0, importlib.util.find_spec('humanize.lists'))
"""


@pytest.fixture(scope="module")
def mended(demo: Demo, tmp_path_factory: pytest.TempPathFactory) -> tuple[Peel, Any]:
    """The demo with a library, a compiled package and a wheel of its payload patched, and what ``peel patch`` said."""
    peel = clone(demo.peel, tmp_path_factory.mktemp("mended"))
    (old,) = (demo.peel.catalogue / "wheels" / "simple").glob("*/*.whl")
    folder = peel.catalogue / "wheels" / "humanize"
    folder.mkdir(parents=True)
    wheel = Path(shutil.copy(old, folder))
    with serving(folder.parent) as url:
        environment = peel.catalogue / "envs" / "science" / "environment.yml"
        text = re.sub("humanize @ .*", "humanize", environment.read_text())
        environment.write_text(f"{text}pip-repositories: [{url}/]\nallow-pypi-requests: false\n")
        channel = own_channel(peel, demo.peel.catalogue / "channel", DEMO_NEXT)
        _make_newer(channel)
        edits = {"humanize/lists.py": lambda _: None, "humanize/__init__.py": _without_lists}
        newer_wheel(wheel, "99.0", edits)
        declare_patch(
            peel, "libraries", references=["CVE-2026-0001"], environments=["science"],
            packages={"raise": ["comm"], "replace": {"psutil": "psutil * py311_patched_1"}},
            wheels={"raise": ["humanize >=99"]},
        )  # fmt: skip
        return peel, peel.must("patch", DEMO_NEXT, "libraries", "--json").json


def _make_newer(channel: Path) -> None:
    """A pure library raised, and a compiled one built again with one source changed."""
    (comm,) = channel.glob("*/comm-*.conda")
    (psutil,) = channel.glob("*/psutil-*-py311*.conda")
    version = comm.name.split("-")[1]

    def raise_comm(files: dict[str, Content]) -> None:
        replace_text(files, "site-packages/comm/__init__.py", version, "99.0")
        replace_text(files, f"site-packages/comm-{version}.dist-info/METADATA", f"Version: {version}", "Version: 99.0")

    def mark(files: dict[str, Content]) -> None:
        old = "from . import _common"
        replace_text(files, f"{SITE_HERE}/psutil/__init__.py", old, f"PATCHED = 'patched'\n{old}")

    rebuilt(channel, comm, "99.0", raise_comm)
    rebuilt(channel, psutil, psutil.name.split("-")[1], mark, build="py311_patched_1")


def _without_lists(data: bytes) -> bytes:
    lines = [line for line in data.decode().splitlines() if "natural_list" not in line and "lists" not in line]
    return "\n".join(lines).encode()


def test_only_the_patch_is_new_and_the_tag_is_the_next_build(mended: tuple[Peel, Any]) -> None:
    peel, told = mended
    old = layers_of(peel, DEMO_NEXT)
    assert (told["image"], told["tag"]) == ("demo-lab", "r2_0_0_rsp1")
    assert layers_of(peel, "demo-lab:r2_0_0_rsp1")[:-1] == old
    assert told["kept"][-len(old) :] == old
    assert [each["contents"] for each in told["new"]] == ["patch: libraries"]
    moves = {(move["environment"], move["package"]) for move in told["moves"]}
    assert moves == {("science", "comm"), ("science", "psutil"), ("science", "humanize")}


def test_what_stays_the_same_in_a_rebuilt_package_is_not_shipped_again(mended: tuple[Peel, Any]) -> None:
    peel, told = mended
    layer = list(Image.load(peel.store, told["manifest"]).members(len(told["kept"])))
    files = {member.path for member in layer if not member.info.isdir()}
    assert f"{SITE}/psutil/__init__.py" in files
    assert f"{SITE}/psutil/__pycache__/__init__.cpython-311.pyc" in files
    assert [path for path in files if path.endswith(".so")] == []
    assert f"{SITE}/psutil/_common.py" not in files


def test_records_and_metadata_in_the_tree_name_the_new_versions_and_no_old_ones(mended: tuple[Peel, Any]) -> None:
    peel, told = mended
    tree = tree_of(peel, told["manifest"])

    def records(name: str) -> list[str]:
        pattern = rf"{SCIENCE}/conda-meta/{name}-.*|{SITE}/{name}-[^/]*\.dist-info/METADATA"
        return sorted(
            path.rpartition("/")[0 if "dist-info" in path else 2] for path in tree if re.fullmatch(pattern, path)
        )

    assert records("comm") == ["comm-99.0-patched_1.json", f"{SITE}/comm-99.0.dist-info"]
    assert [name for name in records("psutil") if "json" in name] == ["psutil-7.2.2-py311_patched_1.json"]
    assert records("humanize") == [f"{SITE}/humanize-99.0.dist-info"]
    assert not [path for path in tree if path.startswith((f"{SITE}/comm-0.", f"{SITE}/humanize-4."))]
    assert not [path for path in tree if "humanize" in path and "lists" in path]
    record = json.loads(tree[f"{SCIENCE}/conda-meta/psutil-7.2.2-py311_patched_1.json"])
    assert f"{SITE_HERE}/psutil/_common.py" in record["files"]


def test_the_lab_launches_and_the_kernel_runs_what_was_patched(mended: tuple[Peel, Any]) -> None:
    peel, _ = mended
    ref = "demo-lab:r2_0_0_rsp1"
    assert peel.must("launch", ref, "--check", "--json").json["passed"] is True
    with peel.start("launch", ref) as child:
        assert child.stdout is not None
        found = re.fullmatch(r"(http://127\.0\.0\.1:\d+)/lab\?token=(\w+)\n", child.stdout.readline())
        assert found is not None, child.communicate(timeout=60)[1]
        result = JupyterServer(found[1], found[2]).run_cell("science", CELL, timeout=60)
        child.send_signal(signal.SIGINT)
        child.communicate(timeout=60)
    assert result.status == "ok", result.error
    assert result.text.split() == ["99.0", "99.0", "99.0", "patched", "True", "None"]


def test_the_patched_demo_verifies_and_its_old_part_with_it(mended: tuple[Peel, Any]) -> None:
    peel, told = mended
    done = peel.must("verify", "demo-lab:r2_0_0_rsp1", "--fetch", "--json").json
    assert done["identical"] is True
    assert done["kept"]["from"] == DEMO_NEXT
    assert done["kept"]["count"] == done["kept"]["of"] == len(told["kept"])
