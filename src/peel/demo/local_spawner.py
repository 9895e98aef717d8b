"""The spawner of ``peel demo --hub``: containers on this machine, as a cluster would run them."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from dockerspawner import DockerSpawner
from jupyterhub.utils import random_port
from traitlets import Integer, Unicode

_LOOPBACK = "127.0.0.1"


class LocalSpawner(DockerSpawner):
    """DockerSpawner whose labs are on the host's network, each on a free port of loopback, with a home on the disk."""

    homes = Unicode(config=True, help="The directory in which every user's home is.")
    uid = Integer(1000, config=True, help="Whom a lab runs as.")

    async def start(self) -> tuple[str, int]:
        """Make the home, choose the port, start the lab."""
        self.volumes = {str(_made_home(Path(self.homes, self.user.name), self.uid)): self._home}
        self.ip, self.port = _LOOPBACK, random_port()
        started: tuple[str, int] = await super().start()
        return started

    async def get_ip_and_port(self) -> tuple[str, int]:
        """Where the lab answers."""
        return self.ip, self.port

    def get_env(self) -> dict[str, str]:
        """What the lab is told: a spawner's variables, and its home."""
        env: dict[str, str] = super().get_env()
        return {**env, "HOME": self._home}

    async def create_object(self) -> Any:
        """A container of the image, as a user that the image does not know, at home."""
        self.extra_create_kwargs = {"user": f"{self.uid}:{self.uid}", "working_dir": self._home}
        return await super().create_object()

    @property
    def _home(self) -> str:
        return f"/home/{self.user.name}"


def _made_home(home: Path, uid: int) -> Path:
    home.mkdir(parents=True, exist_ok=True)
    os.chown(home, uid, uid)
    return home
