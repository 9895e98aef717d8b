"""What an author's file is, told from its contents: names and endings lie."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from enum import StrEnum
from typing import Final

from peel.errors import DocumentError
from peel.model.history.detect import detect
from peel.model.history.explicit import MARKER
from peel.model.history.export import EXPORTED
from peel.model.history.remembered import Format

_INSTRUCTION = re.compile(r"(?i:FROM)\s+(?:--platform=\S+\s+)?\S+(?:\s+(?i:AS)\s+\S+)?")
_ARGUMENT = re.compile(r"(?i:ARG)\s+\S.*")
_REQUIREMENT = re.compile(
    r"-{1,2}[A-Za-z][\w-]*(?:[ =].*)?"  # an option of pip's
    r"|(?:git|hg|svn|bzr)\+\S+|\.{1,2}(?:/\S*)?(?:\[\S+\])?"
    r"|[A-Za-z0-9](?:[\w.-]*[A-Za-z0-9])?\s*(?:\[[^\]]*\])?\s*(?:\(?(?:===|[=<>!~]=|[<>])[^#]*|@\s*\S.*)?(?:;.*)?"
)
_YAML_KEY = re.compile(r"^[A-Za-z_][\w-]*:(?:[ \t]|$)", re.MULTILINE)
_REMARK = re.compile(r"(?:^|\s)#.*$")
_KNOWN: Final = (
    "propose takes an environment.yml, a requirements.txt, a lock of conda-lock's or pixi's, an @EXPLICIT list, "
    "a script, a Dockerfile or its directory, or docker://REFERENCE"
)


class Form(StrEnum):
    """What an author may bring."""

    ENVIRONMENT = "environment.yml"
    LIST = "list of packages"
    REQUIREMENTS = "requirements.txt"
    SCRIPT = "script"
    DOCKERFILE = "Dockerfile"
    IMAGE = "image"


def recognise(text: str, origin: str) -> Form:
    """What a text is. Raises DocumentError naming file and line, with what it was taken for, for everything else."""
    if text.startswith("#!"):
        return Form.SCRIPT
    lines = list(_meant(text))
    if _is_dockerfile(lines):
        return Form.DOCKERFILE
    if _is_requirements(text, lines):
        return Form.REQUIREMENTS
    try:
        found = detect(text, origin)
    except DocumentError as error:
        hint = None if error.hint is None else error.hint if "import reads" not in error.hint else _KNOWN
        raise DocumentError(error.message.replace("that import reads", "that propose reads"), hint=hint) from None
    return Form.ENVIRONMENT if found is Format.ENVIRONMENT else Form.LIST


def _meant(text: str) -> Iterator[str]:
    """The logical lines that say something: without remarks, continued ones joined."""
    for line in text.replace("\\\n", " ").splitlines():
        if bare := _REMARK.sub("", line).strip():
            yield bare


def _is_dockerfile(lines: Sequence[str]) -> bool:
    """Whether the first instruction besides ARG is FROM (Dockerfile reference, "Format")."""
    first = next((line for line in lines if not _ARGUMENT.fullmatch(line)), "")
    return _INSTRUCTION.fullmatch(first) is not None


def _is_requirements(text: str, lines: Sequence[str]) -> bool:
    """Whether pip would read it: the first line decides, and the most of the others, for some may be mistaken."""
    if not lines or MARKER in lines or _YAML_KEY.search(text) or EXPORTED.fullmatch(lines[0]):
        return False
    fitting = [line for line in lines if _REQUIREMENT.fullmatch(line)]
    return fitting[:1] == lines[:1] and 2 * len(fitting) > len(lines)
