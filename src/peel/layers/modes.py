"""The modes of a conda package's files, which no list in the package tells."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from peel.layers.conda_info import read_info
from peel.layers.conda_stream import Part, members
from peel.layers.link_payload import final_mode
from peel.layers.link_python import place
from peel.model.entry import Kind
from peel.model.values import PythonVersion


def installed_modes(archive: Path, file_name: str, python: PythonVersion | None) -> Mapping[str, int]:
    """The mode of each file where it ends up, relative to the prefix; links and scripts that are made have none.

    Reads the archive to its end. Raises ArtifactError as ``layers.link.link_conda`` does.
    """
    is_placed = read_info(archive, file_name).noarch == "python"
    modes: dict[str, int] = {}
    for member, _ in members(archive, file_name, Part.PAYLOAD):
        if member.kind is Kind.FILE:
            modes[member.path] = final_mode(member.mode)
        elif member.kind is Kind.HARDLINK:  # has the mode of the file that it repeats
            modes[member.path] = modes.get(member.target.removeprefix("./"), 0)
    return {place(path, python) if is_placed and python else path: mode for path, mode in modes.items()}
