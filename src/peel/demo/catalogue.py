"""The demo's declarations: a lab on one Python, a payload on another."""

from __future__ import annotations

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
payloads: [science]
tags: rsp
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
        f"{image}.yaml": _IMAGE.format(base=sources.base),
        "lab/environment.yml": _LAB.format(channel=sources.channel),
        "science/payload.yaml": _PAYLOAD,
        "science/environment.yml": _SCIENCE.format(channel=sources.channel, pip=sources.pip),
    }
    for name, text in files.items():
        path = directory / "envs" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
