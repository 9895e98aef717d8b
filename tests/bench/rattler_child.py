"""Installs archives with py-rattler, and wheels with PyPA installer.

A process of its own, which ends in ``os._exit``: rattler may crash when the interpreter ends.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from pathlib import Path
from typing import Any

from installer import install as install_wheel
from installer.destinations import SchemeDictionaryDestination
from installer.sources import WheelFile
from rattler import RepoDataRecord
from rattler import install as install_conda


async def link(archives: list[Path], target: Path, prefix: str, cache: Path) -> None:
    records = [await RepoDataRecord.from_package_archive(path) for path in archives]
    await install_conda(records, target, cache_dir=cache, alternative_target_prefix=prefix, show_progress=False)


def main(asked: dict[str, Any]) -> None:
    archives = sorted(Path(asked["archives"]).iterdir())
    target = Path(asked["target"])
    asyncio.run(
        link([path for path in archives if path.suffix != ".whl"], target, asked["prefix"], Path(asked["cache"]))
    )
    home = target / "lib" / f"python{asked['python']}" / "site-packages"
    for wheel in (path for path in archives if path.suffix == ".whl"):
        places = {"purelib": home, "platlib": home, "scripts": target / "bin", "data": target, "headers": target}
        destination = SchemeDictionaryDestination(
            {name: str(place) for name, place in places.items()},
            interpreter=f"{asked['prefix']}/bin/python", script_kind="posix",
        )  # fmt: skip
        with WheelFile.open(wheel) as source:
            install_wheel(source, destination, {"INSTALLER": b"installer"})


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
    sys.stdout.flush()
    os._exit(0)
