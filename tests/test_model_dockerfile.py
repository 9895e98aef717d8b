"""Dockerfiles: only those are taken that would come to the same tomorrow."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from peel.errors import DocumentError
from peel.model.dockerfile import Dockerfile, parse_dockerfile

BASE = "docker.io/library/almalinux:9"
PINNED = f"docker.io/library/python@sha256:{'a' * 64}"


def parse(text: str) -> Dockerfile:
    return parse_dockerfile(text, BASE, "Dockerfile")


def test_stages_are_on_the_base_on_stages_on_nothing_or_on_an_image_by_digest() -> None:
    text = (
        f"ARG BASE\nARG TOOLS={PINNED}\nFROM ${{TOOLS}} as tools\nFROM scratch AS none\nFROM $BASE AS own\nFROM own\n"
    )
    found = parse(text)
    assert [stage.image for stage in found.stages] == [PINNED, "scratch", BASE, "own"]
    assert found.pinned == (PINNED,)


def test_the_images_are_named_anew_and_nothing_else_changes() -> None:
    start = f"# a\nFROM --platform=linux/amd64 {PINNED} AS tools\nRUN echo FROM $BASE\n"
    text = f"{start}FROM {BASE}\nCOPY --from=tools /x /x\n"
    made = parse(text).rewritten({BASE: "localhost/base", PINNED: "localhost/tools"})
    assert made == (
        "# a\nFROM localhost/tools AS tools\nRUN echo FROM $BASE\nFROM localhost/base\nCOPY --from=tools /x /x\n"
    )


def test_continued_lines_comments_and_documents_within_are_no_instructions() -> None:
    assert parse("FROM $BASE\nRUN a && \\\n# in between\n  b\nRUN <<EOF\nNOTHING here\nEOF\nCOPY x /x\n").stages


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "Dockerfile: has no FROM"),
        ("RUN x\n", "Dockerfile:1: RUN stands before the first FROM"),
        ("FROM debian:12\n", "Dockerfile:1: 'debian:12' is neither the image's base nor pinned by digest"),
        ("FROM $UNKNOWN\n", "Dockerfile:1: '$UNKNOWN' is neither"),
        ("FROM a b c d\n", "Dockerfile:1: FROM names one image"),
        (f"FROM {PINNED}\n", "Dockerfile:1: the last stage is not built on the image's base"),
        (f"FROM {BASE} AS a\nFROM scratch\n", "Dockerfile:2: the last stage"),
        ("FROM $BASE\nADD https://host/x /x\n", "Dockerfile:2: ADD fetches an address"),
        ('FROM $BASE\nADD ["http://host/x", "/x"]\n', "Dockerfile:2: ADD fetches an address"),
        ("FROM $BASE\nADD git@host:a/b /x\n", "Dockerfile:2: ADD fetches an address"),
        ("FROM $BASE\nRUN \\\n --mount=type=secret,id=a cat /a\n", "Dockerfile:2: --mount=type=secret"),
        ("FROM $BASE\nRUN --mount=type=cache,target=/c x\n", "Dockerfile:2: --mount=type=cache"),
        ("FROM $BASE\nENV API_TOKEN=abc\n", "Dockerfile:2: ENV seems to hold a secret"),
        ("FROM $BASE\nARG DB_PASSWORD=x\n", "Dockerfile:2: ARG seems to hold a secret"),
        ("FROM $BASE\nCOPY --from=docker.io/x /x /x\n", "Dockerfile:2: --from=docker.io/x is no stage"),
        ("FROM $BASE\nINSTALL x\n", "Dockerfile:2:1: 'INSTALL' is no instruction"),
    ],
)
def test_what_could_be_something_else_tomorrow_is_told_with_its_line(text: str, words: str) -> None:
    with pytest.raises(DocumentError) as refused:
        parse(text)
    assert words in refused.value.message


@given(st.text(max_size=120))
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        assert parse(text).stages
    except DocumentError as error:
        assert error.message.startswith("Dockerfile")  # noqa: PT017 - either will do
