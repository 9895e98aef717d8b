"""Files of a lock set that belong together, and files that do not."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from locksets import REF, group, locked, make_declared, make_lock, sha256
from peel.errors import DocumentError
from peel.model.condalock import CondaLockPackage, Hashes
from peel.model.locked import join
from peel.model.lockset import ImageLock
from peel.model.values import ImageRef, Platform

PYTHON, NUMPY = locked("python", "3.13.1"), locked("numpy", depends=["python"])
LOCK = make_lock(make_declared(), {"lab": [group("python", PYTHON), group("shared/0", NUMPY)]})


def refused(lock: ImageLock, packages: Sequence[CondaLockPackage], ref: ImageRef = REF) -> DocumentError:
    with pytest.raises(DocumentError) as raised:
        join(ref, lock, {"lab": packages}, "image.lock.yaml")
    return raised.value


def test_packages_come_in_the_order_of_their_layers_with_all_that_is_known_of_them() -> None:
    joined = join(REF, LOCK, {"lab": [NUMPY, PYTHON]}, "image.lock.yaml")
    python, numpy = joined.packages(Platform("linux-64"), "lab")
    assert (python.name, python.digest.hex, python.size) == ("python", sha256("python", "3.13.1"), 100)
    assert (numpy.depends, numpy.url) == (("python",), "https://host/channel/linux-64/numpy-1.0-0.conda")


def test_packages_of_other_platforms_do_not_matter() -> None:
    other = locked("numpy", platform="linux-aarch64", hash=Hashes(sha256="f" * 64))
    join(REF, LOCK, {"lab": [NUMPY, PYTHON, other]}, "image.lock.yaml")


def test_a_lock_without_a_sha256_takes_the_one_that_was_completed() -> None:
    joined = join(REF, LOCK, {"lab": [PYTHON, locked("numpy", hash=Hashes(md5="0" * 32))]}, "image.lock.yaml")
    assert joined.packages(Platform("linux-64"), "lab")[1].digest.hex == sha256("numpy")


def test_a_package_that_condas_lock_lacks_is_told() -> None:
    error = refused(LOCK, [PYTHON])
    assert error.message == (
        "image.lock.yaml: linux-64: lab: numpy-1.0-0.conda is in image.lock.yaml but not in conda-lock's file"
    )
    assert error.hint is not None
    assert "version control" in error.hint


def test_a_package_in_no_layer_is_told() -> None:
    assert "extra-1.0-0.conda is in no layer" in refused(LOCK, [PYTHON, NUMPY, locked("extra")]).message


def test_a_package_with_another_hash_is_told() -> None:
    other = locked("numpy", hash=Hashes(sha256="f" * 64))
    assert "numpy-1.0-0.conda has another sha256" in refused(LOCK, [PYTHON, other]).message


def test_a_lock_that_was_copied_under_another_tag_is_told() -> None:
    error = refused(LOCK, [PYTHON, NUMPY], ImageRef("lab", "r1_0_1"))
    assert error.message == "image.lock.yaml: is the lock of lab:r1_0_0, not of lab:r1_0_1"
