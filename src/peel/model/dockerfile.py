"""Dockerfiles, as far as peel has to understand them: what they are built on, and what could not be built again."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from peel.errors import DocumentError

_INSTRUCTIONS: Final = frozenset({
    "ADD", "ARG", "CMD", "COPY", "ENTRYPOINT", "ENV", "EXPOSE", "FROM", "HEALTHCHECK", "LABEL", "MAINTAINER",
    "ONBUILD", "RUN", "SHELL", "STOPSIGNAL", "USER", "VOLUME", "WORKDIR",
})  # fmt: skip
_FROM: Final = re.compile(r"(?:--platform=\S+\s+)?(?P<image>\S+)(?:\s+as\s+(?P<name>\S+))?", re.IGNORECASE)
_VARIABLE: Final = re.compile(r"\$(?:\{(?P<braced>\w+)\}|(?P<bare>\w+))")
_HEREDOC: Final = re.compile(r"<<-?[\"']?([A-Za-z_]\w*)[\"']?")
_PINNED: Final = re.compile(r"\S+@sha256:[0-9a-f]{64}")
_REMOTE: Final = re.compile(r"(?:^|\s|[\"'\[,])(?:https?://|git@|ftp://)\S*", re.IGNORECASE)
_UNREPEATABLE: Final = re.compile(r"--mount=\S*type=(secret|ssh|cache)|--(?:secret|ssh)\b")
_SECRET: Final = re.compile(r"\b\w*(?:password|passwd|secret|token|api_?key)\w*\s*[=\s]\s*\S", re.IGNORECASE)
_BEGIN: Final = "begin with FROM $BASE"
_COPY_FROM: Final = re.compile(r"--from=(\S+)")


@dataclass(frozen=True, slots=True)
class Instruction:
    """An instruction with its first line's number, and its arguments as one line."""

    line: int
    name: str
    arguments: str


@dataclass(frozen=True, slots=True)
class Stage:
    """A ``FROM``: the image that it names, variables filled in; the line of it; and what others call the stage."""

    line: int
    image: str
    name: str


@dataclass(frozen=True, slots=True)
class Dockerfile:
    """One that can be built again: every stage is on the base, on a stage, on nothing, or on an image by digest."""

    text: str
    stages: tuple[Stage, ...]

    @property
    def pinned(self) -> tuple[str, ...]:
        """The images by digest that stages are built on, in order."""
        return tuple(dict.fromkeys(stage.image for stage in self.stages if _PINNED.fullmatch(stage.image)))

    def rewritten(self, images: Mapping[str, str]) -> str:
        """The text with other names for the images that stages are built on."""
        lines = self.text.splitlines()
        for stage in self.stages:
            if stage.image in images:
                suffix = f" AS {stage.name}" if stage.name else ""
                lines[stage.line - 1] = f"FROM {images[stage.image]}{suffix}"
        return "\n".join(lines) + "\n"


def parse_dockerfile(text: str, base: str, origin: str) -> Dockerfile:
    """Read a Dockerfile for an image on this ``base``.

    Raises DocumentError with file and line for what is none, what is built on anything that is not pinned, and what
    would be another thing tomorrow: addresses in ADD, secrets, caches.
    """
    arguments, stages = {"BASE": base}, list[Stage]()
    for instruction in _instructions(text, origin):
        where = f"{origin}:{instruction.line}"
        if instruction.name == "FROM":
            stages.append(_stage(instruction, arguments, stages, base, where))
        elif not stages:
            if instruction.name != "ARG":
                raise DocumentError(f"{where}: {instruction.name} stands before the first FROM", hint=_BEGIN)
            name, _, default = instruction.arguments.partition("=")
            if default and name != "BASE":
                arguments[name.strip()] = default.strip().strip("\"'")
        else:
            _refuse_unrepeatable(instruction, stages, where)
    if not stages:
        raise DocumentError(f"{origin}: has no FROM", hint=f"begin with ARG BASE and FROM $BASE, which is {base}")
    if _root(stages[-1], stages) != base:
        raise DocumentError(
            f"{origin}:{stages[-1].line}: the last stage is not built on the image's base",
            hint=f"end with a stage that is FROM $BASE (after ARG BASE), which is {base}, and COPY --from into it",
        )
    return Dockerfile(text, tuple(stages))


def _instructions(text: str, origin: str) -> Iterator[Instruction]:
    lines = iter(enumerate(text.splitlines(), 1))
    for number, raw in lines:
        if not raw.strip() or raw.lstrip().startswith("#"):
            continue
        whole = raw.strip()
        while whole.endswith("\\"):
            _, more = next(lines, (0, ""))
            whole = whole[:-1] + ("\\" if more.lstrip().startswith("#") else f" {more.strip()}")
        name, _, arguments = whole.partition(" ")
        if name.upper() not in _INSTRUCTIONS:
            raise DocumentError(
                f"{origin}:{number}:1: {name[:40]!r} is no instruction of a Dockerfile",
                hint=f"known are {', '.join(sorted(_INSTRUCTIONS))}",
            )
        for word in _HEREDOC.findall(arguments) if name.upper() in {"RUN", "COPY", "ADD"} else ():
            for _, line in lines:
                if line.strip() == word:
                    break
        yield Instruction(number, name.upper(), arguments.strip())


def _stage(instruction: Instruction, arguments: Mapping[str, str], stages: list[Stage], base: str, where: str) -> Stage:
    found = _FROM.fullmatch(instruction.arguments)
    if found is None:
        raise DocumentError(f"{where}: FROM names one image, and its stage after AS", hint="as in FROM $BASE AS tools")
    image = _VARIABLE.sub(lambda m: arguments.get(m["braced"] or m["bare"], m[0]), found["image"])
    if image.startswith("--"):
        raise DocumentError(f"{where}: {image.partition('=')[0]} cannot be used", hint="the image's platforms decide")
    known = {"scratch", base, *(stage.name for stage in stages if stage.name)}
    if image not in known and not _PINNED.fullmatch(image):
        raise DocumentError(
            f"{where}: {image!r} is neither the image's base nor pinned by digest",
            hint=f"build on $BASE (after ARG BASE), which is {base}, or name NAME@sha256:…",
        )
    return Stage(instruction.line, image, found["name"] or "")


def _root(stage: Stage, stages: list[Stage]) -> str:
    """What a stage is built on in the end."""
    by_name = {each.name: each for each in stages if each.name and each is not stage}
    seen = set[str]()
    while stage.image in by_name and stage.image not in seen:
        seen.add(stage.image)
        stage = by_name[stage.image]
    return stage.image


def _refuse_unrepeatable(instruction: Instruction, stages: list[Stage], where: str) -> None:
    if instruction.name == "ADD" and _REMOTE.search(instruction.arguments):
        raise DocumentError(
            f"{where}: ADD fetches an address, which may hold something else tomorrow",
            hint="put the file into the context, or use a payload of kind script, which declares inputs by sha256",
        )
    if instruction.name == "RUN" and (found := _UNREPEATABLE.search(instruction.arguments)):
        raise DocumentError(
            f"{where}: {found[0]} depends on the machine that builds",
            hint="what a build needs has to be in the context",
        )
    if instruction.name in {"ARG", "ENV"} and _SECRET.search(instruction.arguments):
        raise DocumentError(
            f"{where}: {instruction.name} seems to hold a secret, and all may read an image", hint="take it out"
        )
    names = {stage.name for stage in stages[:-1] if stage.name} | {str(number) for number in range(len(stages) - 1)}
    for source in _COPY_FROM.findall(instruction.arguments) if instruction.name == "COPY" else ():
        if source not in names:
            raise DocumentError(f"{where}: --from={source} is no stage of this file", hint="make it a stage: FROM … AS")
