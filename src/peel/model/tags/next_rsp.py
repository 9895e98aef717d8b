"""The next build of a tag by the ``rsp`` policy: ``r1_0_0`` becomes ``r1_0_0_rsp1``, and that ``r1_0_0_rsp2``.

A tag reads: what was built, then optional, in this order, SAL cycle (``_c0042.003``), RSP build (``_rsp19``), anything
else (``_extra``) and architecture (``-arm64``). This is Nublado's grammar of tags, as far as a build number goes.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

_TAG: Final = re.compile(
    r"(?P<built>(?:exp_)*(?:r\d+_\d+_\d+(?:_rc\d+)?|w_\d+_\d+|d_\d+_\d+_\d+)(?:_c\d+\.\d+)?)"
    r"(?:_rsp(?P<build>\d+))?"
    r"(?P<rest>(?:_.+?)?(?:-[a-z0-9]+)?)",
    re.ASCII,
)


@dataclass(frozen=True, slots=True)
class _RspTag:
    built: str
    build: int
    rest: str


def next_rsp_tag(tag: str, taken: Iterable[str]) -> str | None:
    """The same tag with the build number after the highest that is taken; None for a tag that cannot have one.

    Numbers only grow: a menu shows the highest as the newest.
    """
    mine = _parse(tag)
    if mine is None:
        return None
    others = [found for other in taken if (found := _parse(other)) is not None]
    builds = [other.build for other in others if (other.built, other.rest) == (mine.built, mine.rest)]
    return f"{mine.built}_rsp{max([mine.build, *builds]) + 1}{mine.rest}"


def _parse(tag: str) -> _RspTag | None:
    found = _TAG.fullmatch(tag)
    return _RspTag(found["built"], int(found["build"] or 0), found["rest"]) if found else None
