"""Makes the archives whose linked bytes are pinned here. They are kept, so that no compressor has a say in the goldens.

python tests/make_linker_archives.py
"""

from __future__ import annotations

import hashlib
import tarfile
from pathlib import Path

from archives import PLACEHOLDER, Item, conda, link, wheel

GOLDEN = Path(__file__).parent / "golden" / "linker1"
PREFIX = PLACEHOLDER.encode()


def make(folder: Path) -> list[Path]:
    """Write all archives beneath ``folder``."""
    native = [
        Item("bin/tool", b"#!" + PREFIX + b"/bin/python3.13 -u\nprint('" + PREFIX + b"/share')\n", 0o755, rule="text"),
        Item("bin/perl-tool", b"#!" + PREFIX + b"/bin/perl -w\n" + PREFIX, 0o755, rule="text"),
        Item("lib/libnative.so.1", _library(), 0o755, rule="binary"),
        link("lib/libnative.so", "libnative.so.1"),
        link("share/native/lib", "../../lib"),
        Item("libexec/native", b"twice", 0o755),
        Item("bin/native", type=tarfile.LNKTYPE, target="libexec/native", mode=0o755, says=_says(b"twice")),
        Item("lib/python3.13/site-packages/native.py", b"X = 1\n"),
        Item("lib/python3.13/site-packages/__pycache__/native.cpython-313.pyc", b"stale"),
        Item("share/native/read-only", b"r", 0o444),
        Item("share/native/ümlaut", b""),
    ]
    pure = [
        Item("site-packages/pure/__init__.py", b"def main(): ...\n"),
        Item("site-packages/pure/__pycache__/__init__.cpython-311.pyc", b"stale"),
        Item("python-scripts/pure-script", b"#!/usr/bin/env python\n", 0o775),
        Item("etc/pure.conf", b"[pure]\n"),
    ]
    odd = [
        Item("lib/systemd/system/dev-disk\\x2dby.device", b"[Unit]\n"),
        Item("etc/private.conf", b"for all\n", 0o600),
        Item("bin/private", b"#!/bin/sh\n", 0o700),
        Item("share/gdb/__pycache__/a.cpython-313.pyc", b"kept"),
        Item("lib/python3.13/__pycache__/a.cpython-313.pyc", b"left out"),
        Item("lib/python3.11/__pycache__/a.cpython-311.pyc", b"of another Python"),
        Item("share/unlisted", b"twice"),
        Item("share/listed", type=tarfile.LNKTYPE, target="share/unlisted", says=_says(b"twice")),
        Item("share/again", type=tarfile.LNKTYPE, target="share/unlisted", says=_says(b"twice")),
    ]
    old = [
        Item("bin/old", b"#!" + PREFIX + b"/bin/sh\n" + PREFIX, 0o755, rule="text"),
        Item("lib/old.bin", b"\x00" + PREFIX + b"/lib\x00tail", rule="binary"),
        link("lib/old.link", "old.bin"),
    ]
    return [
        conda(folder / "native-1.0-h0_0.conda", native),
        conda(
            folder / "pure-2.0-py_0.conda", pure, index={"noarch": "python", "subdir": "noarch"},
            entry_points=["pure = pure:main", "pure-run=pure.app:App.run"],
        ),
        conda(folder / "odd-1.0-0.conda", odd, listed=[item for item in odd if item.path != "share/unlisted"]),
        conda(folder / "old-0.1-0.tar.bz2", old, legacy=True, index={"timestamp": None}),
        wheel(folder / "wheeled-3.0-py3-none-any.whl", _wheel()),
    ]  # fmt: skip


def _library() -> bytes:
    twice = PREFIX + b"/lib:" + PREFIX + b"/lib64\x00"
    wide = (PLACEHOLDER + "/etc").encode("utf-16-le") + bytes(2)
    return b"\x7fELF\x00" + twice + b"kept\x00" + bytes(1) + wide + PREFIX + b"/unterminated"


def _says(data: bytes) -> dict[str, object]:
    return {"sha256": hashlib.sha256(data).hexdigest(), "size_in_bytes": len(data)}


def _wheel() -> dict[str, bytes]:
    return {
        "wheeled/__init__.py": b"def main(): ...\n",
        "wheeled-3.0.data/scripts/wheeled-script": b"#!python -x\nimport wheeled\n",
        "wheeled-3.0.data/data/share/wheeled/data.txt": b"data\n",
        "wheeled-3.0.data/headers/wheeled.h": b"#pragma once\n",
        "wheeled-3.0.dist-info/entry_points.txt": b"[console_scripts]\nwheeled = wheeled:main\n",
        "wheeled-3.0.dist-info/INSTALLER": b"somebody\n",
        "wheeled-3.0.dist-info/direct_url.json": b"{}",
    }


if __name__ == "__main__":
    make(GOLDEN)
