"""The menu from real registries and from ones that fail, from layouts, records and listings; and as others read it."""

from __future__ import annotations

import datetime as dt
import json
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import kubernetes_validate
import pytest
import yaml

from many_lock_sets import write_many
from peel.errors import ArtifactError, DocumentError, UsageError
from peel.model.menu.declaration import MenuDeclaration, Prepull
from peel.model.menu.offer import Offer, warnings_of
from peel.model.oci import MANIFEST
from peel.model.progress import Silent
from peel.model.values import Digest, ImageRef
from peel.registry.client import RegistryTimes
from peel.report.menu.form import draw_form, draw_page, told
from peel.report.menu.written import written
from peel.store.catalogue import Catalogue
from peel.workflow.menu.files import previous_menu
from peel.workflow.menu.make import make_menu, now
from peel.workflow.menu.preview import serve_preview
from registries import Answer, odd_registry, published, trusting
from small_images import write_layout

NOW = dt.datetime(2077, 11, 1, tzinfo=dt.UTC)
QUICK = RegistryTimes(silence=2.0, whole=3.0, attempts=1, pause=0.001)


def declared(*payloads: Mapping[str, Any], **more: Any) -> MenuDeclaration:
    named = [{"name": f"p{n}", "title": f"Payload {n}", **payload} for n, payload in enumerate(payloads)]
    return MenuDeclaration.model_validate({"schema": 1, "payloads": named, **more})


def made(*payloads: Mapping[str, Any], root: Path | None = None, **more: Any) -> Offer:
    return make_menu(
        declared(*payloads), Catalogue(root or Path("/nowhere")), now=NOW, progress=Silent(), times=QUICK, **more
    )


def tags(images: Any) -> list[str]:
    return [image.tag for image in images]


def test_a_registrys_menu_pins_every_image_and_names_aliases_by_what_they_stand_for(trusted: str) -> None:
    digests = published(
        trusted, ["r1_0_0", "w_2077_42", "w_2077_43"], aliases={"recommended": "w_2077_42"}, name="menu/lab"
    )
    offer = made({"source": f"docker://{trusted}/menu/lab", "recommended": "recommended"})
    (group,) = offer.payloads
    assert group.menu[0].name == "Recommended (Weekly 2077_42)"
    assert group.menu[0].reference == f"{trusted}/menu/lab:recommended@{digests['w_2077_42']}"
    assert {image.tag: image.digest for image in group.dropdown} == {tag: str(d) for tag, d in digests.items()}
    assert list(warnings_of(offer)) == []


def counting(asked: list[str], tags_: list[str], manifest: Answer | None = None) -> Answer:
    """A registry of these tags that notes what it is asked for."""

    def answer(request: BaseHTTPRequestHandler) -> None:
        path = urlsplit(request.path).path
        asked.append(f"{request.command} {path}")
        body = json.dumps({"tags": tags_}).encode()
        if manifest is not None and "/manifests/" in path:
            return manifest(request)
        request.send_response(200)
        if "/manifests/" in path:
            body = b""
            request.send_header("Content-Type", MANIFEST)
            request.send_header("Docker-Content-Digest", str(Digest.of(path.encode())))
        request.send_header("Content-Length", str(len(body)))
        request.end_headers()
        request.wfile.write(body)
        return None

    return answer


def lab(host: str, **more: Any) -> dict[str, Any]:
    return {"source": f"docker://{host}/a/b", **more}


@pytest.fixture
def odd(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    with ExitStack() as stack:

        def serve(answer: Answer) -> str:
            host = stack.enter_context(odd_registry(answer))
            monkeypatch.setenv("CONTAINERS_REGISTRIES_CONF", str(trusting(host, tmp_path)))
            return host

        yield serve


def test_one_listing_and_one_request_per_tag_that_is_shown(odd) -> None:
    asked: list[str] = []
    host = odd(counting(asked, [f"w_2077_{week:02}" for week in range(1, 53)] + ["r1_0_0"]))
    offer = made(lab(host, dropdown={"weekly": {"number": 5}}))
    assert len(offer.payloads[0].dropdown) == 6
    said = [line for line in asked if line != "GET /v2/"]
    assert said[0] == "GET /v2/a/b/tags/list"
    assert sorted(said[1:]) == sorted({f"HEAD /v2/a/b/manifests/{tag}" for tag in tags(offer.payloads[0].dropdown)})


def test_twenty_thousand_tags_come_page_by_page_and_few_are_asked_for(odd) -> None:
    every = sorted(f"w_{2000 + n // 50}_{n % 50 + 1:02}_c{n % 4:04}.001" for n in range(5_000))
    every += [f"x{n:05}" for n in range(15_000)]
    asked: list[str] = []

    def answer(request: BaseHTTPRequestHandler) -> None:
        path, _, query = request.path.partition("?")
        if not path.endswith("/tags/list"):
            return counting(asked, [])(request)
        begin = int(query.rpartition("last=")[2]) if "last=" in query else 0
        body = json.dumps({"tags": every[begin : begin + 1000]}).encode()
        request.send_response(200)
        if begin + 1000 < len(every):
            request.send_header("Link", f'</v2/a/b/tags/list?n=1000&last={begin + 1000}>; rel="next"')
        request.send_header("Content-Length", str(len(body)))
        request.end_headers()
        return request.wfile.write(body) and None

    offer = made(lab(odd(answer), dropdown={"weekly": {"number": 10}, "unknown": "hide"}))
    assert tags(offer.payloads[0].dropdown)[0] == "w_2099_50_c0003.001"
    assert len([line for line in asked if "manifests" in line]) == 10


def test_what_is_no_image_or_gone_is_left_out_and_told(odd) -> None:
    def manifest(request: BaseHTTPRequestHandler) -> None:
        chart = request.path.endswith("chart")
        request.send_response(200 if chart or request.path.endswith("r1_0_0") else 404)
        request.send_header("Content-Type", "application/vnd.helm.chart" if chart else MANIFEST)
        request.send_header("Docker-Content-Digest", str(Digest.of(b"x")))
        request.send_header("Content-Length", "0")
        request.end_headers()

    offer = made(lab(odd(counting([], ["r1_0_0", "r2_0_0", "chart"], manifest))))
    assert tags(offer.payloads[0].dropdown) == ["r1_0_0"]
    assert "chart is no image, but application/vnd.helm.chart" in offer.payloads[0].warnings
    assert any("vanished" in warning for warning in offer.payloads[0].warnings)


def test_a_registry_that_fails_after_the_listing_is_not_asked_for_ever(odd) -> None:
    asked: list[str] = []

    def manifest(request: BaseHTTPRequestHandler) -> None:
        request.send_response(500)
        request.send_header("Content-Length", "0")
        request.end_headers()

    host = odd(counting(asked, [f"r{n}_0_0" for n in range(100)], manifest))
    group = made(lab(host)).payloads[0]
    assert len(group.dropdown) == 100
    assert all(image.digest is None for image in group.dropdown)
    assert any("could not tell of some tags" in warning for warning in group.warnings)
    assert len([line for line in asked if "manifests" in line]) <= 20


def test_a_payload_whose_registry_is_down_leaves_the_others_and_keeps_what_it_had(trusted: str) -> None:
    published(trusted, ["r1_0_0"], name="menu/one")
    up, down = {"source": f"docker://{trusted}/menu/one"}, {"source": "docker://127.0.0.1:9/a/b"}
    offer = made(up, down)
    assert [len(group.dropdown) for group in offer.payloads] == [1, 0]
    assert "nothing can be offered" in offer.payloads[1].warnings[0]
    groups = [{**group, "name": f"p{1 - n}"} for n, group in enumerate(offer.as_json()["payloads"])]
    before = Offer.model_validate({**offer.as_json(), "payloads": groups})
    later = made(up, down, previous=before)
    assert [len(group.dropdown) for group in later.payloads] == [1, 1]
    assert "as it was before" in later.payloads[1].warnings[0]


def test_with_no_source_at_all_the_menu_is_refused() -> None:
    with pytest.raises(ArtifactError, match="cannot be reached"):
        made({"source": "docker://127.0.0.1:9/a/b"})


def test_when_every_source_fails_the_earlier_menu_is_left_as_it_is(trusted: str) -> None:
    published(trusted, ["r1_0_0"], name="menu/two")
    before = made({"source": f"docker://{trusted}/menu/two"})
    with pytest.raises(ArtifactError, match="cannot be reached"):
        made({"source": "docker://127.0.0.1:9/a/b"}, previous=before)


@pytest.mark.parametrize("epoch", ["99999999999999", "x", "-99999999999999", "9" * 5000])
def test_an_instant_that_is_none_is_told(epoch: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", epoch)
    with pytest.raises(UsageError, match="no instant"):
        now()


def test_a_payload_that_is_not_declared_is_told() -> None:
    with pytest.raises(UsageError, match="no payload 'other'"):
        made({"source": "oci:x"}, only="other")


def test_an_oci_layout_gives_tags_digests_and_sizes(tmp_path: Path) -> None:
    digest = write_layout(tmp_path / "layout", "r1_0_0", {"x": (b"x", 0o644)})
    offer = made({"source": "oci:layout", "repository": "registry.org/a"}, root=tmp_path)
    (image,) = offer.payloads[0].dropdown
    assert image.reference == f"registry.org/a:r1_0_0@{digest}"
    assert image.size > 0


def test_the_catalogues_own_records_give_what_was_built_and_say_what_was_not(tmp_path: Path) -> None:
    catalogue = write_many(tmp_path, 4, 20, images=1)
    offer = make_menu(declared({"source": "records:image-0"}), catalogue, now=NOW, progress=Silent())
    group = offer.payloads[0]
    assert tags(group.dropdown) == ["r1_0_2", "r1_0_1"]
    record = catalogue.record(ImageRef("image-0", "r1_0_2")).platforms["linux-64"]
    assert group.dropdown[0].reference == f"localhost/image-0:r1_0_2@{record.manifest}"
    assert group.dropdown[0].size == sum(layer.size for layer in record.layers)
    assert group.warnings == ("of image-0, locked but not built: r1_0_0, r1_0_3",)


@pytest.mark.parametrize(
    "listing",
    [
        [{"uri": "registry.org/a@DIGEST", "tags": ["r1_0_0"], "image_size_bytes": 7, "media_type": MANIFEST}],
        {
            "dockerImages": [
                {"uri": "registry.org/a@DIGEST", "tags": ["r1_0_0"], "imageSizeBytes": "7", "mediaType": MANIFEST}
            ]
        },
        [
            {
                "package": "registry.org/a",
                "version": "DIGEST",
                "tags": "r1_0_0, x",
                "imageSizeBytes": "7",
                "metadata": {},
            }
        ],
    ],
)
def test_a_listing_is_read_as_the_api_its_client_and_gcloud_write_it(listing: Any, tmp_path: Path) -> None:
    digest = str(Digest.of(b"x"))
    (tmp_path / "listing.json").write_text(json.dumps(listing).replace("DIGEST", digest))
    offer = made({"source": "listing:listing.json", "repository": "registry.org/a"}, root=tmp_path)
    assert f"registry.org/a:r1_0_0@{digest}" in offer.images()
    assert [image.size for image in offer.payloads[0].dropdown] == [7] * len(offer.payloads[0].dropdown)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[]", "no image of"),
        ("{", "Invalid JSON"),
        ('{"a": 1}', "Field required"),
        ('[{"uri": 7}]', "valid string"),
        ("[[]]", "an object"),
    ],
)
def test_a_listing_that_is_none_is_told(text: str, words: str, tmp_path: Path) -> None:
    (tmp_path / "listing.json").write_text(text)
    with pytest.raises((ArtifactError, DocumentError), match=words):
        made({"source": "listing:listing.json", "repository": "registry.org/a"}, root=tmp_path)


EVIL = '"><script>alert(1)</script>'


def evil() -> Offer:
    """A menu all of whose texts carry markup."""
    image = {"name": EVIL, "reference": EVIL, "tag": EVIL, "digest": EVIL, "category": EVIL}
    more = {**image, "reference": EVIL + "2"}
    group = {"name": EVIL, "title": EVIL, "description": EVIL, "recommended": EVIL, "menu": [image]}
    group["dropdown"] = [image, more]
    return Offer.model_validate({"schema": 1, "title": EVIL, "payloads": [group], "sizes": [
        {"name": EVIL, "title": EVIL, "cpu": 1.0, "memory": "4Gi"}
    ]})  # fmt: skip


def test_nothing_in_a_menu_becomes_markup() -> None:
    page = draw_page(evil(), said=EVIL, failed=True)
    assert "<script>alert" not in page
    assert page.count("<script>") == 1  # the form's own


def full() -> Offer:
    image = {"name": "Release r1.0.0", "reference": "r.org/a:r1_0_0@sha256:" + "a" * 64, "tag": "r1_0_0",
             "digest": "sha256:" + "a" * 64, "category": "Release"}  # fmt: skip
    other = {**image, "name": "Weekly 2077_43", "reference": "r.org/a:w_2077_43@sha256:" + "b" * 64, "tag": "w_2077_43",
             "digest": "sha256:" + "b" * 64, "category": "Weekly"}  # fmt: skip
    same = {**other, "tag": "w-2077-43", "reference": "r.org/a:w-2077-43"}
    groups = [
        {"name": name, "title": name.title(), "description": "What it is.", "recommended": image["reference"],
         "menu": [image], "dropdown": [image, other, same], "prepull": [image["reference"]]} for name in ("one", "two")
    ]  # fmt: skip
    sizes = [
        {"name": "small", "title": "Small", "cpu": 0.5, "memory": "512Mi"},
        {"name": "big", "title": "Big", "cpu": 4.0, "memory": "16Gi"},
    ]
    return Offer.model_validate({"schema": 1, "title": "Choose", "payloads": groups, "sizes": sizes})


KUBESPAWNER = """
import asyncio, json, sys
from kubespawner import KubeSpawner

async def run():
    spawner = KubeSpawner(_mock=True)
    spawner.profile_list = json.loads(sys.stdin.read())
    page = await spawner.get_options_form()
    posted = {"profile": ["two"], "profile-option-two--image": ["w-2077-43"], "profile-option-two--size": ["big"]}
    for options in (spawner.options_from_form(posted), {}):
        spawner.user_options = options
        await spawner.load_user_options()
        print(spawner.image, spawner.cpu_limit, spawner.mem_limit, page.count("Release r1.0.0"))

asyncio.run(run())
"""


def test_kubespawner_reads_the_profiles(tmp_path: Path) -> None:
    cluster = {"name": "c", "cluster": {"server": "https://127.0.0.1:9"}}
    context = {"name": "x", "context": {"cluster": "c", "user": "u"}}
    config = {
        "current-context": "x",
        "contexts": [context],
        "clusters": [cluster],
        "users": [{"name": "u", "user": {}}],
    }
    (tmp_path / "kubeconfig").write_text(yaml.safe_dump(config))  # nobody is asked, but it wants to know whom
    said = subprocess.run(
        [sys.executable, "-c", KUBESPAWNER], input=written(full(), Prepull(), "profiles"), text=True, check=True,
        env={"KUBECONFIG": str(tmp_path / "kubeconfig"), "PATH": "/usr/bin:/bin"}, stdout=subprocess.PIPE,
    ).stdout.splitlines()  # fmt: skip
    assert said == [
        f"r.org/a:w_2077_43@sha256:{'b' * 64} 4.0 {16 << 30} 2",
        f"r.org/a:r1_0_0@sha256:{'a' * 64} 0.5 {512 << 20} 2",
    ]


def test_the_manifest_that_fetches_images_is_one_that_kubernetes_takes() -> None:
    settings = Prepull(namespace="hub", node_selector={"hub.jupyter.org/node-purpose": "user"}, pull_secrets=("mine",))
    text = written(full(), settings, "prepull")
    manifest = yaml.safe_load(text)
    kubernetes_validate.validate(manifest, "1.30", strict=True)
    pod = manifest["spec"]["template"]["spec"]
    assert [one["image"] for one in pod["initContainers"]] == ["r.org/a:r1_0_0@sha256:" + "a" * 64]
    assert pod["nodeSelector"] == {"hub.jupyter.org/node-purpose": "user"}
    assert written(full(), settings, "prepull") == text
    kubernetes_validate.validate(yaml.safe_load(written(full(), Prepull(), "prepull")), "1.30", strict=True)


def test_lists_of_several_payloads_say_whose_each_image_is() -> None:
    lists = json.loads(written(full(), Prepull(), "json"))
    assert [one["name"] for one in lists["menu"]] == ["One: Release r1.0.0", "Two: Release r1.0.0"]


def test_the_whole_menu_is_read_as_it_was_written() -> None:
    assert Offer.model_validate(json.loads(written(full(), Prepull(), "full"))) == full()


@pytest.mark.parametrize("text", [None, "", "{", "[]", '{"schema": 1}', "[" * 100_000])
def test_a_file_that_holds_no_menu_is_no_earlier_one(text: str | None, tmp_path: Path) -> None:
    if text is not None:
        (tmp_path / "menu.json").write_text(text)
    assert previous_menu(tmp_path / "menu.json") is None


def test_the_preview_reads_what_is_posted_as_a_hub_does() -> None:
    urls: list[str] = []
    offer = full()
    threading.Thread(
        target=serve_preview, args=(lambda **said: draw_page(offer, **said), lambda posted: told(offer, posted)),
        kwargs={"port": 0, "announce": urls.append}, daemon=True,
    ).start()  # fmt: skip
    while not urls:
        time.sleep(0.01)
    with httpx.Client(base_url=urls[0], trust_env=False) as client:
        assert draw_form(offer)[:500] in client.get("/").text
        reference = offer.payloads[0].menu[0].reference
        started = client.post("/", data={"image_list": reference})
        assert "a hub would start this" in started.text
        refused = client.post("/", data={"image_list": "<script>alert(1)</script>"})
        assert (refused.status_code, "<script>alert" in refused.text) == (400, False)
        assert client.post("/", content=b"\xff\xff").status_code == 400
        assert client.post("/", content=b"x" * (2 << 20)).status_code == 413
