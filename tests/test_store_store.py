from __future__ import annotations

import json
import signal
import subprocess
import sys
import threading

import pytest

from peel.errors import ArtifactError, DocumentError, ToolError, UsageError
from peel.model.oci import LAYER_ZSTD, MANIFEST, Descriptor
from peel.model.values import Digest, ImageRef, Platform
from peel.store.locks import fresh_directory, hold
from peel.store.store import LayerRecord, Store

REF = ImageRef("demo-lab", "r1_0_0")
AMD, ARM = Platform("linux-64"), Platform("linux-aarch64")
KEY = Digest.of(b"key")

HOLDER = """
import sys, time
from pathlib import Path
from peel.store.store import Store
store = Store(Path(sys.argv[1]))
with store.lock("layer: x"), store.work() as work:
    (work / "half").write_text("done")
    print(work, flush=True)
    sys.stdin.read()
"""

COUNTER = """
import sys
from pathlib import Path
from peel.store.store import Store
store = Store(Path(sys.argv[1]))
for _ in range(100):
    with store.lock("count"):
        number = store.root / "tmp" / "number"
        number.write_text(str(int(number.read_text()) + 1))
"""

NAMER = """
import sys
from pathlib import Path
from peel.model.oci import MANIFEST, Descriptor
from peel.model.values import Digest, ImageRef, Platform
from peel.store.store import Store
store = Store(Path(sys.argv[1]))
for number in range(20):
    text = f"{sys.argv[2]}{number}".encode()
    store.set_image(ImageRef("lab", f"t{sys.argv[2]}{number}"), Platform("linux-64"),
                    Descriptor(MANIFEST, store.blobs.put_bytes(text), len(text)))
"""


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path / "store")


@pytest.fixture
def holder(store):
    command = [sys.executable, "-c", HOLDER, store.root]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as child:
        yield child
        child.kill()


def record(store, data=b"layer"):
    return LayerRecord(Descriptor(LAYER_ZSTD, store.blobs.put_bytes(data), len(data)), Digest.of(b"tar"))


def test_a_layer_is_found_again_by_its_key(store):
    assert store.layer(KEY) is None
    store.remember_layer(KEY, record(store))
    assert Store(store.root).layer(KEY) == record(store)


def test_a_layer_whose_blob_is_gone_or_cut_short_counts_as_never_made(store):
    made = record(store)
    store.remember_layer(KEY, made)
    store.blobs.path(made.blob.digest).chmod(0o644)
    store.blobs.path(made.blob.digest).write_bytes(b"lay")
    assert store.layer(KEY) is None
    store.blobs.path(made.blob.digest).unlink()
    assert store.layer(KEY) is None


@pytest.mark.parametrize("text", ["", "{}", "[1]", "\xff", '{"media_type":"x","digest":"y","size":1,"diff_id":"z"}'])
def test_a_damaged_layer_record_counts_as_none(store, text):
    store.remember_layer(KEY, record(store))
    (store.root / "layers" / f"{KEY.hex}.json").write_text(text, encoding="latin-1")
    assert store.layer(KEY) is None


def test_an_image_is_found_by_address_and_platform(store):
    first = Descriptor(MANIFEST, store.blobs.put_bytes(b"first"), 5)
    second = Descriptor(MANIFEST, store.blobs.put_bytes(b"second"), 6)
    assert store.image(REF, AMD) is None
    store.set_image(REF, AMD, first)
    store.set_image(REF, ARM, second)
    assert store.image(REF, AMD).digest == first.digest
    assert store.image(REF, ARM).digest == second.digest
    store.set_image(REF, AMD, second)
    assert store.image(REF, AMD).digest == second.digest
    assert len(json.loads((store.root / "index.json").read_bytes())["manifests"]) == 2
    store.blobs.path(second.digest).unlink()
    assert store.image(REF, AMD) is None


def test_the_order_of_builds_does_not_show_in_the_index(tmp_path):
    stores = [Store(tmp_path / name) for name in "ab"]
    found = Descriptor(MANIFEST, KEY, 5)
    for store, platforms in zip(stores, [(AMD, ARM), (ARM, AMD)], strict=True):
        for platform in platforms:
            store.set_image(REF, platform, found)
    one, other = ((store.root / "index.json").read_bytes() for store in stores)
    assert one == other


def test_a_damaged_index_is_told(store):
    (store.root / "index.json").write_text("{")
    with pytest.raises(ArtifactError, match=r"index\.json"):
        store.image(REF, AMD)


def test_a_store_of_a_newer_format_is_refused(store):
    (store.root / "format").write_text("2\n")
    with pytest.raises(ToolError, match="has format 2"):
        Store(store.root)


@pytest.mark.parametrize("text", ["", "one", "٣", "-1"])
def test_a_store_without_a_readable_format_is_refused(store, text):
    (store.root / "format").write_text(text)
    with pytest.raises(DocumentError, match="format number"):
        Store(store.root)


def test_a_directory_that_holds_other_things_is_left_alone(tmp_path):
    (tmp_path / "thesis.txt").touch()
    with pytest.raises(UsageError, match="no store"):
        Store(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


def test_a_place_that_cannot_be_written_is_told(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(ToolError, match="file"):
        Store(tmp_path / "file" / "store")


def test_work_is_gone_afterwards_whatever_happened(store):
    def fail():
        with store.work() as work:
            (work / "deep").mkdir()
            (work / "deep" / "file").touch()
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert list((store.root / "tmp").iterdir()) == []


def test_a_sweep_clears_what_a_killed_run_left_and_nothing_alive(store, holder):
    left = store.root / "tmp" / holder.stdout.readline().strip().rpartition("/")[2]
    with store.work() as alive:
        assert store.sweep() == 0
        assert (left / "half").exists()
        holder.send_signal(signal.SIGKILL)
        holder.wait()
        assert store.sweep() == 1
        assert not left.exists()
        assert alive.is_dir()
    assert list((store.root / "tmp").iterdir()) == []


def test_a_lock_of_another_process_is_waited_for_and_that_is_said(store, holder):
    holder.stdout.readline()
    said = []

    def waiting():
        said.append("waiting")
        holder.stdin.close()

    with store.lock("layer: x", waiting):
        pass
    assert said == ["waiting"]
    with store.lock("layer: x", waiting):
        assert said == ["waiting"]


def test_a_lock_is_dropped_when_its_process_is_killed(store, holder):
    holder.stdout.readline()
    with store.lock("layer: x", holder.kill):
        pass


def test_a_lock_keeps_threads_apart_too(tmp_path):
    inside = []

    def enter(name):
        with hold(tmp_path / "lock"):
            inside.append(name)
            inside.append(name)

    threads = [threading.Thread(target=enter, args=(name,)) for name in "abcdefgh"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert inside[::2] == inside[1::2]


def test_two_processes_never_hold_one_lock_together(store):
    (store.root / "tmp" / "number").write_text("0")
    _run_twice(store, COUNTER)
    assert (store.root / "tmp" / "number").read_text() == "200"


def test_two_processes_lose_no_reference(store):
    _run_twice(store, NAMER)
    assert len(json.loads((store.root / "index.json").read_bytes())["manifests"]) == 40


def _run_twice(store, program):
    children = [subprocess.Popen([sys.executable, "-c", program, store.root, name]) for name in "ab"]
    assert [child.wait() for child in children] == [0, 0]


def test_a_sweep_beside_new_work_never_takes_it(tmp_path):
    program = """
import sys
from pathlib import Path
from peel.store.locks import sweep
while sys.stdin not in __import__("select").select([sys.stdin], [], [], 0)[0]:
    sweep(Path(sys.argv[1]))
"""
    with subprocess.Popen([sys.executable, "-c", program, tmp_path], stdin=subprocess.PIPE) as child:
        for _ in range(300):
            with fresh_directory(tmp_path) as work:
                (work / "file").write_text("x")
                assert (work / "file").read_text() == "x"
        child.stdin.close()
    assert list(tmp_path.iterdir()) == []


def test_an_interrupt_while_a_directory_is_removed_leaves_nothing_of_it(tmp_path):
    program = """
import os, signal, sys, threading
from pathlib import Path
from peel.store.locks import fresh_directory

def interrupt(last):
    while last.exists():
        pass
    os.kill(os.getpid(), signal.SIGINT)

try:
    with fresh_directory(Path(sys.argv[1])) as work:
        for number in range(3000):
            (work / f"{number:04}").touch()
        first = Path(next(os.scandir(work)).path)
        threading.Thread(target=interrupt, args=(first,)).start()
except KeyboardInterrupt:
    sys.exit(6)
"""
    ended = subprocess.run([sys.executable, "-c", program, tmp_path], check=False, timeout=60)
    assert ended.returncode == 6
    assert list(tmp_path.iterdir()) == []
