from __future__ import annotations

import json
from typing import Any

import pytest

from peel.errors import ArtifactError
from peel.model.archive import (
    EMPTY_CONFIG,
    Content,
    Kind,
    archive_tag,
    in_order,
    is_archive_manifest,
    make_archive_manifest,
    parse_archive_manifest,
)
from peel.model.values import Digest, ImageRef

TITLE = "org.opencontainers.image.title"
REF = ImageRef("lab", "r1_0_0")


def content(title: str, kind: Kind = Kind.CONDA_PACKAGE) -> Content:
    return Content(kind, title, Digest.of(title.encode()), len(title))


CONTENTS = [
    content("python-3.13.1-0.conda"), content("humanize-4.9.0-py3-none-any.whl", Kind.WHEEL),
    content("base/linux-64/manifest.json", Kind.BASE), content("image.lock.yaml", Kind.LOCK_SET),
]  # fmt: skip


def changed(**more: Any) -> bytes:
    return json.dumps({**json.loads(make_archive_manifest(REF, CONTENTS)), **more}).encode()


def layer(**more: Any) -> dict[str, Any]:
    return {**CONTENTS[0].as_json(), **more}


def test_a_manifest_s_bytes_are_a_promise() -> None:
    # A change here gives every archive that exists another digest when it is made again.
    digest = Digest.of(make_archive_manifest(REF, CONTENTS))
    assert str(digest) == "sha256:af0c0800a6f4d79e738f28e4b275911b9c9939690b1cdc30dd3fa1c2dbe39042"


def test_the_order_in_which_artifacts_were_found_and_their_repetition_do_not_matter() -> None:
    assert make_archive_manifest(REF, [*reversed(CONTENTS), CONTENTS[0]]) == make_archive_manifest(REF, CONTENTS)


def test_of_one_artifact_with_two_names_one_is_listed() -> None:
    twice = [CONTENTS[0], Content(Kind.CONDA_PACKAGE, "a.conda", CONTENTS[0].digest, CONTENTS[0].size)]
    assert [found.title for found in in_order(twice)] == ["a.conda"]


def test_a_manifest_is_an_oci_artifact_with_the_empty_config() -> None:
    manifest = json.loads(make_archive_manifest(REF, CONTENTS))
    assert manifest["artifactType"] == "application/vnd.peel-images.archive.v1"
    assert manifest["config"] == {
        "mediaType": "application/vnd.oci.empty.v1+json", "digest": str(Digest.of(EMPTY_CONFIG)), "size": 2,
    }  # fmt: skip
    assert manifest["layers"][0]["annotations"] == {"org.opencontainers.image.title": "base/linux-64/manifest.json"}


def test_what_was_written_is_read_again() -> None:
    data = make_archive_manifest(REF, CONTENTS)
    assert is_archive_manifest(data, "x")
    found = parse_archive_manifest(data, "x")
    assert (found.image, found.tag, found.contents) == ("lab", "r1_0_0", tuple(sorted(CONTENTS)))
    assert archive_tag(REF) == "lab-r1_0_0"


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "x is not a manifest"),
        (b"[]", "x is not a manifest"),
        (b'{"layers": ', "x is not a manifest"),
        (changed(artifactType="application/vnd.other"), "no archive of lock sets, but 'application/vnd.other'"),
        (changed(mediaType="application/vnd.oci.image.index.v1+json"), "no archive of lock sets"),
        (changed(artifactType=None), "no archive of lock sets"),
        (changed(layers=[layer(mediaType="application/x-tar")]), "of a kind that this peel does not know"),
        (changed(layers=[layer(digest="md5:00")]), r"layers\.0\.digest"),
        (changed(layers=[layer(size=-1)]), r"layers\.0\.size"),
        (changed(layers=[layer(size=10**30)]), r"layers\.0\.size"),
        (changed(layers=[layer(annotations={TITLE: "../../etc/x.conda"})]), "no artifact's name: '../../etc/x.conda'"),
        (changed(layers=[layer(annotations={TITLE: "linux-64/x.conda"})]), "no artifact's name"),
        (changed(layers=[layer(annotations={TITLE: "/x"}, mediaType=Kind.BASE.value)]), "no artifact's name"),
        (changed(layers=[layer(annotations={})]), r"layers\.0\.annotations"),
        (changed(layers={}), "layers"),
    ],
)
def test_any_other_document_is_refused_by_name(data: bytes, words: str) -> None:
    with pytest.raises(ArtifactError, match=words):
        parse_archive_manifest(data, "x")
