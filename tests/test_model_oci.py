from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from peel.errors import ArtifactError, DocumentError
from peel.model import oci
from peel.model.oci import AddedLayer, Config, Descriptor, History, ImageSettings, make_config, make_manifest
from peel.model.oci_parse import parse_config, parse_index, parse_manifest, parse_manifest_or_index
from peel.model.values import Digest, Platform

A, B, C = (Digest.of(letter) for letter in (b"a", b"b", b"c"))
BASE = Config(
    architecture="amd64",
    settings=ImageSettings(
        env=(("PATH", "/usr/bin"), ("LANG", "C.UTF-8")), cmd=("/bin/bash",), labels=(("vendor", "Base"),)
    ),
    diff_ids=(A,),
    history=(History(created="2026-01-02T03:04:05.123Z", created_by="ADD rootfs"), History(empty_layer=True)),
)
ADDED = AddedLayer(Descriptor(oci.LAYER_ZSTD, B, 7), C, created_by="peel: python", comment="linker 1")
SETTINGS = ImageSettings(
    env=(("PATH", "/opt/lab/bin:/usr/bin"), ("A", "1")),
    entrypoint=("/opt/lab/bin/start",),
    user="1000",
    working_dir="/home",
    labels=(("org.opencontainers.image.title", "läb"),),
    exposed_ports=("8888/tcp",),
)


def document(**changes):
    found = {
        "schemaVersion": 2,
        "config": {"mediaType": oci.CONFIG, "digest": str(A), "size": 1},
        "layers": [{"mediaType": oci.LAYER_GZIP, "digest": str(B), "size": 2}],
    }
    return json.dumps({**found, **changes}).encode()


def test_config_bytes_are_a_promise_across_releases():
    # A change here changes every image.
    assert make_config(BASE, [ADDED], SETTINGS, epoch=1_700_000_000).decode() == (
        '{"architecture":"amd64","config":{"Entrypoint":["/opt/lab/bin/start"],'
        '"Env":["PATH=/opt/lab/bin:/usr/bin","LANG=C.UTF-8","A=1"],"ExposedPorts":{"8888/tcp":{}},'
        '"Labels":{"org.opencontainers.image.title":"läb","vendor":"Base"},"User":"1000","WorkingDir":"/home"},'
        '"created":"2023-11-14T22:13:20Z","history":[{"created":"2026-01-02T03:04:05.123Z","created_by":"ADD rootfs"},'
        '{"empty_layer":true},{"comment":"linker 1","created":"2023-11-14T22:13:20Z","created_by":"peel: python"}],'
        '"os":"linux","rootfs":{"diff_ids":['
        '"sha256:ca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb",'
        '"sha256:2e7d2c03a9507ae265ecf5b5356885a53393a2029d241394997265a1a25aefc6"],"type":"layers"}}'
    )


def test_manifest_bytes_are_a_promise_across_releases():
    layers = [Descriptor(oci.LAYER_GZIP, A, 5, (("from", "elsewhere"),)), ADDED.blob]
    assert make_manifest(b"{}", layers, {"b": "2", "a": "1"}).decode() == (
        '{"annotations":{"a":"1","b":"2"},"config":{"digest":'
        '"sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a",'
        '"mediaType":"application/vnd.oci.image.config.v1+json","size":2},"layers":[{"digest":'
        '"sha256:ca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb",'
        '"mediaType":"application/vnd.oci.image.layer.v1.tar+gzip","size":5},{"digest":'
        '"sha256:3e23e8160039594a33894f6564e1b1348bbd7a0088d42c4acb73eeaed59c009d",'
        '"mediaType":"application/vnd.oci.image.layer.v1.tar+zstd","size":7}],'
        '"mediaType":"application/vnd.oci.image.manifest.v1+json","schemaVersion":2}'
    )


def test_what_is_written_is_read_back_the_same():
    config = make_config(BASE, [ADDED], SETTINGS, epoch=0)
    again = parse_config(config, "it")
    assert make_config(again, [], ImageSettings(), epoch=0) == config
    assert parse_manifest(make_manifest(config, [ADDED.blob], {}), "it").layers == (ADDED.blob,)


def test_a_base_command_is_inherited_until_there_is_an_entrypoint():
    assert ImageSettings().over(BASE.settings).cmd == ("/bin/bash",)
    assert ImageSettings(entrypoint=("x",)).over(BASE.settings).cmd is None
    assert ImageSettings(entrypoint=("x",), cmd=("y",)).over(BASE.settings).cmd == ("y",)


@pytest.mark.parametrize("epoch", [-1, 10**12, 10**30])
def test_an_epoch_that_is_no_instant_is_refused(epoch):
    with pytest.raises(DocumentError, match=str(epoch)):
        oci.rfc3339(epoch)


def test_dockers_media_types_become_ocis_and_digests_stay():
    docker = "application/vnd.docker"
    data = document(
        mediaType=f"{docker}.distribution.manifest.v2+json",
        config={"mediaType": f"{docker}.container.image.v1+json", "digest": str(A), "size": 1},
        layers=[{"mediaType": f"{docker}.image.rootfs.diff.tar.gzip", "digest": str(B), "size": 2}],
    )
    manifest = parse_manifest(data, "it")
    assert manifest.config == Descriptor(oci.CONFIG, A, 1)
    assert manifest.layers == (Descriptor(oci.LAYER_GZIP, B, 2),)


@pytest.mark.parametrize(
    ("data", "named"),
    [
        (b"", "it is not a document"),
        (b"\xff{}", "it is not a document"),
        (b"[]", "it is not a document"),
        (b"[" * 100_000, "it is not a document"),
        (document(config=None), "config"),
        (document(schemaVersion=1), "old schema"),
        (document(mediaType="application/x-cow"), "application/x-cow"),
        (document(config={"mediaType": "application/x-helm", "digest": str(A), "size": 1}), "application/x-helm"),
        (document(layers=[{"mediaType": oci.LAYER, "digest": "sha256:../../etc", "size": 1}]), r"layers\.0\.digest"),
        (document(layers=[{"mediaType": oci.LAYER, "digest": str(A), "size": -1}]), r"layers\.0\.size"),
        (document(layers=[{"mediaType": oci.LAYER, "digest": str(A), "size": "1"}]), r"layers\.0\.size"),
        (
            document(layers=[{"mediaType": f"{oci.LAYER}+lzma", "digest": str(A), "size": 1}]),
            r"tar\+lzma.*" + str(A),
        ),
        (
            document(
                layers=[
                    {
                        "mediaType": "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip",
                        "digest": str(A),
                        "size": 1,
                    }
                ]
            ),
            "foreign",
        ),
        (b'{"schemaVersion":2,"manifests":[]}', "index of several"),
    ],
)
def test_a_bad_manifest_is_refused_by_name(data, named):
    with pytest.raises(ArtifactError, match=named):
        parse_manifest(data, "it")


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(),
        lambda x: (
            st.lists(x)
            | st.dictionaries(
                st.sampled_from(["config", "layers", "manifests", "rootfs", "history", "os", "digest", "platform"]), x
            )
        ),
    )
)
def test_no_json_at_all_gives_anything_but_a_clear_error(value):
    data = json.dumps(value).encode()
    for parse in (parse_manifest_or_index, parse_manifest, parse_index, parse_config):
        with pytest.raises(ArtifactError):
            parse(data, "it")


def entry(digest, **platform):
    return {"mediaType": oci.MANIFEST, "digest": str(digest), "size": 3, "platform": platform}


def test_an_index_gives_the_plain_variant_of_a_platform():
    data = json.dumps(
        {
            "schemaVersion": 2,
            "manifests": [
                entry(A, os="linux", architecture="amd64", variant="v3"),
                entry(B, os="linux", architecture="amd64"),
                entry(C, os="unknown", architecture="unknown"),
            ],
        }
    ).encode()
    index = parse_manifest_or_index(data, "it")
    assert index.find(Platform("linux-64"), "it").digest == B
    with pytest.raises(ArtifactError, match="no image for linux-aarch64") as caught:
        index.find(Platform("linux-aarch64"), "it")
    assert "linux/amd64/v3" in caught.value.hint


def test_a_config_of_docker_with_nulls_is_read():
    data = json.dumps(
        {
            "os": "linux",
            "architecture": "arm64",
            "variant": "v8",
            "config": {"Env": None, "Cmd": None, "Labels": None, "Healthcheck": {}},
            "rootfs": {"type": "layers", "diff_ids": [str(A), str(B)]},
            "history": [{"created_by": "only one"}],
        }
    ).encode()
    config = parse_config(data, "it")
    assert config.settings == ImageSettings()
    assert config.variant == "v8"
    assert [entry.empty_layer for entry in config.history] == [False, False]


def test_an_image_for_another_system_is_refused():
    data = json.dumps({"os": "windows", "architecture": "amd64", "rootfs": {"diff_ids": []}}).encode()
    with pytest.raises(ArtifactError, match="windows"):
        parse_config(data, "it")
