from __future__ import annotations

from pathlib import Path

import pytest

from peel.tools import mounts


def test_mounts_beneath_a_place_come_innermost_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    table = tmp_path / "mounts"
    table.write_text(
        "/dev/x / ext4 rw 0 0\nx /store/tmp/a/overlay ext4 rw 0 0\nx /store/tmp/a/overlay/l/merged overlay rw 0 0\n"
        "x /store/tmp/ab tmpfs rw 0 0\nx /store/tmp/a/two\\040words tmpfs rw 0 0\n"
    )
    monkeypatch.setattr(mounts, "_MOUNTS", table)
    assert mounts.mounts_beneath(Path("/store/tmp/a")) == [
        Path("/store/tmp/a/overlay/l/merged"),
        Path("/store/tmp/a/overlay"),
        Path("/store/tmp/a/two words"),
    ]


def test_where_nothing_is_mounted_nothing_is_detached(tmp_path: Path) -> None:
    assert mounts.mounts_beneath(tmp_path / "nowhere") == []
    mounts.detach(tmp_path / "nowhere")
