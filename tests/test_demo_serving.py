"""The loopback servers of the demo: a registry for the base image, an index for wheels."""

from __future__ import annotations

import shutil
import subprocess
import zipfile
from pathlib import Path

import httpx
import pytest

from peel.demo.pins import Pin
from peel.demo.registry import push_command, serve_registry
from peel.demo.single_layer import write_layout
from peel.demo.wheel_index import WheelIndex, make_wheel_index, serve_wheel_index
from peel.demo.whole import replacing
from peel.errors import ToolError
from peel.layers.tar import canonical
from peel.model.entry import file_of_bytes
from peel.model.oci import ImageSettings
from peel.model.values import Digest

ENTRIES = canonical([file_of_bytes("etc/motd", b"hello\n")])
SETTINGS = ImageSettings(cmd=("/bin/sh",), labels=(("title", "tiny"),))


def _layout(directory: Path) -> Digest:
    directory.mkdir()
    return write_layout(directory, ENTRIES, SETTINGS, tag="9", epoch=1_700_000_000)


def test_an_image_of_one_layer_has_one_digest(tmp_path: Path) -> None:
    assert _layout(tmp_path / "first") == _layout(tmp_path / "second")


def test_a_pushed_image_keeps_its_digests() -> None:
    command = push_command(Path("/some/Layout: with names"), "9", "127.0.0.1:5000/library/x:9")

    assert "--preserve-digests" in command.argv
    assert "oci:.:9" in command.argv
    assert command.cwd == Path("/some/Layout: with names")


@pytest.mark.skipif(not shutil.which("docker-registry") or not shutil.which("skopeo"), reason="needs both programs")
def test_the_production_name_leads_to_the_loopback_registry(tmp_path: Path) -> None:
    digest = _layout(tmp_path / "Layout: of ours")

    with serve_registry(tmp_path / "Layout: of ours", "library/almalinux", tag="9") as served:
        reference = f"docker://docker.io/library/almalinux@{digest}"
        argv = ["skopeo", "--registries-conf", str(served.registries_conf), "inspect", "--raw", reference]
        raw = subprocess.run(argv, capture_output=True, check=True).stdout
        address = served.local.partition("/")[0]

    assert Digest.of(raw) == digest
    assert not served.registries_conf.exists()
    with pytest.raises(httpx.ConnectError):
        httpx.get(f"http://{address}/v2/", trust_env=False)


def test_a_missing_registry_is_named_with_the_command_that_installs_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _layout(tmp_path / "layout")
    monkeypatch.setenv("PATH", str(tmp_path))

    with pytest.raises(ToolError, match="docker-registry") as raised, serve_registry(tmp_path / "layout", "x", tag="9"):
        pass
    assert raised.value.hint == "apt-get install docker-registry"


def test_an_index_of_wheels_is_served_with_their_hashes(tmp_path: Path) -> None:
    page = tmp_path / "simple" / "demo" / "index.html"
    page.parent.mkdir(parents=True)
    page.write_text("links")

    with serve_wheel_index(WheelIndex(tmp_path, ())) as url:
        assert httpx.get(f"{url}demo/", trust_env=False).text == "links"


def test_a_cached_wheel_is_laid_out_without_asking_anyone(tmp_path: Path) -> None:
    wheel = tmp_path / "demo-1.0-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr("demo.py", "")
    digest = Digest.of(wheel.read_bytes())
    kept = tmp_path / "cache" / "wheels" / digest.hex
    kept.mkdir(parents=True)
    wheel.rename(kept / wheel.name)

    pins = (Pin("demo", "1.0", digest),)
    index = make_wheel_index(tmp_path / "wheels", cache=tmp_path / "cache", progress=lambda _: None, pins=pins)

    page = (index.directory / "simple" / "demo" / "index.html").read_text()
    assert f"{wheel.name}#sha256={digest.hex}" in page
    assert (index.directory / "simple" / "demo" / wheel.name).is_file()


def test_a_directory_is_replaced_whole_or_not_at_all(tmp_path: Path) -> None:
    target = tmp_path / "out"
    with replacing(target) as unfinished:
        (unfinished / "first").touch()
    with pytest.raises(ValueError, match="half way"):
        _fail_in(target)

    assert [path.name for path in target.iterdir()] == ["first"]
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def _fail_in(target: Path) -> None:
    with replacing(target) as unfinished:
        (unfinished / "second").touch()
        raise ValueError("half way")
