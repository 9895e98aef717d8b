"""Locking, with real tools on tiny channels."""

from __future__ import annotations

import hashlib
import os
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import yaml

from channels import File, index, tamper
from locksets import make_declared
from peel.errors import ArtifactError, DifferenceError, DocumentError, PeelError, UsageError
from peel.model.progress import Silent
from peel.model.values import Digest, ImageRef
from peel.tools.conda_lock import CondaLock
from peel.tools.micromamba import find_solver
from peel.workflow.agreement import check_lock
from peel.workflow.solve import Before, channel_secrets, solve
from tiny import EMBEDDED, REF, ChannelLock, Tiny


@pytest.fixture
def tiny(tmp_path: Path) -> Tiny:
    return Tiny(tmp_path)


def refused(tiny: Tiny, kind: type[PeelError], conda_lock: Any = None, **options: Any) -> PeelError:
    """The error of a lock that has to fail, and that must leave nothing behind."""
    before = tiny.files() if tiny.lock_set.exists() else None
    with pytest.raises(kind) as raised:
        tiny.lock(conda_lock, **options)
    after = tiny.files() if tiny.lock_set.exists() else None
    assert after == before
    assert not list(tiny.root.glob("lockfiles/*/.*"))
    assert not list((tiny.store.root / "tmp").iterdir())
    return raised.value


def refused_simply(tiny: Tiny, kind: type[PeelError]) -> PeelError:
    with pytest.raises(kind) as raised:
        tiny.lock_simply()
    assert not tiny.lock_set.exists()
    return raised.value


def test_locking_twice_writes_the_same_bytes_and_says_so(tiny: Tiny) -> None:
    tiny.declare_payload("science", "ipykernel")
    tiny.declare_image(payloads=["science"])
    assert tiny.lock().changed
    first = tiny.files()
    assert sorted(first) == ["image.lock.yaml", "lab.conda-lock.yml", "science.conda-lock.yml"]
    assert not tiny.lock().changed
    assert tiny.files() == first
    assert str(tiny.root).encode() not in first["image.lock.yaml"].replace(index(tiny.channel).encode(), b"")


def test_the_base_is_pinned_with_its_glibc_and_nobody_is_asked_for_what_the_store_has(tiny: Tiny) -> None:
    pinned = tiny.lock_simply().lock.base["linux-64"]
    assert (pinned.digest, pinned.glibc, pinned.layers) == (tiny.base.partition("@")[2], "2.34", 1)


def test_the_base_decides_what_its_packages_may_need(tiny: Tiny) -> None:
    tiny.add("jupyterlab", "5.0", depends=["python", "__glibc >=2.35"])
    tiny.lock()
    assert tiny.versions()["jupyterlab"] == "4.6.0"


def test_the_epoch_is_that_of_the_newest_package_unless_it_is_given(tiny: Tiny) -> None:
    tiny.add("extra", timestamp=1_800_000_000_000)
    tiny.declare_lab("jupyterlab", "extra")
    assert tiny.lock_simply().lock.epoch == 1_800_000_000


def test_declarations_and_lock_agree_until_a_declaration_changes(tiny: Tiny) -> None:
    tiny.lock_simply()
    check_lock(REF, tiny.catalogue)
    tiny.declare_lab("jupyterlab >=4.6", "python 3.13.*")
    with pytest.raises(DifferenceError) as raised:
        check_lock(REF, tiny.catalogue)
    assert raised.value.message.splitlines() == [
        "lab:r1_0_0 was locked from other declarations:",
        "  environments.lab.dependencies: 'jupyterlab' was removed",
        "  environments.lab.dependencies: 'jupyterlab >=4.6' was added",
        "  environments.lab.dependencies: 'python 3.13.*' was added",
    ]
    assert raised.value.hint == "peel lock lab:r1_0_0"


def test_an_update_moves_the_package_and_no_other(tiny: Tiny) -> None:
    tiny.add("libfoo", "1.0")
    tiny.declare_lab("jupyterlab", "libfoo")
    tiny.lock()
    tiny.add("libfoo", "1.1")
    tiny.add("jupyterlab", "4.7.0", depends=["python"])
    tiny.lock(update=("libfoo",))
    assert tiny.versions() == {"jupyterlab": "4.6.0", "libfoo": "1.1", "python": "3.13.1"}


def test_an_update_leaves_environments_without_the_package_byte_for_byte(tiny: Tiny) -> None:
    tiny.declare_payload("science", "ipykernel")
    tiny.declare_image(payloads=["science"])
    tiny.lock()
    before = tiny.files()["lab.conda-lock.yml"]
    tiny.add("ipykernel", "7.1", depends=["python"])
    tiny.add("jupyterlab", "4.7.0", depends=["python"])
    tiny.lock(update=("ipykernel",))
    assert tiny.versions("science")["ipykernel"] == "7.1"
    assert tiny.files()["lab.conda-lock.yml"] == before


def test_an_update_of_an_unknown_package_or_of_nothing_locked_is_a_mistake(tiny: Tiny) -> None:
    assert "is not locked" in refused(tiny, UsageError, update=("libfoo",)).message
    tiny.lock_simply()
    assert "has a package 'libfoo'" in refused(tiny, UsageError, update=("libfoo",)).message
    tiny.declare_lab("jupyterlab", "python")
    assert "declarations changed" in refused(tiny, UsageError, update=("python",)).message


def test_a_lock_set_that_was_built_is_immutable_and_the_next_tag_is_named(tiny: Tiny) -> None:
    tiny.lock_simply()
    tiny.record()
    error = refused(tiny, UsageError)
    assert error.message == "lab:r1_0_0 has been built: its lock set has a record and is immutable"
    assert error.hint == "lock another tag, for example: peel lock lab:r1_0_1"


def test_the_next_tag_takes_the_grouping_over(tiny: Tiny) -> None:
    tiny.add("alone", files={"share/big": os.urandom(5 * 2**20)})
    tiny.declare_lab("jupyterlab", "alone")
    first = tiny.lock_simply().lock.layers
    assert [group.name for group in first["linux-64"]["lab"]][:2] == ["python", "alone"]
    tiny.record()
    tiny.add("alone", files={"share/big": "small by now"})
    index(tiny.channel)
    second = tiny.lock(ChannelLock(tiny.channel), ref=ImageRef("lab", "r1_0_1")).lock.layers
    assert [group.name for group in second["linux-64"]["lab"]][:2] == ["python", "alone"]


@pytest.mark.parametrize("hashes", [("md5",), ()])
def test_a_sha256_that_is_missing_is_completed(tiny: Tiny, hashes: tuple[str, ...]) -> None:
    lock = tiny.lock_simply(hashes=hashes).lock
    pinned = {package.name: package for group in lock.layers["linux-64"]["lab"] for package in group.packages}
    archive = next(tiny.channel.glob("*/jupyterlab-*"))
    assert pinned["jupyterlab"].sha256 == hashlib.sha256(archive.read_bytes()).hexdigest()
    assert pinned["jupyterlab"].size == archive.stat().st_size
    assert tiny.store.blobs.has(Digest.from_hex(pinned["jupyterlab"].sha256))


def test_an_archive_that_is_not_what_the_channel_says_is_refused(tiny: Tiny) -> None:
    archive = tiny.add("extra")
    tiny.declare_lab("jupyterlab", "extra")
    tamper(archive)
    error = refused(tiny, ArtifactError)
    assert "extra-1.0-0.conda" in error.message


SCRIPT = "#!/bin/sh\necho linked\n"


def test_a_script_that_wants_to_run_is_refused_by_name_and_hash(tiny: Tiny) -> None:
    tiny.add("scripted", files={"bin/.scripted-post-link.sh": SCRIPT})
    tiny.declare_lab("jupyterlab", "scripted")
    error = refused_simply(tiny, ArtifactError)
    assert hashlib.sha256(SCRIPT.encode()).hexdigest() in (error.hint or "")
    assert "scripted: bin/.scripted-post-link.sh" in error.message
    assert "skip_link_scripts:\n    scripted:\n      bin/.scripted-post-link.sh: " in (error.hint or "")


def test_a_script_that_was_read_may_be_left_out(tiny: Tiny) -> None:
    tiny.add("scripted", files={"bin/.scripted-post-link.sh": SCRIPT})
    tiny.declare_lab("jupyterlab", "scripted")
    allowed = {"scripted": {"bin/.scripted-post-link.sh": hashlib.sha256(SCRIPT.encode()).hexdigest()}}
    tiny.declare_image(lab={"skip_link_scripts": allowed})
    assert tiny.lock_simply().changed
    tiny.declare_image(lab={"skip_link_scripts": {"scripted": {"bin/.scripted-post-link.sh": "0" * 64}}})
    with pytest.raises(ArtifactError, match="scripted"):
        tiny.lock_simply()


def clashing(tiny: Tiny, *contents: str) -> None:
    for name, text in zip(("one", "two"), contents, strict=True):
        tiny.add(name, files={"share/same": text, f"share/{name}": ""})
    tiny.declare_lab("jupyterlab", "one", "two")


def test_two_packages_with_one_path_and_other_contents_are_refused(tiny: Tiny) -> None:
    clashing(tiny, "1", "2")
    error = refused_simply(tiny, ArtifactError)
    assert "share/same: one, two" in error.message
    assert error.hint == "say which package wins, for example with\n  clobber:\n    share/same: one"


def test_the_declared_winner_brings_the_path(tiny: Tiny) -> None:
    clashing(tiny, "1", "2")
    tiny.declare_image(lab={"clobber": {"share/same": "two"}})
    assert omitted(tiny) == {"one": ("share/same",)}


def test_two_packages_with_one_path_and_the_same_contents_need_no_word(tiny: Tiny) -> None:
    clashing(tiny, "same", "same")
    assert omitted(tiny) == {"two": ("share/same",)}


def test_a_decision_without_grounds_is_refused(tiny: Tiny) -> None:
    clashing(tiny, "1", "2")
    tiny.declare_image(lab={"clobber": {"share/same": "three"}})
    assert "which it does not" in refused_simply(tiny, DocumentError).message


def omitted(tiny: Tiny) -> dict[str, tuple[str, ...]]:
    groups = tiny.lock_simply().lock.layers["linux-64"]["lab"]
    return {package.name: package.omit for group in groups for package in group.packages if package.omit}


def test_a_prefix_too_long_for_a_binary_is_told_when_locking(tiny: Tiny) -> None:
    short = "/build/short"
    binary = File(f"\x7fELF{short}/lib\0".encode(), placeholder=short, file_mode="binary")
    tiny.add("native", files={"lib/native.so": binary})
    tiny.declare_lab("jupyterlab", "native")
    tiny.declare_image(lab={"prefix": "/opt/a-prefix-longer-than-the-placeholder"})
    message = refused_simply(tiny, PeelError).message
    assert "native" in message
    assert "lib/native.so" in message


def test_a_lab_without_jupyterlab_is_refused(tiny: Tiny) -> None:
    tiny.declare_lab("python")
    error = refused_simply(tiny, DocumentError)
    assert error.message == "the environment 'lab' has no jupyterlab"


def test_a_payload_without_ipykernel_is_refused(tiny: Tiny) -> None:
    tiny.declare_payload("science", "python")
    tiny.declare_image(payloads=["science"])
    assert refused_simply(tiny, DocumentError).message == "the environment 'science' has no ipykernel"


def test_a_spec_that_nothing_satisfies_is_told_in_the_solvers_own_words(tiny: Tiny) -> None:
    tiny.add("app", depends=["libfoo >=2"])
    tiny.add("libfoo", "1.0")
    tiny.declare_lab("jupyterlab", "app")
    error = refused(tiny, DocumentError)
    assert error.message.startswith("nothing satisfies the environment 'lab'; the solver says:\n")
    assert "libfoo >=2, for which no candidates were found" in error.message
    assert "Traceback" not in error.message


def test_specs_that_contradict_each_other_are_told(tiny: Tiny) -> None:
    tiny.declare_lab("jupyterlab", "python 3.13.*", "python 3.12.*")
    assert "python" in refused(tiny, DocumentError).message


def test_an_unknown_package_is_told_by_name(tiny: Tiny) -> None:
    tiny.declare_lab("jupyterlab", "nosuchpackage")
    error = refused(tiny, DocumentError)
    assert "nosuchpackage" in error.message
    assert "'lab'" in error.message


def test_an_unknown_channel_is_told(tiny: Tiny) -> None:
    tiny.declare_lab("jupyterlab", channels=[f"file://{tiny.root}/nowhere"])
    error = refused(tiny, PeelError)
    assert "nowhere" in error.message
    assert "Traceback" not in error.message


def test_a_bad_declaration_is_told_before_any_tool_runs(tiny: Tiny) -> None:
    tiny.write("lab.yaml", {"schema": 1, "base": tiny.base, "payload": []})
    assert "did you mean 'payloads'?" in refused(tiny, DocumentError, object()).message


TOKEN = "tk-5ecre7-value"  # noqa: S105 - of a channel that lives as long as the test


@pytest.fixture
def private(tiny: Tiny) -> Iterator[str]:
    """The address of a channel that is served only under the token's path, without the token."""

    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            pass

    served = tiny.root / "served" / "t" / TOKEN
    served.mkdir(parents=True)
    index(tiny.channel)
    (served / "private").symlink_to(tiny.channel)
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(tiny.root / "served"))) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/t/$TOKEN/private"
        finally:
            server.shutdown()
            thread.join()


def test_a_channels_token_is_in_no_lock_and_no_file_that_is_kept(tiny: Tiny, private: str) -> None:
    tiny.declare_lab("jupyterlab", channels=[private])
    tiny.lock(CondaLock(find_solver(EMBEDDED), {"TOKEN": TOKEN}))
    assert sorted(tiny.files()) == ["image.lock.yaml", "lab.conda-lock.yml"]
    assert not [name for name, data in tiny.files().items() if TOKEN.encode() in data]
    urls = [package.url for package in tiny.catalogue.conda_lock(REF, "lab")]
    assert all("TOKEN" in url for url in urls)
    assert not tiny.lock(CondaLock(find_solver(EMBEDDED), {"TOKEN": TOKEN})).changed
    kept = [path for path in tiny.store.root.rglob("*") if path.is_file() and path.stat().st_size < 10**6]
    assert not [path for path in kept if TOKEN.encode() in path.read_bytes()]


def test_a_channels_token_is_in_no_error(tiny: Tiny, private: str) -> None:
    tiny.declare_lab("nosuchpackage", channels=[private])
    unsatisfied = refused(tiny, DocumentError, CondaLock(find_solver(EMBEDDED), {"TOKEN": TOKEN}))
    tiny.declare_lab("jupyterlab", channels=[f"{private}/nowhere"])
    unknown = refused(tiny, PeelError, CondaLock(find_solver(EMBEDDED), {"TOKEN": TOKEN}))
    for error in (unsatisfied, unknown):
        assert TOKEN not in f"{error.message}{error.hint}"


def test_a_variable_that_a_channel_names_must_be_set(tiny: Tiny) -> None:
    tiny.declare_lab("jupyterlab", channels=["https://host/t/${SECRET}/c", "https://u:$PASS@host/c"])
    declared = tiny.catalogue.declared("lab")
    allowed = {"PEEL_SECRETS": "SECRET,PASS", "SECRET": "a", "PASS": "b", "OTHER": "c"}
    assert channel_secrets(declared, allowed) == {"SECRET": "a", "PASS": "b"}
    with pytest.raises(UsageError, match="SECRET, which is not set"):
        channel_secrets(declared, {**allowed, "SECRET": ""})


def test_a_document_cannot_choose_which_variables_a_server_is_sent(tiny: Tiny) -> None:
    tiny.declare_lab("jupyterlab", channels=["https://host/t/$HOME/c"])
    with pytest.raises(UsageError, match="HOME, which PEEL_SECRETS does not list"):
        channel_secrets(tiny.catalogue.declared("lab"), {"HOME": "/root"})


def test_a_file_where_another_package_needs_a_directory_is_refused(tiny: Tiny) -> None:
    tiny.add("one", files={"share/place": "a file"})
    tiny.add("two", files={"share/place/inside": "beneath it"})
    tiny.declare_lab("jupyterlab", "one", "two")
    assert "share/place of one: share/place/inside of two" in refused_simply(tiny, ArtifactError).message


def test_a_lock_is_yaml_that_people_read(tiny: Tiny) -> None:
    tiny.lock_simply()
    document = yaml.safe_load(tiny.files()["image.lock.yaml"])
    assert list(document)[:4] == ["schema", "image", "tag", "epoch"]
    assert document["declared"]["base"] == tiny.base


def test_an_environment_with_a_wheel_by_file_url_is_not_updated(tiny: Tiny) -> None:
    lab = {"name": "lab", "role": "lab", "prefix": "/opt/lab", "channels": ["c"], "dependencies": ["one"]}
    declared = make_declared(environments=[{**lab, "pip": ["w @ file:///w.whl"]}])
    before = {"lab": Before(b"", frozenset({"one"}))}
    conda_lock = ChannelLock(Path("none"))
    with pytest.raises(UsageError, match="file: URL"):
        solve(
            declared, {"linux-64": "2.34"}, store=tiny.store, conda_lock=conda_lock, update=["one"], before=before,
            progress=Silent(),
        )  # fmt: skip
