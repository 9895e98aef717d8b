"""Solve and install an environment with py-rattler, staged for another prefix: run as a child process.

Arguments: channel, directory, prefix, cache, specs. py-rattler now and then crashes when its interpreter exits, so this
one does not.
"""

from __future__ import annotations

import asyncio
import os
import sys

import rattler
from rattler.package.build_string import BuildString

VIRTUAL = {"__glibc": "2.41", "__linux": "6.1", "__unix": "0"}


async def install(channel: str, directory: str, prefix: str, cache: str, specs: list[str]) -> None:
    platform = rattler.Platform("linux-64")
    virtual = [
        rattler.GenericVirtualPackage(rattler.PackageName(name), rattler.Version(version), BuildString("0"))
        for name, version in VIRTUAL.items()
    ]
    records = await rattler.solve(
        sources=[rattler.Channel(channel)],
        specs=[rattler.MatchSpec(spec) for spec in specs],
        platforms=[platform, rattler.Platform("noarch")],
        virtual_packages=virtual,
    )
    await rattler.install(
        records, directory, cache_dir=cache, platform=platform, show_progress=False, alternative_target_prefix=prefix
    )


if __name__ == "__main__":
    asyncio.run(install(*sys.argv[1:5], sys.argv[5:]))
    sys.stdout.flush()
    os._exit(0)
