"""What may stand in a declaration, and what may not."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from peel.errors import DocumentError
from peel.model.declaration import EnvironmentSpec, ImageDeclaration
from peel.model.documents import validate
from peel.model.payloads import CondaPayload

BASE = "docker.io/library/almalinux:9"


def image(**more: Any) -> ImageDeclaration:
    return validate(ImageDeclaration, {"schema": 1, "base": BASE, **more}, origin="envs/lab.yaml")


def payload(**more: Any) -> CondaPayload:
    kernel = {"name": "science", "display_name": "Science"}
    data = {"schema": 1, "kind": "conda", "kernel": kernel, **more}
    return validate(CondaPayload, data, origin="envs/science/payload.yaml")


def refused(make: Any, **more: Any) -> str:
    with pytest.raises(DocumentError) as raised:
        make(**more)
    return raised.value.message


def test_two_lines_make_an_image() -> None:
    made = image()
    assert (made.lab.prefix, made.lab.environment, made.platforms) == (
        "/opt/peel/lab", "lab/environment.yml", ("linux-64",),
    )  # fmt: skip


@pytest.mark.parametrize("prefix", ["/opt/peel/lab", "/usr/local/lab", "/srv/a/b", "/opt/a.b/c-d_e+f", "/home/lab/env"])
def test_a_prefix_is_a_directory_of_its_own(prefix: str) -> None:
    assert payload(prefix=prefix).prefix == prefix


@pytest.mark.parametrize(
    "prefix",
    [
        "", "/", "opt/x", "/opt", "/opt/x/", "/opt//x", "/opt/../etc", "/opt/./x", "//opt/x", "/opt/x\n", "/opt/a b",
        "/opt/$HOME", "/opt/x:y", '/opt/"x"', "/opt/é", "/etc/x", "/usr/x", "/usr/lib/x", "/bin/x", "/tmp/x",
        "/var/x/y", "/proc/self", "/dev/shm", "/usr/local/share/jupyter", "/usr/local/share/jupyter/kernels/x",
        "/usr/local/share/jupyterlab", "/usr/local/share/peel/x",
    ],
)  # fmt: skip
def test_a_prefix_that_would_hide_the_base_or_leave_its_place_is_refused(prefix: str) -> None:
    assert refused(payload, prefix=prefix).startswith("envs/science/payload.yaml: prefix: ")


@pytest.mark.parametrize("name", ["", "A", "a b", "-a", "a-", "../a", "a/b", "a..b", "a\n", ".a", "é"])
def test_a_name_that_is_no_plain_word_is_refused(name: str) -> None:
    assert "kernel.name" in refused(payload, kernel={"name": name, "display_name": "x"})
    assert "payloads[0]" in refused(image, payloads=[name])


@pytest.mark.parametrize(
    "reference",
    [
        BASE, "localhost:5000/base:1", "ghcr.io/lsst/scipipe:al9-w_2026_47", "quay.io/a/b.c/d_e-f",
        f"docker.io/library/almalinux@sha256:{'a' * 64}", f"{BASE}@sha256:{'a' * 64}",
    ],
)  # fmt: skip
def test_a_base_is_a_full_reference(reference: str) -> None:
    assert image(base=reference).base == reference


@pytest.mark.parametrize(
    "reference",
    [
        "", "almalinux", "almalinux:9", "/x", "docker.io/A", "docker.io/a b", "--help/x:1\n", "docker.io/a@sha256:abc",
        f"docker.io/a@sha512:{'a' * 128}", "https://docker.io/library/almalinux:9", "docker.io/a:b:c", "docker.io/a:",
    ],
)  # fmt: skip
def test_a_base_that_leaves_the_registry_to_chance_is_refused(reference: str) -> None:
    assert "base: should be a full image reference" in refused(image, base=reference)


def test_a_base_cannot_be_taken_for_an_option() -> None:
    assert "base" in refused(image, base="--authfile/x")


@pytest.mark.parametrize("name", ["", "1A", "A-B", "A B", "A=B", "A\n", "$A", "A;B", "é"])
def test_a_variable_with_no_name_for_the_shell_is_refused(name: str) -> None:
    assert "variables" in refused(payload, variables={name: "x"})
    assert "launch.variables" in refused(image, launch={"variables": {name: "x"}})


@pytest.mark.parametrize("value", ["a\nb", "a\rb", "a\x00b", "a\x1bb", "\x7f"])
def test_a_variable_of_several_lines_is_refused(value: str) -> None:
    assert "variables.A: should be one line" in refused(payload, variables={"A": value})


def test_display_names_are_one_line_of_any_script() -> None:
    kernel = {"name": "x", "display_name": "科学 'n' [bold] $HOME"}
    assert payload(kernel=kernel).kernel.display_name == "科学 'n' [bold] $HOME"
    assert "kernel.display_name" in refused(payload, kernel={"name": "x", "display_name": ""})
    assert "kernel.display_name" in refused(payload, kernel={"name": "x", "display_name": "a\nb"})


@pytest.mark.parametrize("user", ["root", "1000", "1000:x", "-1:0", "0:0:0", ""])
def test_a_user_is_two_numbers(user: str) -> None:
    assert "launch.user: should be UID:GID" in refused(image, launch={"user": user})


@pytest.mark.parametrize("path", ["/etc/passwd", "../other.yml", "a/../../b", ""])
def test_an_environment_file_lies_beneath_its_declaration(path: str) -> None:
    assert "environment" in refused(payload, environment=path)


@pytest.mark.parametrize("platform", ["linux", "osx-arm64", "win-64", "noarch", ""])
def test_platforms_that_no_image_is_made_for_are_refused_with_the_known_ones(platform: str) -> None:
    assert "linux-64" in refused(image, platforms=[platform])


def test_an_image_has_a_platform() -> None:
    assert "platforms" in refused(image, platforms=[])


@pytest.mark.parametrize("links", [{"relative": "/x"}, {"/x": "relative"}, {"/a/../b": "/x"}, {"/x\n": "/y"}])
def test_links_go_from_absolute_paths_to_absolute_paths(links: dict[str, str]) -> None:
    assert "links" in refused(image, links=links)


@pytest.mark.parametrize("more", [{"schema": 2}, {"schema": "1"}, {"kind": "docker"}])
def test_another_schema_or_kind_is_refused(more: dict[str, Any]) -> None:
    assert next(iter(more)) in refused(payload, **more)


def test_a_script_hash_is_a_sha256() -> None:
    assert "skip_link_scripts.x.y: should be a sha256" in refused(payload, skip_link_scripts={"x": {"y": "abc"}})


def test_an_environment_file_has_channels_and_dependencies() -> None:
    for missing in ("channels", "dependencies"):
        data = {"channels": ["conda-forge"], "dependencies": ["python"], missing: []}
        with pytest.raises(DocumentError, match=missing):
            validate(EnvironmentSpec, data, origin="environment.yml")


@given(st.text())
def test_no_prefix_has_a_character_that_a_shell_reads(text: str) -> None:
    try:
        prefix = payload(prefix=f"/opt/{text}").prefix
    except DocumentError:
        return
    assert prefix is not None
    assert not set(prefix) & set(" \t\n\r'\"\\$`;&|<>(){}*?[]!#:=")
