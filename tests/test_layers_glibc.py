"""Which glibc a base has, read from layers as several distributions make them."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest
import zstandard

from archives import Item, link, tar
from peel.errors import ArtifactError
from peel.layers.glibc import find_glibc
from peel.model.oci import LAYER_GZIP, LAYER_ZSTD

LAYER_TAR = "application/vnd.oci.image.layer.v1.tar"


def library(version: str) -> bytes:
    banner = f"GNU C Library (Distribution 2.x-1) stable release version {version}.\n"
    return b"\x7fELF" + bytes(5000) + banner.encode() + bytes(5000)


def debian(version: str) -> list[Item]:
    return [
        Item("./usr/lib/x86_64-linux-gnu/libc.so.6", library(version), 0o755),
        Item("./etc/os-release", b"ID=debian"),
    ]


def almalinux(version: str) -> list[Item]:
    return [Item("usr/lib64/libc.so.6", library(version), 0o755), link("lib64", "usr/lib64")]


def old_almalinux(version: str) -> list[Item]:
    return [
        link("usr/lib64/libc.so.6", f"libc-{version}.so"),
        Item(f"usr/lib64/libc-{version}.so", library(version), 0o755),
    ]


def alpine() -> list[Item]:
    return [Item("lib/ld-musl-x86_64.so.1", b"\x7fELF musl"), link("lib/libc.musl-x86_64.so.1", "ld-musl-x86_64.so.1")]


def layer(path: Path, items: list[Item], media_type: str = LAYER_TAR) -> tuple[Path, str]:
    data = tar(items)
    if media_type == LAYER_GZIP:
        data = gzip.compress(data)
    elif media_type == LAYER_ZSTD:
        data = zstandard.ZstdCompressor().compress(data)
    path.write_bytes(data)
    return path, media_type


@pytest.mark.parametrize("media_type", [LAYER_TAR, LAYER_GZIP, LAYER_ZSTD])
@pytest.mark.parametrize(
    ("items", "version"), [(debian("2.41"), "2.41"), (almalinux("2.34"), "2.34"), (old_almalinux("2.28"), "2.28")]
)
def test_the_version_is_read_wherever_a_distribution_keeps_its_library(
    items: list[Item], version: str, media_type: str, tmp_path: Path
) -> None:
    assert find_glibc([layer(tmp_path / "layer", items, media_type)], "base") == version


def test_the_topmost_library_counts(tmp_path: Path) -> None:
    layers = [
        layer(tmp_path / "1", almalinux("2.34"), LAYER_GZIP),
        layer(tmp_path / "2", almalinux("2.39"), LAYER_ZSTD),
        layer(tmp_path / "3", [Item("etc/motd", b"hello")]),
    ]
    assert find_glibc(layers, "base") == "2.39"


def test_a_layer_may_have_several_frames(tmp_path: Path) -> None:
    data = tar([Item("etc/motd", bytes(10_000)), *debian("2.41")])
    frames = [zstandard.ZstdCompressor().compress(data[at : at + 4096]) for at in range(0, len(data), 4096)]
    (tmp_path / "layer").write_bytes(b"".join(frames))
    assert find_glibc([(tmp_path / "layer", LAYER_ZSTD)], "base") == "2.41"


def test_a_base_without_glibc_is_refused_with_a_hint(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match=r"docker\.io/library/alpine has no GNU C library") as caught:
        find_glibc([layer(tmp_path / "layer", alpine())], "docker.io/library/alpine")
    assert "almalinux:9" in (caught.value.hint or "")


@pytest.mark.parametrize("media_type", [LAYER_TAR, LAYER_GZIP, LAYER_ZSTD])
def test_a_truncated_or_damaged_layer_names_the_base(media_type: str, tmp_path: Path) -> None:
    path, _ = layer(tmp_path / "layer", debian("2.41"), media_type)
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ArtifactError, match="a layer of base cannot be read"):
        find_glibc([(path, media_type)], "base")
    path.write_bytes(bytes(byte ^ 0xA5 for byte in whole))
    with pytest.raises(ArtifactError, match="a layer of base cannot be read"):
        find_glibc([(path, media_type)], "base")
