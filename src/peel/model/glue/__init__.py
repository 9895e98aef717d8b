"""The last layer: what joins a lab and its payloads without either knowing of the other.

Its texts are a numbered promise. A lock names its number, and every number that there ever was is still written.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from peel.errors import DocumentError
from peel.model.declared import Declared
from peel.model.glue.first import make_first_glue
from peel.model.glue.places import KERNELS, LAUNCHERS, START
from peel.model.glue.second import make_second_glue
from peel.model.glue.value import Glue
from peel.model.values import PythonVersion

__all__ = ["GLUE", "GLUES", "KERNELS", "LAUNCHERS", "START", "Glue", "make_glue"]

GLUE: Final = 2
"""The number that new locks get."""

GLUES: Final = frozenset({1, 2})
"""The numbers that can be written."""


def make_glue(
    number: int, declared: Declared, pythons: Mapping[str, PythonVersion | None], files: Mapping[str, bytes]
) -> Glue:
    """The glue of this number; ``pythons`` is by environment, None where one has no Python, ``files`` by sha256.

    Raises DocumentError for a number that this peel does not know.
    """
    match number:
        case 1:
            return make_first_glue(declared, pythons)
        case 2:
            return make_second_glue(declared, files)
        case _:
            raise DocumentError(f"glue {number} is none that this peel writes", hint="use a newer peel")
