"""Lock sets with patches: what is there in the end, and files that do not account for it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from locksets import COMPRESSION, FORMATS, REF, group, locked, make_declared, make_lock, sha256
from peel.errors import DocumentError
from peel.model.condalock import CondaLockPackage, Hashes
from peel.model.entry import Kind
from peel.model.locked import LockSet, join
from peel.model.lockset import (
    ImageLock,
    LockedPackage,
    LockedPatch,
    MadeFrom,
    MissingArtifact,
    PatchedEnvironment,
    PatchedFile,
    SupersededPackage,
)
from peel.model.plan import EnvironmentLayer, GlueLayer, PatchLayer, Plan, layer_key, make_plan
from peel.model.values import Digest, Platform

LINUX = Platform("linux-64")
PYTHON, OLD, NEW = locked("python", "3.13.1"), locked("libfoo", "1.0"), locked("libfoo", "2.0")
LAYERS = {"lab": [group("python", PYTHON), group("shared/0", OLD)]}
SUPERSEDED = SupersededPackage(
    name="libfoo", version="1.0", manager="conda", file=OLD.file_name, url=OLD.url, sha256=sha256("libfoo", "1.0")
)
CONTENTS = b"answer = 42\n"
FILE = PatchedFile(path="/etc/foo.conf", sha256=Digest.of(CONTENTS).hex, size=len(CONTENTS), mode=0o644)


def pinned(package: CondaLockPackage) -> LockedPackage:
    return group("x", package).packages[0]


def changed(**more: Any) -> PatchedEnvironment:
    fields: dict[str, Any] = {"removed": ("libfoo",), "added": (pinned(NEW),), "python": "3.13", "gone": ("lib/old",)}
    return PatchedEnvironment(**{**fields, **more})


def patch(name: str = "raise-foo", change: PatchedEnvironment | None = None, **more: Any) -> LockedPatch:
    environments = {"linux-64": {"lab": change or changed()}}
    return LockedPatch(name=name, formats=FORMATS, compression=COMPRESSION, environments=environments, **more)


def patched_lock(*patches: LockedPatch, **more: Any) -> ImageLock:
    superseded = {"linux-64": {"lab": (SUPERSEDED,)}}
    fields = {"patches": patches or (patch(),), "superseded": superseded, **more}
    return make_lock(make_declared(), LAYERS, **fields)


def joined(lock: ImageLock, packages: Sequence[CondaLockPackage] = (PYTHON, NEW), **files: bytes) -> LockSet:
    return join(REF, lock, {"lab": packages}, "lock", files={Digest.of(data).hex: data for data in files.values()})


def refused(lock: ImageLock, packages: Sequence[CondaLockPackage] = (PYTHON, NEW)) -> str:
    with pytest.raises(DocumentError) as raised:
        joined(lock, packages)
    return raised.value.message


def planned(lock: ImageLock, **files: bytes) -> Plan:
    return make_plan(joined(lock, **files), LINUX)


def test_a_patched_environment_ends_with_what_the_patch_added_and_begins_with_what_was_there() -> None:
    found = joined(patched_lock())
    assert [(p.name, p.version) for p in found.packages(LINUX, "lab")] == [("python", "3.13.1"), ("libfoo", "2.0")]
    assert [(p.name, p.version) for p in found.unpatched(LINUX, "lab")] == [("python", "3.13.1"), ("libfoo", "1.0")]
    assert [p.version for p in found.installed["linux-64", "lab"]] == ["3.13.1", "2.0"]


def test_historical_layers_keep_their_keys_beneath_a_patch() -> None:
    before = make_plan(join(REF, make_lock(make_declared(), LAYERS), {"lab": [PYTHON, OLD]}, "lock"), LINUX)
    after = planned(patched_lock())
    assert [layer_key(s, after) for s in after.layers[:-1]] == [layer_key(s, before) for s in before.layers]
    assert [type(step) for step in after.layers] == [EnvironmentLayer, EnvironmentLayer, GlueLayer, PatchLayer]
    assert after.digest != before.digest


def test_a_patch_layers_key_is_a_promise_across_releases() -> None:
    # A change here makes every patch layer anew: raise the number of a format on purpose.
    plan = planned(patched_lock(patch(files=(FILE,), removed_files=("/opt/gone",))), conf=CONTENTS)
    key = str(layer_key(plan.layers[-1], plan))
    assert key == "sha256:de94a6b16dc910b3e42b0aec8f3b1ee7ab8db0c3af711382f602bdd67f27f101"


def test_a_patch_layers_key_depends_on_what_decides_its_bytes_and_on_nothing_else() -> None:
    plan = planned(patched_lock())
    key = layer_key(plan.layers[-1], plan)
    others = [
        changed(gone=("lib/other",)), changed(kept=("lib/same",)), changed(python="3.12"),
        changed(restored={"python": ("bin/x",)}), changed(added=(pinned(NEW).model_copy(update={"omit": ("bin/y",)}),)),
    ]  # fmt: skip
    for other in others:
        differing = planned(patched_lock(patch(change=other)))
        assert layer_key(differing.layers[-1], differing) != key
    renamed = planned(patched_lock(patch("another-name")))
    assert layer_key(renamed.layers[-1], renamed) == key
    reordered = planned(patched_lock(patch(change=changed(gone=("b", "a")))))
    ordered = planned(patched_lock(patch(change=changed(gone=("a", "b")))))
    assert layer_key(reordered.layers[-1], reordered) == layer_key(ordered.layers[-1], ordered)


def test_a_package_that_leaves_a_path_to_another_is_recorded_anew_and_leaves_it_from_then_on() -> None:
    lock = patched_lock(patch(change=changed(yielded={"python": ("bin/both",)})))
    found = joined(lock)
    (python,) = [p for p in found.packages(LINUX, "lab") if p.name == "python"]
    assert python.omit == ("bin/both",)
    assert found.unpatched(LINUX, "lab")[0].omit == ()
    (layer,) = [step for step in make_plan(found, LINUX).layers if isinstance(step, PatchLayer)]
    assert layer.prefixes[0].change.restored == ((python, ()),)
    plain, yielding = planned(patched_lock()), planned(lock)
    assert layer_key(yielding.layers[-1], yielding) != layer_key(plain.layers[-1], plain)
    assert "restores 'libfoo', which is not there before" in refused(
        patched_lock(patch(change=changed(yielded={"libfoo": ("bin/x",)})))
    )


def test_an_old_build_and_a_new_one_may_have_the_same_file_name() -> None:
    same = locked("libfoo", "1.0", hash=Hashes(sha256="e" * 64))
    found = joined(patched_lock(patch(change=changed(added=(pinned(same),)))), (PYTHON, same))
    assert [p.digest.hex[0] for p in found.packages(LINUX, "lab")][1] == "e"
    assert found.unpatched(LINUX, "lab")[1].digest.hex == sha256("libfoo", "1.0")


def test_patches_stack_in_order() -> None:
    third = locked("libfoo", "3.0")
    again = patch("again", changed(added=(pinned(third),)))
    second = SUPERSEDED.model_copy(
        update={"version": "2.0", "file": NEW.file_name, "url": NEW.url, "sha256": sha256("libfoo", "2.0")}
    )
    lock = patched_lock(patch(), again, superseded={"linux-64": {"lab": (SUPERSEDED, second)}})
    found = joined(lock, (PYTHON, third))
    assert [p.version for p in found.packages(LINUX, "lab")] == ["3.13.1", "3.0"]
    plan = make_plan(found, LINUX)
    assert [step.contents for step in plan.layers[-2:]] == ["patch: raise-foo", "patch: again"]


def test_files_of_a_patch_become_entries_and_whiteouts() -> None:
    lock = patched_lock(patch(files=(FILE,), removed_files=("/opt/gone",)))
    (layer,) = [step for step in planned(lock, conf=CONTENTS).layers if isinstance(step, PatchLayer)]
    found = [(entry.path, entry.kind, entry.source) for entry in layer.entries]
    assert found == [("etc/foo.conf", Kind.FILE, CONTENTS), ("opt/gone", Kind.WHITEOUT, b"")]


def test_contents_of_a_file_that_are_missing_or_changed_are_told() -> None:
    lock = patched_lock(patch(files=(FILE,)))
    expected = "lock: the contents of /etc/foo.conf of patch 'raise-foo' are missing or changed"
    assert refused(lock) == expected
    with pytest.raises(DocumentError, match="missing or changed"):
        join(REF, lock, {"lab": [PYTHON, NEW]}, "lock", files={FILE.sha256: b"other"})


def test_a_patch_of_one_platform_makes_no_layer_for_another() -> None:
    lock = patched_lock(patch().model_copy(update={"environments": {"linux-aarch64": {}}}), superseded={})
    found = make_plan(joined(lock, (PYTHON, OLD)), LINUX)
    assert not any(isinstance(step, PatchLayer) for step in found.layers)


def test_what_a_patch_does_must_fit_what_is_there() -> None:
    def with_change(**more: Any) -> ImageLock:
        return patched_lock(patch(change=changed(**more)))

    assert "removes 'libbar', which is not there" in refused(with_change(removed=("libbar",)))
    assert "adds 'libfoo', which is there" in refused(with_change(removed=()))
    assert "restores 'libbar', which is not there" in refused(with_change(restored={"libbar": ("x",)}))
    unknown = patch().model_copy(update={"environments": {"linux-64": {"nowhere": changed()}}})
    assert "of an unknown environment 'nowhere'" in refused(patched_lock(unknown))


def test_condas_lock_must_hold_what_is_there_in_the_end() -> None:
    assert "libfoo-2.0-0.conda is in image.lock.yaml but not in conda-lock's file" in refused(
        patched_lock(), [PYTHON, OLD]
    )
    assert "libfoo-1.0-0.conda is in no layer" in refused(patched_lock(), [PYTHON, NEW, OLD])
    only_removed = patched_lock(patch(change=changed(added=())))
    assert "libfoo-2.0-0.conda is in no layer" in refused(only_removed)


def test_a_superseded_package_with_another_hash_is_told() -> None:
    wrong = SUPERSEDED.model_copy(update={"sha256": "f" * 64})
    lock = patched_lock(superseded={"linux-64": {"lab": (wrong,)}})
    assert "libfoo-1.0-0.conda has another sha256" in refused(lock)


def test_where_it_came_from_is_part_of_the_plan() -> None:
    origin = MadeFrom(image="lab", tag="r0", manifests={"linux-64": f"sha256:{'c' * 64}"}, mode="overlay", patches=())
    plan = planned(patched_lock(made_from=origin))
    assert plan.made_from == f"lab:r0@sha256:{'c' * 64}"
    assert plan.digest != planned(patched_lock()).digest
    unbuilt = planned(patched_lock(made_from=origin.model_copy(update={"manifests": {}})))
    assert unbuilt.made_from == "lab:r0"


def test_an_incomplete_import_is_refused_by_name() -> None:
    missing = {
        "linux-64": {"lab": (MissingArtifact(name="gone", version="1.0"), MissingArtifact(name="a", version="2"))}
    }
    assert refused(patched_lock(missing=missing)) == "lock: is incomplete: an import could not have gone 1.0 and 1 more"


def test_an_imported_image_is_its_base_and_may_hold_what_no_layer_brings() -> None:
    environment = {
        "name": "old",
        "role": "environment",
        "prefix": "/usr/share/conda",
        "channels": [],
        "dependencies": [],
    }
    declared = make_declared(environments=[environment])
    lock = make_lock(declared, {"old": []}, imported="docker://host/old:1")
    found = join(REF, lock, {"old": [PYTHON, OLD]}, "lock")
    assert [p.name for p in found.installed["linux-64", "old"]] == ["python", "libfoo"]
    plan = make_plan(found, LINUX)
    assert plan.is_base
    assert plan.settings.as_json() == {}


def test_a_lock_without_patches_is_written_without_their_keys() -> None:
    document = make_lock(make_declared(), LAYERS).as_document()
    assert document.keys().isdisjoint({"made_from", "imported", "patches", "superseded", "missing"})
    patched = patched_lock().as_document()
    assert {"patches", "superseded"} <= patched.keys()
    assert "omit" not in patched["patches"][0]["environments"]["linux-64"]["lab"]["added"][0]
    assert ImageLock.model_validate(patched) == patched_lock()
