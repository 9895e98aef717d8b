"""What is at every path of an image, whatever its layers did to each other."""

from __future__ import annotations

import tarfile
from pathlib import Path

from layers_of import WHITEOUT, make_layer
from peel.layers.image_tree import PLAIN_DIRECTORY, ImageTree, Node
from peel.layers.layer_stream import ImageLayer, layer_members


def tree_of(*layers: ImageLayer) -> ImageTree:
    tree = ImageTree()
    for layer in layers:
        for member in layer_members(layer, "a test"):
            tree.see(layer, member)
    return tree


def entry(path: str, kind: bytes, **more: int) -> tarfile.TarInfo:
    made = tarfile.TarInfo(path)
    made.type, made.linkname = kind, "elsewhere"
    for name, value in more.items():
        setattr(made, name, value)
    return made


def test_every_path_has_its_kind_mode_and_owner(tmp_path: Path) -> None:
    more = [
        entry("opt/", tarfile.DIRTYPE, mode=0o2775, uid=7, gid=8), entry("opt/link", tarfile.SYMTYPE, mode=0o777),
    ]  # fmt: skip
    tree = tree_of(make_layer(tmp_path, {"opt/file": b""}, more=more))
    assert tree.node("opt") == Node("directory", 0o2775, (7, 8))
    assert tree.node("opt/link") == Node("link", 0o777, (0, 0))
    assert tree.node("opt/file") == Node("file", 0o644, (0, 0))
    assert tree.node("nowhere") is None


def test_directories_that_no_layer_names_are_there_too(tmp_path: Path) -> None:
    assert tree_of(make_layer(tmp_path, {"a/b/c": b""})).node("a/b") == PLAIN_DIRECTORY


def test_whiteouts_hide_what_lies_in_lower_layers_and_nothing_of_their_own(tmp_path: Path) -> None:
    lower = make_layer(tmp_path, {"env/gone/a": b"", "env/stays": b"", "env/again/old": b""})
    upper = make_layer(tmp_path, {"env/gone": WHITEOUT, "env/again": WHITEOUT, "env/again/new": b""})
    assert sorted(tree_of(lower, upper).within("/env")) == ["again/new", "stays"]


def test_an_opaque_whiteout_empties_its_directory(tmp_path: Path) -> None:
    lower = make_layer(tmp_path, {"env/a/b": b"", "other": b""})
    upper = make_layer(tmp_path, {"env/.wh..wh..opq": b"", "env/new": b""})
    assert sorted(tree_of(lower, upper).within("")) == ["env/new", "other"]


def test_a_file_replaces_a_directory_and_all_that_is_in_it(tmp_path: Path) -> None:
    tree = tree_of(make_layer(tmp_path, {"env/a/b": b""}), make_layer(tmp_path, {"env/a": b""}))
    assert list(tree.within("env")) == ["a"]


def test_paths_within_a_directory_are_not_those_of_one_with_a_longer_name(tmp_path: Path) -> None:
    tree = tree_of(make_layer(tmp_path, {"env/a": b"", "env2/b": b""}))
    assert list(tree.within("/env")) == ["a"]
