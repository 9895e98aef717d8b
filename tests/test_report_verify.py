"""How ``peel verify`` tells what it found: people read the most telling first, programs all of it."""

from __future__ import annotations

import json

import pytest

from peel.console import Console
from peel.model.ladder import Cause, Comparison, Difference, Kind, Rung, differing
from peel.model.values import Digest, ImageRef, Platform
from peel.report.verify import show_verified
from peel.workflow.kept import Kept
from peel.workflow.verify import Verified

REF = ImageRef("lab", "r1_0_0")
MANIFEST = Digest(f"sha256:{'a' * 64}")


def difference(
    cause: Cause, path: str | None, kind: Kind = Kind.CONTENT, *, package: str | None = "small 1.0 0"
) -> Difference:
    return Difference(kind, cause, "lab: small", path, package, f"{cause.value} of it")


def verified(comparison: Comparison, *, kept: Kept | None = None, against: str = "oci:copy:1") -> Verified:
    return Verified(REF, Platform("linux-64"), against, MANIFEST, comparison, kept)


def shown(done: Verified, capsys: pytest.CaptureFixture[str]) -> list[str]:
    assert show_verified(done, Console(), json=False) == done.comparison.identical
    return capsys.readouterr().out.splitlines()


def test_an_identical_image_is_one_line_with_its_digest(capsys: pytest.CaptureFixture[str]) -> None:
    assert shown(verified(Comparison()), capsys) == [f"identical: {MANIFEST}"]


def test_of_a_patched_image_the_kept_layers_are_counted(capsys: pytest.CaptureFixture[str]) -> None:
    origin = ImageRef("lab", "r1")
    whole = Kept(origin, base=1, layers=("a", "b"), lost=(), of=3)
    assert shown(verified(Comparison(), kept=whole), capsys)[1] == "3 layers as in lab:r1"
    part = Kept(origin, base=1, layers=("a",), lost=(), of=3)
    assert shown(verified(Comparison(), kept=part), capsys)[1] == "2 of 3 layers as in lab:r1"


@pytest.mark.parametrize(
    ("against", "rung", "line"),
    [
        ("oci:copy:1", Rung.FILE_TREE, "oci:copy:1 is not what lab:r1_0_0 gives for linux-64: its file tree differs"),
        ("record", Rung.DIFF_IDS, "the record is not what lab:r1_0_0 gives for linux-64: its diffIDs differ"),
        ("record", Rung.MANIFEST, "the record is not what lab:r1_0_0 gives for linux-64: its manifest differs"),
    ],
)
def test_the_first_line_says_what_differs_from_what(
    against: str, rung: Rung, line: str, capsys: pytest.CaptureFixture[str]
) -> None:
    comparison = differing(rung, [difference(Cause.MTIME, "a", Kind.MTIME)])
    assert shown(verified(comparison, against=against), capsys)[0] == line


def test_the_most_telling_comes_first_and_what_is_alike_is_told_together(capsys: pytest.CaptureFixture[str]) -> None:
    mtimes = [difference(Cause.MTIME, f"share/{n}", Kind.MTIME) for n in range(100)]
    built = [difference(Cause.OTHER_BUILD, f"lib/{n}", package="numbers 1.0 1") for n in range(1000)]
    changed = [difference(Cause.CONTENTS, "bin/run")]
    label = Difference(Kind.LAYER, Cause.MISSING_LAYER, "lab: x", None, None, "the layer is not there")
    assert shown(verified(differing(Rung.FILE_TREE, [*mtimes, *built, *changed, label])), capsys)[1:] == [
        "missing layer: lab: x",
        "  the layer is not there",
        "other package build: numbers 1.0 1, in layer 'lab: small'",
        "  lib/0: other package build of it",
        "  and 999 more files of this package",
        "contents changed: small 1.0 0, in layer 'lab: small'",
        "  bin/run: contents changed of it",
        "mtime: small 1.0 0, in layer 'lab: small'",
        "  share/0: mtime of it",
        "  share/1: mtime of it",
        "  share/2: mtime of it",
        "  and 97 more like these",
    ]


def test_what_is_of_no_package_or_of_no_file_is_told_by_its_layer(capsys: pytest.CaptureFixture[str]) -> None:
    alone = difference(Cause.CONTENTS, "etc/x", package=None)
    packed = Difference(Kind.COMPRESSION, Cause.OTHER_COMPRESSOR, "lab: small", None, None, "gzip instead of zstd")
    label = Difference(Kind.CONFIG, Cause.CONFIG, None, "config.Labels.x", None, "1 instead of 2")
    assert shown(verified(differing(Rung.FILE_TREE, [alone, packed, label])), capsys)[1:] == [
        "contents changed: of no package, in layer 'lab: small'",
        "  etc/x: contents changed of it",
        "config changed",
        "  config.Labels.x: 1 instead of 2",
        "other compressor: lab: small",
        "  gzip instead of zstd",
    ]


def test_a_long_list_is_cut_and_what_is_left_out_is_counted(capsys: pytest.CaptureFixture[str]) -> None:
    many = [difference(Cause.CONTENTS, f"lib/{n}", package=f"package-{n} 1 0") for n in range(500)]
    lines = shown(verified(differing(Rung.FILE_TREE, many)), capsys)
    assert len(lines) == 42
    assert lines[-1] == "and 480 more; --json lists all of them"


def test_programs_get_every_difference(capsys: pytest.CaptureFixture[str]) -> None:
    many = [difference(Cause.CONTENTS, f"lib/{n}") for n in range(500)]
    assert not show_verified(verified(differing(Rung.FILE_TREE, many)), Console(), json=True)
    told = json.loads(capsys.readouterr().out)
    assert told.keys() == {
        "schema", "image", "tag", "platform", "against", "identical", "rung", "differences", "not_remade",
            "kept",
    }  # fmt: skip
    assert (told["identical"], told["rung"], told["against"], told["kept"]) == (False, "file tree", "oci:copy:1", None)
    assert len(told["differences"]) == 500
    assert told["differences"][0] == {
        "layer": "lab: small", "path": "lib/0", "package": "small 1.0 0", "kind": "content",
        "cause": "contents changed", "detail": "contents changed of it",
    }  # fmt: skip


def test_programs_are_told_of_an_identical_image_in_the_same_words(capsys: pytest.CaptureFixture[str]) -> None:
    kept = Kept(ImageRef("lab", "r1"), base=1, layers=("a",), lost=(), of=2)
    assert show_verified(verified(Comparison(), kept=kept, against="record"), Console(), json=True)
    told = json.loads(capsys.readouterr().out)
    assert (told["identical"], told["rung"], told["differences"]) == (True, None, [])
    assert told["kept"] == {"from": "lab:r1", "count": 2, "of": 2, "layers": ["a"]}
