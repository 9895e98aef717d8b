"""Payloads of every kind as they are declared: what is read of them, and how what is wrong is told."""

from __future__ import annotations

import tarfile
from io import BytesIO
from pathlib import Path

import pytest

from peel.errors import DocumentError
from peel.model.payloads import DockerfileRecipe, ImageRecipe, PipRecipe, ScriptRecipe
from peel.model.resolve import PayloadSource
from peel.store.envs import Envs

BASE = "docker.io/library/almalinux:9"
HEAD = "schema: 1\nkind: {kind}\nkernel: {{name: mine, display_name: Mine}}\n"


def read(
    root: Path, kind: str, more: str = "", platforms: tuple[str, ...] = ("linux-64",), **files: str
) -> PayloadSource:
    """What is read of a payload with these files beside it; ``__`` in their names stands for a dot."""
    place = root / "envs" / "mine"
    place.mkdir(parents=True)
    (place / "payload.yaml").write_text(HEAD.format(kind=kind) + more)
    for name, text in files.items():
        (place / name.replace("__", ".")).write_text(text)
    return Envs(root).payload("mine", base=BASE, platforms=platforms)


def refused(root: Path, kind: str, more: str = "", **files: str) -> str:
    with pytest.raises(DocumentError) as raised:
        read(root, kind, more, **files)
    return raised.value.message


def test_a_requirements_file_becomes_an_environment_with_the_kernel_from_conda(tmp_path: Path) -> None:
    source = read(tmp_path, "pip", 'python: "3.12"\n', requirements__txt="rich\n-c c.txt\n", c__txt="attrs<1\n")
    assert source.spec is not None
    assert source.spec.dependencies[:3] == ("python 3.12.*", "pip", "ipykernel")
    assert isinstance(source.recipe, PipRecipe)
    assert source.recipe.constraints == ("attrs<1",)


def test_a_script_brings_its_text_and_what_it_is_run_with(tmp_path: Path) -> None:
    more = f"arguments: [a b]\ninputs: {{tree: {{url: 'https://host/x', sha256: {'a' * 64}}}}}\ntimeout: 60\n"
    source = read(tmp_path, "script", more, install__sh="#!/bin/bash\n")
    assert isinstance(source.recipe, ScriptRecipe)
    assert (source.recipe.arguments, source.recipe.timeout, list(source.recipe.inputs)) == (("a b",), 60, ["tree"])
    assert source.attached["script"].name == "install.sh"


def test_a_dockerfile_brings_its_context_as_one_tar_that_is_always_the_same(tmp_path: Path) -> None:
    digests = []
    for number, mode in ((1, 0o644), (2, 0o600)):
        root = tmp_path / str(number)
        context = root / "envs" / "mine" / "context"
        context.mkdir(parents=True)
        (context / "b").write_text("b")
        (context / "a").write_text("a")
        (context / "a").chmod(mode)
        (context / "link").symlink_to("a")
        (root / "envs" / "mine" / "payload.yaml").write_text(HEAD.format(kind="dockerfile") + "context: context\n")
        (root / "envs" / "mine" / "Dockerfile").write_text("FROM $BASE\n")
        envs = Envs(root)
        source = envs.payload("mine", base=BASE, platforms=("linux-64",))
        digests.append(source.attached["context"].sha256)
        with tarfile.open(fileobj=BytesIO(envs._context("mine", "context"))) as tar:
            assert tar.getnames() == ["a", "b", "link"]
    assert isinstance(source.recipe, DockerfileRecipe)
    assert digests[0] == digests[1]


def test_an_image_is_taken_from_where_the_prefix_is_unless_it_says_otherwise(tmp_path: Path) -> None:
    source = read(tmp_path, "image", "image: quay.io/a/b:1\nprefix: /opt/mine\n")
    assert source.recipe == ImageRecipe(kind="image", image="quay.io/a/b:1", directory="/opt/mine")


@pytest.mark.parametrize(
    ("kind", "more", "files", "words"),
    [
        ("conda", "", {}, "envs/mine/environment.yml"),
        ("conda", "", {"environment__yml": ""}, "envs/mine/environment.yml"),
        ("conda", "", {"environment__yml": "channels: [\n"}, "envs/mine/environment.yml:"),
        ("pip", 'python: "3.12"\n', {}, "envs/mine/requirements.txt: no such file"),
        ("pip", 'python: "3.12"\n', {"requirements__txt": ""}, "envs/mine/requirements.txt: is empty"),
        ("pip", 'python: "3.12"\n', {"requirements__txt": "a\nb=>1\n"}, "envs/mine/requirements.txt:2:2: not a"),
        ("pip", "python: 3.12\n", {"requirements__txt": "a"}, "envs/mine/payload.yaml:4: python"),
        ("pip", "", {"requirements__txt": "a"}, "envs/mine/payload.yaml:1: python: missing"),
        ("script", "", {}, "envs/mine/install.sh: no such file"),
        ("script", "", {"install__sh": "\n"}, "envs/mine/install.sh: is empty"),
        ("script", "timeout: 0\n", {"install__sh": "x"}, "envs/mine/payload.yaml:4: timeout"),
        ("script", "inputs: {a: {url: 'https://u:p@h/x', sha256: 0}}\n", {"install__sh": "x"}, "inputs.a"),
        ("dockerfile", "", {}, "envs/mine/Dockerfile: no such file"),
        ("dockerfile", "", {"Dockerfile": "FROM debian\n"}, "envs/mine/Dockerfile:1: 'debian' is neither"),
        ("dockerfile", "context: gone\n", {"Dockerfile": "FROM $BASE\n"}, "envs/mine/gone: no such directory"),
        ("image", "", {}, "envs/mine/payload.yaml:1: image: missing"),
        ("image", "image: python:3\n", {}, "envs/mine/payload.yaml:4: image: should be a full image reference"),
        ("cargo", "", {}, "envs/mine/payload.yaml:2: kind"),
        ("conda", "kernle: {}\n", {"environment__yml": "x"}, "kernle: unknown key; did you mean 'kernel'?"),
        (
            "conda",
            "setup: gone.sh\n",
            {"environment__yml": "channels: [c]\ndependencies: [a]\n"},
            "envs/mine/gone.sh: no",
        ),
        (
            "conda",
            "setup: ../x.sh\n",
            {"environment__yml": "channels: [c]\ndependencies: [a]\n"},
            "payload.yaml:4: setup",
        ),
    ],
)
def test_what_is_wrong_is_told_with_file_and_place(
    tmp_path: Path, kind: str, more: str, files: dict[str, str], words: str
) -> None:
    assert words in refused(tmp_path, kind, more, **files)


def test_requirements_that_differ_between_platforms_are_told(tmp_path: Path) -> None:
    text = "a\nb; platform_machine == 'aarch64'\n"
    with pytest.raises(DocumentError, match="asks for other packages on other platforms"):
        read(tmp_path, "pip", 'python: "3.12"\n', ("linux-64", "linux-aarch64"), requirements__txt=text)


def test_a_launcher_has_to_say_what_runs_it(tmp_path: Path) -> None:
    (tmp_path / "envs" / "mine").mkdir(parents=True)
    place = tmp_path / "envs" / "mine"
    kernel = "kernel: {name: mine, display_name: Mine, launcher: launch.sh}\n"
    (place / "payload.yaml").write_text(f"schema: 1\nkind: image\nimage: quay.io/a/b:1\n{kernel}")
    (place / "launch.sh").write_text("exec true\n")
    with pytest.raises(DocumentError, match="should begin with #!"):
        Envs(tmp_path).payload("mine", base=BASE, platforms=("linux-64",))


def test_a_file_outside_of_the_catalogue_is_not_read(tmp_path: Path) -> None:
    outside = tmp_path / "secret"
    outside.write_text("secret")
    root = tmp_path / "catalogue"
    place = root / "envs" / "mine"
    place.mkdir(parents=True)
    (place / "payload.yaml").write_text(HEAD.format(kind="script"))
    (place / "install.sh").symlink_to(outside)
    with pytest.raises(DocumentError, match="a link leads out of the catalogue"):
        Envs(root).payload("mine", base=BASE, platforms=("linux-64",))
