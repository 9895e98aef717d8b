"""Patching: what the new lock set says, what it leaves alone, and what is refused before anything is written."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from channels import make_package
from compiling import Leaf, build_without_images, tree_of
from patching import Newest, declare
from peel.errors import ArtifactError, DifferenceError, DocumentError, PeelError, UsageError
from peel.model.lockset import PatchedEnvironment
from peel.model.plan import Plan, layer_key, make_plan
from peel.model.progress import Silent
from peel.model.values import ImageRef, Platform
from peel.tools.micromamba import Solver, find_solver
from peel.workflow.build import Built
from peel.workflow.launch import expected_kernels
from peel.workflow.patch import Order, Patched, Patcher
from peel.workflow.patch_proof import prove_kept
from peel.workflow.record import accept
from small_images import write_layout
from tiny import EMBEDDED, GLIBC, REF, ChannelLock, Tiny

LINUX = Platform("linux-64")
SOLVER = Solver(Path("none"), "micromamba", "2.0.0")
SITE = "lib/python3.13/site-packages"


@pytest.fixture
def tiny(tmp_path: Path) -> Tiny:
    """A locked image whose lab has packages to patch."""
    made = Tiny(tmp_path)
    make_package(
        made.channel, "tool", "1.0", depends=["python"],
        files={f"{SITE}/tool/__init__.py": "old", f"{SITE}/tool/same.py": "same", "share/tool/old.txt": "old"},
    )  # fmt: skip
    make_package(made.channel, "other", "1.0", files={"share/other.txt": "other"})
    made.declare_lab("jupyterlab", "tool", "other")
    made.lock_simply()
    return made


def newer(tiny: Tiny, **files: str) -> None:
    contents = files or {f"{SITE}/tool/__init__.py": "new", f"{SITE}/tool/same.py": "same"}
    tiny.add("tool", "2.0", depends=["python"], files=contents)


def patcher(tiny: Tiny) -> Patcher:
    return Patcher(tiny.catalogue, tiny.store, SOLVER, {}, (), Silent(), solve=Newest(tiny.channel))


def really(tiny: Tiny) -> Patcher:
    """With a real solver."""
    return Patcher(tiny.catalogue, tiny.store, find_solver(EMBEDDED), {}, (), Silent())


def patch(tiny: Tiny, *patches: str, origin: ImageRef = REF, **more: Any) -> Patched:
    return patcher(tiny).patch(Order(origin, patches or ("fix",), **more))


def planned(tiny: Tiny, ref: ImageRef) -> Plan:
    return make_plan(tiny.catalogue.lock_set(ref), LINUX)


def keys(tiny: Tiny, ref: ImageRef) -> list[str]:
    plan = planned(tiny, ref)
    return [str(layer_key(step, plan)) for step in plan.layers]


def change_of(done: Patched, environment: str = "lab", number: int = -1) -> PatchedEnvironment:
    return done.lock.patches[number].environments["linux-64"][environment]


def raised(tiny: Tiny, **more: Any) -> Patched:
    newer(tiny)
    declare(tiny, packages={"raise": ["tool"]})
    return patch(tiny, **more)


def test_a_raised_package_is_one_more_layer_on_the_same_others(tiny: Tiny) -> None:
    newer(tiny)
    declare(tiny, packages={"raise": ["tool"]})
    done = really(tiny).patch(Order(REF, ("fix",)))
    assert done.ref == ImageRef("lab", "r1_0_0_rsp1")
    assert keys(tiny, done.ref)[:-1] == keys(tiny, REF)
    assert planned(tiny, done.ref).layers[-1].contents == "patch: fix"
    assert [(m.environment, m.move.name, m.move.before, m.move.after) for m in done.moves] == [
        ("lab", "tool", "1.0 0", "2.0 0")
    ]


def test_the_lock_says_what_it_was_made_from_and_what_changed(tiny: Tiny) -> None:
    newer(tiny)
    declare(tiny, packages={"raise": ["tool"]}, references=["CVE-2026-0001"])
    tiny.record()
    lock = patch(tiny).lock
    assert lock.made_from is not None
    assert (lock.made_from.image, lock.made_from.tag, lock.made_from.mode) == ("lab", "r1_0_0", "overlay")
    assert lock.made_from.manifests == {"linux-64": f"sha256:{'a' * 64}"}
    assert [(p.name, p.reason, p.references) for p in lock.made_from.patches] == [("fix", "a test", ("CVE-2026-0001",))]
    change = lock.patches[0].environments["linux-64"]["lab"]
    assert change.removed == ("tool",)
    assert [p.file for p in change.added] == ["tool-2.0-0.conda"]
    assert change.gone == ("conda-meta/tool-1.0-0.json", "share/tool")
    assert change.kept == (f"{SITE}/tool/same.py",)
    assert [(p.name, p.version) for p in lock.superseded["linux-64"]["lab"]] == [("tool", "1.0")]


def test_everything_else_of_the_lock_set_stays_to_the_letter(tiny: Tiny) -> None:
    tiny.declare_payload("calm", "ipykernel")
    tiny.declare_image(payloads=["calm"])
    tiny.lock_simply()
    done = raised(tiny)
    before, after = tiny.catalogue.image_lock(REF), done.lock
    assert (after.layers, after.base, after.formats, after.compression) == (
        before.layers, before.base, before.formats, before.compression
    )  # fmt: skip
    files = tiny.catalogue.read_lock_set(done.ref)
    assert files["calm.conda-lock.yml"] == tiny.catalogue.read_lock_set(REF)["calm.conda-lock.yml"]
    entries = {each["name"]: each for each in yaml.safe_load(files["lab.conda-lock.yml"])["package"]}
    old = {each["name"]: each for each in yaml.safe_load((tiny.lock_set / "lab.conda-lock.yml").read_text())["package"]}
    assert entries.pop("tool")["version"] == "2.0"
    old.pop("tool")
    assert entries == old


def test_the_same_patch_twice_gives_the_same_bytes(tiny: Tiny) -> None:
    done = raised(tiny, tag="patched")
    first = tiny.catalogue.read_lock_set(done.ref)
    assert done.changed
    again = patch(tiny, tag="patched")
    assert not again.changed
    assert tiny.catalogue.read_lock_set(done.ref) == first


def test_a_tag_that_is_taken_by_something_else_is_refused_and_left_alone(tiny: Tiny) -> None:
    raised(tiny, tag="patched")
    before = tiny.catalogue.read_lock_set(ImageRef("lab", "patched"))
    declare(tiny, packages={"remove": ["other"]})
    with pytest.raises(UsageError, match="lab:patched is locked already") as error:
        patch(tiny, tag="patched")
    assert error.value.hint == "name another tag: --as NEWTAG"
    assert tiny.catalogue.read_lock_set(ImageRef("lab", "patched")) == before


def test_a_patch_that_was_begun_and_never_built_goes_on_under_its_tag(tiny: Tiny) -> None:
    first = raised(tiny)
    assert patch(tiny).ref == first.ref
    newer(tiny, **{"share/tool/again": "again"})
    again = patch(tiny)
    assert (again.ref, again.changed) == (first.ref, True)
    built(tiny, first.ref)
    assert patch(tiny).ref.tag == "r1_0_0_rsp2"
    declare(tiny, "two", packages={"remove": ["other"]})
    assert patch(tiny, "two").ref.tag == "r1_0_0_rsp3"


def test_a_tag_must_be_named_where_the_next_one_is_not_known(tiny: Tiny) -> None:
    tiny.declare_image(tags="semver")
    tiny.lock_simply()
    declare(tiny, packages={"remove": ["other"]})
    with pytest.raises(UsageError, match="no next tag is known") as error:
        patch(tiny)
    assert "--as" in str(error.value.hint)
    with pytest.raises(UsageError, match="patched version of itself"):
        patch(tiny, tag=REF.tag)


def test_the_epoch_is_that_of_the_newest_package_unless_it_is_given(tiny: Tiny) -> None:
    tiny.add("tool", "2.0", depends=["python"], files={"share/x": ""}, timestamp=1_800_000_000_000)
    declare(tiny, packages={"raise": ["tool"]})
    assert patch(tiny, tag="newest").lock.epoch == 1_800_000_000
    assert patch(tiny, tag="given", epoch=5).lock.epoch == 5
    declare(tiny, packages={"remove": ["tool"]})
    assert patch(tiny, tag="older").lock.epoch == tiny.catalogue.image_lock(REF).epoch


def test_a_removed_package_leaves_no_file_and_no_directory(tiny: Tiny) -> None:
    declare(tiny, packages={"remove": ["tool"]})
    done = patch(tiny)
    assert change_of(done).gone == ("conda-meta/tool-1.0-0.json", f"{SITE}", "share/tool")
    assert change_of(done).added == ()
    assert "tool" not in {p.name for p in tiny.catalogue.conda_lock(done.ref, "lab")}


def test_patches_stack_each_as_a_layer_of_its_own(tiny: Tiny) -> None:
    newer(tiny)
    declare(tiny, "one", packages={"raise": ["tool"]})
    declare(tiny, "two", packages={"remove": ["other"]})
    at_once = patch(tiny, "one", "two", tag="both")
    first = patch(tiny, "one", tag="first")
    second = patch(tiny, "two", origin=first.ref, tag="second")
    assert keys(tiny, at_once.ref) == keys(tiny, second.ref)
    assert keys(tiny, second.ref)[:-1] == keys(tiny, first.ref)
    assert [p.name for p in second.lock.patches] == ["one", "two"]
    assert second.lock.made_from is not None
    assert second.lock.made_from.tag == "first"


def test_a_patch_of_a_patch_can_go_back_to_what_was_superseded(tiny: Tiny) -> None:
    first = raised(tiny)
    declare(tiny, "back", packages={"replace": {"tool": "tool 1.0"}})
    back = really(tiny).patch(Order(first.ref, ("back",)))
    assert back.ref.tag == "r1_0_0_rsp2"
    versions = {p.name: p.version for p in tiny.catalogue.conda_lock(back.ref, "lab")}
    assert versions["tool"] == "1.0"
    assert [(p.name, p.version) for p in back.lock.superseded["linux-64"]["lab"]] == [("tool", "2.0")]
    assert tree(tiny, back.ref) == tree(tiny, REF)


def tree(tiny: Tiny, ref: ImageRef) -> dict[str, Leaf]:
    return tree_of(build_without_images(planned(tiny, ref), tiny.store), tiny.store)


def lock_fresh(tiny: Tiny, *dependencies: str) -> ImageRef:
    """Lock what a patch should come to, from nothing."""
    ref = ImageRef("lab", "fresh")
    tiny.declare_lab(*dependencies)
    lock(tiny, ref)
    return ref


def lock(tiny: Tiny, ref: ImageRef) -> None:
    tiny.lock(ChannelLock(tiny.channel), ref=ref)


def test_an_overlay_comes_to_the_tree_that_a_fresh_lock_of_the_same_packages_has(tiny: Tiny) -> None:
    done = raised(tiny)
    assert tree(tiny, done.ref) == tree(tiny, lock_fresh(tiny, "jupyterlab", "tool", "other"))


def test_the_historical_layers_are_not_made_again(tiny: Tiny) -> None:
    before = build_without_images(planned(tiny, REF), tiny.store)
    done = raised(tiny)
    after = build_without_images(planned(tiny, done.ref), tiny.store)
    assert [layer.reused for layer in after.layers] == [True] * len(before.layers) + [False]
    assert [x.record for x in after.layers[:-1]] == [x.record for x in before.layers]


def test_replace_makes_the_touched_group_anew_and_reuses_the_rest(tiny: Tiny) -> None:
    done = raised(tiny, mode="replace")
    old, new = keys(tiny, REF), keys(tiny, done.ref)
    assert len(new) == len(old)
    assert sum(a != b for a, b in zip(old, new, strict=True)) == 1
    assert (done.lock.patches, done.lock.superseded) == ((), {})
    overlay = patch(tiny, tag="overlay")
    assert tree(tiny, done.ref) == tree(tiny, overlay.ref)


def test_replace_folds_earlier_patches_of_packages_in(tiny: Tiny) -> None:
    first = raised(tiny)
    declare(tiny, "two", packages={"remove": ["other"]})
    folded = patch(tiny, "two", origin=first.ref, mode="replace", tag="folded")
    stacked = patch(tiny, "two", origin=first.ref, tag="stacked")
    assert folded.lock.patches == ()
    assert len(keys(tiny, folded.ref)) < len(keys(tiny, stacked.ref))
    assert tree(tiny, folded.ref) == tree(tiny, stacked.ref)


def test_files_are_brought_and_removed(tiny: Tiny) -> None:
    (tiny.root / "envs/patches/fix").mkdir(parents=True)
    (tiny.root / "envs/patches/fix/motd").write_text("patched")
    prefix = "/opt/peel/lab"
    files = [
        {"path": "/usr/local/etc/motd", "source": "fix/motd", "mode": "0600"},
        {"path": f"{prefix}/{SITE}/tool/same.py", "source": "fix/motd"},
    ]
    declare(tiny, files=files, remove_files=[f"{prefix}/share/tool/old.txt"])
    done = patch(tiny)
    found = tree(tiny, done.ref)
    assert found["usr/local/etc/motd"] == Leaf(b"0", 0o600, b"patched")
    assert found[f"{prefix[1:]}/{SITE}/tool/same.py"].data == b"patched"
    assert f"{prefix[1:]}/{SITE}/tool/__pycache__/same.cpython-313.pyc" not in found
    assert f"{prefix[1:]}/{SITE}/tool/__pycache__/__init__.cpython-313.pyc" in found
    assert f"{prefix[1:]}/share/tool/old.txt" not in found
    sha256 = done.lock.patches[0].files[0].sha256
    assert (tiny.catalogue.lock_directory(done.ref) / "files" / sha256).read_text() == "patched"


@pytest.mark.parametrize("mode", ["overlay", "replace"])
def test_files_of_an_earlier_patch_outlast_a_newer_build_of_their_package(tiny: Tiny, mode: Any) -> None:
    (tiny.root / "envs/patches").mkdir(parents=True, exist_ok=True)
    (tiny.root / "envs/patches/better.py").write_text("better")
    path = f"/opt/peel/lab/{SITE}/tool/__init__.py"
    unsafe = "/opt/peel/lab/share/tool/old.txt"
    declare(tiny, "file", files=[{"path": path, "source": "better.py"}], remove_files=[unsafe])
    first = patch(tiny, "file")
    newer(tiny, **{f"{SITE}/tool/__init__.py": "new", "share/tool/old.txt": "old again", "share/tool/new.txt": "new"})
    declare(tiny, packages={"raise": ["tool"]})
    second = patch(tiny, origin=first.ref, mode=mode, tag=mode)
    found = tree(tiny, second.ref)
    assert found[path[1:]].data == b"better"
    assert f"opt/peel/lab/{SITE}/tool/__pycache__/__init__.cpython-313.pyc" not in found
    assert unsafe[1:] not in found
    assert "opt/peel/lab/share/tool/new.txt" in found


def test_glue_stays_above_what_a_newer_package_brings(tiny: Tiny) -> None:
    glue = "etc/jupyter/jupyter_config.json"
    newer(tiny, **{glue: "of the package", "share/tool/new.txt": ""})
    declare(tiny, packages={"raise": ["tool"]})
    done = patch(tiny)
    assert tree(tiny, done.ref)[f"opt/peel/lab/{glue}"] == tree(tiny, REF)[f"opt/peel/lab/{glue}"]


def test_a_source_that_no_longer_compiles_is_not_run_from_old_bytecode(tiny: Tiny) -> None:
    tiny.add("tool", "1.5", depends=["python"], files={f"{SITE}/tool/bad.py": "fine once"})
    tiny.declare_lab("jupyterlab", "tool")
    lock(tiny, ImageRef("lab", "r2_0_0"))
    newer(tiny, **{f"{SITE}/tool/bad.py": "bad now"})
    declare(tiny, packages={"raise": ["tool"]})
    done = patch(tiny, origin=ImageRef("lab", "r2_0_0"))
    held = [entry for entry in tree(tiny, done.ref) if "bad" in entry]
    assert held == [f"opt/peel/lab/{SITE}/tool/bad.py"]


def test_a_clash_is_decided_by_the_patch_and_remembered(tiny: Tiny) -> None:
    newer(tiny, **{"share/other.txt": "of tool"})
    declare(tiny, packages={"raise": ["tool"]})
    with pytest.raises(ArtifactError, match=r"share/other\.txt: other, tool"):
        patch(tiny)
    declare(tiny, packages={"raise": ["tool"]}, clobber={"share/other.txt": "tool"})
    done = patch(tiny)
    assert done.lock.declared.lab.clobber == {"share/other.txt": "tool"}
    assert change_of(done).yielded == {"other": ("share/other.txt",)}
    found = tree(tiny, done.ref)
    assert found["opt/peel/lab/share/other.txt"].data == b"of tool"
    assert b"share/other.txt" not in found["opt/peel/lab/conda-meta/other-1.0-0.json"].data
    declare(tiny, "back", packages={"remove": ["tool"]})
    back = patch(tiny, "back", origin=done.ref)
    assert back.lock.declared.lab.clobber == {}
    assert change_of(back).restored == {"other": ("share/other.txt",)}
    fresh = lock_fresh(tiny, "jupyterlab", "other")
    assert tree(tiny, back.ref) == tree(tiny, fresh)


def test_a_link_script_is_refused_until_the_patch_allows_it(tiny: Tiny) -> None:
    newer(tiny, **{"bin/.tool-post-link.sh": "echo"})
    declare(tiny, packages={"raise": ["tool"]})
    with pytest.raises(ArtifactError, match="want to run when linked") as error:
        patch(tiny)
    allowed = yaml.safe_load(str(error.value.hint).split("declare\n")[1])["skip_link_scripts"]
    declare(tiny, packages={"raise": ["tool"]}, skip_link_scripts=allowed)
    assert patch(tiny).lock.declared.lab.skip_link_scripts == allowed


def test_what_a_patched_package_needs_is_added_with_it(tiny: Tiny) -> None:
    tiny.add("helper", "1.0", files={"share/helper": ""})
    tiny.add("tool", "2.0", depends=["python", "helper"], files={"share/tool/new": ""})
    declare(tiny, packages={"raise": ["tool"]})
    done = patch(tiny)
    assert [p.name for p in change_of(done).added] == ["helper", "tool"]
    assert {m.move.name for m in done.moves} == {"helper", "tool"}


def test_another_python_takes_along_all_that_depends_on_it(tiny: Tiny) -> None:
    pure = {"site-packages/pure.py": "pure"}
    tiny.add("pure", noarch="python", depends=["python"], files=pure, entry_points=["pure = pure:main"])
    tiny.declare_lab("jupyterlab", "pure")
    lock(tiny, ImageRef("lab", "r2_0_0"))
    tiny.add("python", "3.14.0", files={"bin/python": "tiny", "lib/python3.14/os.py": ""})
    declare(tiny, packages={"raise": ["python"]})
    done = patch(tiny, origin=ImageRef("lab", "r2_0_0"))
    change = change_of(done)
    assert change.python == "3.14"
    assert change.removed == ("pure", "python")
    assert [p.name for p in change.added] == ["pure", "python"]
    assert change.kept == ()
    assert "lib/python3.13" in change.gone
    assert "bin/pure" not in change.gone


def test_a_kernel_is_expected_to_run_the_patched_python(tiny: Tiny) -> None:
    tiny.declare_payload("calm", "python", "ipykernel")
    tiny.declare_image(payloads=["calm"])
    lock(tiny, ImageRef("lab", "r2_0_0"))
    tiny.add("python", "3.13.2", files={"bin/python": "newer", "lib/python3.13/os.py": ""})
    declare(tiny, environments=["calm"], packages={"raise": ["python"]})
    done = patch(tiny, origin=ImageRef("lab", "r2_0_0"))
    assert [kernel.python for kernel in expected_kernels(planned(tiny, done.ref))] == ["3.13.2"]


def test_a_preview_tells_the_moves_and_writes_nothing(tiny: Tiny) -> None:
    newer(tiny)
    declare(tiny, packages={"raise": ["tool"]})
    before = {path: path.read_bytes() for path in tiny.root.rglob("lockfiles/**/*") if path.is_file()}
    done = patcher(tiny).preview(Order(REF, ("fix",)))
    assert (done.ref.tag, [m.move.name for m in done.moves]) == ("r1_0_0_rsp1", ["tool"])
    assert {path: path.read_bytes() for path in tiny.root.rglob("lockfiles/**/*") if path.is_file()} == before


def refused(tiny: Tiny, kind: type[PeelError], match: str, *patches: str, **more: Any) -> None:
    """See that nothing is written of what is refused."""
    tags = tiny.catalogue.tags("lab")
    with pytest.raises(kind, match=match):
        patch(tiny, *patches, **more)
    assert tiny.catalogue.tags("lab") == tags


def test_what_no_solver_can_do_is_refused_by_name(tiny: Tiny) -> None:
    declare(tiny, packages={"raise": ["tool >=9"]})
    with pytest.raises(DocumentError, match="tool"):
        really(tiny).patch(Order(REF, ("fix",)))
    assert tiny.catalogue.tags("lab") == [REF.tag]


@pytest.mark.parametrize(
    ("asked", "match"),
    [
        ({"packages": {"raise": ["toll"]}}, "no package 'toll'"),
        ({"environments": ["labb"], "packages": {"raise": ["tool"]}}, "no environment 'labb'"),
        ({}, "changes nothing"),
        ({"packages": {"remove": ["jupyterlab"]}}, "takes jupyterlab out of 'lab'"),
        ({"remove_files": ["/opt/peel/lab/share/nothing"]}, "the image has no /opt/peel/lab/share/nothing"),
        ({"remove_files": ["/opt/peel/lab"]}, "removes or replaces all of /opt/peel/lab"),
        ({"remove_files": ["/lib64/libc.so.6"]}, "remove_files"),
    ],
)
def test_what_cannot_be_is_refused_by_name(tiny: Tiny, asked: dict[str, Any], match: str) -> None:
    declare(tiny, **asked)
    refused(tiny, DocumentError, match)


@pytest.mark.parametrize(
    ("path", "match"),
    [
        ("/opt/peel/lab/share", "is a directory in the image"),
        ("/opt/peel/lab/share/other.txt/x", "lies beneath what is a file"),
        ("/opt/peel/lab/lib", "is a directory in the image"),
    ],
)
def test_a_file_that_cannot_lie_where_it_is_to_lie_is_refused(tiny: Tiny, path: str, match: str) -> None:
    declare(tiny, files=[{"path": path, "source": "fix.yaml"}])
    refused(tiny, DocumentError, match)


def test_a_file_that_would_be_read_as_a_whiteout_is_refused(tiny: Tiny) -> None:
    declare(tiny, files=[{"path": "/usr/local/.wh.x", "source": "fix.yaml"}])
    refused(tiny, ArtifactError, "would be read as a whiteout")


def test_a_file_on_a_way_that_the_base_has_otherwise_is_refused(tmp_path: Path) -> None:
    made = Tiny(tmp_path)
    (tmp_path / "other").mkdir()
    files = {"lib64/libc.so.6": (GLIBC, 0o755), "usr/local/here": (b"", 0o644)}
    ways = {"symlinks": {"usr/local/link": "elsewhere"}, "directories": {"usr/local/secret": 0o700}}
    digest = write_layout(tmp_path / "other", "9", files, **ways)
    for blob in (tmp_path / "other").glob("blobs/sha256/*"):
        made.store.blobs.put_bytes(blob.read_bytes())
    made.base = f"docker.io/library/other@{digest}"
    made.declare_image()
    made.lock_simply()
    for path, match in (
        ("/usr/local/link/x", "lies in /usr/local/link, in the base a link"),
        ("/usr/local/secret/x", "a directory of mode 700"),
        ("/usr/local/here/x", "lies in /usr/local/here, in the base a file"),
    ):
        declare(made, files=[{"path": path, "source": "fix.yaml"}])
        refused(made, ArtifactError, match)
    declare(made, remove_files=["/usr/local/here"])
    found = tree(made, patch(made).ref)
    assert "usr/local/here" not in found


def test_patches_that_contradict_each_other_are_refused(tiny: Tiny) -> None:
    declare(tiny, "one", packages={"remove": ["tool"]})
    declare(tiny, "two", packages={"raise": ["tool"]})
    refused(tiny, DocumentError, "contradict", "one", "two")


def test_no_patch_at_all_is_refused(tiny: Tiny) -> None:
    with pytest.raises(UsageError, match="nothing to change"):
        patcher(tiny).patch(Order(REF, ()))


def test_a_lock_of_other_formats_is_refused(tiny: Tiny) -> None:
    lock = tiny.lock_set / "image.lock.yaml"
    lock.write_text(lock.read_text().replace("linker: 1", "linker: 7"))
    declare(tiny, packages={"remove": ["tool"]})
    refused(tiny, DocumentError, "was locked for other formats: linker 7")


def test_an_incomplete_import_is_refused(tiny: Tiny) -> None:
    lock = tiny.lock_set / "image.lock.yaml"
    missing = {"missing": {"linux-64": {"lab": [{"name": "lost", "version": "1"}]}}}
    lock.write_text(lock.read_text() + yaml.safe_dump(missing))
    declare(tiny, packages={"remove": ["tool"]})
    refused(tiny, DocumentError, "is incomplete: an import could not have lost 1")


def built(tiny: Tiny, ref: ImageRef) -> Built:
    made = build_without_images(planned(tiny, ref), tiny.store)
    accept(made, tiny.catalogue, tiny.store)
    return made


def test_the_layers_kept_are_proved_by_digest_against_the_record(tiny: Tiny) -> None:
    before = built(tiny, REF)
    done = raised(tiny)
    proof = prove_kept(built(tiny, done.ref), done.made_from, tiny.catalogue)
    kept = [layer.record.blob.digest for layer in before.layers]
    assert list(proof.kept) == [*(blob.digest for blob in before.base.layers), *kept]
    assert [layer.step.contents for layer in proof.new] == ["patch: fix"]
    assert proof.recorded


def test_a_kept_layer_that_is_another_than_in_the_record_is_named(tiny: Tiny) -> None:
    built(tiny, REF)
    done = raised(tiny)
    made = build_without_images(planned(tiny, done.ref), tiny.store)
    record = tiny.lock_set / "record.json"
    old = str(made.layers[0].record.blob.digest)
    record.write_text(record.read_text().replace(old, f"sha256:{'0' * 64}"))
    with pytest.raises(DifferenceError, match=f"the layer .* is {old}, but sha256:0+ in the record of lab:r1_0_0"):
        prove_kept(made, done.made_from, tiny.catalogue)


def test_a_layer_of_the_origin_that_an_overlay_lacks_is_named(tiny: Tiny) -> None:
    done = raised(tiny)
    made = build_without_images(planned(tiny, done.ref), tiny.store)
    lacking = replace(made, layers=made.layers[1:])
    with pytest.raises(DifferenceError, match=r"the layer 'lab: .* of lab:r1_0_0 is not in lab:r1_0_0_rsp1"):
        prove_kept(lacking, done.made_from, tiny.catalogue)


def test_what_earlier_patches_took_away_does_not_come_back_with_a_later_one(tiny: Tiny) -> None:
    tiny.add("extra", files={"share/extra": ""})
    declare(tiny, "add", environments=["lab"], packages={"add": ["extra"]})
    first = patch(tiny, "add")
    declare(tiny, "take", packages={"remove": ["extra"]})
    second = patch(tiny, "take", origin=first.ref)
    newer(tiny)
    declare(tiny, packages={"raise": ["tool"]})
    third = really(tiny).patch(Order(second.ref, ("fix",)))
    assert third.ref.tag == "r1_0_0_rsp3"
    assert "extra" not in {p.name for p in tiny.catalogue.conda_lock(third.ref, "lab")}
