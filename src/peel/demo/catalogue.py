"""The demo's declarations: a lab on one Python, a payload on another."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

_IMAGE: Final = """\
schema: 1
base: {base}
platforms: [linux-64]
lab:
  environment: lab/environment.yml
  prefix: /opt/peel/lab
payloads: [{payload}]
tags: {tags}
"""

_LAB: Final = """\
channels:
  - {channel}
dependencies:
  - python 3.13.*
  - jupyterlab >=4.6
  - jupyterhub
"""

_PAYLOAD: Final = """\
schema: 1
kind: conda
environment: environment.yml
prefix: /opt/peel/envs/science
kernel:
  name: science
  display_name: Science (Python 3.11)
variables:
  OMP_NUM_THREADS: "2"
menu:
  title: Science
  description: numpy on Python 3.11
"""

_SCIENCE: Final = """\
channels:
  - {channel}
dependencies:
  - python 3.11.*
  - ipykernel
  - numpy
  - pip
  - pip:
      - {pip}
"""


_OTHER_PAYLOAD: Final = """\
schema: 1
kind: conda
environment: environment.yml
prefix: /opt/peel/envs/plain
kernel:
  name: plain
  display_name: Plain (Python 3.13)
menu:
  title: Plain Python
  description: nothing but Python 3.13
"""

_OTHER: Final = """\
channels: ["{channel}"]
dependencies: [python 3.13.*, ipykernel]
"""

_MENU: Final = """\
schema: 1
title: Choose an image
payloads:
  - name: science
    title: Science
    description: numpy on Python 3.11, by releases of their own.
    source: docker://{science}
    tags: rsp
    recommended: recommended
  - name: plain
    title: Plain Python
    description: Nothing but Python 3.13, by semantic versions.
    source: docker://{plain}
    tags: semver
    aliases: [latest]
sizes:
  - {{name: small, title: Small, cpu: 1, memory: 2Gi}}
  - {{name: large, title: Large, cpu: 2, memory: 4Gi}}
"""


@dataclass(frozen=True, slots=True)
class Sources:
    """Where a demo's image comes from: base, conda channel, and a requirement for the pip section."""

    base: str
    channel: str
    pip: str


def conda_forge() -> Sources:
    """What production uses."""
    return Sources(base="docker.io/library/almalinux:9", channel="conda-forge", pip="humanize ==4.*")


def write_catalogue(directory: Path, sources: Sources, *, image: str) -> None:
    """Write the declarations beneath ``directory``."""
    files = {
        f"envs/{image}.yaml": _IMAGE.format(base=sources.base, payload="science", tags="rsp"),
        "envs/lab/environment.yml": _LAB.format(channel=sources.channel),
        "envs/science/payload.yaml": _PAYLOAD,
        "envs/science/environment.yml": _SCIENCE.format(channel=sources.channel, pip=sources.pip),
    }
    _write(directory, files)


def write_other(directory: Path, *, base: str, channel: str, image: str) -> None:
    """Write the declarations of a second image: the same lab, another payload, another tag policy."""
    files = {
        f"envs/{image}.yaml": _IMAGE.format(base=base, payload="plain", tags="semver"),
        "envs/plain/payload.yaml": _OTHER_PAYLOAD,
        "envs/plain/environment.yml": _OTHER.format(channel=channel),
    }
    _write(directory, files)


def write_menu(directory: Path, *, science: str, plain: str) -> None:
    """Write the menu of both images, which are in these repositories."""
    _write(directory, {"envs/menu.yaml": _MENU.format(science=science, plain=plain)})


def _write(directory: Path, files: Mapping[str, str]) -> None:
    for name, text in files.items():
        path = directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
