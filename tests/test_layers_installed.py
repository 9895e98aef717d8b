"""Environments found in the layers of an image, as a container of it would see them."""

from __future__ import annotations

import json
import tarfile
from pathlib import Path

import pytest
import zstandard

from layers_of import WHITEOUT, conda_meta, dist_info, layer_of_bytes, make_layer, member, tar_of
from peel.errors import ArtifactError
from peel.layers import image_files, layer_stream
from peel.layers.image_files import take_files
from peel.layers.installed import InstalledEnvironment, environments_of, find_environments, is_record
from peel.layers.layer_stream import ImageLayer
from peel.model import oci
from peel.model.values import Digest

LAB = "/opt/lab"


@pytest.fixture
def work(tmp_path: Path) -> Path:
    (tmp_path / "work").mkdir()
    return tmp_path / "work"


def find(work: Path, *layers: ImageLayer) -> tuple[InstalledEnvironment, ...]:
    return find_environments(layers, work, origin="oci:out:1")


def names(work: Path, *layers: ImageLayer) -> list[str]:
    return [package.name for environment in find(work, *layers) for package in environment.packages]


def test_environments_are_found_wherever_they_lie(work: Path, tmp_path: Path) -> None:
    files = {
        **conda_meta("/opt/conda", "python", "3.12.1"), **conda_meta("/opt/conda/envs/a", "numpy"),
        **conda_meta("/home/jovyan/x", "zlib"), "conda-meta/root-1-0.json": b'{"name": "root", "version": "1"}',
        "opt/conda/conda-meta/history": b"==> not json <==", "opt/conda/pkgs/zlib/info/index.json": b"not read",
    }  # fmt: skip
    found = find(work, make_layer(tmp_path, files))
    assert [(e.prefix, [p.name for p in e.packages]) for e in found] == [
        ("/", ["root"]), ("/home/jovyan/x", ["zlib"]), ("/opt/conda", ["python"]), ("/opt/conda/envs/a", ["numpy"]),
    ]  # fmt: skip


def test_a_record_says_all_that_it_knows(work: Path, tmp_path: Path) -> None:
    known = {
        "channel": "https://host/c/linux-64", "url": "https://host/c/linux-64/a-1.0-h1_3.conda", "md5": "e" * 32,
        "sha256": "a" * 64, "fn": "a-1.0-h1_3.conda", "depends": ["b >=1"], "build_number": 3,
        "files": ["lib/b", "lib/a"], "license": None, "size": 12,
    }  # fmt: skip
    (environment,) = find(work, make_layer(tmp_path, conda_meta(LAB, "a", build="h1_3", **known)))
    (package,) = environment.packages
    assert (package.name, package.version, package.build, package.build_number) == ("a", "1.0", "h1_3", 3)
    assert (package.subdir, package.channel, package.url) == ("linux-64", known["channel"], known["url"])
    assert (package.md5, package.sha256, package.file_name) == ("e" * 32, "a" * 64, "a-1.0-h1_3.conda")
    assert (package.depends, package.files()) == (("b >=1",), ("lib/a", "lib/b"))
    assert package.record == "opt/lab/conda-meta/a-1.0-h1_3.json"


def test_an_old_record_that_says_little_will_do(work: Path, tmp_path: Path) -> None:
    text = json.dumps({"name": "a", "version": "1.0", "build": None, "paths_data": {"paths": [{"_path": "bin/a"}]}})
    (environment,) = find(work, make_layer(tmp_path, {"opt/lab/conda-meta/a.json": text.encode()}))
    (package,) = environment.packages
    assert (package.build, package.sha256, package.files()) == ("", "", ("bin/a",))


@pytest.mark.parametrize("media_type", [oci.LAYER, oci.LAYER_GZIP, oci.LAYER_ZSTD])
def test_every_compression_is_read(media_type: str, work: Path, tmp_path: Path) -> None:
    layers = [
        make_layer(tmp_path, conda_meta(LAB, "a"), media_type=media_type),
        make_layer(tmp_path, conda_meta(LAB, "b"), media_type=media_type),
    ]
    assert names(work, *layers) == ["a", "b"]


def test_a_whiteout_hides_a_record_of_a_lower_layer_only(work: Path, tmp_path: Path) -> None:
    old, new = conda_meta(LAB, "a", "1.0"), conda_meta(LAB, "a", "2.0")
    gone = {path.replace("/a-", "/.wh.a-"): b"" for path in (*old, *new)}
    (environment,) = find(work, make_layer(tmp_path, old), make_layer(tmp_path, {**new, **gone}))
    assert [package.version for package in environment.packages] == ["2.0"]


@pytest.mark.parametrize(
    "hiding",
    [
        {"opt/lab": WHITEOUT}, {"opt": WHITEOUT}, {"opt/lab/conda-meta/.wh..wh..opq": b""}, {".wh..wh..opq": b""},
        {"opt/lab/conda-meta": b"a file now"},
    ],
)  # fmt: skip
def test_a_directory_that_goes_takes_what_is_in_it(hiding: dict[str, bytes], work: Path, tmp_path: Path) -> None:
    lower = make_layer(tmp_path, {**conda_meta(LAB, "a"), **conda_meta("/opt/labor", "b")})
    upper = make_layer(tmp_path, {**hiding})
    kept = [] if "opt" in hiding or ".wh..wh..opq" in hiding else ["b"]
    assert names(work, lower, upper) == kept


def test_an_opaque_directory_keeps_what_its_own_layer_brings_whatever_the_order(work: Path, tmp_path: Path) -> None:
    lower = make_layer(tmp_path, conda_meta(LAB, "a"))
    upper = make_layer(tmp_path, {**conda_meta(LAB, "b"), "opt/lab/conda-meta/.wh..wh..opq": b""})
    assert names(work, lower, upper) == ["b"]


def test_a_directory_that_is_named_again_hides_nothing(work: Path, tmp_path: Path) -> None:
    lower = make_layer(tmp_path, conda_meta(LAB, "a"))
    upper = make_layer(tmp_path, {}, more=[member("opt/lab/", tarfile.DIRTYPE), member("./opt/lab/conda-meta")])
    again = make_layer(tmp_path, {}, more=[member("opt/lab", tarfile.DIRTYPE), member("/opt", tarfile.DIRTYPE)])
    assert names(work, lower, again) == ["a"]
    assert names(work, lower, upper) == []


def test_a_link_over_a_directory_hides_it(work: Path, tmp_path: Path) -> None:
    lower = make_layer(tmp_path, conda_meta(LAB, "a"))
    upper = make_layer(tmp_path, {}, more=[member("opt/lab", tarfile.SYMTYPE, "/srv/lab")])
    assert names(work, lower, upper) == []


def test_a_directory_over_a_record_hides_it(work: Path, tmp_path: Path) -> None:
    lower = make_layer(tmp_path, conda_meta(LAB, "a"))
    upper = make_layer(tmp_path, {}, more=[member(next(iter(conda_meta(LAB, "a"))), tarfile.DIRTYPE)])
    assert names(work, lower, upper) == []


def test_paths_may_begin_with_a_dot_or_a_slash(work: Path, tmp_path: Path) -> None:
    lower = make_layer(tmp_path, {f"./{path}": data for path, data in conda_meta(LAB, "a").items()})
    upper = make_layer(tmp_path, {"/opt/.wh.lab": b"", **{f"/{p}": d for p, d in conda_meta("/x", "b").items()}})
    assert names(work, lower) == ["a"]
    assert names(work, lower, upper) == ["b"]


@pytest.mark.parametrize("target", ["root/.cache/a.json", "opt/lab/conda-meta/a-1.0-0.json", "zz/second"])
def test_a_record_that_is_a_hard_link_is_read(target: str, work: Path, tmp_path: Path) -> None:
    ((path, data),) = conda_meta(LAB, "a").items()
    chain = [member("zz/second", tarfile.LNKTYPE, target)] if target == "zz/second" else []
    linked = [*chain, member("opt/lab/conda-meta/link.json", tarfile.LNKTYPE, target)]
    first = {path: data} if target == path else {"root/.cache/a.json": data}
    if target == "zz/second":
        linked[0].linkname = "root/.cache/a.json"
    layer = make_layer(tmp_path, first, more=linked)
    assert names(work, layer) == (["a", "a"] if target == path else ["a"])


def test_a_hard_link_may_lead_to_a_record_of_a_lower_layer(work: Path, tmp_path: Path) -> None:
    ((path, data),) = conda_meta(LAB, "a").items()
    upper = make_layer(tmp_path, {}, more=[member("opt/b/conda-meta/a.json", tarfile.LNKTYPE, path)])
    assert names(work, make_layer(tmp_path, {path: data}), upper) == ["a", "a"]


def test_a_hard_link_to_nothing_is_refused_by_name(work: Path, tmp_path: Path) -> None:
    layer = make_layer(tmp_path, {}, more=[member("opt/b/conda-meta/a.json", tarfile.LNKTYPE, "not/there")])
    with pytest.raises(ArtifactError, match=r"oci:out:1: /opt/b/conda-meta/a.json is a link to /not/there"):
        find(work, layer)


def test_hard_links_in_a_circle_are_refused(work: Path, tmp_path: Path) -> None:
    one, two = "opt/b/conda-meta/a.json", "x/y"
    layer = make_layer(tmp_path, {}, more=[member(one, tarfile.LNKTYPE, two), member(two, tarfile.LNKTYPE, one)])
    with pytest.raises(ArtifactError, match="which is not there"):
        find(work, layer)


def test_wheels_are_those_that_no_conda_package_brought(work: Path, tmp_path: Path) -> None:
    of_conda = "lib/python3.11/site-packages/of_conda-1.0.dist-info/METADATA"
    files = {
        **conda_meta(LAB, "of-conda", files=[of_conda]), **dist_info(LAB, "of_conda"),
        **dist_info(LAB, "built", installer="conda"), **dist_info("/usr", "rpms", installer="rpm"),
        **dist_info(LAB, "Pipped.Name", "2.0"), **dist_info("/opt/lab/pkgs/x-1-0", "cached"),
        **dist_info(LAB, "~eft-behind"),
    }  # fmt: skip
    (environment,) = find(work, make_layer(tmp_path, files))
    (wheel,) = environment.wheels
    assert (wheel.name, wheel.version, wheel.python) == ("Pipped.Name", "2.0", "3.11")
    assert wheel.about == "lib/python3.11/site-packages/Pipped.Name-2.0.dist-info"
    assert wheel.record == f"opt/lab/{wheel.about}/RECORD"
    assert wheel.files() == ("lib/python3.11/site-packages/Pipped.Name.py",)


def test_wheels_outside_of_conda_environments_have_a_place_too(work: Path, tmp_path: Path) -> None:
    (environment,) = find(work, make_layer(tmp_path, dist_info("/usr/local", "flask", python="3.12")))
    assert (environment.prefix, environment.packages, environment.wheels[0].name) == ("/usr/local", (), "flask")


def test_scripts_of_a_wheel_lie_where_its_record_says(work: Path, tmp_path: Path) -> None:
    files = dist_info(LAB, "a", record="../../../bin/a,,\na/__init__.py,sha256=x,1\n")
    (environment,) = find(work, make_layer(tmp_path, files))
    assert environment.wheels[0].files() == ("bin/a", "lib/python3.11/site-packages/a/__init__.py")


@pytest.mark.parametrize("row", ["../../../../../etc/passwd,,", "/etc/passwd,,"])
def test_a_wheel_whose_record_leads_out_of_the_prefix_is_refused(row: str, work: Path, tmp_path: Path) -> None:
    (environment,) = find(work, make_layer(tmp_path, dist_info(LAB, "a", record=row)))
    with pytest.raises(ArtifactError, match=r"RECORD.*points out of"):
        environment.wheels[0].files()


def test_where_a_wheel_came_from_is_known_if_its_installer_said_so(work: Path, tmp_path: Path) -> None:
    about = "opt/lab/lib/python3.11/site-packages/a-1.0.dist-info/direct_url.json"
    said = {"url": "https://host/a-1.0-py3-none-any.whl", "archive_info": {"hash": f"sha256={'c' * 64}"}}
    (first,) = find(work, make_layer(tmp_path, {**dist_info(LAB, "a"), about: json.dumps(said).encode()}))
    assert (first.wheels[0].url, first.wheels[0].sha256) == (said["url"], "c" * 64)
    (second,) = find(work, make_layer(tmp_path, {**dist_info(LAB, "a"), about: b"[1]"}))
    assert (second.wheels[0].url, second.wheels[0].sha256) == ("", "")


@pytest.mark.parametrize(
    "text",
    [b"", b"[]", b"not json", b'{"version": "1"}', b'{"name": "../a", "version": "1"}', b"[" * 100_000,
     b'{"name": "a", "version": "1 2"}', b'{"name": "a", "version": "1", "depends": "b"}', b"\xff\xfe"],
    ids=range(9),
)  # fmt: skip
def test_a_record_that_is_none_is_refused_by_name(text: bytes, work: Path, tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match=r"oci:out:1: /opt/lab/conda-meta/a\.json is "):
        find(work, make_layer(tmp_path, {"opt/lab/conda-meta/a.json": text}))


@pytest.mark.parametrize("path", ["../etc/passwd", "/etc/passwd", "lib/../../x", "a\nb"])
def test_a_record_that_lists_what_lies_elsewhere_is_refused(path: str, work: Path, tmp_path: Path) -> None:
    (environment,) = find(work, make_layer(tmp_path, conda_meta(LAB, "a", files=[path])))
    with pytest.raises(ArtifactError, match=r"/opt/lab/conda-meta/a-1\.0-0\.json"):
        environment.packages[0].files()


def test_a_path_that_leads_upwards_is_refused_with_its_layer(work: Path, tmp_path: Path) -> None:
    layer = make_layer(tmp_path, {}, more=[member("opt/../../etc/passwd")])
    with pytest.raises(ArtifactError, match=rf"layer {layer.blob.digest} of oci:out:1 holds 'opt/../../etc/passwd'"):
        find(work, layer)


@pytest.mark.parametrize("lies", [{"size": 3}, {"size": 10_000_000}, {"digest": Digest.of(b"other")}])
def test_a_blob_that_is_not_what_its_descriptor_says_is_refused(
    lies: dict[str, object], work: Path, tmp_path: Path
) -> None:
    layer = make_layer(tmp_path, conda_meta(LAB, "a"), lies=lies)
    with pytest.raises(ArtifactError, match=rf"layer {layer.blob.digest} of oci:out:1 is something else"):
        find(work, layer)


@pytest.mark.parametrize("media_type", [oci.LAYER, oci.LAYER_GZIP, oci.LAYER_ZSTD])
def test_a_blob_that_is_no_layer_is_refused(media_type: str, work: Path, tmp_path: Path) -> None:
    data = b"this is no archive" * 100
    path = tmp_path / "blob"
    path.write_bytes(data)
    with pytest.raises(ArtifactError, match=r"layer sha256:.* of oci:out:1 cannot be read"):
        find(work, ImageLayer(oci.describe(media_type, data), lambda: path.open("rb")))


def test_a_truncated_archive_is_refused(work: Path, tmp_path: Path) -> None:
    whole = tar_of({"a": bytes(5000), **conda_meta(LAB, "a")})
    for end in (700, 3000, 6200):
        with pytest.raises(ArtifactError, match=r"oci:out:1(: the archive is truncated| cannot be read)"):
            find(work, layer_of_bytes(tmp_path, whole[:end]))


def test_an_unknown_media_type_is_refused(work: Path, tmp_path: Path) -> None:
    layer = make_layer(tmp_path, {}, media_type="application/vnd.example.squashfs")
    with pytest.raises(ArtifactError, match=r"of a kind that cannot be read: application/vnd\.example\.squashfs"):
        find(work, layer)


def test_a_decompression_bomb_is_refused(work: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(layer_stream, "FREE_SIZE", 1 << 20)
    layer = make_layer(tmp_path, {"zeros": bytes(8 << 20)}, media_type=oci.LAYER_ZSTD)
    with pytest.raises(ArtifactError, match="out of proportion to its size"):
        find(work, layer)


def test_a_header_that_would_fill_the_memory_is_refused(work: Path, tmp_path: Path) -> None:
    layer = make_layer(tmp_path, {}, more=[member("a" * 300_000)])
    with pytest.raises(ArtifactError, match="header of the archive is too large"):
        find(work, layer)


@pytest.mark.parametrize(("between", "said"), [(True, "global headers"), (False, "header of the archive is too large")])
def test_global_headers_without_end_are_refused(between: bool, said: str, work: Path, tmp_path: Path) -> None:
    plain = tarfile.TarInfo("a").tobuf()
    parts = [
        part
        for number in range(1100)
        for part in (tarfile.TarInfo.create_pax_global_header({f"key{number}": "x"}), plain if between else b"")
    ]
    with pytest.raises(ArtifactError, match=said):
        find(work, layer_of_bytes(tmp_path, b"".join([*parts, plain])))


def test_a_window_larger_than_memory_should_be_is_refused(work: Path, tmp_path: Path) -> None:
    parameters = zstandard.ZstdCompressionParameters(window_log=29, enable_ldm=True)
    packer = zstandard.ZstdCompressor(compression_params=parameters).compressobj()
    data = packer.compress(tar_of(conda_meta(LAB, "a"))) + packer.flush()
    path = tmp_path / "blob"
    path.write_bytes(data)
    with pytest.raises(ArtifactError, match="cannot be read"):
        find(work, ImageLayer(oci.describe(oci.LAYER_ZSTD, data), lambda: path.open("rb")))


def test_a_record_that_is_too_large_is_refused(work: Path, tmp_path: Path) -> None:
    files = {"opt/lab/lib/python3.11/site-packages/a-1.dist-info/INSTALLER": bytes(5000)}
    with pytest.raises(ArtifactError, match=r"a-1\.dist-info/INSTALLER has 5,000 bytes"):
        find(work, make_layer(tmp_path, files))


def test_more_records_than_an_image_can_have_are_refused(
    work: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(image_files, "_MOST_FILES", 3)
    two = [{**conda_meta(LAB, f"{letter}1"), **conda_meta(LAB, f"{letter}2")} for letter in "ab"]
    assert len(names(work, make_layer(tmp_path, two[0]))) == 2
    with pytest.raises(ArtifactError, match="more records of packages than"):
        find(work, *(make_layer(tmp_path, files) for files in two))


def test_a_sparse_record_is_refused(work: Path, tmp_path: Path) -> None:
    entry = member("opt/lab/conda-meta/a.json")
    entry.pax_headers = {"GNU.sparse.major": "0", "GNU.sparse.minor": "1", "GNU.sparse.map": "0,0",
                         "GNU.sparse.size": "1000000"}  # fmt: skip
    with pytest.raises(ArtifactError, match="sparse"):
        find(work, make_layer(tmp_path, {}, more=[entry]))


def test_layers_that_two_images_share_need_be_read_once(work: Path, tmp_path: Path) -> None:
    shared = take_files([make_layer(tmp_path, conda_meta(LAB, "a"))], is_record, work, origin="both")
    upper = make_layer(tmp_path, {**conda_meta(LAB, "b"), **dict.fromkeys(conda_meta(LAB, "a"), WHITEOUT)})
    read: list[int] = []
    taken = take_files([upper], is_record, work, origin="one", beneath=shared, advance=read.append)
    (environment,) = environments_of(taken)
    assert [package.name for package in environment.packages] == ["b"]
    assert read == [upper.blob.size]
    assert [package.name for found in environments_of(shared) for package in found.packages] == ["a"]


def test_what_is_taken_never_gets_a_name_from_the_image(work: Path, tmp_path: Path) -> None:
    find(work, make_layer(tmp_path, {**conda_meta(LAB, "a"), **conda_meta("/etc", "b")}))
    assert len(list(work.iterdir())) == 2
    assert all(path.is_file() and "conda" not in path.name for path in work.iterdir())
