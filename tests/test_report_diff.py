"""A difference as people, pull requests and programs read it."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

import pytest
from markdown_it import MarkdownIt

from peel.console import Console
from peel.model.contents import BaseContents, Contents, EnvironmentContents, LayerContents, Present
from peel.model.diff import Difference, compare
from peel.report.diff import Form, show_difference

HOSTILE = [
    "@someone", "#12", "https://evil.example/x", "www.evil.example", "a@evil.example", "[x](https://evil.example)",
    "<img src=x>", "</details>", "a|b", "a\\|b", "\\", "`", "``x``", "`|`", "*x*", "_x_", "a\nb", "| a | b |",
    "&lt;b&gt;", "![x](y)", "\x1b[31m", "~~~", "$x$", "<!-- -->", " ", "\u202eevil", "GH-1", "deadbeef" * 5,
]  # fmt: skip


def conda(name: str, version: str = "1.0", build: str = "h0_0") -> Present:
    return Present(name, version, build)


def layer(name: str, size: int | None, contents: str = "") -> LayerContents:
    return LayerContents(frozenset({name}), size, contents or f"lab: {name}")


def base(digit: str) -> BaseContents:
    return BaseContents("docker.io/library/almalinux:9", f"sha256:{digit * 64}")


def middling() -> Difference:
    """A bit of everything."""
    rebuilt = [conda(f"lib{n}", build="h1_0") for n in range(12)]
    again = [conda(f"lib{n}", build="h1_1") for n in range(12)]
    lab = [conda("python", "3.12.9"), conda("numpy", "1.26.4"), conda("scipy", "1.14.0"), conda("gone"),
           conda("openssl", "3.4.0"), conda("zlib"), conda("typing_extensions", "4.12"), *rebuilt]  # fmt: skip
    lab_after = [conda("python", "3.13.1"), conda("numpy", "2.2.1"), conda("scipy", "1.13.1"), conda("new", "0.1"),
                 conda("openssl", "3.4.1"), conda("zlib"), Present("typing-extensions", "4.13", "", "pip"),
                 *again]  # fmt: skip
    calm = EnvironmentContents("calm", "/opt/peel/envs/calm", (conda("zlib"),))
    small = EnvironmentContents("small", "/opt/peel/envs/small", (conda("zlib", build="h0_0"), conda("xz", "5.6")))
    small_after = EnvironmentContents("small", "/srv/small", (conda("zlib", build="h0_1"), conda("xz", "5.8")))
    old = EnvironmentContents("old", "/opt/peel/envs/old", (conda("a"), conda("b")))
    young = EnvironmentContents("young", "/opt/peel/envs/young", (conda("a"), conda("c")))
    a = Contents(
        "demo-lab:r1_0_0", (EnvironmentContents("lab", "/opt/peel/lab", tuple(lab)), calm, small, old),
        base=base("a"), launch={"launch.port": "8888", "launch.variables.MODE": "calm"},
        system=(Present("bash", "5.2-1", "amd64", "dpkg"), Present("tini", "0.19-1", "amd64", "dpkg")),
        layers=(layer("base", 30_000_000), layer("python", 40_000_000), layer("rest", 12_345_678)),
        files={"/etc/motd": f"sha256:{'1' * 64} 0644"},
    )  # fmt: skip
    b = Contents(
        "demo-lab:r1_0_1", (EnvironmentContents("lab", "/opt/peel/lab", tuple(lab_after)), calm, small_after, young),
        base=base("b"), launch={"launch.port": "8889", "launch.arguments": "--debug"},
        system=(Present("bash", "5.2-2", "amd64", "dpkg"), Present("tini", "0.19-1", "amd64", "dpkg")),
        layers=(layer("base2", 30_100_000, "base"), layer("python", 40_000_000), layer("rest2", 12_400_000),
                layer("glue", None, "glue: kernels, start scripts, links")),
        files={"/etc/motd": f"sha256:{'2' * 64} 0644"}, unknown=("demo-lab:r1_0_1 is not built",),
    )  # fmt: skip
    return compare(a, b)


def shown(
    difference: Difference, capsys: pytest.CaptureFixture[str], *, form: Form = "text", whole: bool = False
) -> str:
    show_difference(difference, Console(), form=form, whole=whole)
    return capsys.readouterr().out


def of_packages(before: list[Present], after: list[Present], **more: Any) -> Difference:
    sides = [(EnvironmentContents("lab", "/opt/lab", tuple(packages)),) for packages in (before, after)]
    return compare(Contents("lab:1", sides[0]), Contents("lab:2", sides[1], **more))


@pytest.mark.parametrize(
    ("form", "whole", "name"),
    [("text", False, "middling.txt"), ("text", True, "middling-all.txt"), ("markdown", False, "middling.md"),
     ("json", False, "middling.json")],
)  # fmt: skip
def test_a_middling_difference_is_told_as_it_was_read_over(
    form: Form, whole: bool, name: str, golden: Callable[[str, bytes], None], capsys: pytest.CaptureFixture[str]
) -> None:
    golden(f"diff/{name}", shown(middling(), capsys, form=form, whole=whole).encode())


def test_an_environment_without_packages_is_new_or_gone_too(capsys: pytest.CaptureFixture[str]) -> None:
    empty = Contents("lab:1", (EnvironmentContents("calm", "/opt/calm", ()),))
    assert "calm in /opt/calm is new" in shown(compare(Contents("lab:0", ()), empty), capsys)
    assert "calm in /opt/calm is gone" in shown(compare(empty, Contents("lab:0", ())), capsys)
    assert "`/opt/calm` is new" in shown(compare(Contents("lab:0", ()), empty), capsys, form="markdown")


def test_no_difference_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    same = of_packages([conda("a")], [conda("a")])
    assert "no difference" in shown(same, capsys)
    assert "**no difference**" in shown(same, capsys, form="markdown")
    found = json.loads(shown(same, capsys, form="json"))
    assert found["differs"] is False
    assert found["environments"]["lab"] == {
        "added": [], "removed": [], "changed": [], "prefix": {"from": "/opt/lab", "to": "/opt/lab"}
    }  # fmt: skip


def test_the_json_has_the_keys_that_were_promised(capsys: pytest.CaptureFixture[str]) -> None:
    found = json.loads(shown(middling(), capsys, form="json"))
    assert found["schema"] == 1
    assert {"name": "openssl", "from": "3.4.0 h0_0", "to": "3.4.1 h0_0", "kind": "raised"} in found["environments"][
        "lab"
    ]["changed"]
    assert found["environments"]["lab"]["added"] == [
        {"name": "new", "version": "0.1", "build": "h0_0", "manager": "conda"}
    ]
    assert {key: found["layers"][key] for key in ("shared", "shared_bytes", "new", "new_bytes")} == {
        "shared": 1, "shared_bytes": 40_000_000, "new": 3, "new_bytes": None,
    }  # fmt: skip
    assert found["layers"]["known_new_bytes"] == 42_500_000


def test_what_is_not_known_is_null(capsys: pytest.CaptureFixture[str]) -> None:
    found = json.loads(shown(of_packages([], [], layers=None), capsys, form="json"))
    assert found["system"] is None
    assert found["base"] is None
    assert set(found["layers"].values()) == {None}
    assert "layers not known" in shown(of_packages([conda("a")], [], layers=None), capsys)


def test_a_big_difference_begins_with_what_matters_and_folds_the_rest(capsys: pytest.CaptureFixture[str]) -> None:
    before = [
        *(conda(f"r{n}", build="h0_0") for n in range(500)),
        *(conda(f"u{n:02}") for n in range(95)),
        conda("low", "2"),
    ]
    after = [
        *(conda(f"r{n}", build="h0_1") for n in range(500)),
        *(conda(f"u{n:02}", "1.1") for n in range(95)),
        conda("low"),
    ]
    big = of_packages(before, after)
    text = shown(big, capsys)
    lines = text.splitlines()
    assert lines[1].startswith("1 lowered, 95 raised, 500 rebuilt; ")
    assert lines[5].split() == ["lowered", "low", "2", "h0_0", "1.0", "h0_0"]
    assert len(lines) < 60
    assert "500 rebuilt (same version, other build): r0, r1, r10, r100 and 496 more; --all lists them" in lines
    assert "55 more raised: u40, u41, u42, u43 and 51 more; --all lists them" in lines
    assert len(shown(big, capsys, whole=True).splitlines()) > 600
    markdown = shown(big, capsys, form="markdown")
    assert markdown.count("\n| rebuilt |") == 500
    assert markdown.index("<summary>500 rebuilt</summary>") < markdown.index("| rebuilt |")
    assert markdown.index("| lowered |") < markdown.index("<details>")


@pytest.mark.parametrize("text", HOSTILE, ids=range(len(HOSTILE)))
def test_nothing_from_a_document_is_markup_in_a_pull_request(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    before = [conda("a", text, text), conda(f"gone{text}", text)]
    sides = [
        Contents(
            text, (EnvironmentContents(text, f"/{text}", tuple(packages)),), base=BaseContents(text, digest),
            launch={text: digest, "k": value}, files={text: value}, unknown=(text,), system=(conda(text, value),),
            layers=(LayerContents(frozenset({value}), 1, text),),
        )
        for packages, digest, value in ((before, "x", "1"), ([conda("a", f"2{text}", text)], f"y{text}", text + text))
    ]  # fmt: skip
    markdown = shown(compare(*sides), capsys, form="markdown")
    tokens = MarkdownIt("commonmark", {"html": True}).enable("table").parse(markdown)
    inner = [token for token in tokens if token.type == "inline" for token in token.children or ()]
    assert {token.type for token in inner} <= {"text", "code_inline", "strong_open", "strong_close", "softbreak"}
    assert text.strip() not in {token.content.strip() for token in inner if token.type == "text"} - {""}
    html = [line for token in tokens if token.type == "html_block" for line in token.content.splitlines()]
    assert all(re.fullmatch(r"<details><summary>\d+ [a-z]+</summary>|</details>", line) for line in html)
    rows = [line for line in markdown.split("\n") if line.startswith("|")]
    cells = [sum(token.type in {"td_open", "th_open"} for token in tokens)]
    assert cells == [sum(line.count("|") - 1 for line in rows if "---" not in line)]
    assert tokens[0].tag == "h3"


@pytest.mark.parametrize("text", ["\x1b[31mred", "\u202eevil", "a\rb"])
def test_nothing_from_a_document_drives_a_terminal(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    found = of_packages([conda("a")], [conda("a", text), conda(text)], unknown=(text,))
    for form in ("text", "markdown", "json"):
        assert text[0] == "a" or text[0] not in shown(found, capsys, form=form)
        assert "\r" not in shown(found, capsys, form=form)


def test_a_long_setting_is_cut_and_a_digest_is_not(capsys: pytest.CaptureFixture[str]) -> None:
    found = compare(Contents("a", (), launch={"k": "v"}), Contents("b", (), launch={"k": "x" * 5000}))
    assert max(map(len, shown(found, capsys).splitlines())) < 300
    digest = f"sha256:{'b' * 64}"
    assert digest in shown(middling(), capsys)
    assert digest in shown(middling(), capsys, form="markdown")


def test_many_layers_to_pull_are_told_by_size(capsys: pytest.CaptureFixture[str]) -> None:
    layers = tuple(layer(f"l{n}", n * 1000) for n in range(1, 31))
    found = compare(Contents("a", ()), Contents("b", (), layers=layers))
    text = shown(found, capsys)
    assert text.index("lab: l30") < text.index("lab: l29")
    assert "and 25 smaller ones; --all lists them" in text
    assert "lab: l1 " in shown(found, capsys, whole=True)
